package lineoauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

const issueV21 = lineoauth.OpIssueChannelTokenByJWT

// life is long enough for a refresh window of DefaultRefreshWindow.
const life = time.Hour

func shared(st store.Store) lineoauth.SourceConfig {
	return lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: life, Store: st}
}

// silent hides that a store reports changes.
func silent(st store.Store) store.Store { return struct{ store.Store }{st} }

// brokenStore is a store whose calls fail, hang or are counted as a test wants it.
// Its methods are Load, Lease, Watch, Mark for a save that announces an issue, and
// Save for all other saves.
type brokenStore struct {
	store.Watcher
	mu      sync.Mutex
	faults  map[string]func(context.Context) error // by the method's name
	unwatch context.CancelFunc
	calls   atomic.Int32 // except Watch
}

func breakable(st store.Watcher) *brokenStore {
	return &brokenStore{Watcher: st, faults: map[string]func(context.Context) error{}}
}

// set gives methods a fault; nil removes it.
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

func (b *brokenStore) Load(ctx context.Context, key string) (store.Entry, error) {
	b.calls.Add(1)
	if err := b.fault(ctx, "Load"); err != nil {
		return store.Entry{}, err
	}
	return b.Watcher.Load(ctx, key)
}

func (b *brokenStore) Save(ctx context.Context, key string, update store.Update) (string, error) {
	b.calls.Add(1)
	method := "Save"
	if marks(key, update) {
		method = "Mark"
	}
	if err := b.fault(ctx, method); err != nil {
		return "", err
	}
	return b.Watcher.Save(ctx, key, update)
}

// marks reports whether a save announces an issue.
func marks(key string, update store.Update) bool {
	record, err := store.DecodeRecord(key, update.Value)
	return err == nil && record.Issuing != ""
}

func (b *brokenStore) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	b.calls.Add(1)
	if err := b.fault(ctx, "Lease"); err != nil {
		return nil, err
	}
	return b.Watcher.Lease(ctx, key, ttl)
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
	return b.Watcher.Watch(ctx, key, changed)
}

// endWatch ends the watch that is under way.
func (b *brokenStore) endWatch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unwatch()
}

var errDown = errors.New("the store is down")

func down(context.Context) error { return errDown }

// allDown breaks a store until the returned function fixes it.
func (b *brokenStore) allDown() (fix func()) {
	b.set(down, "Load", "Mark", "Save", "Lease")
	return func() { b.set(nil, "Load", "Mark", "Save", "Lease") }
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

// use asks sources for their tokens every 100 ms, and fails if one ever has none
// or makes its caller wait.
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
				t.Fatalf("after %v: a token that expires at %v", time.Since(start), token.ExpiresAt())
			}
		}
	}
}

// settle gives sources the minute in which they look at a silent store.
func settle(t *testing.T, sources ...*lineoauth.Source) {
	t.Helper()
	time.Sleep(time.Minute)
	for _, source := range sources {
		get(t, source)
	}
	synctest.Wait()
}

func issued(srv *lineoauthtest.Server) int { return srv.State().Calls[issueV21] }

func valid(srv *lineoauthtest.Server) int { return len(srv.State().Tokens) }

// issueByHand puts another token into a store.
func issueByHand(t *testing.T, srv *lineoauthtest.Server, st store.Store) string {
	t.Helper()
	client := newClient(t, srv.Config())
	token, err := client.IssueChannelToken(t.Context(), life)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.StoreToken(t.Context(), st, token); err != nil {
		t.Fatal(err)
	}
	return token.AccessToken.Reveal()
}

func storeKey(srv *lineoauthtest.Server) string {
	return srv.Channel().ID + "/v2.1/" + srv.Config().BaseURL
}

// A process that starts finds the token of before, and issues one only near its
// expiry.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		first := get(t, newSource(t, srv, shared(st)))
		for range 100 {
			var seen events
			source := newSource(t, srv, shared(st), seen.record)
			if get(t, source) != first {
				t.Fatal("a restart brought another token")
			}
			if n, _ := seen.of(lineoauth.EventAdopted); n != 1 || len(seen.seen) != 1 {
				t.Fatalf("events: %v", seen.seen)
			}
			_ = source.Close()
		}
		time.Sleep(life - time.Minute) // behind the window's first half
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second})
		source := newSource(t, srv, shared(st))
		use(t, 4*time.Second, source)
		if get(t, source) != first {
			t.Error("another token before there can be one")
		}
		time.Sleep(3 * time.Second)
		if get(t, source) == first || issued(srv) != 2 {
			t.Errorf("a token that is about to expire was not replaced; %d issues", issued(srv))
		}
		time.Sleep(life)
		get(t, newSource(t, srv, shared(st)))
		if n := issued(srv); n != 3 {
			t.Errorf("%d issues; want one more for a token that has expired", n)
		}
	})
}

// The stored token is adopted, whichever was issued last: a revision decides, no
// time.
func TestStoredTokenIsAdopted(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		stored := issueByHand(t, srv, st)
		time.Sleep(time.Second)
		fix := st.allDown()
		cfg := shared(st)
		cfg.IssueWithoutStore = true
		source := newSource(t, srv, cfg)
		if get(t, source) == stored {
			t.Fatal("the store is not down")
		}
		fix()
		settle(t, source)
		if get(t, source) != stored || get(t, newSource(t, srv, shared(st))) != stored || issued(srv) != 2 {
			t.Errorf("another token than the stored one is in use; %d issues", issued(srv))
		}
		if err := source.Revoke(t.Context()); err != nil || valid(srv) != 1 {
			t.Errorf("after Revoke: %v, %d tokens are valid; want the stored one", err, valid(srv))
		}
	})
}

