package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// The lease of a process that is there lasts for longer than its time in Redis,
// and that of one that is gone does not.
func TestLeaseExtended(t *testing.T) {
	server := miniredis.RunT(t)
	const leaseTime = 300 * time.Millisecond
	cfg := redisstore.Config{Client: newClient(t, server.Addr()), LeaseTime: leaseTime}
	s := newStore(t, cfg)
	release, err := s.Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range 5 {
		server.FastForward(leaseTime * 2 / 3)
		if _, err := s.Lease(t.Context(), key, time.Hour); !errors.Is(err, store.ErrLeased) {
			t.Fatalf("a lease that should be extended: %v", err)
		}
		eventually(t, "the lease is not extended", func() bool { return server.TTL(entry+":lease") == leaseTime })
	}
	server.FastForward(leaseTime)
	releaseOther, err := newStore(t, cfg).Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatalf("a lease that ended: %v", err)
	}
	release() // takes nothing from the other
	if _, err := s.Lease(t.Context(), key, time.Hour); !errors.Is(err, store.ErrLeased) {
		t.Errorf("after a late release: %v", err)
	}
	releaseOther()
	releaseOther()
	if server.Exists(entry + ":lease") {
		t.Error("a released lease is still there")
	}
}

// A lease is not extended beyond its ttl.
func TestLeaseNotExtended(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	s := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
	const ttl = 3 * time.Second
	begin := time.Now()
	release, err := s.Lease(t.Context(), key, ttl)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if got := server.TTL(entry + ":lease"); got != ttl {
		t.Errorf("a lease for %v ends after %v", ttl, got)
	}
	eventually(t, "the lease is not extended", func() bool {
		left := server.TTL(entry + ":lease")
		if left > ttl {
			t.Errorf("%v after its begin, a lease for %v ends in %v", time.Since(begin), ttl, left)
		}
		return left < ttl
	})
}

// A waiting process is notified when a lease is released.
func TestReleaseNotice(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	s := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
	watcher := watch(t, newStore(t, redisstore.Config{Client: newClient(t, server.Addr())}), key)
	watcher.await(t, "that it begins")
	for range 2 {
		release, err := s.Lease(t.Context(), key, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(watcher.changes) > 0 {
			t.Error("a watch is notified of a lease that is acquired")
		}
		release()
		watcher.await(t, "that a lease is released")
		release()
	}
	watcher.end(t)
}
