package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store/storetest"
)

const issueV21 = lineoauth.OpIssueChannelTokenByJWT

// life is long enough for a refresh window of DefaultRefreshWindow.
const life = time.Hour

func shared(store lineoauth.Store) lineoauth.SourceConfig {
	return lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: life, Store: store}
}

// silent hides that a store tells of changes.
func silent(store lineoauth.Store) lineoauth.Store { return struct{ lineoauth.Store }{store} }

// brokenStore is a store whose calls fail or hang as a test wants it.
type brokenStore struct {
	lineoauth.StoreWatcher
	mu      sync.Mutex
	faults  map[string]func(context.Context) error // by the method's name
	unwatch context.CancelFunc
}

func breakable(store lineoauth.StoreWatcher) *brokenStore {
	return &brokenStore{StoreWatcher: store, faults: map[string]func(context.Context) error{}}
}

// set gives methods a fault, or takes it away.
func (b *brokenStore) set(fault func(context.Context) error, methods ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, method := range methods {
		b.faults[method] = fault
	}
}

func (b *brokenStore) fault(ctx context.Context, method string) error {
	b.mu.Lock()
	fault := b.faults[method]
	b.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx)
}

func (b *brokenStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := b.fault(ctx, "Load"); err != nil {
		return nil, "", err
	}
	return b.StoreWatcher.Load(ctx, key)
}

func (b *brokenStore) Save(ctx context.Context, key, revision string, value []byte, expiresAt time.Time) error {
	if err := b.fault(ctx, "Save"); err != nil {
		return err
	}
	return b.StoreWatcher.Save(ctx, key, revision, value, expiresAt)
}

func (b *brokenStore) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	if err := b.fault(ctx, "Lease"); err != nil {
		return nil, err
	}
	return b.StoreWatcher.Lease(ctx, key, ttl)
}

func (b *brokenStore) Watch(ctx context.Context, key string, changed func()) error {
	if err := b.fault(ctx, "Watch"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.mu.Lock()
	b.unwatch = cancel
	b.mu.Unlock()
	return b.StoreWatcher.Watch(ctx, key, changed)
}

// endWatch ends the watch that is under way.
func (b *brokenStore) endWatch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unwatch()
}

var errDown = errors.New("the store is down")

func down(context.Context) error { return errDown }

// allDown breaks a store until the returned function mends it.
func (b *brokenStore) allDown() (mend func()) {
	b.set(down, "Load", "Save", "Lease")
	return func() { b.set(nil, "Load", "Save", "Lease") }
}

// events counts what happens.
type events struct {
	mu   sync.Mutex
	seen map[lineoauth.EventKind]int
	last map[lineoauth.EventKind]lineoauth.Event
}

func (e *events) record(cfg *lineoauth.Config) {
	cfg.OnEvent = func(event lineoauth.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.seen == nil {
			e.seen, e.last = map[lineoauth.EventKind]int{}, map[lineoauth.EventKind]lineoauth.Event{}
		}
		e.seen[event.Kind]++
		e.last[event.Kind] = event
	}
}

func (e *events) of(kind lineoauth.EventKind) (int, lineoauth.Event) {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[kind], e.last[kind]
}

// use asks a source for its token every 100 ms, and fails if it ever has none.
func use(t *testing.T, d time.Duration, sources ...*lineoauth.Source) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, source := range sources {
			start := time.Now()
			token, err := source.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !time.Now().Before(token.ExpiresAt()) || time.Since(start) != 0 {
				t.Fatalf("after %v: a token that ends at %v", time.Since(start), token.ExpiresAt())
			}
		}
	}
}

func issued(srv *lineoauthtest.Server) int { return srv.State().Calls[issueV21] }

// A fleet issues one token, and one for each refresh.
func TestFleet(t *testing.T) {
	for name, store := range map[string]lineoauth.Store{"watched": new(storetest.Memory), "silent": silent(new(storetest.Memory))} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				var sources []*lineoauth.Source
				for range 20 {
					sources = append(sources, newSource(t, srv, shared(store)))
				}
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second, Times: -1})
				var wg sync.WaitGroup
				for _, source := range sources {
					wg.Go(func() { _, _ = source.Token(t.Context()) })
				}
				wg.Wait()
				for period := range 5 {
					if n := issued(srv); n != period+1 {
						t.Fatalf("%d tokens were issued after %d refreshes", n, period)
					}
					time.Sleep(life - 4*time.Minute - time.Duration(period)*time.Minute)
					use(t, 4*time.Minute, sources...)
				}
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

