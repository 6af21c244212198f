package fleet

import (
	"context"
	"fmt"
	"time"
)

// withoutStore is what to do while the store fails.
func (f *Fleet) withoutStore(ctx context.Context, a Attempt, err error) Outcome {
	o := Outcome{Store: err}
	mayIssue := !f.Limited || f.WithoutStore
	switch {
	case !a.Issue || a.Have != nil && (a.StoreGrace > 0 || !mayIssue):
		o.Err = err
	case !mayIssue:
		o.Err = fmt.Errorf("%w: %w", ErrStore, err)
	default:
		return f.alone(ctx, a, o)
	}
	return o
}

// alone issues a token without a store.
func (f *Fleet) alone(ctx context.Context, a Attempt, o Outcome) Outcome {
	if !a.Issue {
		return o
	}
	if lost := f.losses(0); f.Limited && (lost > 0 || f.hasFailed()) {
		if err := f.knock(ctx, lost); err != nil {
			return f.failed(o, err)
		}
	}
	asked := f.Clock.Now()
	token, err := f.issue(ctx, a)
	if err == nil {
		f.losses(-1)
		o.Token, o.Issued = token, true
		o.Expires = asked.Add(time.Duration(token.Left) * time.Millisecond)
		return o
	}
	if f.Limited && f.LINE.Failure(err).Sent {
		o.Hold = holdOff(f.losses(1))
	}
	return f.failed(o, err)
}

// losses counts the answers that were lost and that no store counts: one more
// with 1, none any more with -1.
func (f *Fleet) losses(more int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost += more; more < 0 {
		f.lost = 0
	}
	return f.lost
}

// hasFailed reports whether LINE did not issue a token when it was last asked.
func (f *Fleet) hasFailed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unissued
}

// maxRetryAfter bounds what LINE may ask for.
const maxRetryAfter = time.Hour

// failed returns an outcome with an error, and with what that means.
func (f *Fleet) failed(o Outcome, err error) Outcome {
	failure := f.LINE.Failure(err)
	o.Err, o.Final = err, failure.Final
	o.Hold = max(o.Hold, min(failure.RetryAfter, maxRetryAfter))
	return o
}
