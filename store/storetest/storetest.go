package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// patience is how long a test waits for what should come sooner.
const patience = time.Minute

// Run runs all tests. For each, empty makes a storage with nothing in it and
// returns a function that opens it: each call stands for a process of its own.
// The tests take some seconds of real time.
func Run(t *testing.T, empty func(t *testing.T) (open func() lineoauth.Store)) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, func() lineoauth.Store){
		"Empty":           testEmpty,
		"SaveAndLoad":     testSaveAndLoad,
		"Keys":            testKeys,
		"Conflict":        testConflict,
		"ConcurrentSaves": testConcurrentSaves,
		"WholeValues":     testWholeValues,
		"Lease":           testLease,
		"LeaseEnds":       testLeaseEnds,
		"Context":         testContext,
		"Watch":           testWatch,
		"Sources":         testSources,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, empty(t))
		})
	}
}

const key = "2173512004/v2.1/https://line.example"

func tomorrow() time.Time { return time.Now().Add(24 * time.Hour) }

func load(t *testing.T, store lineoauth.Store, key string) (value, revision string) {
	t.Helper()
	v, revision, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return string(v), revision
}

func save(t *testing.T, store lineoauth.Store, key, revision, value string) {
	t.Helper()
	if err := store.Save(t.Context(), key, revision, []byte(value), tomorrow()); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func testEmpty(t *testing.T, open func() lineoauth.Store) {
	if value, revision, err := open().Load(t.Context(), key); value != nil || revision != "" || err != nil {
		t.Errorf("Load of an empty store = %q, %q, %v; want nothing", value, revision, err)
	}
}

func testSaveAndLoad(t *testing.T, open func() lineoauth.Store) {
	one, other := open(), open()
	var revision string
	for _, want := range []string{"first", "\x00binary\xff\n", strings.Repeat("long ", 5000), "first", "first"} {
		save(t, one, key, revision, want)
		got, next := load(t, other, key)
		if got != want {
			t.Errorf("after Save of %d bytes, Load in another process gives %d others", len(want), len(got))
		}
		if next == "" {
			t.Fatal("what was saved has no revision")
		}
		if again, _ := load(t, open(), key); again != want {
			t.Errorf("after a restart, Load gives %d bytes, not the %d that were saved", len(again), len(want))
		}
		revision = next
	}
}

func testKeys(t *testing.T, open func() lineoauth.Store) {
	store := open()
	keys := []string{key, key + "/", "1/v2.1/https://line.example", "../../etc/passwd", "a b", "A B", "ä\x00*?", strings.Repeat("k", 1000), "{1}", "{1}2"}
	for _, k := range keys {
		save(t, store, k, "", "of "+k)
	}
	for _, k := range keys {
		if got, _ := load(t, open(), k); got != "of "+k {
			t.Errorf("under the key %q is %q", k, got)
		}
	}
}

func testConflict(t *testing.T, open func() lineoauth.Store) {
	one, other := open(), open()
	conflict := func(store lineoauth.Store, key, revision, why string) {
		t.Helper()
		if err := store.Save(t.Context(), key, revision, []byte("late"), tomorrow()); !errors.Is(err, lineoauth.ErrStoreConflict) {
			t.Errorf("Save %s: %v; want ErrStoreConflict", why, err)
		}
	}
	save(t, one, key, "", "old")
	_, old := load(t, one, key)
	save(t, other, key, old, "new")
	_, revision := load(t, other, key)
	conflict(one, key, old, "with an outdated revision")
	conflict(one, key, "", "as if there were nothing")
	conflict(one, "another key", revision, "with a revision of what is not there")
	if got, now := load(t, open(), key); got != "new" || now != revision {
		t.Errorf("a conflict changed the value to %q", got)
	}
	if _, revision := load(t, open(), "another key"); revision != "" {
		t.Error("a conflict saved something")
	}
}

func testConcurrentSaves(t *testing.T, open func() lineoauth.Store) {
	var revision string
	for round := range 5 {
		var wg sync.WaitGroup
		var saved atomic.Int32
		for i := range 8 {
			store := open()
			wg.Go(func() {
				err := store.Save(t.Context(), key, revision, fmt.Appendf(nil, "%d of %d", i, round), tomorrow())
				if err == nil {
					saved.Add(1)
				} else if !errors.Is(err, lineoauth.ErrStoreConflict) {
					t.Errorf("Save: %v", err)
				}
			})
		}
		wg.Wait()
		if n := saved.Load(); n != 1 {
			t.Fatalf("%d of 8 processes saved over one revision; want 1", n)
		}
		_, revision = load(t, open(), key)
	}
}

func testWholeValues(t *testing.T, open func() lineoauth.Store) {
	writer := open()
	save(t, writer, key, "", strings.Repeat("0", 5000))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		store := open()
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				value, _, err := store.Load(t.Context(), key)
				if err != nil || len(value) != 5000 || len(bytes.Trim(value, string(value[:1]))) > 0 {
					t.Errorf("Load during saves: %d bytes, not of one kind, %v", len(value), err)
					return
				}
			}
		})
	}
	for i := range 50 {
		_, revision := load(t, writer, key)
		save(t, writer, key, revision, strings.Repeat(string(rune('a'+i%26)), 5000))
	}
	close(done)
	wg.Wait()
}