// Whoever starts finds the token of before, and issues one only near its end.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		first := get(t, newSource(t, srv, shared(store)))
		for range 100 {
			var seen events
			source := newSource(t, srv, shared(store), seen.record)
			if get(t, source) != first {
				t.Fatal("a restart brought another token")
			}
			if n, _ := seen.of(lineoauth.EventShared); n != 1 || len(seen.seen) != 1 {
				t.Fatalf("events: %v", seen.seen)
			}
			_ = source.Close()
		}
		time.Sleep(life - time.Minute) // behind the window's first half
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second})
		source := newSource(t, srv, shared(store))
		use(t, 4*time.Second, source)
		if get(t, source) != first {
			t.Error("another token before there can be one")
		}
		time.Sleep(2 * time.Second)
		if get(t, source) == first || issued(srv) != 2 {
			t.Errorf("a token that is about to end was not replaced; %d issues", issued(srv))
		}
		time.Sleep(life)
		get(t, newSource(t, srv, shared(store)))
		if n := issued(srv); n != 3 {
			t.Errorf("%d issues; want one more for a token that has ended", n)
		}
	})
}

// What one source is refused is replaced for all, although it asks for no other.
func TestInvalidateReachesAll(t *testing.T) {
	for name, store := range map[string]lineoauth.Store{"watched": new(storetest.Memory), "silent": silent(new(storetest.Memory))} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				one, other := newSource(t, srv, shared(store)), newSource(t, srv, shared(store))
				first := get(t, one)
				get(t, other)
				one.Invalidate(first)
				synctest.Wait()
				if n := issued(srv); n != 2 {
					t.Fatalf("%d tokens were issued; want 2", n)
				}
				time.Sleep(time.Second)
				if name == "silent" {
					get(t, other) // looks
					synctest.Wait()
				}
				if got := get(t, other); got == first {
					t.Error("the other source still has the refused token")
				} else if get(t, one) != got {
					t.Error("they have different tokens")
				}
				other.Invalidate(first) // late
				if get(t, other); issued(srv) != 2 {
					t.Errorf("%d tokens were issued; want 2", issued(srv))
				}
			})
		})
	}
}

// A refused token that comes from the store is not taken up again.
func TestRefusedTokenInTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		source := newSource(t, srv, shared(store))
		first := get(t, source)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: 3})
		source.Invalidate(first)
		synctest.Wait()
		for range 100 {
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

// With the store down, nobody notices while a token lives, and then it is for
// the source's configuration to say.
func TestStoreDown(t *testing.T) {
	for _, tt := range []struct {
		kind  lineoauth.Kind
		alone bool // IssueWithoutStore
		goes  bool
	}{{lineoauth.V21, false, false}, {lineoauth.V21, true, true}, {lineoauth.Stateless, false, true}, {lineoauth.ShortLived, false, false}} {
		t.Run(fmt.Sprintf("%s, alone %v", tt.kind, tt.alone), func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				store := breakable(new(storetest.Memory))
				mend := store.allDown()
				cfg := lineoauth.SourceConfig{Kind: tt.kind, Store: store, IssueWithoutStore: tt.alone}
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
				mend()
				time.Sleep(time.Minute)
				warm := newSource(t, srv, cfg, seen.record)
				token, err := warm.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				calls := len(srv.State().Requests)
				issues := len(srv.State().Tokens)
				mend = store.allDown()
				before, _ := seen.of(lineoauth.EventStoreFailed)
				use(t, 5*time.Second, warm)
				if n := len(srv.State().Requests); n != calls {
					t.Errorf("%d calls although the token lives for long", n-calls)
				}
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second, Times: -1})
				time.Sleep(time.Until(token.ExpiresAt()) - 10*time.Minute)
				use(t, 10*time.Minute, warm)
				if after, _ := seen.of(lineoauth.EventStoreFailed); after-before > 60 {
					t.Errorf("%d reports in 10 minutes", after-before)
				}
				if !tt.goes {
					if _, err := warm.Token(t.Context()); !errors.Is(err, errDown) || len(srv.State().Tokens) > issues {
						t.Errorf("past the end: %v, %d tokens", err, len(srv.State().Tokens)-issues)
					}
					mend()
					time.Sleep(time.Minute)
				} else {
					use(t, time.Minute, warm)
					mend()
				}
				get(t, warm)
				time.Sleep(time.Minute)
				get(t, warm)
				synctest.Wait()
				if other := newSource(t, srv, cfg); get(t, other) != get(t, warm) {
					t.Error("the store is back, and the token is not there")
				}
			})
		})
	}
}

// What could not be stored is used all the same, and stored later.
func TestSaveFails(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		memory := new(storetest.Memory)
		store := breakable(memory)
		store.set(down, "Save")
		source := newSource(t, srv, shared(store))
		first := get(t, source)
		use(t, 10*time.Second, source)
		store.set(nil, "Save")
		use(t, time.Minute, source) // it comes back to the store less and less often
		synctest.Wait()
		if get(t, newSource(t, srv, shared(memory))) != first || issued(srv) != 1 {
			t.Errorf("the token was not stored later; %d issues", issued(srv))
		}
	})
}

// A store that lost its data gets the token back from whoever has it.
func TestStoreLosesItsData(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		source := newSource(t, srv, shared(silent(store)))
		first := get(t, source)
		store.StoreWatcher = new(storetest.Memory) // no flight is under way
		time.Sleep(time.Second)
		get(t, source)
		synctest.Wait()
		if get(t, newSource(t, srv, shared(store))) != first || issued(srv) != 1 {
			t.Errorf("%d issues; want 1", issued(srv))
		}
	})
}

