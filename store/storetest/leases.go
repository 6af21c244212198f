package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

func testLease(t *testing.T, open func() store.Store) {
	one, other := open(), open()
	ctx, cancel := context.WithCancel(t.Context())
	release, err := one.Lease(ctx, key, time.Minute)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	cancel() // which does not end the lease
	for _, s := range []store.Store{one, other} {
		start := time.Now()
		if _, err := s.Lease(t.Context(), key, time.Minute); !errors.Is(err, store.ErrLeased) {
			t.Errorf("Lease of what is leased: %v; want ErrLeased", err)
		}
		if took := time.Since(start); took > waitLimit {
			t.Errorf("Lease waited %v; it must not wait", took)
		}
	}
	releaseAnother, err := other.Lease(t.Context(), "another key", time.Minute)
	if err != nil {
		t.Fatalf("Lease of another key: %v", err)
	}
	releaseAnother()
	save(t, other, key, "", "without a lease") // a lease is about issuing
	for range 10 {
		release()
		next, err := other.Lease(t.Context(), key, time.Minute)
		if err != nil {
			t.Fatalf("Lease after release: %v", err)
		}
		release() // a second time, which takes nothing from the next holder
		if _, err := one.Lease(t.Context(), key, time.Minute); !errors.Is(err, store.ErrLeased) {
			t.Fatalf("after a second release: %v; the next holder lost its lease", err)
		}
		release = next
	}
	release()
}

func testConcurrentLeases(t *testing.T, open func() store.Store) {
	var holders, most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		s := open()
		wg.Go(func() {
			for range 20 {
				release, err := s.Lease(t.Context(), key, time.Minute)
				if errors.Is(err, store.ErrLeased) {
					continue
				}
				if err != nil {
					t.Errorf("Lease: %v", err)
					return
				}
				if n := holders.Add(1); n > 1 {
					most.Store(n)
				}
				holders.Add(-1)
				release()
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 1 {
		t.Errorf("%d processes had the lease at once", n)
	}
}

// A holder that is paused, or gone without a word, keeps nobody out for longer
// than the lease, and then takes nothing from the next holder.
func testLeaseEnds(t *testing.T, open func() store.Store) {
	const ttl = 500 * time.Millisecond
	one, other := open(), open()
	begin := time.Now()
	releaseOld, err := one.Lease(t.Context(), key, ttl)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	defer releaseOld()
	var release func()
	eventually(t, "the lease does not end", func() bool {
		release, err = other.Lease(t.Context(), key, time.Minute)
		return err == nil
	})
	defer release()
	if held := time.Since(begin); held < ttl {
		t.Errorf("a lease for %v ended within %v", ttl, held)
	}
	releaseOld()
	if _, err := one.Lease(t.Context(), key, time.Minute); !errors.Is(err, store.ErrLeased) {
		t.Errorf("after a late release: %v; the next holder lost its lease", err)
	}
}

func testContext(t *testing.T, open func() store.Store) {
	s := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Load(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a context that has ended: %v", err)
	}
	if _, err := s.Save(ctx, key, update("", "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Save with a context that has ended: %v", err)
	}
	if release, err := s.Lease(ctx, key, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("Lease with a context that has ended: %v", err)
		if err == nil {
			release()
		}
	}
	if watcher, ok := s.(store.Watcher); ok {
		if err := watcher.Watch(ctx, key, func() {}); !errors.Is(err, context.Canceled) {
			t.Errorf("Watch with a context that has ended: %v", err)
		}
	}
	if entry := load(t, open(), key); entry.Revision != "" {
		t.Error("a Save whose context had ended saved")
	}
	release, err := open().Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatalf("after a Lease whose context had ended: %v", err)
	}
	release()
}
