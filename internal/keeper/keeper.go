// Package keeper keeps one value that expires valid in one process, for any
// number of callers. One flight at a time renews it, which belongs to no caller;
// they wait for it, each no longer than its own context allows, and only when
// there is no valid value.
package keeper

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/pace"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("lineoauth: the token source is closed")

// maxPause is the longest time that a flight waits between attempts; callers get
// an error where a server asks for more.
const maxPause = 30 * time.Second

// lookSpacing is the shortest time between two looks that were asked for by
// Changed.
const lookSpacing = time.Second

// Renewer is where values come from; for tokens, that is life.Life.
type Renewer[V any] interface {
	// Renew makes one attempt, in a goroutine that Close waits for. It returns
	// soon after ctx ends.
	Renew(ctx context.Context, a Attempt[V]) Result[V]
	// Settled is called once for each attempt and each drop, in their order,
	// without a lock.
	Settled(ctx context.Context, r Report[V])
}

// Attempt is what is asked of a [Renewer].
type Attempt[V any] struct {
	// Waiting is the context of waits. It ends with the attempt's, and when nothing is to
	// be begun or waited for any more, but for what LINE was already asked.
	Waiting context.Context
	// Have is the current value, nil if there is none that is valid.
	Have *Held[V]
	// Issue is false when it is too early for another value, and a look at what
	// other processes did is enough.
	Issue bool
	// Wait is whether a caller waits: then one that another process is about to
	// have is worth waiting for.
	Wait bool
	// Failing is whether the last attempt failed.
	Failing bool
}

// Result is what an attempt came to.
type Result[V any] struct {
	// Value is another value than Have, if New, and Expires when it expires, at the
	// latest. Such values are valid for Life, from the beginning.
	New     bool
	Value   V
	Expires clock.Instant
	Life    time.Duration
	// Gone is whether Have is not valid any more.
	Gone bool
	// Busy is whether another process is about to have the next value.
	Busy bool
	// Err is why there is no new value although one was needed, and Hold how
	// long a server asked to wait. Final is whether the next attempt would fail
	// likewise, so that no caller has to wait for it.
	Err   error
	Hold  time.Duration
	Final bool
	// Look is how soon another look at what other processes did is worth while; 0
	// for never.
	Look time.Duration
	// Note is passed on to Settled.
	Note any
}

// Report is what became of an attempt.
type Report[V any] struct {
	Result[V]
	// Old is the value that the result took the place of, or that was dropped, if
	// it was valid.
	Old *Held[V]
	// Used is whether the new value is the current one now.
	Used bool
	// Dropped is whether Old was dropped without another in its place.
	Dropped bool
	// Wait is the time until the next attempt.
	Wait time.Duration
}

// Held is a value, and until when it is valid.
type Held[V any] struct {
	Value   V
	Expires clock.Instant
	check   atomic.Int64 // the instant of the next attempt; Expires during one, and at the latest
}

func (h *Held[V]) checkAt(at clock.Instant) { h.check.Store(int64(min(at, h.Expires))) }

// Settings are the same for many keepers.
type Settings struct {
	Clock    *clock.Clock
	Attempts int           // of a flight for which a caller waits
	Timeout  time.Duration // of a flight
	Window   time.Duration // before a value expires, in which it is renewed
	// Random returns a number from 0 to 1. nil means math/rand's.
	Random func() float64
}

func (s *Settings) random() float64 {
	if s.Random != nil {
		return s.Random()
	}
	return rand.Float64() //nolint:gosec // hides nothing
}

// Keeper keeps one value. It is made by [New].
type Keeper[V any] struct {
	renewer  Renewer[V]
	settings *Settings
	current  atomic.Pointer[Held[V]]
	waits    atomic.Uint64
	reports  *outbox[V] // nil unless there are some; under mu
	flights  sync.WaitGroup

	mu       sync.Mutex
	state    pace.State
	flight   *flight[V]
	failure  error
	answered bool // the failure was one of a flight for which a caller waited
	lookedAt clock.Instant
	changed  bool // during the flight
	closed   bool
}

// New returns a keeper without a value.
func New[V any](r Renewer[V], s *Settings) *Keeper[V] {
	return &Keeper[V]{renewer: r, settings: s}
}

// Current returns the current value, valid or not, or nil.
func (k *Keeper[V]) Current() *Held[V] { return k.current.Load() }

// Waits is how many calls had to wait for a value.
func (k *Keeper[V]) Waits() uint64 { return k.waits.Load() }

