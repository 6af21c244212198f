package life

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/internal/keeper"
)

// verdictStands is how long LINE's answer about a token is reused while a server
// refuses it again and again.
const verdictStands = time.Second

// judgment is what LINE answered about tokens that a server refused.
type judgment struct {
	group singleflight.Group

	// Under Life.mu:
	held     atomic.Pointer[Held] // the token that LINE was asked about last; printing does not show it
	verdicts int                  // in a row, none of them that it is not valid
	at       clock.Instant        // of the last
	doubt    error                // why LINE could not be asked then
}

// Refused is for a token that a server refused, named by its text. It asks LINE,
// once for all callers, whether the token is valid. If it is not, or is in use no
// more, replaced is true, and the next Get returns another. The error is why
// LINE could not be asked; the token then stays in use until there is another.
func (l *Life) Refused(ctx context.Context, accessToken string) (replaced bool, err error) {
	h := l.Current()
	if h == nil || h.Value.AccessToken != accessToken || l.settings.Clock.Now() >= h.Expires {
		return true, nil
	}
	answer := l.judgments().DoChan(h.Value.ID(), func() (any, error) { return l.judge(ctx, h) })
	select {
	case a := <-answer:
		replaced, _ = a.Val.(bool)
		return replaced, a.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (l *Life) judgments() *singleflight.Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.judgment == nil {
		l.judgment = new(judgment)
	}
	return &l.judgment.group
}

// judge asks LINE about a token that a server refused.
func (l *Life) judge(ctx context.Context, h *keeper.Held[*Token]) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.settings.Timeout)
	defer cancel()
	now := l.settings.Clock.Now()
	begun, known, err := l.begin(h, now, cancel) //nolint:contextcheck // Close ends it, too
	if known {
		return false, err
	}
	if begun == nil {
		return true, nil
	}
	defer begun()
	token := h.Value
	if l.Current() != h { // dropped while this call began
		return true, nil
	}
	switch _, err := l.fleet.Verify(ctx, &token.Token); {
	case errors.Is(err, fleet.ErrInvalid):
		l.fleet.Reject(&token.Token)
		for h != nil && h.Value.AccessToken == token.AccessToken && !l.Drop(ctx, h) {
			h = l.Current() // the same token again, until another time
		}
		_ = l.fleet.Revoke(ctx, &token.Token) // unless it is replaced already
		return true, nil
	case err != nil:
		l.Doubt(ctx, h)
		return false, l.remember(now, fmt.Errorf("asking LINE whether the token is valid: %w", err))
	}
	return false, l.remember(now, nil)
}

// begin has Close end and await a judgment, until done is called, which is nil
// after Close. If LINE was asked just now, known is true.
func (l *Life) begin(h *keeper.Held[*Token], now clock.Instant, cancel context.CancelFunc) (done func(), known bool, doubt error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, nil
	}
	j := l.judgment
	if j.held.Swap(h) != h {
		j.verdicts, j.doubt = 0, nil
	}
	if (j.verdicts > 1 || j.doubt != nil) && now.Sub(j.at) < verdictStands {
		return nil, true, j.doubt
	}
	l.works.Add(1)
	stop := context.AfterFunc(l.untilClose(), cancel)
	return func() { stop(); l.works.Done() }, false, nil
}

func (l *Life) remember(at clock.Instant, doubt error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judgment.at, l.judgment.doubt = at, doubt
	l.judgment.verdicts++
	return doubt
}
