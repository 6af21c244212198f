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

// put stores what a test likes in the place of the shared token.
func put(t *testing.T, st store.Store, key, value string) {
	t.Helper()
	entry, err := st.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Save(t.Context(), key, store.Update{Value: []byte(value), Replaces: entry.Revision, Lifetime: life}); err != nil {
		t.Fatal(err)
	}
}

// keys notes the keys that a store is asked for.
type keys struct {
	store.Store
	seen map[string]bool
}

func (k *keys) Load(ctx context.Context, key string) (store.Entry, error) {
	k.seen[key] = true
	return k.Store.Load(ctx, key)
}

func TestStoredEntries(t *testing.T) {
	const good = `{"version":2,"key":"KEY","token":{"access_token":"aaa.bbb.ccc","token_type":"Bearer","type":"v2.1","key_id":"kid","issued_at":"2000-01-01T00:00:00Z","expires_in":3600,"left_ms":3600000}}`
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			panic(from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, tt := range map[string]struct {
		entry          string
		taken, failed  bool // adopted; reported
		issued, stands bool // another token was issued; the entry was left alone
	}{
		"good":                    {good, true, false, false, true},
		"with a field of later":   {change("{", `{"hint":"x",`), true, false, false, true},
		"issued in the future":    {change("2000", "2100"), true, false, false, true}, // by whose clock?
		"a short wait":            {change("}}", `},"hold_ms":1}`), true, false, false, true},
		"expired":                 {change(`"left_ms":3600000`, `"left_ms":0`), false, false, true, false},
		"torn":                    {good[:len(good)/2], false, true, true, false},
		"foreign":                 {`{"access_token":"aaa.bbb.ccc"}`, false, true, true, false},
		"an older format":         {change(`"version":2`, `"version":1`), false, true, true, false},
		"of another channel":      {change("KEY", "1/v2.1/https://api.line.me"), false, true, true, false},
		"characters of no token":  {change("bbb", `$(id)\n`), false, true, true, false},
		"no token":                {change("aaa.bbb.ccc", ""), false, true, true, false},
		"no lifetime":             {change(`"expires_in":3600`, `"expires_in":-1`), false, true, true, false},
		"longer than its life":    {change(`"left_ms":3600000`, `"left_ms":3600001`), false, true, true, false},
		"of another kind":         {change(`"v2.1"`, `"stateless"`), false, true, true, false},
		"no Bearer token":         {change("Bearer", "Basic"), false, true, true, false},
		"a wait of a century":     {`{"version":2,"key":"KEY","hold_ms":3155760000000}`, false, true, true, false},
		"a wait beyond all time":  {`{"version":2,"key":"KEY","hold_ms":9223372036854775807}`, false, true, true, false},
		"losses without end":      {`{"version":2,"key":"KEY","lost":-1}`, false, true, true, false},
		"a newer format":          {change(`"version":2`, `"version":3`), false, true, false, true},
		"sealed by another's key": {`{"version":2,"sealed":"eHh4"}`, false, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				st := &keys{new(store.Memory), map[string]bool{}}
				var seen events
				source := newSource(t, srv, shared(st), seen.record)
				client := newClient(t, srv.Config())
				if token, err := client.StoredToken(t.Context(), st, lineoauth.V21); token != nil || err != nil {
					t.Fatalf("StoredToken of an empty store = %v, %v", token, err)
				}
				key := storeKey(srv)
				if !st.seen[key] || len(st.seen) != 1 {
					t.Errorf("keys %v, want %q", st.seen, key)
				}
				entry := strings.Replace(tt.entry, "KEY", key, 1)
				put(t, st, key, entry)

				token, err := source.Token(t.Context())
				if (err == nil) != (tt.taken || tt.issued) {
					t.Fatal(err)
				}
				if err == nil && (token.AccessToken.Reveal() == "aaa.bbb.ccc") != tt.taken {
					t.Errorf("the entry was adopted: %v, want %v", !tt.taken, tt.taken)
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
				if now, _ := st.Store.Load(t.Context(), key); (string(now.Value) == entry) != tt.stands {
					t.Errorf("the entry stands: %v, want %v", !tt.stands, tt.stands)
				}
				_, err = client.StoredToken(t.Context(), st, lineoauth.V21)
				if (err == nil) != (tt.taken || tt.issued) {
					t.Errorf("StoredToken: %v", err)
				}
			})
		})
	}
}

