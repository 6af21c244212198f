package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
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
)

// guard counts calls that may hang.
type guard struct{ calls atomic.Int32 }

var errHung = errors.New("earlier calls still hang, although their contexts have ended")

// guarded makes a call and returns soon after ctx ends, also when the call does
// not. What comes later goes to late, which may be nil.
func guarded[T any](ctx context.Context, g *guard, call func() (T, error), late func(T)) (T, error) {
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
		value, err := call()
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
