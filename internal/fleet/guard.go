package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
)

// notice wakes any number of goroutines when something changed. The zero notice
// is ready to use.
type notice struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed by the next call of notify.
func (n *notice) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

// notify closes the channel that next returned.
func (n *notice) notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

const (
	// maxHung is how many calls may hang until others are not made.
	maxHung = 8
	// linger is how long a call may continue after its context has ended: one that heeds
	// the context returns a better error.
	linger = 100 * time.Millisecond

	// hedgeAfter is how long a request may hang until another is sent beside it, on
	// another connection, where that does no harm.
	hedgeAfter = 2 * time.Second
	maxHedges  = 5
)

// guard counts calls that may hang.
type guard struct{ calls atomic.Int32 }

var errHung = errors.New("earlier calls still hang, although their contexts have ended")

// guarded makes a call and returns soon after ctx ends, also when the call does
// not. What comes later goes to late, which may be nil.
func guarded[T any](ctx context.Context, g *guard, call func(context.Context) (T, error), late func(T)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if g.calls.Add(1) > maxHung {
		g.calls.Add(-1)
		return none, errHung
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer g.calls.Add(-1)
		value, err := call(ctx)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(linger)
	defer grace.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-grace.C:
	}
	go func() {
		if r := <-done; r.err == nil && late != nil {
			late(r.value)
		}
	}()
	return none, fmt.Errorf("%w: %w", ErrAbandoned, ctx.Err())
}

// hedged makes a guarded call and, while it hangs, more of them, but not before hurt.
// What ends first counts, also an error: the next attempt then begins soon, on
// connections that do not hang.
func hedged[T any](ctx context.Context, c *clock.Clock, hurt clock.Instant, g *guard, call func(context.Context) (T, error), late func(T)) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, maxHedges)
	begun := 0
	begin := func() {
		begun++
		go func() {
			value, err := guarded(ctx, g, call, late)
			answers <- answer{value, err}
		}()
	}
	tick := make(chan struct{})
	go func() {
		for c.Sleep(ctx, hedgeAfter) == nil {
			select {
			case tick <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}()
	for begin(); ; {
		select {
		case a := <-answers:
			return a.value, a.err
		case <-tick:
			if begun < maxHedges && c.Now() >= hurt {
				begin()
			}
		}
	}
}
