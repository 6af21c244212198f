package keeper

import (
	"context"
	"fmt"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/pace"
)

// Drop takes a value that is not valid out of use, and begins to replace it. It
// reports whether that was the current one.
func (k *Keeper[V]) Drop(ctx context.Context, h *Held[V]) bool {
	k.mu.Lock()
	dropped := k.current.CompareAndSwap(h, nil)
	if dropped {
		now := k.settings.Clock.Now()
		k.state = k.state.After(pace.Event{Kind: pace.Refused, Random: k.settings.random()}, now)
		k.failure = fmt.Errorf("%d tokens were refused before they expired", k.state.Refusals())
		wait := max(k.state.Next(now).Sub(now), 0)
		k.report(Report[V]{Old: h, Dropped: true, Wait: wait})
		if k.flight == nil && !k.closed && wait == 0 {
			k.start(ctx, &flight[V]{})
		}
	}
	k.mu.Unlock()
	k.deliver(ctx)
	return dropped
}

// Doubt has a value replaced soon that may not be valid any more; it stays in use
// until then.
func (k *Keeper[V]) Doubt(ctx context.Context, h *Held[V]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.current.Load() != h {
		return
	}
	now := k.settings.Clock.Now()
	k.state = k.state.After(pace.Event{Kind: pace.Doubted}, now)
	switch {
	case k.flight != nil: // which sets h.check
	case now >= k.state.Next(now):
		k.start(ctx, &flight[V]{})
	default:
		h.checkAt(k.state.Next(now))
	}
}

// Changed has the keeper look soon at what other processes did.
func (k *Keeper[V]) Changed(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.settings.Clock.Now()
	k.state = k.state.After(pace.Event{Kind: pace.Changed}, now)
	h := k.current.Load()
	switch {
	case k.closed:
	case k.flight != nil:
		k.changed = true
	case h == nil || now >= h.Expires: // for the next caller
	case now.Sub(k.lookedAt) >= lookSpacing || k.lookedAt == 0:
		k.start(ctx, &flight[V]{look: true})
	default: // a store that reports too much
		h.checkAt(min(clock.Instant(h.check.Load()), k.lookedAt.Add(lookSpacing)))
	}
}
