package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// While a token is valid, nobody notices that the store is down, and then it is
// for the source's configuration to say.
func TestStoreDown(t *testing.T) {
	for _, tt := range []struct {
		kind  lineoauth.Kind
		alone bool // IssueWithoutStore
		goes  bool
	}{{lineoauth.V21, false, false}, {lineoauth.V21, true, true}, {lineoauth.Stateless, false, true}, {lineoauth.ShortLived, false, false}} {
		t.Run(fmt.Sprintf("%s, alone %v", tt.kind, tt.alone), func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st := breakable(new(store.Memory))
				fix := st.allDown()
				cfg := lineoauth.SourceConfig{Kind: tt.kind, Store: st, IssueWithoutStore: tt.alone}
				if tt.kind == lineoauth.V21 {
					cfg.ValidFor = life
				}
				var seen events
				cold := newSource(t, srv, cfg, seen.record)
				_, err := cold.Token(t.Context())
				if (err == nil) != tt.goes {
					t.Fatalf("a cold start: %v", err)
				}
				if err != nil && (!errors.Is(err, errDown) || !strings.Contains(err.Error(), "IssueWithoutStore")) {
					t.Errorf("error = %v", err)
				}
				if n, e := seen.of(lineoauth.EventStoreFailed); n == 0 || !errors.Is(e.Err, errDown) || e.Wait <= 0 {
					t.Errorf("%d events, %+v", n, e)
				}
				fix()
				settle(t, cold)
				warm := newSource(t, srv, cfg, seen.record)
				token, err := warm.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				calls, tokens := len(srv.State().Requests), valid(srv)
				fix = st.allDown()
				before, _ := seen.of(lineoauth.EventStoreFailed)
				use(t, 5*time.Second, warm)
				if n := len(srv.State().Requests); n != calls {
					t.Errorf("%d calls although the token is valid for long", n-calls)
				}
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second, Times: -1})
				time.Sleep(time.Until(token.ExpiresAt()) - 10*time.Minute)
				use(t, 10*time.Minute, warm)
				if after, _ := seen.of(lineoauth.EventStoreFailed); after-before > 60 {
					t.Errorf("%d reports in 10 minutes", after-before)
				}
				if tt.goes {
					use(t, time.Minute, warm)
					fix()
				} else {
					if _, err := warm.Token(t.Context()); !errors.Is(err, errDown) || valid(srv) > tokens {
						t.Errorf("past the expiry: %v, %d tokens", err, valid(srv)-tokens)
					}
					fix()
					time.Sleep(time.Second)
				}
				srv.ClearFaults()
				get(t, warm)
				settle(t, warm)
				if other := newSource(t, srv, cfg); get(t, other) != get(t, warm) {
					t.Error("the store is back, and the token is not there")
				}
			})
		})
	}
}

// A store that cannot be written is noticed before a token is issued: no start
// of a job costs a token.
func TestStoreIsReadOnly(t *testing.T) {
	for _, broken := range [][]string{{"Mark", "Save"}, {"Lease"}} {
		t.Run(fmt.Sprint(broken), func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st := breakable(new(store.Memory))
				st.set(down, broken...)
				for range 34 { // more than LINE allows tokens
					source := newSource(t, srv, shared(st))
					if _, err := source.Token(t.Context()); !errors.Is(err, errDown) {
						t.Fatal(err)
					}
					_ = source.Close()
					time.Sleep(life)
				}
				if n := issued(srv); n != 0 {
					t.Errorf("%d tokens were issued", n)
				}
				st.set(nil, broken...)
				get(t, newSource(t, srv, shared(st)))
				if n := issued(srv); n != 1 {
					t.Errorf("the store is back: %d issues", n)
				}
			})
		})
	}
}

// A token that could not be stored is used all the same, and stored later.
func TestSaveFails(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		memory := new(store.Memory)
		st := breakable(memory)
		st.set(down, "Save")
		source := newSource(t, srv, shared(st))
		first := get(t, source)
		use(t, 10*time.Second, source)
		st.set(nil, "Save")
		use(t, 2*time.Minute, source)
		_ = source.Close()
		if get(t, newSource(t, srv, shared(memory))) != first || issued(srv) != 1 {
			t.Errorf("the token was not stored later; %d issues", issued(srv))
		}
	})
}

// A store that lost its data gets the token back from a process that has it.
func TestStoreLosesItsData(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		source := newSource(t, srv, shared(silent(st)))
		first := get(t, source)
		st.Watcher = new(store.Memory) // no flight is under way
		settle(t, source)
		if get(t, newSource(t, srv, shared(st))) != first || issued(srv) != 1 {
			t.Errorf("%d issues; want 1", issued(srv))
		}
	})
}

// A process that puts its token back gives way to another that was faster.
func TestPutBackGivesWay(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		var seen events
		source := newSource(t, srv, shared(silent(st)), seen.record)
		get(t, source)
		st.Watcher = new(store.Memory) // no flight is under way
		var theirs string
		st.set(func(context.Context) error {
			st.set(nil, "Save")
			theirs = issueByHand(t, srv, st.Watcher) //nolint:contextcheck // it is the test's
			return nil
		}, "Save")
		settle(t, source)
		settle(t, source)
		if got := get(t, source); got != theirs || issued(srv) != 2 {
			t.Errorf("another token than the store's; %d issues", issued(srv))
		}
		if n, _ := seen.of(lineoauth.EventStoreFailed); n != 0 {
			t.Error("a conflict is reported as a failure")
		}
	})
}