// Whoever brings the store up to date gives way to another who was faster.
func TestRepairGivesWay(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		var seen events
		source := newSource(t, srv, shared(silent(store)), seen.record)
		get(t, source)
		store.StoreWatcher = new(storetest.Memory) // no flight is under way
		var theirs string
		store.set(func(context.Context) error {
			store.set(nil, "Save")
			theirs = issueByHand(t, srv, store.StoreWatcher) //nolint:contextcheck // it is the test's
			return nil
		}, "Save")
		time.Sleep(time.Second)
		use(t, time.Second, source)
		if got := get(t, source); got != theirs || issued(srv) != 2 {
			t.Errorf("another token than the store's; %d issues", issued(srv))
		}
		if n, _ := seen.of(lineoauth.EventStoreFailed); n != 0 {
			t.Error("a conflict is reported as a failure")
		}
	})
}

// issueByHand puts another token into a store.
func issueByHand(t *testing.T, srv *lineoauthtest.Server, store lineoauth.Store) string {
	t.Helper()
	client := newClient(t, srv.Config())
	token, err := client.IssueChannelToken(t.Context(), life)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.StoreToken(t.Context(), store, token); err != nil {
		t.Fatal(err)
	}
	return token.AccessToken.Reveal()
}

// Whoever saves too late takes what is there, and gives its own place back.
func TestSavedTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		var theirs string
		store.set(func(context.Context) error {
			theirs = issueByHand(t, srv, store.StoreWatcher) //nolint:contextcheck // it is the test's
			store.set(nil, "Save")
			return nil
		}, "Save")
		var seen events
		source := newSource(t, srv, shared(store), seen.record)
		if get(t, source) != theirs {
			t.Error("the source goes on with a token that nobody else has")
		}
		if n, _ := seen.of(lineoauth.EventStoreFailed); n != 0 {
			t.Error("a conflict is reported as a failure")
		}
		if err := source.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(srv.State().Tokens); n != 1 {
			t.Errorf("%d tokens are alive after Revoke; want the shared one", n)
		}
	})
}

// lossy is a store whose first Save succeeds and says that it did not, as one
// does that sends a request again whose answer was lost.
type lossy struct {
	*storetest.Memory
	lost atomic.Bool
}

func (l *lossy) Save(ctx context.Context, key, revision string, value []byte, expiresAt time.Time) error {
	err := l.Memory.Save(ctx, key, revision, value, expiresAt)
	if err == nil && !l.lost.Swap(true) {
		return lineoauth.ErrStoreConflict
	}
	return err
}

// A token that is in the store all the same is others', not Revoke's.
func TestSavedUnheard(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := &lossy{Memory: new(storetest.Memory)}
		source := newSource(t, srv, shared(store))
		first := get(t, source)
		if err := source.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if get(t, newSource(t, srv, shared(store))) != first || len(srv.State().Tokens) != 1 {
			t.Errorf("%d tokens are alive; want the shared one", len(srv.State().Tokens))
		}
	})
}

// A source that is closed at that time gives its own place back, too.
func TestClosedWhileSavingTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		store.set(func(context.Context) error {
			store.set(nil, "Save")
			issueByHand(t, srv, store.StoreWatcher) //nolint:contextcheck // it is the test's
			time.Sleep(50 * time.Millisecond)
			return nil
		}, "Save")
		source := newSource(t, srv, shared(store))
		go func() { _, _ = source.Token(t.Context()) }()
		synctest.Wait()
		if err := source.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(srv.State().Tokens); n != 1 {
			t.Errorf("%d tokens are alive after Revoke; want the shared one", n)
		}
	})
}

// A token that is refused while a flight looks at it does not come back.
func TestRefusedDuringALook(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		source := newSource(t, srv, shared(silent(store)))
		first := get(t, source)
		store.set(func(context.Context) error {
			store.set(nil, "Load")
			source.Invalidate(first) //nolint:contextcheck // takes none
			return nil
		}, "Load")
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second})
		time.Sleep(time.Second)
		get(t, source) // looks
		synctest.Wait()
		if get(t, source) == first || issued(srv) != 2 {
			t.Errorf("the refused token came back; %d issues", issued(srv))
		}
	})
}

// Of two tokens, the one that was issued last is kept.
func TestNewerTokenWins(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		older := issueByHand(t, srv, store)
		time.Sleep(time.Second)
		mend := store.allDown()
		cfg := shared(store)
		cfg.IssueWithoutStore = true
		source := newSource(t, srv, cfg)
		newer := get(t, source)
		mend()
		use(t, time.Minute, source)
		if got := get(t, newSource(t, srv, shared(store))); got == older || got != newer || get(t, source) != newer {
			t.Error("the older token is kept")
		}
	})
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
				store := breakable(new(storetest.Memory))
				store.set(func(ctx context.Context) error {
					time.Sleep(50 * time.Millisecond)
					return ctx.Err()
				}, "Save")
				source := newSource(t, srv, shared(store))
				go func() { _, _ = source.Token(t.Context()) }()
				synctest.Wait()
				if err := end(t, source); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				get(t, newSource(t, srv, shared(store)))
				if n := issued(srv); n != 1 || len(srv.State().Tokens) != 1 {
					t.Errorf("%d issues, %d tokens are alive; want 1 and 1", n, len(srv.State().Tokens))
				}
			})
		})
	}
}

