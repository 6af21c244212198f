package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/store"
)

// releaseTimeout bounds the release of a lease, which also expires on its own.
const releaseTimeout = 2 * time.Second

// lease is a lease that this process holds or requests.
type lease struct {
	store  *Store
	keys   []string // the lease, and its entry
	holder string
}

// Lease implements [store.Store], in one round trip. A goroutine extends the
// lease until release, or for as long as ttl. Release takes one round trip, and
// returns after a few seconds if Redis does not answer.
func (s *Store) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	l := &lease{
		store:  s,
		keys:   []string{s.entry(key) + ":lease", s.entry(key)},
		holder: rand.Text(),
	}
	expiry := min(s.cfg.LeaseTime, max(ttl, minLeaseTime))
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	taken, err := l.eval(ctx, take, expiry)
	if err != nil {
		if reply := redis.Error(nil); !errors.As(err, &reply) {
			// Redis may have granted it, or be about to.
			go l.release(context.WithoutCancel(ctx))
		}
		return nil, err
	}
	if !taken {
		return nil, fmt.Errorf("redisstore: %w", store.ErrLeased)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ttl)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.keep(ctx, expiry)
		l.release(context.WithoutCancel(ctx))
	}()
	return func() {
		cancel()
		late := time.NewTimer(2 * releaseTimeout)
		defer late.Stop()
		select {
		case <-ended:
		case <-late.C: // a client without ContextTimeoutEnabled continues for longer
		}
	}, nil
}

// keep extends a lease until ctx is done or the lease is lost.
func (l *lease) keep(ctx context.Context, expiry time.Duration) {
	deadline, _ := ctx.Deadline()
	again := time.NewTicker(expiry / 3)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		call, cancel := context.WithTimeout(ctx, min(expiry/3, releaseTimeout))
		held, err := l.eval(call, extend, min(expiry, time.Until(deadline)))
		cancel()
		if err == nil && !held {
			return
		}
	}
}

// release releases a lease, if its holder still has it.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	_, _ = l.eval(ctx, release, 0) // otherwise it expires on its own
}

func (l *lease) eval(ctx context.Context, script string, expiry time.Duration) (bool, error) {
	return l.store.eval(ctx, script, l.keys, l.holder, max(expiry.Milliseconds(), 1))
}
