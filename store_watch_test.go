package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// A change that comes while a flight is under way is not missed.
func TestChangeDuringAFlight(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		source := newSource(t, srv, shared(st))
		get(t, source)
		time.Sleep(life - time.Minute)
		st.set(func(context.Context) error {
			time.Sleep(time.Second)
			return store.ErrLeased
		}, "Lease")
		get(t, source) // starts the refresh
		synctest.Wait()
		theirs := issueByHand(t, srv, st)
		time.Sleep(time.Second)
		synctest.Wait()
		if get(t, source) != theirs {
			t.Error("the change was missed")
		}
	})
}

// A process without a token learns within a second that there is one now.
func TestChangeEndsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		source := newSource(t, srv, shared(st))
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "300"})
		if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrRateLimited) {
			t.Fatalf("error = %v", err)
		}
		theirs := issueByHand(t, srv, st)
		time.Sleep(time.Second)
		if get(t, source) != theirs {
			t.Error("another token than the one in the store")
		}
	})
}

// A watch that ends is begun again, and meanwhile the source looks by itself.
func TestWatchFails(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		memory := new(store.Memory)
		st := breakable(memory)
		st.set(down, "Watch")
		var seen events
		source := newSource(t, srv, shared(st), seen.record)
		use(t, 10*time.Second, source)
		if n, e := seen.of(lineoauth.EventStoreFailed); n < 3 || n > 8 || !errors.Is(e.Err, errDown) || e.Wait <= 0 {
			t.Errorf("%d reports in 10 s, the last %v, %v", n, e.Err, e.Wait)
		}
		theirs := issueByHand(t, srv, memory)
		settle(t, source)
		if get(t, source) != theirs {
			t.Error("without a watch, the source does not look")
		}
		st.set(nil, "Watch")
		settle(t, source)
		before := st.calls.Load()
		use(t, time.Minute, source)
		if n := st.calls.Load() - before; n > 1 { // a look may have been due
			t.Errorf("a source that watches looked %d times", n)
		}
		if n, _ := seen.of(lineoauth.EventStoreFailed); n > 20 {
			t.Errorf("%d reports", n)
		}
		st.set(down, "Watch")
		st.endWatch()
		synctest.Wait()
		theirs = issueByHand(t, srv, memory)
		settle(t, source)
		if get(t, source) != theirs {
			t.Error("after a watch that worked has ended, the source does not look")
		}
	})
}

// brief is a store whose watches end without an error.
type brief struct{ *store.Memory }

func (brief) Watch(context.Context, string, func()) error { return nil }

func TestWatchEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var seen events
		get(t, newSource(t, srv, shared(brief{new(store.Memory)}), seen.record))
		if n, e := seen.of(lineoauth.EventStoreFailed); n == 0 || !strings.HasSuffix(fmt.Sprint(e.Err), "watching the stored token: it ended") {
			t.Errorf("%d reports, the last %v", n, e.Err)
		}
	})
}

// A source that its pool forgot has no goroutine; it looks by itself.
func TestForgottenSourceDoesNotWatch(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		var watching atomic.Int32
		st.set(func(ctx context.Context) error {
			watching.Add(1)
			context.AfterFunc(ctx, func() { watching.Add(-1) })
			return nil
		}, "Watch")
		client := newClient(t, srv.Config())
		pool := &lineoauth.Pool{MaxSources: 1, New: func(context.Context, string) (*lineoauth.Source, error) { return client.Source(shared(st)) }}
		ask := func(channelID string) *lineoauth.Source {
			source, err := pool.Source(t.Context(), channelID)
			if err != nil {
				t.Fatal(err)
			}
			return source
		}
		watches := func(want int32) {
			t.Helper()
			synctest.Wait()
			if n := watching.Load(); n != want {
				t.Errorf("%d watches; want %d", n, want)
			}
		}
		first := ask("1")
		get(t, first)
		watches(1)
		unused, last := ask("2"), ask("3")
		get(t, last)
		use(t, 5*time.Second, first)
		get(t, unused)
		use(t, 5*time.Second, unused)
		watches(1)
		theirs := issueByHand(t, srv, st)
		settle(t, first, unused)
		if get(t, first) != theirs || get(t, unused) != theirs {
			t.Error("a forgotten source does not look")
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		watches(0)
	})
}

// A look on a notice is no call for a token, and a source that nobody asks costs
// its store a call a minute at most.
func TestIdleSource(t *testing.T) {
	for name, hide := range map[string]func(store.Store) store.Store{"watched": func(st store.Store) store.Store { return st }, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st := breakable(new(store.Memory))
				source := newSource(t, srv, shared(hide(st)))
				get(t, source)
				synctest.Wait()
				before := st.calls.Load()
				const minutes = 2 * int(life/time.Minute)
				for range minutes {
					time.Sleep(time.Minute)
					if name == "watched" {
						st.endWatch() // so that it begins again, and reports
						synctest.Wait()
					}
				}
				if n := int(st.calls.Load() - before); n > minutes || name == "silent" && n > 0 {
					t.Errorf("%d calls of the store in %d minutes", n, minutes)
				}
				if n := issued(srv); n != 1 {
					t.Errorf("%d tokens were issued while nobody asked", n)
				}
				get(t, source)
			})
		})
	}
}
