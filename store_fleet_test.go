package lineoauth_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// stores are those that report changes, and those that do not.
func stores() map[string]store.Store {
	return map[string]store.Store{"watched": new(store.Memory), "silent": silent(new(store.Memory))}
}

// A fleet issues one token, and one for each refresh.
func TestFleet(t *testing.T) {
	for name, st := range stores() {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				var sources []*lineoauth.Source
				for range 20 {
					sources = append(sources, newSource(t, srv, shared(st)))
				}
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second, Times: -1})
				var wg sync.WaitGroup
				for _, source := range sources {
					wg.Go(func() { _, _ = source.Token(t.Context()) })
				}
				wg.Wait()
				for period := range 3 {
					if n := issued(srv); n != period+1 {
						t.Fatalf("%d tokens were issued after %d refreshes", n, period)
					}
					time.Sleep(life - 4*time.Minute - time.Duration(period)*time.Minute)
					use(t, 4*time.Minute, sources...)
				}
				settle(t, sources...)
				first := get(t, sources[0])
				for _, source := range sources {
					if get(t, source) != first {
						t.Error("sources have different tokens")
					}
				}
			})
		})
	}
}

// Processes that wait for one that is issuing do not keep the store busy.
func TestColdFleet(t *testing.T) {
	for name, st := range stores() {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				most := int32(10)
				if name == "silent" {
					most = 50 // 10 a second
				}
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second})
				var wg sync.WaitGroup
				for range 60 {
					calls := breakable(watchable(st))
					var seen store.Store = calls
					if name == "silent" {
						seen = silent(calls)
					}
					source := newSource(t, srv, shared(seen))
					wg.Go(func() {
						start := time.Now()
						if _, err := source.Token(t.Context()); err != nil || time.Since(start) > 6*time.Second {
							t.Errorf("after %v: %v", time.Since(start), err)
						}
						if n := calls.calls.Load(); n > most {
							t.Errorf("a process called the store %d times; want %d at most", n, most)
						}
					})
				}
				wg.Wait()
				if n := issued(srv); n != 1 {
					t.Errorf("%d issues; want 1", n)
				}
			})
		})
	}
}

// watchable is a store, and a way to watch it which a silent one does not have.
func watchable(st store.Store) store.Watcher {
	if w, ok := st.(store.Watcher); ok {
		return w
	}
	return struct {
		store.Store
		noWatch
	}{Store: st}
}

type noWatch struct{}

func (noWatch) Watch(context.Context, string, func()) error { panic("it is silent") }

// A token that LINE accepts no more is replaced for all, by one issue.
func TestInvalidateReachesAll(t *testing.T) {
	for name, st := range stores() {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				one, other, third := newSource(t, srv, shared(st)), newSource(t, srv, shared(st)), newSource(t, srv, shared(st))
				first := get(t, one)
				get(t, other)
				get(t, third)
				time.Sleep(time.Second)
				srv.Channel().RevokeToken(first)
				refused(t, one, first)
				synctest.Wait()
				if n := issued(srv); n != 2 {
					t.Fatalf("%d tokens were issued; want 2", n)
				}
				if name == "watched" {
					time.Sleep(time.Second)
					get(t, other) // may look
					synctest.Wait()
				} else if !refused(t, other, first) {
					t.Error("the other source still has the refused token")
				}
				second := get(t, one)
				if get(t, other) != second || second == first {
					t.Error("the sources have different tokens")
				}
				settle(t, third)
				if get(t, third) != second {
					t.Error("a source that asks LINE nothing still has the refused token after a minute")
				}
				refused(t, other, first) // late
				if get(t, other) != second || issued(srv) != 2 {
					t.Errorf("%d tokens were issued; want 2", issued(srv))
				}
			})
		})
	}
}

