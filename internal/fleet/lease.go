package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// lease takes the right to issue, until release is called.
func (f *Fleet) lease(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	free, err := guarded(ctx, &f.calls, func(ctx context.Context) (func(), error) { return f.Store.Lease(ctx, f.Key, f.LeaseTime) }, func(late func()) { late() })
	if err != nil {
		return nil, fmt.Errorf("taking the lease of the stored token: %w", err)
	}
	return func() { //nolint:contextcheck // also when ctx has ended
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		// However many calls hang: a lease that is kept stops all processes.
		_, _ = guarded(ctx, new(guard), func(context.Context) (struct{}, error) { free(); return struct{}{}, nil }, nil)
	}, nil
}

// mark saves a mark beside what is stored: a process that cannot save must not issue. The error
// matches [store.ErrConflict] if the store has something else than before, which
// has to be looked at first.
func (f *Fleet) mark(ctx context.Context, before string) (stored, error) {
	held, err := f.load(ctx) // another process may have saved before this one had the lease
	if err != nil {
		return held, err
	}
	if held.Issuing != "" {
		// Its process ended on the way. What it issued may count.
		if held.Issuing != f.ownMark() {
			held.lose(f.Clock.Now(), f.Limited)
		}
		held.Issuing = ""
		if _, err := f.save(ctx, held); err != nil {
			return held, err
		}
		return held, store.ErrConflict
	}
	if held.revision != before {
		return held, store.ErrConflict
	}
	held.Issuing = rand.Text()
	f.setOwnMark(held.Issuing)
	held.revision, err = f.save(ctx, held)
	return held, err
}

// issueLeased takes the lease, saves a mark, issues a token, and saves that. If
// another process saved a token meanwhile, that one is returned. The error matches
// [store.ErrLeased] while another process has the lease, and [store.ErrConflict] if
// the store has something else than before.
func (f *Fleet) issueLeased(ctx context.Context, a Attempt, before string) (o Outcome, err error) {
	release, err := f.lease(ctx)
	if err != nil {
		return o, err
	}
	defer release()
	held, err := f.mark(ctx, before)
	if errors.Is(err, store.ErrConflict) {
		return o, err
	}
	if err != nil {
		return f.withoutStore(ctx, a, err), nil
	}
	asked := f.Clock.Now()
	token, err := f.issue(ctx, a)
	sent := err == nil || f.LINE.Failure(err).Sent
	if err != nil {
		return f.unmark(ctx, held, err, sent), nil
	}
	o = Outcome{Token: token, Expires: asked.Add(time.Duration(token.Left) * time.Millisecond), Issued: true}
	t := *token
	t.Left = max(t.Left-storeTimeout.Milliseconds(), 0) // others count from when the save is done
	// A record without a mark, and without what was lost or is to be waited for.
	next := stored{Record: store.Record{Token: &t}, revision: held.revision, at: asked}
	ctx = context.WithoutCancel(ctx) // the token counts already
	for range maxConflicts {
		begun := f.Clock.Now()
		revision, err := f.save(ctx, next)
		if stopped := f.Clock.Now().Sub(begun) > storeTimeout+time.Second; stopped && err == nil {
			// Meanwhile the process or its machine was stopped, so that the token looks
			// younger than it is.
			next.revision = revision
			continue
		} else if stopped && errors.Is(err, context.DeadlineExceeded) {
			continue // what ended the call may be that alone
		}
		o.Store, o.Stored = err, err == nil
		if !errors.Is(err, store.ErrConflict) {
			break
		}
		// This process was paused for longer than its lease, or did not hear that it
		// saved.
		held, err := f.load(ctx)
		if err != nil {
			break
		}
		if held.Token != nil && held.Token.AccessToken == t.AccessToken {
			o.Stored, o.Store = true, nil
			break
		}
		if other := f.adopt(ctx, &Attempt{}, &held); other.Token != nil {
			other.Surplus = &t
			return other, nil
		}
		next.revision = held.revision
	}
	return o, nil
}

// unmark takes the mark off after LINE issued no token, as far as that is known.
func (f *Fleet) unmark(ctx context.Context, held stored, err error, sent bool) (o Outcome) {
	held.Issuing = ""
	held.rebase(f.Clock.Now())
	if sent {
		f.setOwnMark("") // something may be lost under it
	}
	if f.Limited && sent {
		held.Lost++
		o.Hold = holdOff(held.Lost)
	}
	o = f.failed(o, err)
	held.Hold = max(held.Hold, o.Hold.Milliseconds())
	_, _ = f.save(ctx, held) // if that fails, the mark is as strict
	return o
}

// ownMark is this process's last mark, if nothing was lost under it.
func (f *Fleet) ownMark() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own
}

func (f *Fleet) setOwnMark(mark string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = mark
}