// A token from elsewhere reaches the sources, and the other way round.
func TestStoreToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		client := newClient(t, srv.Config())
		source := newSource(t, srv, shared(st))
		get(t, source)
		time.Sleep(time.Second)
		token, err := client.IssueChannelToken(t.Context(), life)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.StoreToken(t.Context(), st, token); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if get(t, source) != token.AccessToken.Reveal() {
			t.Error("the source does not adopt a token that was stored manually")
		}
		stored, err := client.StoredToken(t.Context(), st, lineoauth.V21)
		if err != nil || stored.AccessToken.Reveal() != token.AccessToken.Reveal() || stored.KeyID != token.KeyID || !stored.ExpiresAt().Equal(token.ExpiresAt()) || stored.Kind != lineoauth.V21 {
			t.Errorf("StoredToken = %+v, %v; want %+v", stored, err, token)
		}
		put(t, st, storeKey(srv), "garbage")
		for _, want := range []error{store.ErrCorrupt, nil} { // it is replaced
			if err := client.CheckStore(t.Context(), st, lineoauth.V21); !errors.Is(err, want) {
				t.Errorf("CheckStore, with something damaged: %v", err)
			}
		}
		put(t, st, storeKey(srv), "garbage")
		if err := client.StoreToken(t.Context(), st, stored); err != nil {
			t.Errorf("over something damaged: %v", err)
		}
		broken := breakable(st)
		broken.set(down, "Save")
		if err := client.StoreToken(t.Context(), broken, stored); !errors.Is(err, errDown) {
			t.Errorf("StoreToken with a store that fails: %v", err)
		}
		if err := client.CheckStore(t.Context(), broken, lineoauth.V21); !errors.Is(err, errDown) {
			t.Errorf("CheckStore of a store that fails: %v", err)
		}
		time.Sleep(life)
		if err := client.StoreToken(t.Context(), st, token); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("a token that has expired: %v", err)
		}
	})
}

// A store that always conflicts ends neither of them in a loop.
func TestStoreTokenEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		st.set(func(context.Context) error { return store.ErrConflict }, "Save")
		client := newClient(t, srv.Config())
		token, err := client.IssueChannelToken(t.Context(), life)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := client.StoreToken(t.Context(), st, token); !errors.Is(err, store.ErrConflict) {
			t.Errorf("StoreToken: %v", err)
		}
		if err := client.CheckStore(t.Context(), st, lineoauth.V21); !errors.Is(err, store.ErrConflict) {
			t.Errorf("CheckStore: %v", err)
		}
		if n := st.calls.Load(); n > 20 || time.Since(start) > 5*time.Second {
			t.Errorf("%d calls in %v", n, time.Since(start))
		}
	})
}

// What is no valid Bearer token of its kind is not stored, nor adopted.
func TestStoreTokenRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		client := newClient(t, srv.Config())
		good, err := client.IssueChannelToken(t.Context(), life)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*lineoauth.Token){
			"basic":           func(token *lineoauth.Token) { token.TokenType = "Basic" },
			"of later":        func(token *lineoauth.Token) { token.IssuedAt = time.Now().Add(life) },
			"no text":         func(token *lineoauth.Token) { token.AccessToken = lineoauth.Secret{} },
			"no lifetime":     func(token *lineoauth.Token) { token.ExpiresIn = 0 },
			"a key ID of two": func(token *lineoauth.Token) { token.KeyID = "a b" },
			"no kind":         func(token *lineoauth.Token) { token.Kind = "" },
			"long-lived":      func(token *lineoauth.Token) { token.Kind = lineoauthtest.LongLived },
		} {
			token := *good
			change(&token)
			if err := client.StoreToken(t.Context(), st, &token); !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// A source of no kind has stateless ones; a caller is to say so.
		for _, kind := range []lineoauth.Kind{"", lineoauthtest.LongLived} {
			if token, err := client.StoredToken(t.Context(), st, kind); token != nil || !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("StoredToken of kind %q = %v, %v", kind, token, err)
			}
			if err := client.CheckStore(t.Context(), st, kind); !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("CheckStore of kind %q: %v", kind, err)
			}
		}
		if err := client.StoreToken(t.Context(), st, nil); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("no token: %v", err)
		}
		if err := client.StoreToken(t.Context(), nil, good); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("no store: %v", err)
		}
		// It would stand in the place of the v2.1 token that this client issues.
		short, err := client.IssueShortLivedChannelToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg := srv.Config()
		cfg.ChannelSecret = lineoauth.Secret{}
		if err := newClient(t, cfg).StoreToken(t.Context(), st, short); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("a short-lived token, by a client with a key alone: %v", err)
		}
	})
}

// A token of a machine whose clock is ahead is stored, and found.
func TestStoreTokenOfAnotherClock(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		client, st := newClient(t, srv.Config()), new(store.Memory)
		token, err := client.IssueChannelToken(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		token.IssuedAt = token.IssuedAt.Add(20 * time.Second)
		if err := client.StoreToken(t.Context(), st, token); err != nil {
			t.Fatal(err)
		}
		if found, err := client.StoredToken(t.Context(), st, lineoauth.V21); err != nil || found == nil {
			t.Errorf("StoredToken = %v, %v", found, err)
		}
	})
}
