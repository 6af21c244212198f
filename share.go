package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// lookEvery is how often a source in use looks for what others did to its store.
	lookEvery = time.Second
	// leasePoll is the longest time until a source without a token looks whether
	// the process with the lease is done.
	leasePoll = 100 * time.Millisecond
)

// clockSkew is by how much the clocks of machines may differ.
const clockSkew = time.Minute

// errHeldBack: it is too early for another try.
var errHeldBack = errors.New("too early for another try")

// share brings the source and its store together: it returns the newest live
// token that either has. If there is none, or the source had one that is due
// for a refresh, it issues the next, unless another process is about to, or this
// is but a look. What it returns is in the store, unless that fails.
func (s *Source) share(ctx context.Context, client *Client, look bool) outcome {
	best := s.current.Load()
	if best != nil && !s.usable(best) {
		best = nil
	}
	cold := best == nil
	var o outcome
	var release func()
	defer func() {
		if release != nil {
			release()
		}
	}()
	for {
		found, err := s.client.stored(ctx, s.cfg.Store, s.cfg.Kind)
		if err != nil && !errors.Is(err, ErrStoreCorrupt) {
			if look {
				return outcome{live: best, storeErr: err}
			}
			return s.alone(ctx, client, best, err)
		}
		if o.storeErr == nil {
			o.storeErr = err
		}
		o.live, o.shared = s.newer(best, found.token)
		best = o.live
		now := s.client.cfg.Now()
		if best != nil && (cold || now.UnixNano() < best.dueAt) {
			if o.shared { // a call for it starts the refresh, and need not wait
				return o
			}
			// The store lost it, or could not be written when it was new.
			err := s.client.store(ctx, s.cfg.Store, s.cfg.Kind, found.revision, entryOf(&best.token))
			if errors.Is(err, ErrStoreConflict) && pause(ctx, leasePoll) == nil {
				continue
			}
			if o.shared = err == nil; !o.shared {
				o.storeErr = err
			}
			return o
		}
		if look {
			return o
		}
		if s.heldBack(now) || now.Before(found.retryAt) {
			o.err = fmt.Errorf("lineoauth: a process that shares the store failed to issue a token, and its events or log say why: %w", errHeldBack)
			return o
		}
		if release != nil {
			return s.issueShared(ctx, client, o, found)
		}
		switch release, err = s.lease(ctx); {
		case err == nil: // somebody may have been faster, so the store has the word
		case !errors.Is(err, ErrStoreLeased):
			return s.alone(ctx, client, best, err)
		case best != nil:
			o.busy = true
			return o
		default:
			if o.err = pause(ctx, leasePoll/2+rand.N(leasePoll/2)); o.err != nil { //nolint:gosec // spreads load, hides nothing
				o.err = fmt.Errorf("lineoauth: waiting for the process that has the lease: %w", o.err)
				return o
			}
		}
	}
}

// issueShared issues a token and stores it in the place of what is there.
func (s *Source) issueShared(ctx context.Context, client *Client, before outcome, old storedToken) outcome {
	o := s.issue(ctx, client)
	ctx = context.WithoutCancel(ctx) // a place may be taken, so others are to know
	if o.err != nil {
		o.live, o.shared, o.storeErr = before.live, before.shared, before.storeErr
		s.holdBackAll(ctx, old, o.err)
		return o
	}
	s.saving.Store(true)
	defer s.saving.Store(false)
	err := s.client.store(ctx, s.cfg.Store, s.cfg.Kind, old.revision, entryOf(&o.live.token))
	for tries := 0; errors.Is(err, ErrStoreConflict) && tries < 3; tries++ {
		// This process was paused for longer than its lease, did not hear that it
		// saved, or the store lost what was there.
		now, loadErr := s.client.stored(ctx, s.cfg.Store, s.cfg.Kind)
		if loadErr != nil && !errors.Is(loadErr, ErrStoreCorrupt) {
			break
		}
		if now.token != nil {
			live := s.newLive(now.token)
			if live.token.AccessToken.Reveal() == o.live.token.AccessToken.Reveal() {
				err = nil
				break
			}
			if s.usable(live) {
				return outcome{live: live, shared: true, spare: &o.live.token, storeErr: before.storeErr}
			}
		}
		err = s.client.store(ctx, s.cfg.Store, s.cfg.Kind, now.revision, entryOf(&o.live.token))
	}
	o.shared, o.storeErr = err == nil, before.storeErr
	if o.storeErr == nil {
		o.storeErr = err
	}
	return o
}