// A change that comes while a flight is under way is not missed.
func TestChangeDuringAFlight(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		source := newSource(t, srv, shared(store))
		get(t, source)
		time.Sleep(life - time.Minute)
		store.set(func(context.Context) error {
			time.Sleep(time.Second)
			return lineoauth.ErrStoreLeased
		}, "Lease")
		get(t, source) // starts the refresh
		synctest.Wait()
		theirs := issueByHand(t, srv, store)
		time.Sleep(time.Second)
		synctest.Wait()
		if get(t, source) != theirs {
			t.Error("the change was missed")
		}
	})
}

// Whoever has no token waits for the process with the lease, and no longer than
// its own context.
func TestLeaseHeldElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second})
		holder, waiter := newSource(t, srv, shared(store)), newSource(t, srv, shared(store))
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
		store := breakable(new(storetest.Memory))
		sources := []*lineoauth.Source{newSource(t, srv, shared(store)), newSource(t, srv, shared(silent(store)))}
		first := get(t, sources[0])
		get(t, sources[1])
		time.Sleep(life - 2*time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 9 * time.Second})
		var loads atomic.Int32
		store.set(func(context.Context) error { loads.Add(1); return nil }, "Load")
		use(t, 8*time.Second, sources...)
		if n := loads.Load(); n > 20 {
			t.Errorf("two sources looked %d times in 8 s", n)
		}
		cold := newSource(t, srv, shared(store))
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

// What LINE asks to wait for is waited for, whatever the store has to say.
func TestRetryAfterWithStore(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		source := newSource(t, srv, shared(silent(store)))
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "300"})
		for range 290 {
			if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrRateLimited) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := issued(srv); n != 1 {
			t.Errorf("%d calls while LINE asked for patience", n)
		}
		if _, err := newSource(t, srv, shared(store)).Token(t.Context()); err == nil || issued(srv) != 1 {
			t.Errorf("another process does not wait: %v", err)
		}
		// Yet there is a token meanwhile.
		other := issueByHand(t, srv, store)
		if get(t, source) != other {
			t.Error("a token in the store was not found")
		}
		time.Sleep(life - time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "50"})
		use(t, time.Second, source)
		theirs := issueByHand(t, srv, store)
		use(t, 1200*time.Millisecond, source)
		if get(t, source) != theirs {
			t.Error("a token in the store was not found while LINE asked for patience")
		}
	})
}

// Whoever has no token is told at once that there is one now.
func TestChangeEndsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		source := newSource(t, srv, shared(store))
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "300"})
		if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrRateLimited) {
			t.Fatalf("error = %v", err)
		}
		theirs := issueByHand(t, srv, store)
		synctest.Wait()
		if get(t, source) != theirs {
			t.Error("another token than the one in the store")
		}
	})
}

// Those who have no token, and a store that is down, share the failure.
func TestStoreFailuresAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		var loads atomic.Int32
		store.set(func(context.Context) error { loads.Add(1); return errDown }, "Load")
		source := newSource(t, srv, shared(silent(store)))
		for range 3000 { // 30 s
			if _, err := source.Token(t.Context()); !errors.Is(err, errDown) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := loads.Load(); n < 4 || n > 9 {
			t.Errorf("%d tries in 30 s", n)
		}
	})
}

// put stores what a test likes in the place of the shared token.
func put(t *testing.T, store lineoauth.Store, key, value string) {
	t.Helper()
	_, revision, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), key, revision, []byte(value), time.Now().Add(life)); err != nil {
		t.Fatal(err)
	}
}

// keys notes the keys that a store is asked for.
type keys struct {
	lineoauth.Store
	seen map[string]bool
}

func (k *keys) Load(ctx context.Context, key string) ([]byte, string, error) {
	k.seen[key] = true
	return k.Store.Load(ctx, key)
}

