package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/pace"
)

// flight renews the value, in one attempt or, as soon as a caller waits for it, in
// several.
type flight[V any] struct {
	cancel  context.CancelFunc
	waiting context.Context // see [Attempt]
	hurry   context.CancelFunc
	look    bool // issues nothing

	// Under Keeper.mu:
	attempts int // that are left
	until    clock.Instant
	waited   bool
	need     time.Duration // for which the value has to be valid
	news     chan struct{} // closed by a value that is not valid for so long; nil for nobody

	done chan struct{}
	// Set before done is closed:
	held *Held[V]
	err  error
}

// background begins an attempt that no caller waits for.
func (k *Keeper[V]) background(ctx context.Context, h *Held[V], now clock.Instant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight == nil && !k.closed && k.current.Load() == h {
		k.start(ctx, &flight[V]{look: now < k.state.IssueAt(now)})
	}
}

// start begins a flight in a goroutine: attempts, with pauses between them. It has
// the values of the context of the caller, and continues when that ends. k.mu is held.
func (k *Keeper[V]) start(ctx context.Context, f *flight[V]) *flight[V] {
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f.waiting, f.hurry = context.WithCancel(ctx)
	f.done = make(chan struct{})
	f.attempts, f.until = 1, k.settings.Clock.Now().Add(k.settings.Timeout)
	k.flight = f
	if h := k.current.Load(); h != nil {
		h.checkAt(h.Expires)
	}
	k.flights.Go(func() {
		defer f.cancel()
		defer f.hurry()
		for {
			attempt, timeout := k.attempt(f)
			bounded, cancel := context.WithTimeout(ctx, timeout)
			result := k.renewer.Renew(bounded, attempt)
			cancel()
			pause, again := k.settle(ctx, f, !attempt.Issue, result)
			if !again {
				return
			}
			_ = k.settings.Clock.Sleep(f.waiting, pause) //nolint:contextcheck // ends with ctx, and then the next attempt fails at once
		}
	})
	return f
}

// attempt returns what to ask of the renewer now, and for how long at most.
func (k *Keeper[V]) attempt(f *flight[V]) (Attempt[V], time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.settings.Clock.Now()
	a := Attempt[V]{Waiting: f.waiting, Wait: f.waited, Failing: k.state.Failures() > 0, Issue: !f.look && !k.closed && now >= k.state.IssueAt(now)}
	if h := k.current.Load(); h != nil && now < h.Expires {
		a.Have = h
	}
	k.lookedAt, k.changed = now, false
	return a, max(f.until.Sub(now), time.Millisecond)
}

// settle takes what an attempt came to and, unless there is to be another, ends the
// flight and wakes its callers. It returns the time until the next attempt.
func (k *Keeper[V]) settle(ctx context.Context, f *flight[V], look bool, r Result[V]) (pause time.Duration, again bool) {
	k.mu.Lock()
	now := k.settings.Clock.Now()
	report := Report[V]{Result: r}
	defer func() {
		k.report(report)
		k.mu.Unlock()
		k.deliver(ctx)
	}()
	if !look || r.Err != nil { // a look is no attempt
		f.attempts--
	}
	if k.closed {
		k.flight = nil
		f.err = ErrClosed
		close(f.done)
		return 0, false
	}
	k.take(&report, now)
	h := k.current.Load()
	valid := h != nil && now < h.Expires
	switch {
	case !report.Used || h.Expires.Sub(now) >= f.need:
	case f.need > r.Life/2: // no such value ever is
		f.need = 0
	default:
		// It is valid for less than half of its lifetime, so another process issued it.
		k.state = k.state.After(pace.Event{Kind: pace.Wanted}, now)
		f.attempts++
	}
	issue, next := k.state.IssueAt(now), max(k.state.Next(now).Sub(now), 0)
	report.Wait = next
	switch {
	case valid && (!f.waited || h.Expires.Sub(now) >= f.need):
		f.held = h
	case f.waited && f.attempts > 0 && !r.Final && issue.Sub(now) <= maxPause && issue < f.until:
		if f.news != nil && report.Used { // others may need no more
			close(f.news)
			f.news = nil
		}
		return next, true
	case valid:
		f.held = h
	default:
		f.err, k.answered = k.failure, f.waited && k.failure != nil
		if f.err == nil {
			f.err = errors.New("the value expired meanwhile; ask again")
		}
	}
	k.flight = nil
	if h != nil {
		h.checkAt(k.state.Next(now))
	}
	close(f.done)
	if k.changed && valid {
		k.start(ctx, &flight[V]{look: true})
	}
	return 0, false
}

// take makes a new value the current one, drops one that is gone, and has the pace
// take account of either, or of the error. k.mu is held.
func (k *Keeper[V]) take(report *Report[V], now clock.Instant) {
	r := &report.Result
	old := k.current.Load()
	if old != nil && now >= old.Expires {
		old = nil
	}
	if r.New && now >= r.Expires {
		r.Err = fmt.Errorf("a value came after the %v for which it was valid", r.Life)
	}
	e := pace.Event{Kind: pace.Kept, Look: r.Look, Random: k.settings.random()}
	switch {
	case r.Err != nil:
		e.Kind, e.Hold = pace.Failed, r.Hold
	case r.New:
		e.Kind, e.Expires, e.Life, e.Window = pace.Renewed, r.Expires, r.Life, k.settings.Window
		next := &Held[V]{Value: r.Value, Expires: r.Expires}
		next.checkAt(next.Expires) // until the flight is over
		k.current.Store(next)
		k.failure, k.answered = nil, false
		report.Old, report.Used = old, true
	case r.Busy:
		e.Kind = pace.Busy
	}
	if r.Gone && !report.Used && old != nil {
		k.current.Store(nil)
		k.state = k.state.After(pace.Event{Kind: pace.Refused, Random: e.Random}, now)
		report.Old, report.Dropped = old, true
	}
	k.state = k.state.After(e, now)
	if r.Err != nil {
		k.failure = r.Err
		if n := k.state.Failures(); n > 1 {
			k.failure = fmt.Errorf("no valid token after %d failed attempts: %w", n, r.Err)
		}
	}
}