// holdBackAll lets all processes wait for what LINE asks one to wait for, and
// for what one has to after answers that were lost.
func (s *Source) holdBackAll(ctx context.Context, old storedToken, err error) {
	refusal := new(Error)
	if !errors.As(err, &refusal) {
		return
	}
	e := entryOf(old.token)
	e.Lost = old.lost
	wait := min(refusal.RetryAfter, maxRetryAfter)
	if s.cfg.Kind != Stateless && refusal.lost() {
		e.Lost++
		wait = max(wait, scarce(e.Lost), minBackOff)
	}
	if wait > 0 {
		e.RetryAt = s.client.cfg.Now().Add(wait)
		_ = s.client.store(ctx, s.cfg.Store, s.cfg.Kind, old.revision, e) // each waits for itself in any case
	}
}

// alone is what to do without the store.
func (s *Source) alone(ctx context.Context, client *Client, best *liveToken, storeErr error) outcome {
	now := s.client.cfg.Now()
	mayIssue := s.cfg.Kind == Stateless || s.cfg.IssueWithoutStore
	if best != nil {
		// The store has until the middle between the time of the refresh and the end.
		if lastCall := best.dueAt + (best.expiresAt-best.dueAt)/2; !mayIssue || now.UnixNano() < lastCall {
			return outcome{live: best, storeErr: storeErr}
		}
	}
	o := outcome{live: best, storeErr: storeErr}
	switch {
	case !mayIssue:
		o.err = fmt.Errorf("lineoauth: there is no live token, and none is issued while the store fails, unless IssueWithoutStore is set: %w", storeErr)
	case s.heldBack(now):
		o.err = errHeldBack
	default:
		if o = s.issue(ctx, client); o.err != nil {
			o.live = best
		}
		o.storeErr = storeErr
	}
	return o
}

// newer returns the one of two tokens that was issued last, and whether that is
// the stored one.
func (s *Source) newer(best *liveToken, token *Token) (live *liveToken, stored bool) {
	if token == nil {
		return best, false
	}
	if best != nil && best.token.AccessToken.Reveal() == token.AccessToken.Reveal() {
		return best, true
	}
	live = s.newLive(token)
	if !s.usable(live) {
		return best, false
	}
	if best != nil {
		since := best.token.IssuedAt
		s.mu.Lock()
		if best.shared { // it was there, so what is there now came later, but for another clock
			since = since.Add(-clockSkew)
		}
		s.mu.Unlock()
		if live.token.IssuedAt.Before(since) {
			return best, false
		}
	}
	return live, true
}

// usable reports whether a token is alive and was not refused here.
func (s *Source) usable(live *liveToken) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.cfg.Now().UnixNano() < live.expiresAt && live.token.AccessToken.Reveal() != s.rejected
}

func (s *Source) heldBack(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.retryAt)
}

func (s *Source) lease(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	release, err := within(ctx, func() (func(), error) {
		return s.cfg.Store.Lease(ctx, s.client.storeKey(s.cfg.Kind), s.cfg.RefreshTimeout)
	}, func(release func()) { release() })
	if err != nil {
		return nil, fmt.Errorf("lineoauth: taking the lease of the stored token: %w", err)
	}
	return release, nil
}

// fly starts a flight, or another one after that which is under way. s.mu is
// held.
func (s *Source) fly() {
	switch {
	case s.flight != nil:
		s.again = true
	case s.current.Load() != nil:
		s.start(s.client.once(), false)
	default:
		s.start(s.client, false)
	}
}

// watch begins to watch the store, if that is to be had. s.mu is held.
func (s *Source) watch() {
	store, ok := s.cfg.Store.(StoreWatcher)
	if !ok || s.unwatch != nil || s.forgotten {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.unwatch = cancel
	s.flights.Go(func() {
		defer cancel()
		for failures := 1; ; failures++ {
			err := store.Watch(ctx, s.client.storeKey(s.cfg.Kind), s.changed)
			s.mu.Lock()
			if s.watched {
				s.watched, failures = false, 1
				if live := s.current.Load(); live != nil && s.flight == nil {
					live.checkAt.Store(min(live.dueAt, s.client.cfg.Now().Add(lookEvery).UnixNano()))
				}
			}
			s.mu.Unlock()
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("it ended")
			}
			wait := backOff(failures, jitter())
			s.client.emit(ctx, Event{Kind: EventStoreFailed, Err: fmt.Errorf("lineoauth: watching the stored token: %w", err), Wait: wait})
			if pause(ctx, wait) != nil {
				return
			}
		}
	})
}

// changed looks into the store. It issues nothing: that is for whoever asks for
// a token.
func (s *Source) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = true
	s.lookAt = time.Time{}
	if s.flight != nil {
		s.look = true
	} else if live := s.current.Load(); live != nil && s.client.cfg.Now().UnixNano() < live.expiresAt {
		s.start(s.client.once(), true)
	}
}

// forget is for a source that its pool let go: nobody may close it, so it must
// keep no goroutine.
func (s *Source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = true
	if s.unwatch != nil {
		s.unwatch()
	}
}