// State is the current value, as Current returns it, and when it expires and is due.
func (k *Keeper[V]) State() (*Held[V], pace.State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current.Load(), k.state
}

// Get returns a valid value. It waits only when there is none.
func (k *Keeper[V]) Get(ctx context.Context) (*Held[V], error) {
	if h := k.current.Load(); h != nil {
		check := h.check.Load()
		if k.settings.Clock.Before(clock.Instant(check)) {
			return h, nil
		}
		if now := k.settings.Clock.Now(); now < h.Expires {
			if h.check.CompareAndSwap(check, int64(h.Expires)) {
				k.background(ctx, h, now)
			}
			return h, nil
		}
	}
	return k.wait(ctx, 0)
}

// GetFor returns a value that is valid for at least need, if there is one or the
// renewal that it waits for brings it, and else one that is valid at all.
func (k *Keeper[V]) GetFor(ctx context.Context, need time.Duration) (*Held[V], error) {
	if h := k.current.Load(); h != nil && k.left(h) >= max(need, 1) {
		return k.Get(ctx)
	}
	h, err := k.wait(ctx, need)
	if old := k.current.Load(); err != nil && old != nil && k.left(old) > 0 {
		return old, nil
	}
	return h, err
}

func (k *Keeper[V]) left(h *Held[V]) time.Duration { return h.Expires.Sub(k.settings.Clock.Now()) }

// wait waits for the flight that is under way, and begins one if none is.
func (k *Keeper[V]) wait(ctx context.Context, need time.Duration) (*Held[V], error) {
	for counted := false; ; counted = true {
		f, news, h, err := k.join(ctx, need)
		if f == nil {
			return h, err
		}
		if !counted {
			k.waits.Add(1)
		}
		select {
		case <-f.done:
			if f.held == nil || k.left(f.held) > 0 {
				return f.held, f.err
			} // else the process was stopped meanwhile
		case <-news:
		case <-ctx.Done():
			if h := k.current.Load(); h != nil && k.left(h) > 0 { // the flight continues for callers that need more
				return h, nil
			}
			return nil, ctx.Err()
		}
	}
}

// join returns the flight to wait for, and its news; or what is known without waiting.
func (k *Keeper[V]) join(ctx context.Context, need time.Duration) (f *flight[V], news chan struct{}, h *Held[V], err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.settings.Clock.Now()
	if h, known, err := k.answer(now, need); known {
		return nil, nil, h, err
	}
	if f = k.flight; f == nil {
		f = k.start(ctx, &flight[V]{})
	}
	f.need = max(f.need, need)
	if !f.waited { // a caller that waits gets all attempts
		f.waited, f.look = true, false
		f.attempts, f.until = k.settings.Attempts, now.Add(k.settings.Timeout)
	}
	if f.news == nil {
		f.news = make(chan struct{})
	}
	return f, f.news, nil, nil
}

// answer returns what is known without waiting. k.mu is held.
func (k *Keeper[V]) answer(now clock.Instant, need time.Duration) (h *Held[V], known bool, _ error) {
	h = k.current.Load()
	valid := h != nil && now < h.Expires
	switch {
	case k.closed:
		return nil, true, ErrClosed
	case valid && h.Expires.Sub(now) >= need: // it came meanwhile
		return h, true, nil
	}
	if valid {
		k.state = k.state.After(pace.Event{Kind: pace.Wanted}, now)
		if k.flight == nil {
			h.checkAt(k.state.Next(now))
		}
	}
	switch early := k.flight == nil && now < k.state.Next(now); {
	case early && valid:
		return h, true, nil
	case early && k.answered:
		return nil, true, k.failure
	}
	return nil, false, nil
}

// Close ends what is under way and waits for it. All calls then end in
// [ErrClosed]. It returns the last value, or nil.
func (k *Keeper[V]) Close() *Held[V] {
	k.mu.Lock()
	k.closed = true
	if k.flight != nil {
		k.flight.cancel()
	}
	last := k.current.Swap(nil)
	k.mu.Unlock()
	k.flights.Wait()
	return last
}

// Finish lets nothing new begin, and waits for the flight that is under way as
// long as ctx allows.
func (k *Keeper[V]) Finish(ctx context.Context) {
	k.mu.Lock()
	f := k.flight
	k.closed = true
	k.mu.Unlock()
	if f != nil {
		f.hurry()
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
}

// Tell has Settled called with a report that is not of an attempt, in its turn.
func (k *Keeper[V]) Tell(ctx context.Context, r Report[V]) {
	k.mu.Lock()
	k.report(r)
	k.mu.Unlock()
	k.deliver(ctx)
}