func testLease(t *testing.T, open func() lineoauth.Store) {
	one, other := open(), open()
	release, err := one.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	for _, store := range []lineoauth.Store{one, other} {
		soon(t, "Lease must not wait", func() {
			if _, err := store.Lease(t.Context(), key, time.Minute); !errors.Is(err, lineoauth.ErrStoreLeased) {
				t.Errorf("Lease of what is leased: %v; want ErrStoreLeased", err)
			}
		})
	}
	releaseAnother, err := other.Lease(t.Context(), "another key", time.Minute)
	if err != nil {
		t.Fatalf("Lease of another key: %v", err)
	}
	releaseAnother()
	save(t, other, key, "", "without a lease") // a lease is about issuing
	release()
	release, err = other.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatalf("Lease after release: %v", err)
	}
	release()

	var holders, most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		store := open()
		wg.Go(func() {
			for range 20 {
				release, err := store.Lease(t.Context(), key, time.Minute)
				if errors.Is(err, lineoauth.ErrStoreLeased) {
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
func testLeaseEnds(t *testing.T, open func() lineoauth.Store) {
	one, other := open(), open()
	var releaseOld, release func()
	var err error
	eventually(t, "there is no short lease", func() bool { // a busy machine may be too slow for one
		releaseOld, err = one.Lease(t.Context(), key, 500*time.Millisecond)
		return err == nil
	})
	defer releaseOld()
	eventually(t, "the lease does not end", func() bool {
		release, err = other.Lease(t.Context(), key, time.Minute)
		return err == nil
	})
	defer release()
	releaseOld()
	if _, err := one.Lease(t.Context(), key, time.Minute); !errors.Is(err, lineoauth.ErrStoreLeased) {
		t.Errorf("after a late release: %v; the next holder lost its lease", err)
	}
}

func testContext(t *testing.T, open func() lineoauth.Store) {
	store := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := store.Load(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a context that has ended: %v", err)
	}
	if err := store.Save(ctx, key, "", []byte("x"), tomorrow()); !errors.Is(err, context.Canceled) {
		t.Errorf("Save with a context that has ended: %v", err)
	}
	if release, err := store.Lease(ctx, key, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("Lease with a context that has ended: %v", err)
		if err == nil {
			release()
		}
	}
}

func testWatch(t *testing.T, open func() lineoauth.Store) {
	watcher, ok := open().(lineoauth.StoreWatcher)
	if !ok {
		return // sources look for themselves
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- watcher.Watch(ctx, key, func() { changes <- struct{}{} }) }()
	await := func(what string) {
		t.Helper()
		select {
		case <-changes:
		case err := <-ended:
			t.Fatalf("Watch ended before its context: %v", err)
		case <-time.After(patience):
			t.Fatalf("Watch does not tell %s", what)
		}
	}
	await("that it begins")
	var revision string
	for range 3 {
		soon(t, "Watch must tell of a change within a second", func() {
			other := open()
			save(t, other, key, revision, "x")
			await("of a change")
			_, revision = load(t, other, key)
			for len(changes) > 0 {
				<-changes // one change may be told twice
			}
		})
	}
	cancel()
	select {
	case err := <-ended:
		t.Logf("Watch ended with its context: %v", err)
	case <-time.After(patience):
		t.Error("Watch does not end with its context")
	}
}

// testSources lets sources in many processes share one token.
func testSources(t *testing.T, open func() lineoauth.Store) {
	const processes = 10
	line := lineoauthtest.NewServer()
	defer line.Close()
	issues := func() int { return line.State().Calls[lineoauth.OpIssueChannelTokenByJWT] }
	start := func() *lineoauth.Source {
		client, err := lineoauth.New(line.Config())
		if err != nil {
			t.Fatal(err)
		}
		source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: open()})
		if err != nil {
			t.Fatal(err)
		}
		return source
	}
	token := func(source *lineoauth.Source) string {
		t.Helper()
		token, err := source.Token(t.Context())
		if err != nil {
			t.Fatalf("Token: %v", err)
		}
		return token.AccessToken.Reveal()
	}
	sources := make([]*lineoauth.Source, processes)
	for i := range sources {
		sources[i] = start()
		defer sources[i].Close()
	}
	var wg sync.WaitGroup
	for _, source := range sources {
		wg.Go(func() { _, _ = source.Token(t.Context()) })
	}
	wg.Wait()
	first := token(sources[0])
	for i, source := range sources {
		if token(source) != first {
			t.Errorf("source %d has a token of its own", i)
		}
	}
	late := start()
	defer late.Close()
	if token(late) != first {
		t.Error("a source that starts later has a token of its own")
	}
	if n := issues(); n != 1 {
		t.Fatalf("%d tokens were issued to %d processes; want 1", n, processes+1)
	}

	sources[1].Invalidate(first)
	second := token(sources[1])
	line.Advance(2 * time.Second) // so that those that are told of nothing look again
	for i, source := range append(sources, late) {
		eventually(t, fmt.Sprintf("source %d goes on with a token that was refused", i), func() bool { return token(source) == second })
	}
	if n := issues(); n != 2 {
		t.Errorf("%d tokens were issued after one was refused; want 2", n)
	}
	if second == first {
		t.Error("the refused token came back")
	}
}

// soon does what takes less than a second, unless the machine is busy: then it
// does it again.
func soon(t *testing.T, failure string, do func()) {
	t.Helper()
	var took time.Duration
	for range 3 {
		start := time.Now()
		do()
		if took = time.Since(start); took < time.Second {
			return
		}
	}
	t.Errorf("%s; it took %v, three times in a row", failure, took)
}

// eventually waits until a condition holds that others bring about.
func eventually(t *testing.T, failure string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", failure, patience)
		}
	}
}