func TestStoredEntries(t *testing.T) {
	const good = `{"version":1,"key":"KEY","type":"v2.1","access_token":"aaa.bbb.ccc","token_type":"Bearer","key_id":"kid","issued_at":"2000-01-01T00:00:00Z","expires_in":3600}`
	for name, tt := range map[string]struct {
		entry          string
		taken, failed  bool // taken up; reported
		issued, stands bool // another token was issued; the entry was left alone
	}{
		"good":                     {good, true, false, false, true},
		"with a field of later":    {strings.Replace(good, "{", `{"hint":"x",`, 1), true, false, false, true},
		"ended":                    {strings.Replace(good, "2000", "1999", 1), false, false, true, false},
		"torn":                     {good[:len(good)/2], false, true, true, false},
		"foreign":                  {`{"access_token":"aaa.bbb.ccc"}`, false, true, true, false},
		"of another channel":       {strings.Replace(good, "KEY", "1/v2.1/https://api.line.me", 1), false, true, true, false},
		"a token of strange marks": {strings.Replace(good, "bbb", `$(id)\n`, 1), false, true, true, false},
		"no lifetime":              {strings.Replace(good, "3600", "-1", 1), false, true, true, false},
		"of another kind":          {strings.Replace(good, `"v2.1"`, `"stateless"`, 1), false, true, true, false},
		"no Bearer token":          {strings.Replace(good, "Bearer", "Basic", 1), false, true, true, false},
		"a wait of a century":      {`{"version":1,"key":"KEY","retry_at":"2100-01-01T00:00:00Z"}`, false, true, true, false},
		"of the future":            {strings.Replace(good, "2000", "2100", 1), false, true, true, false},
		"a newer format":           {strings.Replace(good, `"version":1`, `"version":2`, 1), false, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				store := &keys{new(storetest.Memory), map[string]bool{}}
				var seen events
				source := newSource(t, srv, shared(store), seen.record)
				client := newClient(t, srv.Config())
				if token, err := client.StoredToken(t.Context(), store, lineoauth.V21); token != nil || err != nil {
					t.Fatalf("StoredToken of an empty store = %v, %v", token, err)
				}
				var key string
				for key = range store.seen {
				}
				if want := srv.Channel().ID + "/v2.1/" + srv.Config().BaseURL; key != want || len(store.seen) != 1 {
					t.Errorf("keys %v, want %q", store.seen, want)
				}
				entry := strings.Replace(tt.entry, "KEY", key, 1)
				put(t, store, key, entry)

				token, err := source.Token(t.Context())
				if (err == nil) != (tt.taken || tt.issued) {
					t.Fatal(err)
				}
				if err == nil && (token.AccessToken.Reveal() == "aaa.bbb.ccc") != tt.taken {
					t.Errorf("the entry was taken up: %v, want %v", !tt.taken, tt.taken)
				}
				if tt.taken && (token.KeyID != "kid" || token.Kind != lineoauth.V21 || token.Lifetime() != life) {
					t.Errorf("token = %+v", token)
				}
				if (issued(srv) == 1) != tt.issued {
					t.Errorf("%d issues", issued(srv))
				}
				n, e := seen.of(lineoauth.EventStoreFailed)
				if (n > 0) != tt.failed {
					t.Errorf("%d reports", n)
				}
				if text := fmt.Sprint(e.Err, err); strings.Contains(text, "aaa") || strings.Contains(text, "$(id)") {
					t.Errorf("the error shows the entry: %s", text)
				}
				if value, _, _ := store.Load(t.Context(), key); (string(value) == entry) != tt.stands {
					t.Errorf("the entry stands: %v, want %v", !tt.stands, tt.stands)
				}
				_, err = client.StoredToken(t.Context(), store, lineoauth.V21)
				if (err != nil) != (name == "a newer format") {
					t.Errorf("StoredToken: %v", err)
				}
			})
		})
	}
}

// A token from elsewhere reaches the sources, and back.
func TestStoreToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		client := newClient(t, srv.Config())
		source := newSource(t, srv, shared(store))
		get(t, source)
		token, err := client.IssueChannelToken(t.Context(), life)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.StoreToken(t.Context(), store, token); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if get(t, source) != token.AccessToken.Reveal() {
			t.Error("the source does not take up a token that was stored by hand")
		}
		stored, err := client.StoredToken(t.Context(), store, lineoauth.V21)
		if err != nil || stored.AccessToken.Reveal() != token.AccessToken.Reveal() || stored.KeyID != token.KeyID || !stored.ExpiresAt().Equal(token.ExpiresAt()) || stored.Kind != lineoauth.V21 {
			t.Errorf("StoredToken = %+v, %v; want %+v", stored, err, token)
		}
		put(t, store, srv.Channel().ID+"/v2.1/"+srv.Config().BaseURL, "garbage")
		if err := client.StoreToken(t.Context(), store, stored); err != nil {
			t.Errorf("over something damaged: %v", err)
		}
		broken := breakable(store)
		broken.set(down, "Save")
		if err := client.StoreToken(t.Context(), broken, stored); err == nil {
			t.Error("no error of a store that fails")
		}
		time.Sleep(life)
		if err := client.StoreToken(t.Context(), store, token); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("a token that has ended: %v", err)
		}
	})
}

// A channel without a secret gets v2.1 tokens for short-lived ones, and shares
// them as what they are.
func TestShortLivedByKeyIsShared(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		keyOnly := func(cfg *lineoauth.Config) { cfg.ChannelSecret = lineoauth.Secret{} }
		one := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived, Store: store}, keyOnly)
		other := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store})
		if get(t, one) != get(t, other) || issued(srv) != 1 {
			t.Errorf("%d issues; want 1", issued(srv))
		}
		// And with the secret, they are two.
		secret := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived, Store: store})
		if get(t, secret) == get(t, other) {
			t.Error("a short-lived token is not told from a v2.1 one")
		}
	})
}

