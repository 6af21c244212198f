package fleet

import (
	"context"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/store"
)

const (
	// hedgeAfter is how long a request may hang until another is sent beside it, on
	// another connection, where it does no harm and somebody waits.
	hedgeAfter = 2 * time.Second
	maxHedges  = 5

	// After one lost answer, LINE has to answer once; after two, all the time
	// for a while.
	knocks      = 5
	knockFor    = 1500 * time.Millisecond
	knockPause  = 100 * time.Millisecond
	firstHold   = 10 * time.Minute
	longestHold = 24 * time.Hour
	freeLosses  = 3
)

// holdOff is how long to issue nothing after the n-th lost answer in a row, of
// requests that LINE should have answered since it answered others.
func holdOff(n int) time.Duration {
	if n < freeLosses {
		return 0
	}
	return min(firstHold<<min(n-freeLosses, 16), longestHold)
}

// knock fails unless LINE answers, and goes on answering if answers were lost.
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

// issue issues a token.
func (f *Fleet) issue(ctx context.Context, a Attempt) (_ *store.Token, err error) {
	defer func() {
		f.setBroken(err != nil)
		if err == nil && a.Have != nil {
			f.Reject(a.Have) // a store that missed the new one must not bring it back
		}
	}()
	issue := func(ctx context.Context) (*store.Token, error) {
		return guarded(ctx, &f.issues, func() (*store.Token, error) { return f.LINE.Issue(ctx) }, f.Late)
	}
	if f.Limited {
		return issue(ctx)
	}
	hurt := clock.Never // from then on
	switch {
	case a.Failing && a.Have != nil:
		hurt = a.Expires
	case a.Failing:
		hurt = 0
	}
	return hedged(ctx, f.Clock, hurt, issue)
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
