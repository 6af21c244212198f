package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/go-redsync/redsync/v4"

	"github.com/lineoauth/lineoauth"
)

// Lease implements [lineoauth.Store]. A goroutine extends the lease until
// release, which waits for it, or for as long as ttl.
func (s *Store) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	expiry := min(s.cfg.LeaseTime, max(ttl, minLeaseTime))
	mutex := s.redsync.NewMutex(s.entry(key)+":lease",
		redsync.WithExpiry(expiry),
		redsync.WithTimeoutFactor(0.5), // what comes later is of no use any more
	)
	_, err := await(ctx, func() (*redsync.Mutex, error) {
		return mutex, mutex.TryLockContext(ctx)
	}, func(late *redsync.Mutex) { unlock(ctx, late) })
	if taken := new(redsync.ErrTaken); errors.As(err, &taken) {
		return nil, lineoauth.ErrStoreLeased
	} else if err != nil {
		return nil, failure(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ttl)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		extend(ctx, mutex, expiry)
		unlock(ctx, mutex)
	}()
	return func() {
		cancel()
		<-ended
	}, nil
}

// extend keeps a lease until ctx ends, or until it is lost.
func extend(ctx context.Context, mutex *redsync.Mutex, expiry time.Duration) {
	again := time.NewTicker(expiry / 3)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		call, cancel := context.WithTimeout(ctx, expiry/3)
		_, err := await(call, func() (bool, error) { return mutex.ExtendContext(call) }, nil)
		cancel()
		if taken := new(redsync.ErrTaken); errors.As(err, &taken) {
			return
		}
	}
}

// unlock ends a lease, if it is still the mutex's own. It has its own time.
func unlock(ctx context.Context, mutex *redsync.Mutex) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_, _ = await(ctx, func() (bool, error) { return mutex.UnlockContext(ctx) }, nil) // or it ends by itself
}
