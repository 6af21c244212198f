package fleet

import (
	"context"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/store"
)

const (
	// hedgeAfter is how long a request may hang until another is sent beside it, on
	// another connection, where it does no harm and a caller waits.
	hedgeAfter = 2 * time.Second
	maxHedges  = 5

	// After one lost answer, LINE has to answer once; after two, all the time
	// for a while.
	knocks     = 5
	knockFor   = 1500 * time.Millisecond
	knockPause = 100 * time.Millisecond
)

// knock fails unless LINE answers, and keeps answering if answers were lost.
func (f *Fleet) knock(ctx context.Context, lost int) error {
	begun := f.Clock.Now()
	for n := 0; n == 0 || lost > 1 && (n < knocks || f.Clock.Now().Sub(begun) < knockFor); n++ {
		if n > 0 {
			if err := f.Clock.Sleep(ctx, knockPause); err != nil {
				return err
			}
		}
		_, err := hedged(ctx, f.Clock, 0, func(ctx context.Context) (struct{}, error) {
			return guarded(ctx, &f.asks, func() (struct{}, error) { return struct{}{}, f.LINE.Knock(ctx) }, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify asks LINE how long a token is valid. The error matches ErrInvalid if it
// is not.
func (f *Fleet) Verify(ctx context.Context, token *store.Token) (time.Duration, error) {
	return hedged(ctx, f.Clock, 0, func(ctx context.Context) (time.Duration, error) {
		return guarded(ctx, &f.asks, func() (time.Duration, error) { return f.LINE.Verify(ctx, token) }, nil)
	})
}

// hedged makes a call and, while it hangs, more of them, but not before hurt. What
// ends first counts, also an error: the next attempt then begins soon, on
// connections that do not hang.
func hedged[T any](ctx context.Context, c *clock.Clock, hurt clock.Instant, call func(context.Context) (T, error)) (T, error) {
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
			value, err := call(ctx)
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