// A store that hangs holds up nobody for longer than their context, and a
// refresh for no longer than its timeout.
func TestStoreHangs(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds its context": true, "is deaf": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				release := make(chan struct{})
				hang := func(ctx context.Context) error {
					if heeds {
						<-ctx.Done()
						return ctx.Err()
					}
					<-release
					return nil
				}
				store := breakable(new(storetest.Memory))
				cfg := shared(silent(store))
				source := newSource(t, srv, cfg)
				get(t, source)
				store.set(hang, "Load")
				use(t, time.Minute, source)
				cold := newSource(t, srv, cfg)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if _, err := cold.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				_, err := cold.Token(t.Context())
				if took := time.Since(start); err == nil || heeds && took > 6*time.Second || took > lineoauth.DefaultRefreshTimeout+time.Second {
					t.Errorf("after %v: %v", took, err)
				}
				_ = source.Close()
				_ = cold.Close()
				close(release)
			})
		})
	}
}

// A watch that ends is begun again, and meanwhile the source looks by itself.
func TestWatchFails(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		memory := new(storetest.Memory)
		store := breakable(memory)
		store.set(down, "Watch")
		var seen events
		source := newSource(t, srv, shared(store), seen.record)
		use(t, 10*time.Second, source)
		if n, e := seen.of(lineoauth.EventStoreFailed); n < 3 || n > 8 || !errors.Is(e.Err, errDown) {
			t.Errorf("%d reports in 10 s, the last %v", n, e.Err)
		}
		theirs := issueByHand(t, srv, memory)
		use(t, 1200*time.Millisecond, source)
		if get(t, source) != theirs {
			t.Error("without a watch, the source does not look")
		}
		store.set(nil, "Watch")
		time.Sleep(time.Minute)
		var loads atomic.Int32
		store.set(func(context.Context) error { loads.Add(1); return nil }, "Load")
		use(t, time.Minute, source)
		if n := loads.Load(); n > 1 { // a look may have been due
			t.Errorf("a source that watches looked %d times", n)
		}
		if n, _ := seen.of(lineoauth.EventStoreFailed); n > 20 {
			t.Errorf("%d reports", n)
		}
		store.set(down, "Watch")
		store.endWatch()
		synctest.Wait()
		theirs = issueByHand(t, srv, memory)
		use(t, 1200*time.Millisecond, source)
		if get(t, source) != theirs {
			t.Error("after a watch that worked has ended, the source does not look")
		}
	})
}

// brief is a store whose watches end without an error.
type brief struct{ *storetest.Memory }

func (brief) Watch(context.Context, string, func()) error { return nil }

func TestWatchEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var seen events
		get(t, newSource(t, srv, shared(brief{new(storetest.Memory)}), seen.record))
		if n, e := seen.of(lineoauth.EventStoreFailed); n == 0 || !strings.HasSuffix(fmt.Sprint(e.Err), "watching the stored token: it ended") {
			t.Errorf("%d reports, the last %v", n, e.Err)
		}
	})
}

// A source that its pool forgot has no goroutine; it looks by itself.
func TestForgottenSourceDoesNotWatch(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		var watching atomic.Int32
		store.set(func(ctx context.Context) error {
			watching.Add(1)
			context.AfterFunc(ctx, func() { watching.Add(-1) })
			return nil
		}, "Watch")
		client := newClient(t, srv.Config())
		pool := &lineoauth.Pool{MaxSources: 1, New: func(string) (*lineoauth.Source, error) { return client.Source(shared(store)) }}
		first, err := pool.Source("1")
		if err != nil {
			t.Fatal(err)
		}
		get(t, first)
		synctest.Wait()
		if n := watching.Load(); n != 1 {
			t.Fatalf("%d watch; want 1", n)
		}
		unused, err := pool.Source("2")
		if err != nil {
			t.Fatal(err)
		}
		last, err := pool.Source("3")
		if err != nil {
			t.Fatal(err)
		}
		get(t, last)
		use(t, 5*time.Second, first)
		get(t, unused)
		use(t, 5*time.Second, unused)
		if n := watching.Load(); n != 1 {
			t.Errorf("%d watch; want 1", n)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := watching.Load(); n != 0 {
			t.Errorf("%d still watch after Close", n)
		}
	})
}

func TestHotPathDoesNotTouchTheStore(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	var loads atomic.Int32
	store := breakable(new(storetest.Memory))
	store.set(func(context.Context) error { loads.Add(1); return nil }, "Load")
	source, err := newClient(t, srv.Config()).Source(shared(store))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	get(t, source)
	for loads.Load() < 3 { // two of the flight that issued, one as the watch began
		get(t, source)
	}
	ctx, before := t.Context(), loads.Load()
	if n := testing.AllocsPerRun(10_000, func() { _, _ = source.Token(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := loads.Load() - before; n > 1 { // the notice of the own save
		t.Errorf("10,000 calls looked into the store %d times", n)
	}
}

// Close and Revoke leave what others use.
func TestCloseLeavesTheSharedToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		one, other := newSource(t, srv, shared(store)), newSource(t, srv, shared(store))
		first := get(t, one)
		get(t, other)
		if err := one.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(srv.State().Tokens); n != 1 {
			t.Errorf("%d tokens are alive after one of two sources was revoked; want 1", n)
		}
		if get(t, other) != first {
			t.Error("the other source lost its token")
		}
	})
}