// A refused token that comes from the store is not adopted again.
func TestRefusedTokenInTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		source := newSource(t, srv, shared(st))
		first := get(t, source)
		srv.Channel().RevokeToken(first)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: issueV21, Times: 3})
		refused(t, source, first)
		synctest.Wait()
		for range 40 {
			if token, err := source.Token(t.Context()); err == nil && token.AccessToken.Reveal() == first {
				t.Fatal("the refused token came back")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if get(t, source) == first || issued(srv) != 5 {
			t.Errorf("%d issues; want 5, three of them refused", issued(srv))
		}
	})
}

// A token that is refused while a flight looks at it does not come back.
func TestRefusedDuringALook(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		source := newSource(t, srv, shared(silent(st)))
		first := get(t, source)
		st.set(func(context.Context) error {
			st.set(nil, "Load")
			srv.Channel().RevokeToken(first)
			refused(t, source, first) //nolint:contextcheck // it is the test's
			return nil
		}, "Load")
		time.Sleep(time.Minute)
		get(t, source) // looks
		synctest.Wait()
		if get(t, source) == first || issued(srv) != 2 {
			t.Errorf("the refused token came back; %d issues", issued(srv))
		}
	})
}

// What one endpoint refuses is no matter of others', nor of the fleet's.
func TestOneEndpointRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		one, other := newSource(t, srv, shared(st)), newSource(t, srv, shared(st))
		first := get(t, one)
		get(t, other)
		for range 30 {
			for range 3 {
				if refused(t, one, first) {
					t.Fatal("a valid token was dropped")
				}
				use(t, time.Second, one, other)
			}
			time.Sleep(time.Minute)
		}
		if get(t, one) != first || get(t, other) != first || issued(srv) != 1 {
			t.Errorf("%d issues; want 1", issued(srv))
		}
	})
}

// A process without a token waits for the one with the lease, and no longer than
// its own context.
func TestLeaseHeldElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second})
		holder, waiter := newSource(t, srv, shared(st)), newSource(t, srv, shared(st))
		go func() { _, _ = holder.Token(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := waiter.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if get(t, waiter) != get(t, holder) || issued(srv) != 1 {
			t.Errorf("%d issues; want 1", issued(srv))
		}
		if took := time.Since(start); took > 5*time.Second+200*time.Millisecond {
			t.Errorf("the waiter had the token after %v", took)
		}
	})
}

// While another process refreshes, nobody waits, however long that takes.
func TestRefreshElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		sources := []*lineoauth.Source{newSource(t, srv, shared(st)), newSource(t, srv, shared(silent(st)))}
		first := get(t, sources[0])
		get(t, sources[1])
		time.Sleep(life - 2*time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 9 * time.Second})
		var loads atomic.Int32
		st.set(func(context.Context) error { loads.Add(1); return nil }, "Load")
		use(t, 8*time.Second, sources...)
		if n := loads.Load(); n > 20 {
			t.Errorf("two sources looked %d times in 8 s", n)
		}
		cold := newSource(t, srv, shared(st))
		use(t, 100*time.Millisecond, cold)
		use(t, 5*time.Second, append(sources, cold)...)
		for i, source := range append(sources, cold) {
			if get(t, source) == first {
				t.Errorf("source %d still has the old token", i)
			}
		}
		if n := issued(srv); n != 2 {
			t.Errorf("%d issues; want 2", n)
		}
	})
}

// A process that cannot reach LINE holds back none that can.
func TestSickProcess(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		sick := newSource(t, srv, shared(st), func(cfg *lineoauth.Config) {
			cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errDown}
			})
		})
		for range 600 { // a minute
			if _, err := sick.Token(t.Context()); !errors.Is(err, errDown) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		start := time.Now()
		token := get(t, newSource(t, srv, shared(st)))
		if took := time.Since(start); took > time.Second || issued(srv) != 1 {
			t.Errorf("a healthy process had a token after %v, with %d issues", took, issued(srv))
		}
		if calls := srv.State().Calls; len(calls) != 1 {
			t.Errorf("calls %v; nothing was lost, so that there is nothing to ask", calls)
		}
		time.Sleep(time.Second)
		if get(t, sick) != token {
			t.Error("the sick process does not adopt the token")
		}
	})
}
