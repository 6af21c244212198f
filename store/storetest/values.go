package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

func testEmpty(t *testing.T, open func() store.Store) {
	if entry := load(t, open(), key); entry.Value != nil || entry.Revision != "" || entry.Age != 0 {
		t.Errorf("Load of an empty store = %q in revision %q, aged %v; want the zero Entry", entry.Value, entry.Revision, entry.Age)
	}
}

func testSaveAndLoad(t *testing.T, open func() store.Store) {
	one, other := open(), open()
	var revision string
	for _, want := range []string{"first", "\x00binary\xff\n", strings.Repeat("long ", 5000), "first"} {
		update := update(revision, want)
		var err error
		if revision, err = one.Save(t.Context(), key, update); err != nil {
			t.Fatalf("Save: %v", err)
		}
		clear(update.Value) // it is the caller's
		got := load(t, other, key)
		if string(got.Value) != want {
			t.Errorf("after Save of %d bytes, Load in another process returns %d others", len(want), len(got.Value))
		}
		clear(got.Value)
		for name, process := range map[string]store.Store{"in the same process": one, "after a restart": open()} {
			if again := load(t, process, key); string(again.Value) != want {
				t.Errorf("%s, Load returns %d bytes, not the %d that were saved", name, len(again.Value), len(want))
			}
		}
	}
}

func testRevisions(t *testing.T, open func() store.Store) {
	one, other := open(), open()
	seen := make(map[string]bool)
	var revision string
	for range 10 {
		next := save(t, one, key, revision, "the same")
		if next == "" || seen[next] {
			t.Fatalf("Save returns the revision %q; want a new one", next)
		}
		seen[next] = true
		for range 2 {
			if got := load(t, other, key).Revision; got != next {
				t.Fatalf("Save returned the revision %q, and Load another: %q", next, got)
			}
		}
		revision = next
	}
}

func testKeys(t *testing.T, open func() store.Store) {
	s := open()
	keys := []string{key, key + "/", "1/v2.1/https://line.example", "../../etc/passwd", "a b", "A B", "ä\x00*?", strings.Repeat("k", 1000), "{1}", "{1}2", `"revision":"`}
	for _, k := range keys {
		save(t, s, k, "", "of "+k)
	}
	for _, k := range keys {
		if got := load(t, open(), k); string(got.Value) != "of "+k {
			t.Errorf("under the key %q is %q", k, got.Value)
		}
	}
}

func testConflict(t *testing.T, open func() store.Store) {
	one, other := open(), open()
	conflict := func(s store.Store, key, revision, why string) {
		t.Helper()
		if _, err := s.Save(t.Context(), key, update(revision, "late")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("Save %s: %v; want ErrConflict", why, err)
		}
	}
	old := save(t, one, key, "", "old")
	revision := save(t, other, key, old, "old")
	conflict(one, key, old, "with an outdated revision")
	conflict(one, key, "", "as if nothing were stored")
	conflict(one, "another key", revision, "with a revision of another key")
	if got := load(t, open(), key); string(got.Value) != "old" || got.Revision != revision {
		t.Errorf("a conflict changed the entry to %q in revision %q", got.Value, got.Revision)
	}
	if got := load(t, open(), "another key"); got.Revision != "" {
		t.Error("a conflict saved something")
	}
}

func testConcurrentSaves(t *testing.T, open func() store.Store) {
	var revision string
	for round := range 5 {
		var wg sync.WaitGroup
		var saved atomic.Int32
		var winner atomic.Value
		for i := range 8 {
			s := open()
			wg.Go(func() {
				next, err := s.Save(t.Context(), key, update(revision, fmt.Sprintf("%d of %d", i, round)))
				if err == nil {
					saved.Add(1)
					winner.Store(next)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Errorf("Save: %v", err)
				}
			})
		}
		wg.Wait()
		if n := saved.Load(); n != 1 {
			t.Fatalf("%d of 8 processes saved over one revision; want 1", n)
		}
		if revision = load(t, open(), key).Revision; revision != winner.Load() {
			t.Fatalf("the store has revision %q; the process that saved got %q", revision, winner.Load())
		}
	}
}

func testWholeValues(t *testing.T, open func() store.Store) {
	writer := open()
	revision := save(t, writer, key, "", strings.Repeat("0", 5000))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		s := open()
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				entry, err := s.Load(t.Context(), key)
				if err != nil || len(entry.Value) != 5000 || len(bytes.Trim(entry.Value, string(entry.Value[:1]))) > 0 {
					t.Errorf("Load during saves: %d bytes, not of one kind, %v", len(entry.Value), err)
					return
				}
				if entry.Age > waitLimit {
					t.Errorf("Load during saves: an age of %v", entry.Age)
				}
			}
		})
	}
	for i := range 50 {
		revision = save(t, writer, key, revision, strings.Repeat(string(rune('a'+i%26)), 5000))
	}
	close(done)
	wg.Wait()
}

// An age is the same for all processes, begins with the save, and grows.
func testAge(t *testing.T, open func() store.Store) {
	one := open()
	var revision string
	for range 2 {
		before := time.Now()
		revision = save(t, one, key, revision, "x")
		var last time.Duration
		eventually(t, "the age does not grow", func() bool {
			for range 2 {
				age := load(t, open(), key).Age
				switch most := time.Since(before) + grain; {
				case age < 0 && last == 0:
					t.Skip("the store cannot tell the age of its entries")
				case age < last:
					t.Fatalf("the age fell from %v to %v", last, age)
				case age > most:
					t.Fatalf("%v is the age of what was saved less than %v ago", age, most)
				}
				last = age
			}
			return last > grain
		})
	}
}

// A value stays for its lifetime, counted from the last save.
func testLifetime(t *testing.T, open func() store.Store) {
	const short = 500 * time.Millisecond
	s := open()
	saveFor := func(key, replaces string, lifetime time.Duration) (revision string) {
		t.Helper()
		revision, err := s.Save(t.Context(), key, store.Update{Value: []byte("x"), Replaces: replaces, Lifetime: lifetime})
		if err != nil {
			t.Fatalf("Save for %v: %v", lifetime, err)
		}
		return revision
	}
	begin := time.Now()
	revisions := map[string]string{
		"short":   saveFor("short", "", short),
		"renewed": saveFor("renewed", saveFor("renewed", "", short), time.Hour),
	}
	eventually(t, "the time does not pass", func() bool {
		for key, revision := range revisions {
			found := load(t, open(), key).Revision
			if gone := time.Since(begin) > short && key == "short" && found == ""; found != revision && !gone {
				t.Fatalf("%v after the save of %q, Load returns the revision %q; want %q", time.Since(begin), key, found, revision)
			}
		}
		return time.Since(begin) > 2*short
	})
	saveFor("short", load(t, open(), "short").Revision, short) // whether it is gone or not
	saveFor("none", "", 0)
}