// A process that saves too late adopts what is there, and Revoke revokes its own.
func TestSavedTooLate(t *testing.T) {
	for name, closed := range map[string]bool{"in use": false, "closed meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st := breakable(new(store.Memory))
				var theirs string
				st.set(func(context.Context) error {
					st.set(nil, "Save")
					theirs = issueByHand(t, srv, st.Watcher) //nolint:contextcheck // it is the test's
					time.Sleep(50 * time.Millisecond)
					return nil
				}, "Save")
				var seen events
				source := newSource(t, srv, shared(st), seen.record)
				got := make(chan string, 1)
				go func() {
					token, _ := source.Token(t.Context())
					got <- token.AccessToken.Reveal()
				}()
				synctest.Wait()
				if !closed && <-got != theirs {
					t.Error("the source keeps a token that nobody else has")
				}
				if err := source.Revoke(t.Context()); err != nil {
					t.Error(err)
				}
				if n, _ := seen.of(lineoauth.EventStoreFailed); n != 0 {
					t.Error("a conflict is reported as a failure")
				}
				if valid(srv) != 1 || issued(srv) != 2 {
					t.Errorf("%d tokens are valid after Revoke, of %d; want the shared one", valid(srv), issued(srv))
				}
			})
		})
	}
}

// lossy is a store that saves and says that it did not, once for what counts.
type lossy struct {
	*store.Memory
	err   error
	mark  bool // whether marks count, or all other saves
	fails int
}

func (l *lossy) Save(ctx context.Context, key string, update store.Update) (string, error) {
	revision, err := l.Memory.Save(ctx, key, update)
	if err == nil && marks(key, update) == l.mark && l.fails > 0 {
		l.fails--
		return "", l.err
	}
	return revision, err
}

// A token that is in the store after all is others', not Revoke's. A mark that is
// there after all costs no token.
func TestSavedUnheard(t *testing.T) {
	for name, st := range map[string]*lossy{
		"a conflict":           {err: store.ErrConflict, fails: 1},
		"a failure":            {err: errDown, fails: 1},
		"a mark in conflict":   {err: store.ErrConflict, mark: true, fails: 1},
		"a mark and a failure": {err: errDown, mark: true, fails: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st.Memory = new(store.Memory)
				source := newSource(t, srv, shared(silent(st)))
				_, err := source.Token(t.Context())
				if errors.Is(err, errDown) {
					time.Sleep(time.Second)
				}
				first := get(t, source)
				if get(t, newSource(t, srv, shared(st))) != first || issued(srv) != 1 {
					t.Fatalf("the token is not there; %d issues", issued(srv))
				}
				if err := source.Revoke(t.Context()); err != nil {
					t.Error(err)
				}
				if valid(srv) != 1 {
					t.Errorf("%d tokens are valid; want the shared one", valid(srv))
				}
			})
		})
	}
}

// A token that LINE gave is stored although the source is closed at that time;
// it is others' then, not Revoke's.
func TestCloseWhileSaving(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *lineoauth.Source) error{
		"Close":  func(_ *testing.T, s *lineoauth.Source) error { return s.Close() },
		"Revoke": func(t *testing.T, s *lineoauth.Source) error { return s.Revoke(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st := breakable(new(store.Memory))
				st.set(func(ctx context.Context) error {
					time.Sleep(1500 * time.Millisecond)
					return ctx.Err()
				}, "Save")
				source := newSource(t, srv, shared(st))
				go func() { _, _ = source.Token(t.Context()) }()
				synctest.Wait()
				start := time.Now()
				if err := end(t, source); err != nil || time.Since(start) > 3*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if token, err := newClient(t, srv.Config()).StoredToken(t.Context(), st, lineoauth.V21); token == nil {
					t.Errorf("nothing is stored: %v", err)
				}
				if _, err := st.Watcher.Lease(t.Context(), storeKey(srv), time.Minute); err != nil {
					t.Errorf("the lease is not given back: %v", err)
				}
				if issued(srv) != 1 || valid(srv) != 1 {
					t.Errorf("%d issues, %d tokens are valid; want 1 and 1", issued(srv), valid(srv))
				}
			})
		})
	}
}

// A store that loses its entry while a token is issued gets the new one.
func TestEntryVanishes(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		cfg := shared(silent(st))
		source := newSource(t, srv, cfg)
		get(t, source)
		time.Sleep(life)
		st.set(func(context.Context) error {
			st.set(nil, "Save")
			st.Watcher = new(store.Memory) // this call is the only one
			return nil
		}, "Save")
		if second := get(t, source); get(t, newSource(t, srv, cfg)) != second || issued(srv) != 2 {
			t.Errorf("%d issues; want 2", issued(srv))
		}
	})
}

// Callers without a token share the failure of a store. Once that is back, they
// have a token within a second.
func TestStoreFailuresAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		fix := st.allDown()
		source := newSource(t, srv, shared(silent(st)))
		for range 3000 { // 30 s
			if _, err := source.Token(t.Context()); !errors.Is(err, errDown) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := st.calls.Load(); n < 25 || n > 65 {
			t.Errorf("%d attempts in 30 s", n)
		}
		fix()
		time.Sleep(time.Second)
		get(t, source)
	})
}
