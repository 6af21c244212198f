package fleet

import (
	"context"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/store"
)

const (
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

// issue has LINE issue a token, and asks again beside a request that hangs, where
// that does no harm.
func (f *Fleet) issue(ctx context.Context, a Attempt) (_ *store.Token, err error) {
	defer func() {
		f.mu.Lock()
		f.unissued = err != nil
		f.mu.Unlock()
		if err == nil && a.Have != nil {
			f.Reject(a.Have) // a store that missed the new one must not bring it back
		}
	}()
	if f.Limited {
		return guarded(ctx, &f.issues, f.LINE.Issue, f.Late)
	}
	hurt := clock.Never // from then on
	switch {
	case a.Failing && a.Have != nil:
		hurt = a.Expires
	case a.Failing:
		hurt = 0
	}
	return hedged(ctx, f.Clock, hurt, &f.issues, f.LINE.Issue, f.Late)
}
