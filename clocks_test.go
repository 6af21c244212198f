package lineoauth_test

import (
	"crypto"
	"crypto/rsa"
	"io"
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

// ahead sets a process's wall clock; its monotonic clock is unchanged.
func ahead(d time.Duration) func(*lineoauth.Config) {
	return func(cfg *lineoauth.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(d) }
		cfg.MaxClockSkew = 24 * time.Hour
	}
}

// Processes whose clocks are apart have one token, and do not fight over it.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	for name, st := range map[string]store.Watcher{"watched": new(store.Memory), "silent": new(store.Memory)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				calls := breakable(st)
				var seen store.Store = calls
				if name == "silent" {
					seen = silent(calls)
				}
				var sources []*lineoauth.Source
				for _, apart := range []time.Duration{0, 5 * time.Second, 2 * time.Minute, 9 * time.Hour, -9 * time.Hour} {
					sources = append(sources, newSource(t, srv, shared(seen), ahead(apart)))
				}
				tokens := func() (n uint64) { // a call with another clock's assertion may be refused
					for _, source := range sources {
						n += source.Stats().Issued
					}
					return n
				}
				for period := range 5 {
					for range 60 { // minutes
						for i, source := range sources {
							token := get(t, source)
							if _, err := newClient(t, srv.Config()).VerifyChannelToken(t.Context(), token); err != nil {
								t.Fatalf("source %d: %v", i, err)
							}
						}
						time.Sleep(time.Minute)
					}
					if n := tokens(); n > uint64(period)+2 {
						t.Fatalf("%d tokens were issued in %d hours", n, period+1)
					}
				}
				// Five processes, each with a look a minute and a few calls a refresh.
				if n := calls.calls.Load(); n > 5*300+5*50 {
					t.Errorf("%d calls of the store in 5 hours", n)
				}
				// A job that restarts takes the token, whatever its clock shows.
				before := issued(srv)
				for i := range 40 {
					source := newSource(t, srv, shared(seen), ahead(time.Duration(i-20)*time.Hour))
					get(t, source)
					_ = source.Close()
				}
				if n := issued(srv) - before; n > 0 {
					t.Errorf("40 starts issued %d tokens", n)
				}
			})
		})
	}
}

// A clock that is set back prolongs no life, and keeps no store busy.
func TestClockIsSetBack(t *testing.T) {
	for _, back := range []time.Duration{5 * time.Minute, time.Hour, 9 * time.Hour} {
		for _, kind := range []lineoauth.Kind{lineoauth.Stateless, lineoauth.V21} {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				var step atomic.Int64
				st := breakable(new(store.Memory))
				cfg := lineoauth.SourceConfig{Kind: kind, Store: st}
				if kind == lineoauth.V21 {
					cfg.ValidFor = 15 * time.Minute
				}
				source := newSource(t, srv, cfg, func(cfg *lineoauth.Config) {
					cfg.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
					cfg.MaxClockSkew = 10 * time.Hour
				})
				get(t, source)
				time.Sleep(time.Minute)
				// This sets back both clocks; up to a minute since the last look is lost.
				get(t, source)
				step.Store(-int64(back))
				for range 120 { // minutes
					token := get(t, source)
					if _, err := newClient(t, srv.Config()).VerifyChannelToken(t.Context(), token); err != nil {
						t.Fatalf("%s, %v back: %v", kind, back, err)
					}
					time.Sleep(time.Minute)
				}
				if n := st.calls.Load(); n > 250 {
					t.Errorf("%s, %v back: %d calls of the store in 2 hours", kind, back, n)
				}
			})
		}
	}
}

// A date in Retry-After is read by LINE's clock.
func TestRetryAfterByLINEsClock(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		for _, apart := range []time.Duration{0, 9 * time.Hour, -9 * time.Hour} {
			date := time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)
			source := newSource(t, srv, lineoauth.SourceConfig{}, ahead(apart))
			srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: date, Operation: issueStateless})
			if _, err := source.Token(t.Context()); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(18 * time.Second)
			if _, err := source.Token(t.Context()); err == nil {
				t.Errorf("%v apart: LINE's wait was not heeded", apart)
			}
			time.Sleep(3 * time.Second)
			get(t, source)
		}
	})
}

// A 401 for a token that has expired meanwhile is no refusal, and asks LINE
// nothing.
func TestInvalidateAfterExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		time.Sleep(15 * time.Minute)
		if !refused(t, source, first) || get(t, source) == first {
			t.Error("the expired token is in use")
		}
		if stats := source.Stats(); stats.Invalidated != 0 || srv.State().Calls[lineoauth.OpVerifyChannelTokenByJWT] != 0 {
			t.Errorf("%+v, calls %v", stats, srv.State().Calls)
		}
	})
}

// countedSigner takes a second for each signature.
type countedSigner struct {
	*rsa.PrivateKey
	calls atomic.Int32
}

func (s *countedSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.calls.Add(1)
	time.Sleep(time.Second)
	return s.PrivateKey.Sign(r, digest, opts)
}

// Callers that need an assertion at once share one signature, which a KMS may
// bill.
func TestAssertionIsSignedOnce(t *testing.T) {
	signer := &countedSigner{PrivateKey: testSigner(t)}
	synctest.Test(t, func(t *testing.T) {
		key, err := lineoauth.NewKey(signer, "kid")
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, lineoauth.Config{ChannelID: "1", Key: key})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := client.Assertion(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	if n := signer.calls.Load(); n != 1 {
		t.Errorf("%d signatures", n)
	}
}