// A store that cannot tell how old its value is costs one request to LINE, and no
// token.
func TestAgeUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		memory := new(store.Memory)
		first := get(t, newSource(t, srv, shared(memory)))
		time.Sleep(life / 2)
		st := &ageless{memory}
		source := newSource(t, srv, shared(st))
		token, err := source.Token(t.Context())
		if err != nil || token.AccessToken.Reveal() != first {
			t.Fatalf("the stored token is not used: %v", err)
		}
		if left := time.Until(token.ExpiresAt()); left > life/2 || left < life/2-time.Minute {
			t.Errorf("the token is valid for %v more", left)
		}
		calls := srv.State().Calls
		if n := calls[lineoauth.OpVerifyChannelTokenByJWT]; n != 1 || calls[issueV21] != 1 {
			t.Errorf("%d verifications, %d issues; want 1 and 1", n, calls[issueV21])
		}
		time.Sleep(life / 2)
		if get(t, newSource(t, srv, shared(st))) == first || issued(srv) != 2 {
			t.Errorf("an expired token of unknown age was adopted; %d issues", issued(srv))
		}
	})
}

// ageless is a store without a clock.
type ageless struct{ *store.Memory }

func (a *ageless) Load(ctx context.Context, key string) (store.Entry, error) {
	entry, err := a.Memory.Load(ctx, key)
	entry.Age = store.AgeUnknown
	return entry, err
}

// A stored token that LINE cannot be asked about, and whose age nothing shows, stops no
// process for longer than it can be valid.
func TestUnknownAgeAndNoVerification(t *testing.T) {
	for name, answer := range map[string]http.RoundTripper{
		"another text": fixed(http.StatusBadRequest, http.Header{"Content-Type": {"application/json"}}, refusal("invalid_request", "The access token is not found")),
		"401":          fixed(http.StatusUnauthorized, http.Header{"Content-Type": {"application/json"}}, refusal("invalid_token", "x")),
		"500":          fixed(http.StatusInternalServerError, http.Header{}, ""),
	} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			st := &ageless{new(store.Memory)}
			get(t, newSource(t, srv, shared(st)))
			time.Sleep(2 * life)
			next := newSource(t, srv, shared(st), func(cfg *lineoauth.Config) {
				line := cfg.Transport
				cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, "/verify") {
						return answer.RoundTrip(r)
					}
					return line.RoundTrip(r)
				})
			})
			begun := time.Now()
			_, err := next.Token(t.Context())
			if err == nil {
				t.Errorf("%s: a token was issued beside one that may be valid", name)
			}
			for err != nil && time.Since(begun) < 2*life {
				time.Sleep(time.Minute)
				_, err = next.Token(t.Context())
			}
			if took := time.Since(begun); err != nil || took > life+2*time.Minute || issued(srv) != 2 {
				t.Errorf("%s: after %v: %v; %d issues", name, took, err, issued(srv))
			}
		})
	}
}

// A store that shows the token in use as expired, while LINE cannot be asked, does not
// keep it from being refreshed.
func TestStoreIsAhead(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := &older{Memory: new(store.Memory)}
		var seen events
		source := newSource(t, srv, shared(silent(st)), seen.record)
		get(t, source)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauth.OpVerifyChannelTokenByJWT, Times: -1})
		st.by = 2 * life
		use(t, life-time.Minute, source)
		if n, last := seen.of(lineoauth.EventRefreshFailed); n > 0 || issued(srv) != 2 {
			t.Errorf("%d failed refreshes, at last %v; %d issues", n, last.Err, issued(srv))
		}
	})
}

// older is a store whose clock is ahead of when it saved.
type older struct {
	*store.Memory
	by time.Duration
}

func (o *older) Load(ctx context.Context, key string) (store.Entry, error) {
	entry, err := o.Memory.Load(ctx, key)
	entry.Age += o.by
	return entry, err
}

// A channel without a secret gets v2.1 tokens for short-lived ones, and shares
// them as what they are.
func TestShortLivedByKeyIsShared(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		keyOnly := func(cfg *lineoauth.Config) { cfg.ChannelSecret = lineoauth.Secret{} }
		one := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived, Store: st}, keyOnly)
		other := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21, Store: st})
		if get(t, one) != get(t, other) || issued(srv) != 1 {
			t.Errorf("%d issues; want 1", issued(srv))
		}
		// And with the secret, they are two.
		secret := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived, Store: st})
		if get(t, secret) == get(t, other) {
			t.Error("a short-lived token is not told from a v2.1 one")
		}
	})
}

func TestHotPathDoesNotTouchTheStore(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	looked := make(chan struct{}, 100)
	st := breakable(new(store.Memory))
	source, err := newClient(t, srv.Config()).Source(shared(silent(st)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	get(t, source)
	st.set(func(context.Context) error { looked <- struct{}{}; return nil }, "Load")
	ctx := t.Context()
	if n := testing.AllocsPerRun(10_000, func() { _, _ = source.Token(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := len(looked); n != 0 {
		t.Errorf("10,000 calls looked into the store %d times", n)
	}
}

// Close and Revoke leave what others use.
func TestCloseLeavesTheSharedToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		one, other := newSource(t, srv, shared(st)), newSource(t, srv, shared(st))
		first := get(t, one)
		get(t, other)
		if err := one.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if valid(srv) != 1 {
			t.Errorf("%d tokens are valid after one of two sources was revoked; want 1", valid(srv))
		}
		if get(t, other) != first {
			t.Error("the other source lost its token")
		}
	})
}