// Whoever ends soon gets a token that does not.
func TestFreshToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		fresh := func() (string, error) {
			source := newSource(t, srv, shared(store))
			defer source.Close()
			token, err := source.FreshToken(t.Context())
			if err != nil {
				return "", err
			}
			return token.AccessToken.Reveal(), nil
		}
		first, err := fresh()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(life / 2)
		if again, err := fresh(); again != first || err != nil || issued(srv) != 1 {
			t.Errorf("in the middle of its life: another token, %v, %d issues", err, issued(srv))
		}
		time.Sleep(life/2 - time.Minute) // behind the window's first half
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
		if again, err := fresh(); again != first || err != nil {
			t.Errorf("LINE is down: another token, %v", err)
		}
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second})
		if second, err := fresh(); second == first || err != nil {
			t.Errorf("near its end: the old token, %v", err)
		}
		time.Sleep(life)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
		if _, err := fresh(); err == nil {
			t.Error("no error, and no live token")
		}
	})
}

// What one process has to wait for, all wait for: they share the 30 places, and
// what LINE bears.
func TestFleetWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		fault lineoauthtest.Fault
		most  int // issues in an hour of 20 processes
	}{
		"answers are lost": {lineoauthtest.Fault{Kind: lineoauthtest.CutBody, Times: -1}, 6},
		"Retry-After":      {lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "3000", Times: -1}, 2},
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, warm %v", name, warm), func(t *testing.T) {
				bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
					store := silent(new(storetest.Memory))
					var sources []*lineoauth.Source
					for range 20 {
						source := newSource(t, srv, shared(store))
						sources = append(sources, source)
						if warm {
							get(t, source)
						}
					}
					if warm {
						time.Sleep(life - time.Minute)
					}
					before := issued(srv)
					srv.Inject(tt.fault)
					for end := time.Now().Add(time.Hour); time.Now().Before(end); time.Sleep(5 * time.Second) {
						for _, source := range sources {
							_, _ = source.Token(t.Context())
						}
					}
					if n := issued(srv) - before; n < 1 || n > tt.most {
						t.Errorf("%d issues; want at most %d", n, tt.most)
					}
					srv.ClearFaults()
					time.Sleep(25 * time.Hour)
					for _, source := range sources {
						get(t, source)
					}
				})
			})
		}
	}
}

// A look on a notice is no call for a token.
func TestIdleSourceIssuesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		source := newSource(t, srv, shared(store))
		get(t, source)
		for range 2 * int(life/time.Minute) {
			time.Sleep(time.Minute)
			store.endWatch() // so that it begins again, and tells
			synctest.Wait()
		}
		if n := issued(srv); n != 1 {
			t.Errorf("%d tokens were issued while nobody asked", n)
		}
		get(t, source)
	})
}

// Clocks that are seconds apart lead to no quarrel over which token is newer.
func TestClocksApart(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		ahead := newSource(t, srv, shared(store), func(cfg *lineoauth.Config) {
			cfg.Now = func() time.Time { return time.Now().Add(5 * time.Second) }
		})
		first := get(t, ahead)
		behind := newSource(t, srv, shared(store))
		get(t, behind)
		synctest.Wait()
		var saves atomic.Int32
		store.set(func(context.Context) error {
			if saves.Add(1) > 100 {
				return errDown
			}
			return nil
		}, "Save")
		behind.Invalidate(first)
		synctest.Wait()
		time.Sleep(time.Second)
		if get(t, ahead) == first || get(t, ahead) != get(t, behind) || saves.Load() != 1 || issued(srv) != 2 {
			t.Errorf("%d saves, %d issues; want 1 and 2, and one token", saves.Load(), issued(srv))
		}
	})
}

// A token that is in the store after all stays alive for the others.
func TestRevokeAfterAnUnheardSave(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		memory := new(storetest.Memory)
		source := newSource(t, srv, shared(silent(&unheard{memory})))
		first := get(t, source)
		if get(t, newSource(t, srv, shared(memory))) != first {
			t.Fatal("the token is not there")
		}
		if err := source.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(srv.State().Tokens); n != 1 {
			t.Errorf("%d tokens are alive; want the shared one", n)
		}
	})
}

// unheard is a store that saves, and fails.
type unheard struct{ *storetest.Memory }

func (u *unheard) Save(ctx context.Context, key, revision string, value []byte, expiresAt time.Time) error {
	return errors.Join(u.Memory.Save(ctx, key, revision, value, expiresAt), errDown)
}

// A store that loses its entry while a token is issued gets the new one.
func TestEntryVanishes(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		cfg := shared(silent(store))
		source := newSource(t, srv, cfg)
		get(t, source)
		time.Sleep(life)
		store.set(func(context.Context) error {
			store.set(nil, "Save")
			store.StoreWatcher = new(storetest.Memory) // this call is the only one
			return nil
		}, "Save")
		if second := get(t, source); get(t, newSource(t, srv, cfg)) != second || issued(srv) != 2 {
			t.Errorf("%d issues; want 2", issued(srv))
		}
	})
}

