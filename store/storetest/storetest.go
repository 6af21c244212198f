package storetest

import (
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

const (
	key = "2173512004/v2.1/https://line.example"
	// waitLimit is the timeout for events that should occur sooner.
	waitLimit = time.Minute
	// grain is how coarse a store's clock may be.
	grain = time.Second
)

// Run runs all tests. For each, empty makes an empty storage and returns a
// function that opens it: each call stands for a process of its own. The tests
// take some seconds of real time.
func Run(t *testing.T, empty func(t *testing.T) (open func() store.Store)) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, func() store.Store)
	}{
		{"Empty", testEmpty},
		{"SaveAndLoad", testSaveAndLoad},
		{"Revisions", testRevisions},
		{"Keys", testKeys},
		{"Conflict", testConflict},
		{"ConcurrentSaves", testConcurrentSaves},
		{"WholeValues", testWholeValues},
		{"Age", testAge},
		{"Lifetime", testLifetime},
		{"Lease", testLease},
		{"ConcurrentLeases", testConcurrentLeases},
		{"LeaseEnds", testLeaseEnds},
		{"Context", testContext},
		{"Watch", testWatch},
		{"WatchEnds", testWatchEnds},
		{"Sources", testSources},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, empty(t))
		})
	}
}

func load(t *testing.T, s store.Store, key string) store.Entry {
	t.Helper()
	entry, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return entry
}

func save(t *testing.T, s store.Store, key, replaces, value string) (revision string) {
	t.Helper()
	revision, err := s.Save(t.Context(), key, update(replaces, value))
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return revision
}

func update(replaces, value string) store.Update {
	return store.Update{Value: []byte(value), Replaces: replaces, Lifetime: 24 * time.Hour}
}

// eventually waits until a condition holds that others bring about.
func eventually(t *testing.T, failure string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(waitLimit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", failure, waitLimit)
		}
	}
}
