package storetest

import (
	"context"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// watching is a watch in a goroutine.
type watching struct {
	changes chan struct{}
	ended   chan error
	stop    context.CancelFunc
}

func watch(ctx context.Context, watcher store.Watcher, key string) *watching {
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{make(chan struct{}, 100), make(chan error, 1), cancel}
	var returned atomic.Bool
	go func() {
		err := watcher.Watch(ctx, key, func() {
			if returned.Load() {
				panic("storetest: Watch called changed after it had returned")
			}
			select {
			case w.changes <- struct{}{}:
			default:
			}
		})
		returned.Store(true)
		w.ended <- err
	}()
	return w
}

// await waits for a change, and takes those that came with it.
func (w *watching) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-w.changes:
	case err := <-w.ended:
		t.Fatalf("Watch ended before its context: %v", err)
	case <-time.After(waitLimit):
		t.Fatalf("Watch does not report %s", what)
	}
	for len(w.changes) > 0 { // one change may be reported twice
		<-w.changes
	}
}

func (w *watching) end(t *testing.T) {
	t.Helper()
	w.stop()
	select {
	case err := <-w.ended:
		t.Logf("Watch ended with its context: %v", err)
	case <-time.After(waitLimit):
		t.Fatal("Watch does not end with its context")
	}
}

func testWatch(t *testing.T, open func() store.Store) {
	watcher, ok := open().(store.Watcher)
	if !ok {
		t.Skip("the store is not a Watcher")
	}
	one, twin := watch(t.Context(), watcher, key), watch(t.Context(), watcher, key)
	another := watch(t.Context(), watcher, "another key")
	for _, w := range []*watching{one, twin, another} {
		w.await(t, "that it begins")
	}
	var revision string
	for _, process := range []store.Store{open(), watcher, open()} {
		revision = save(t, process, key, revision, "x")
		one.await(t, "a change")
		twin.await(t, "a change that another watch reports")
	}
	twin.end(t)
	save(t, open(), key, revision, "x")
	one.await(t, "a change after another watch ended")
	save(t, open(), "another key", "", "x")
	another.await(t, "a change of another key")
	one.end(t)
	another.end(t)
}

// Watches leave no goroutine behind. Those of a pool of connections, which do not
// grow in number with the watches, may stay.
func testWatchEnds(t *testing.T, open func() store.Store) {
	const watches = 20
	watcher, ok := open().(store.Watcher)
	if !ok {
		t.Skip("the store is not a Watcher")
	}
	label := t.Name() + time.Now().Format("@150405.000000000")
	pprof.Do(t.Context(), pprof.Labels("storetest", label), func(ctx context.Context) {
		for range watches {
			w := watch(ctx, watcher, key)
			w.await(t, "that it begins")
			w.end(t)
		}
	})
	eventually(t, "watches leave goroutines", func() bool {
		return goroutines(t, label) < watches
	})
}

// goroutines counts those that began, or whose parents began, under a label.
func goroutines(t *testing.T, label string) (n int) {
	t.Helper()
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	_, groups, _ := strings.Cut(profile.String(), "\n")
	for group := range strings.SplitSeq(groups, "\n\n") {
		if strings.Contains(group, label) {
			count, _, _ := strings.Cut(group, " @ ")
			same, err := strconv.Atoi(strings.TrimSpace(count))
			if err != nil {
				t.Fatalf("the profile of goroutines has another form: %v", err)
			}
			n += same
		}
	}
	return n
}
