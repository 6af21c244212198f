package fleet

import (
	"context"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

const (
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
		_, err := hedged(ctx, f.Clock, 0, &f.questions, func(ctx context.Context) (struct{}, error) { return struct{}{}, f.LINE.Knock(ctx) }, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify asks LINE how long a token is valid. The error matches ErrInvalid if it
// is not.
func (f *Fleet) Verify(ctx context.Context, token *store.Token) (time.Duration, error) {
	return hedged(ctx, f.Clock, 0, &f.questions, func(ctx context.Context) (time.Duration, error) { return f.LINE.Verify(ctx, token) }, nil)
}
