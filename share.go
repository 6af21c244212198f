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

// errHeldBack: it is too early for another try.
var errHeldBack = errors.New("too early for another try")

// share brings the source and its store together: it returns the newest live
// token that either has. If there is none, or the source had one that is due
// for a refresh, it issues the next, unless another process is about to. What
// it returns is in the store, unless that fails.
func (s *Source) share(ctx context.Context, client *Client) outcome {
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
		token, revision, err := s.client.stored(ctx, s.cfg.Store, s.cfg.Kind)
		if err != nil && !errors.Is(err, ErrStoreCorrupt) {
			return s.alone(ctx, client, best, err)
		}
		if o.storeErr == nil {
			o.storeErr = err
		}
		o.live, o.shared = s.newer(best, token)
		best = o.live
		now := s.client.cfg.Now()
		if best != nil && (cold || now.UnixNano() < best.dueAt) {
			if o.shared { // a call for it starts the refresh, and need not wait
				return o
			}
			// The store lost it, or could not be written when it was new.
			err := s.client.store(ctx, s.cfg.Store, s.cfg.Kind, revision, &best.token)
			if errors.Is(err, ErrStoreConflict) {
				continue
			} else if err != nil {
				return s.alone(ctx, client, best, err)
			}
			o.shared = true
			return o
		}
		if s.heldBack(now) {
			o.err = errHeldBack
			return o
		}
		if release != nil {
			return s.issueShared(ctx, client, o, revision)
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

// issueShared issues a token and stores it in the place of a revision.
func (s *Source) issueShared(ctx context.Context, client *Client, before outcome, revision string) outcome {
	o := s.issue(ctx, client)
	if o.err != nil {
		o.live, o.shared, o.storeErr = before.live, before.shared, before.storeErr
		return o
	}
	ctx = context.WithoutCancel(ctx) // the place is taken, so others are to have the token
	err := s.client.store(ctx, s.cfg.Store, s.cfg.Kind, revision, &o.live.token)
	if errors.Is(err, ErrStoreConflict) {
		// This process was paused for longer than its lease, or did not hear that it saved.
		token, _, loadErr := s.client.stored(ctx, s.cfg.Store, s.cfg.Kind)
		if loadErr == nil && token != nil {
			live := s.newLive(token)
			switch {
			case live.oauth2.AccessToken == o.live.oauth2.AccessToken:
				err = nil
			case s.usable(live):
				return outcome{live: live, shared: true, spare: &o.live.token, storeErr: before.storeErr}
			}
		}
	}
	o.shared, o.storeErr = err == nil, before.storeErr
	if o.storeErr == nil {
		o.storeErr = err
	}
	return o
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
	if !s.usable(live) || best != nil && live.token.IssuedAt.Before(best.token.IssuedAt) {
		return best, false
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
	release, err := s.cfg.Store.Lease(ctx, s.client.storeKey(s.cfg.Kind), s.cfg.RefreshTimeout)
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
		s.start(s.client.once())
	default:
		s.start(s.client)
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
			wait := backOff(failures, rand.Float64()) //nolint:gosec // spreads load, hides nothing
			s.client.emit(ctx, Event{Kind: EventStoreFailed, Err: fmt.Errorf("lineoauth: watching the stored token: %w", err), Wait: wait})
			if pause(ctx, wait) != nil {
				return
			}
		}
	})
}

// changed looks into the store.
func (s *Source) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = true
	s.lookAt = time.Time{}
	live := s.current.Load()
	if s.flight != nil || live != nil && s.client.cfg.Now().UnixNano() < live.expiresAt {
		s.fly()
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