// A store that never answers a save costs no place but one, and no caller.
func TestSaveNeverEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		store := breakable(new(storetest.Memory))
		store.set(func(context.Context) error { <-release; return nil }, "Save")
		source := newSource(t, srv, shared(silent(store)))
		get(t, source)
		use(t, 10*time.Minute, source)
		if n := issued(srv); n != 1 {
			t.Errorf("%d issues; want 1", n)
		}
		_ = source.Close()
		close(release)
	})
}

// A store that never answers does not keep stateless tokens from anybody.
func TestLoadNeverEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		store := breakable(new(storetest.Memory))
		store.set(func(context.Context) error { <-release; return nil }, "Load")
		source := newSource(t, srv, lineoauth.SourceConfig{Store: silent(store)})
		get(t, source)
		_ = source.Close()
		close(release)
	})
}

// FreshToken waits for the process that refreshes.
func TestFreshTokenOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		one := newSource(t, srv, shared(store))
		first := get(t, one)
		time.Sleep(life - 30*time.Second)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 2 * time.Second})
		get(t, one) // begins the refresh
		synctest.Wait()
		token, err := newSource(t, srv, shared(store)).FreshToken(t.Context())
		if err != nil || token.AccessToken.Reveal() == first || issued(srv) != 2 {
			t.Errorf("the old token, %v, %d issues", err, issued(srv))
		}
	})
}

// What is no live Bearer token of its kind is not stored, nor taken.
func TestStoreTokenRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := new(storetest.Memory)
		client := newClient(t, srv.Config())
		good, err := client.IssueChannelToken(t.Context(), life)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*lineoauth.Token){
			"basic":      func(token *lineoauth.Token) { token.TokenType = "Basic" },
			"of later":   func(token *lineoauth.Token) { token.IssuedAt = time.Now().Add(life) },
			"no text":    func(token *lineoauth.Token) { token.AccessToken = lineoauth.Secret{} },
			"no life":    func(token *lineoauth.Token) { token.ExpiresIn = 0 },
			"strange id": func(token *lineoauth.Token) { token.KeyID = "a b" },
			"no kind":    func(token *lineoauth.Token) { token.Kind = "" },
			"long-lived": func(token *lineoauth.Token) { token.Kind = lineoauthtest.LongLived },
		} {
			token := *good
			change(&token)
			if err := client.StoreToken(t.Context(), store, &token); !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// A source of no kind has stateless ones; a caller is to say so.
		for _, kind := range []lineoauth.Kind{"", lineoauthtest.LongLived} {
			if token, err := client.StoredToken(t.Context(), store, kind); token != nil || !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("StoredToken of kind %q = %v, %v", kind, token, err)
			}
		}
		if err := client.StoreToken(t.Context(), store, nil); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("nil: %v", err)
		}
		// It would stand in the place of the v2.1 token that this client issues.
		short, err := client.IssueShortLivedChannelToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg := srv.Config()
		cfg.ChannelSecret = lineoauth.Secret{}
		if err := newClient(t, cfg).StoreToken(t.Context(), store, short); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("a short-lived token, by a client with a key alone: %v", err)
		}
	})
}

// Whoever waits for what another has to wait for looks no more often than else.
func TestHeldBackLooksSeldom(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		one, other := newSource(t, srv, shared(store)), newSource(t, srv, shared(silent(store)))
		get(t, one)
		get(t, other)
		time.Sleep(life - time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "3000"})
		get(t, one)
		synctest.Wait()
		var loads atomic.Int32
		store.set(func(context.Context) error { loads.Add(1); return nil }, "Load")
		use(t, 10*time.Second, other)
		if n := loads.Load(); n < 5 || n > 15 || issued(srv) != 2 {
			t.Errorf("%d looks in 10 s, %d issues", n, issued(srv))
		}
	})
}

// When the store is back, nobody waits for longer because it was down.
func TestStoreIsBack(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		mend := store.allDown()
		source := newSource(t, srv, shared(store))
		for range 60 {
			if _, err := source.Token(t.Context()); !errors.Is(err, errDown) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(time.Second)
		}
		mend()
		store.endWatch()
		time.Sleep(time.Second) // the watch begins again
		get(t, source)
	})
}

// Close waits for a token to be saved that took a place, and for no longer than
// a store has time.
func TestCloseWaitsForASave(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		store := breakable(new(storetest.Memory))
		store.set(func(context.Context) error {
			time.Sleep(2 * time.Second)
			return nil
		}, "Save")
		source := newSource(t, srv, shared(store))
		go func() { _, _ = source.Token(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		_ = source.Close()
		if token, err := newClient(t, srv.Config()).StoredToken(t.Context(), store, lineoauth.V21); token == nil || time.Since(start) > 3*time.Second {
			t.Errorf("after %v: %v, %v", time.Since(start), token, err)
		}
	})
}
