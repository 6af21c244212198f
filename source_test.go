package lineoauth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

const issueStateless = lineoauth.OpIssueStatelessChannelToken

func newSource(t *testing.T, srv *lineoauthtest.Server, cfg lineoauth.SourceConfig, change ...func(*lineoauth.Config)) *lineoauth.Source {
	t.Helper()
	clientConfig := srv.Config()
	for _, c := range change {
		c(&clientConfig)
	}
	source, err := newClient(t, clientConfig).Source(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	return source
}

func get(t *testing.T, source *lineoauth.Source) string {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken.Reveal()
}

// refused is what a Transport does when an endpoint answers 401.
func refused(t *testing.T, source *lineoauth.Source, token string) (replaced bool) {
	t.Helper()
	replaced, err := source.Invalidate(t.Context(), token)
	if err != nil {
		t.Error(err)
	}
	return replaced
}

func TestSourceReusesItsToken(t *testing.T) {
	for kind, life := range map[lineoauth.Kind]time.Duration{lineoauth.Stateless: 15 * time.Minute, lineoauth.V21: time.Hour, lineoauth.ShortLived: 30 * 24 * time.Hour} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			cfg := lineoauth.SourceConfig{Kind: kind}
			if kind == lineoauth.V21 {
				cfg.ValidFor = life
			}
			source := newSource(t, srv, cfg)
			first := get(t, source)
			time.Sleep(life/4*3 - time.Second)
			if get(t, source) != first {
				t.Errorf("%s: another token before the window", kind)
			}
			if n := len(srv.State().Tokens); n != 1 {
				t.Errorf("%s: %d tokens were issued", kind, n)
			}
		})
	}
}

// In the window nobody waits for the refresh, and one is enough.
func TestSourceRefreshesAhead(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second, Times: -1})
		time.Sleep(13*time.Minute + 10*time.Second) // behind the window's first half
		start := time.Now()
		for range 100 {
			if get(t, source) != first {
				t.Fatal("another token before there can be one")
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("callers waited %v", took)
		}
		time.Sleep(6 * time.Second)
		if get(t, source) == first {
			t.Error("still the old token after the refresh")
		}
		if n := srv.State().Calls[issueStateless]; n != 2 {
			t.Errorf("%d calls for one refresh", n)
		}
	})
}

func TestColdSourceIssuesOnce(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 3 * time.Second})
		var wg sync.WaitGroup
		var failed atomic.Int32
		for range 1000 {
			wg.Go(func() {
				if _, err := source.Token(t.Context()); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if n := srv.State().Calls[issueStateless]; n != 1 || failed.Load() != 0 {
			t.Errorf("%d calls, %d callers failed", n, failed.Load())
		}
	})
}

// With LINE down, those who wait share one failure, and so do those who come
// soon after.
func TestFailuresAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				_, err := source.Token(t.Context())
				if e := new(lineoauth.Error); !errors.As(err, &e) || e.StatusCode != 500 {
					t.Errorf("error = %v", err)
				}
			})
		}
		wg.Wait()
		if n := srv.State().Calls[issueStateless]; n != 1 {
			t.Errorf("%d calls", n)
		}
		// A caller every 10 ms for 10 s: attempts follow each other within a second.
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			if _, err := source.Token(t.Context()); err == nil {
				t.Fatal("no error")
			}
		}
		if n := srv.State().Calls[issueStateless]; n < 10 || n > 25 {
			t.Errorf("%d calls in 10 s", n)
		}
		_, err := source.Token(t.Context())
		if !strings.Contains(err.Error(), "failed attempts") {
			t.Errorf("the error does not say how often: %v", err)
		}
		srv.ClearFaults()
		time.Sleep(time.Second)
		get(t, source)
	})
}

// While a token is valid, no caller sees that LINE fails, however long it does.
func TestOutageInTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
		time.Sleep(13*time.Minute + 10*time.Second)
		for range 200 { // 2 s
			if get(t, source) != first {
				t.Fatal("another token")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := srv.State().Calls[issueStateless] - 1; n < 2 || n > 5 {
			t.Errorf("%d attempts in 2 s of outage", n)
		}
		for range 95 { // nearly to the end
			if get(t, source) != first {
				t.Fatal("another token")
			}
			time.Sleep(time.Second)
		}
		srv.ClearFaults()
		for range 30 {
			start := time.Now()
			get(t, source)
			if took := time.Since(start); took != 0 {
				t.Errorf("a caller waited %v", took)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if get(t, source) == first {
			t.Error("LINE is back, the token is still the old one")
		}
	})
}

func TestAfterExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		time.Sleep(15 * time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "20"})
		for range 2 {
			if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrRateLimited) {
				t.Errorf("error = %v", err)
			}
			time.Sleep(19 * time.Second / 2)
		}
		if n := srv.State().Calls[issueStateless]; n != 2 {
			t.Errorf("%d calls; Retry-After was not heeded", n)
		}
		time.Sleep(2 * time.Second)
		if get(t, source) == first {
			t.Error("the expired token")
		}
	})
}

// A caller leaves on its own deadline, whichever caller began the refresh, and
// the others stay.
func TestCallersLeaveAlone(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 500 * time.Millisecond})
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := source.Token(ctx)
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 50*time.Millisecond {
					t.Errorf("caller %d: after %v: %v", i, took, err)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() {
			if _, err := source.Token(t.Context()); err != nil {
				t.Errorf("the caller without a deadline: %v", err)
			}
		})
		wg.Wait()
		if n := srv.State().Calls[issueStateless]; n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// LINE decides whether a token that an endpoint refused is valid.
func TestInvalidate(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		if !refused(t, source, "another") || get(t, source) != first {
			t.Error("Invalidate dropped a token that it does not name")
		}
		if refused(t, source, first) || get(t, source) != first {
			t.Error("a token that LINE accepts was dropped")
		}
		time.Sleep(2 * time.Minute)
		srv.Channel().RevokeToken(first)
		if !refused(t, source, first) {
			t.Error("a token that LINE does not accept was not replaced")
		}
		second := get(t, source)
		if second == first {
			t.Error("the invalidated token")
		}
		if !refused(t, source, first) || get(t, source) != second { // a late 401
			t.Error("a late Invalidate dropped the newer token")
		}
		if n := srv.State().Calls[issueStateless]; n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

// While LINE cannot say whether a token is valid, it stays in use until there is
// another.
func TestInvalidateWhileLINEIsDown(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21})
		first := get(t, source)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
		for range 100 {
			replaced, err := source.Invalidate(t.Context(), first)
			if e := new(lineoauth.Error); replaced || !errors.As(err, &e) || e.StatusCode != 500 {
				t.Fatalf("Invalidate = %v, %v", replaced, err)
			}
			if get(t, source) != first {
				t.Fatal("the token was dropped without asking LINE")
			}
			time.Sleep(time.Second)
		}
		srv.ClearFaults()
		time.Sleep(time.Minute)
		get(t, source)
		synctest.Wait()
		if get(t, source) == first {
			t.Error("the token that may be invalid was not replaced")
		}
	})
}

// Many callers with the same 401 ask LINE once, and again after a second at the
// earliest.
func TestInvalidateAsksOnce(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { refused(t, source, first) })
		}
		wg.Wait()
		for range 100 { // 10 s
			time.Sleep(100 * time.Millisecond)
			refused(t, source, first)
		}
		if n := srv.State().Calls[lineoauth.OpVerifyChannelTokenByJWT]; n < 5 || n > 12 {
			t.Errorf("LINE was asked %d times", n)
		}
		if get(t, source) != first || srv.State().Calls[issueStateless] != 1 {
			t.Error("the token was replaced")
		}
	})
}

func TestInvalidateDuringARefresh(t *testing.T) {
	for _, outcome := range []lineoauthtest.FaultKind{lineoauthtest.Delayed, lineoauthtest.ServerError} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			source := newSource(t, srv, lineoauth.SourceConfig{})
			first := get(t, source)
			time.Sleep(13*time.Minute + 10*time.Second)
			srv.Channel().RevokeToken(first)
			srv.Inject(lineoauthtest.Fault{Kind: outcome, Delay: time.Second, Operation: issueStateless})
			get(t, source) // starts it
			if !refused(t, source, first) {
				t.Error("the revoked token is in use")
			}
			synctest.Wait()
			time.Sleep(2 * time.Second)
			if got := get(t, source); got == first {
				t.Errorf("%s: the invalidated token came back", outcome)
			}
		})
	}
}

// Tokens that are revoked as soon as they are issued are issued ever more slowly.
func TestRefusedTokensAreIssuedSlowly(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21})
		var failed int
		for range 1000 { // 100 s
			token, err := source.Token(t.Context())
			if err == nil {
				srv.Channel().RevokeToken(token.AccessToken.Reveal())
				time.Sleep(time.Second)
				refused(t, source, token.AccessToken.Reveal())
			} else {
				failed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := srv.State().Calls[lineoauth.OpIssueChannelTokenByJWT]; n < 3 || n > 12 || failed == 0 {
			t.Errorf("%d tokens in 100 s, %d calls failed", n, failed)
		}
	})
}

// Revoke waits for a token that is on its way, and for nothing else.
func TestRevokeWaitsForNoOther(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *lineoauthtest.Server, store.Store){
		"LINE asks to wait": func(_ *testing.T, srv *lineoauthtest.Server, _ store.Store) {
			srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "25"})
		},
		"another process has the lease": func(t *testing.T, srv *lineoauthtest.Server, st store.Store) {
			if _, err := st.Lease(t.Context(), storeKey(srv), 20*time.Second); err != nil {
				t.Fatal(err)
			}
		},
	} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			st := new(store.Memory)
			prepare(t, srv, st)
			source, err := retrying(t, srv.Config()).Source(shared(silent(st)))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() { _, err := source.Token(t.Context()); ended <- err }()
			time.Sleep(time.Second)
			begun := time.Now()
			if err := source.Revoke(t.Context()); err != nil || time.Since(begun) > 100*time.Millisecond {
				t.Errorf("%s: Revoke took %v: %v", name, time.Since(begun), err)
			}
			if err := <-ended; !errors.Is(err, lineoauth.ErrClosed) {
				t.Errorf("%s: the caller got %v", name, err)
			}
			if n := len(srv.State().Tokens); n != 0 {
				t.Errorf("%s: %d tokens are valid", name, n)
			}
		})
	}
}

// A token that LINE refuses to revoke, since it is not valid, does not count any more.
func TestRevokeOfAnInvalidToken(t *testing.T) {
	for _, kind := range []lineoauth.Kind{lineoauth.V21, lineoauth.ShortLived} {
		for text, wantErr := range map[string]bool{"The access token revoked": false, "access_token expired": false, "client_id is required.": true} {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				source := newSource(t, srv, lineoauth.SourceConfig{Kind: kind}, func(cfg *lineoauth.Config) {
					line, refusing := cfg.Transport, fixed(http.StatusBadRequest, http.Header{"Content-Type": {"application/json"}}, refusal("invalid_request", text))
					cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
						if strings.HasSuffix(r.URL.Path, "/revoke") {
							return refusing.RoundTrip(r)
						}
						return line.RoundTrip(r)
					})
				})
				get(t, source)
				if err := source.Revoke(t.Context()); (err != nil) != wantErr {
					t.Errorf("%s, %s: %v", kind, text, err)
				}
			})
		}
	}
}

func TestCloseAndRevoke(t *testing.T) {
	for _, kind := range []lineoauth.Kind{lineoauth.Stateless, lineoauth.V21, lineoauth.ShortLived} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			source := newSource(t, srv, lineoauth.SourceConfig{Kind: kind})
			get(t, source)
			if kind != lineoauth.Stateless {
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
				if err := source.Revoke(t.Context()); err == nil {
					t.Error("no error of a failed revocation")
				}
			}
			for range 2 {
				if err := source.Revoke(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if n := len(srv.State().Tokens); (n == 0) == (kind == lineoauth.Stateless) {
				t.Errorf("%s: %d tokens are valid", kind, n)
			}
			if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrClosed) {
				t.Errorf("after Revoke: %v", err)
			}
		})
	}
}

// Close ends a refresh that hangs, and leaves no goroutine: the bubble would
// say so.
func TestCloseEndsARefresh(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 9 * time.Second})
		done := make(chan error)
		go func() {
			_, err := source.Token(t.Context())
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		_ = source.Close()
		if err := <-done; !errors.Is(err, lineoauth.ErrClosed) || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestRefreshTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{RefreshTimeout: 3 * time.Second})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Hour})
		start := time.Now()
		if _, err := source.Token(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestSourceConfigRefuses(t *testing.T) {
	client := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s3cret")})
	for _, cfg := range []lineoauth.SourceConfig{{Kind: "x"}, {Kind: lineoauthtest.LongLived}, {ValidFor: time.Hour}, {Kind: lineoauth.V21, ValidFor: 31 * 24 * time.Hour}, {Kind: lineoauth.V21, ValidFor: time.Millisecond}, {RefreshWindow: -1}, {RefreshTimeout: -1}} {
		if _, err := client.Source(cfg); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	// What the client cannot issue is refused at once.
	given := client.WithAssertion("given")
	for name, tt := range map[string]struct {
		client *lineoauth.Client
		cfg    lineoauth.SourceConfig
		want   error
	}{
		"V21 without a key":            {client, lineoauth.SourceConfig{Kind: lineoauth.V21}, lineoauth.ErrMissingCredentials},
		"nothing":                      {newClient(t, lineoauth.Config{}), lineoauth.SourceConfig{}, lineoauth.ErrMissingCredentials},
		"no secret":                    {newClient(t, lineoauth.Config{ChannelID: "1"}), lineoauth.SourceConfig{Kind: lineoauth.ShortLived}, lineoauth.ErrMissingCredentials},
		"ValidFor beside an assertion": {given, lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: time.Hour}, lineoauth.ErrInvalid},
		"a store without a channel":    {newClient(t, lineoauth.Config{}).WithAssertion("given"), lineoauth.SourceConfig{Store: new(store.Memory)}, lineoauth.ErrInvalid},
	} {
		if _, err := tt.client.Source(tt.cfg); !errors.Is(err, tt.want) || !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cfg := range []lineoauth.SourceConfig{{}, {Kind: lineoauth.V21}, {Kind: lineoauth.ShortLived}} {
		if _, err := given.Source(cfg); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestSourcePrintsNoToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		token := get(t, source)
		if text := fmt.Sprintf("%v %+v %#v %s", source, source, source, &lineoauth.Transport{Source: source}); strings.Contains(text, token) {
			t.Errorf("printed: %s", text)
		}
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	source, err := newClient(t, cfg).Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	get(t, source)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		_, _ = source.Token(ctx)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSourceEvents(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var got []lineoauth.EventKind
		source := newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) {
			cfg.OnEvent = func(e lineoauth.Event) {
				got = append(got, e.Kind)
				if e.ChannelID != srv.Channel().ID || (e.Err != nil) != (e.Kind == lineoauth.EventRefreshFailed) || (e.Token == nil) != (e.Err != nil) {
					t.Errorf("event = %+v", e)
				}
			}
		})
		get(t, source)
		synctest.Wait()
		time.Sleep(13*time.Minute + 10*time.Second)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
		get(t, source)
		synctest.Wait()
		time.Sleep(time.Second)
		get(t, source)
		synctest.Wait()
		token := get(t, source)
		srv.Channel().RevokeToken(token)
		refused(t, source, token)
		synctest.Wait()
		want := []lineoauth.EventKind{lineoauth.EventIssued, lineoauth.EventRefreshFailed, lineoauth.EventRefreshed, lineoauth.EventInvalidated, lineoauth.EventIssued}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("events = %q, want %q", got, want)
		}
	})
}

func TestEventsAreLogged(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var log strings.Builder
		cfg := srv.Config()
		cfg.Logger = newLogger(&log)
		client := retrying(t, cfg)
		source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
		token, err := source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		srv.Channel().RevokeToken(token.AccessToken.Reveal())
		refused(t, source, token.AccessToken.Reveal())
		synctest.Wait()
		var got []string
		for line := range strings.Lines(log.String()) {
			level, rest, _ := strings.Cut(line, " ")
			_, message, _ := strings.Cut(rest, `msg="`)
			message, _, _ = strings.Cut(message, `"`)
			got = append(got, strings.TrimPrefix(level, "level=")+" "+message)
		}
		if diff := cmp.Diff([]string{"WARN token refresh failed", "INFO token issued", "INFO token invalidated", "INFO token issued"}, got); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		for _, want := range []string{"channel_id=" + srv.Channel().ID, "key_id=" + token.KeyID, "type=v2.1", "wait="} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, log.String())
			}
		}
		if strings.Contains(log.String(), token.AccessToken.Reveal()) {
			t.Error("the log shows the token")
		}
	})
}

// An answer that is always lost must not use up a channel's places.
func TestLostAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21})
			if warm {
				get(t, source)
				time.Sleep(30*24*time.Hour - 2*time.Minute)
			}
			srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ResetAfter, Times: -1})
			for range 600 { // 10 minutes
				_, _ = source.Token(t.Context())
				time.Sleep(time.Second)
			}
			if n := len(srv.State().Tokens); n > 4 {
				t.Errorf("warm %v: %d places are taken", warm, n)
			}
		})
	}
}

// An answer that makes no sense may have cost a place as well.
func TestStrangeAnswersAreBounded(t *testing.T) {
	for _, kind := range []lineoauthtest.FaultKind{lineoauthtest.CutBody, lineoauthtest.NotJSON} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			var wait time.Duration
			source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21}, func(cfg *lineoauth.Config) {
				cfg.OnEvent = func(e lineoauth.Event) { wait = e.Wait }
			})
			srv.Inject(lineoauthtest.Fault{Kind: kind, Operation: lineoauth.OpIssueChannelTokenByJWT, Times: -1})
			for range 3 {
				if _, err := source.Token(t.Context()); err == nil {
					t.Fatal("no error")
				}
				synctest.Wait()
				time.Sleep(time.Minute)
			}
			if wait != 10*time.Minute {
				t.Errorf("after three of %s, it waits for %v", kind, wait)
			}
		})
	}
}

func TestRetryAfterInTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		get(t, source)
		time.Sleep(14 * time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "300", Times: -1})
		for range 299 {
			_, _ = source.Token(t.Context())
			time.Sleep(time.Second)
		}
		if n := srv.State().Calls[issueStateless]; n != 2 {
			t.Errorf("%d calls while LINE asked to wait", n-1)
		}
	})
}

// A refused token now and then, in a long life, is no reason to be slow.
func TestRefusedNowAndThen(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		for range 20 {
			token := get(t, source)
			srv.Channel().RevokeToken(token)
			refused(t, source, token)
			get(t, source)
			time.Sleep(14 * time.Minute)
			get(t, source) // refreshes
			synctest.Wait()
		}
	})
}

func TestCloseWaitsForEvents(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var told atomic.Bool
		source := newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) {
			cfg.OnEvent = func(lineoauth.Event) {
				time.Sleep(time.Second)
				told.Store(true)
			}
		})
		start := time.Now()
		get(t, source)
		if time.Since(start) != 0 {
			t.Error("a caller waited for OnEvent")
		}
		_ = source.Close()
		if !told.Load() {
			t.Error("Close did not wait for OnEvent")
		}
		calls := srv.State().Calls[issueStateless]
		if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrClosed) || srv.State().Calls[issueStateless] != calls {
			t.Errorf("a closed source: %v, %d calls", err, srv.State().Calls[issueStateless])
		}
	})
}

// Revoke leaves no place taken: not by a refused token, a refreshed one, or
// one that is just being issued.
func TestRevokeLeavesNothing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *lineoauthtest.Server, *lineoauth.Source){
		"being replaced": func(t *testing.T, srv *lineoauthtest.Server, s *lineoauth.Source) {
			token := get(t, s)
			srv.Channel().RevokeToken(token)
			refused(t, s, token)
		},
		"refreshed": func(t *testing.T, _ *lineoauthtest.Server, s *lineoauth.Source) {
			get(t, s)
			time.Sleep(30*24*time.Hour - time.Minute)
			get(t, s)
			synctest.Wait()
		},
		"being issued": func(t *testing.T, srv *lineoauthtest.Server, s *lineoauth.Source) {
			srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second})
			go func() { _, _ = s.Token(t.Context()) }()
			synctest.Wait()
		},
	} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived})
			prepare(t, srv, source)
			if err := source.Revoke(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if n := len(srv.State().Tokens); n != 0 {
				t.Errorf("%s: %d tokens are valid", name, n)
			}
		})
	}
}

type hungSigner struct {
	*rsa.PrivateKey
	release chan struct{}
}

func (s hungSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	<-s.release
	return s.PrivateKey.Sign(r, digest, opts)
}

// A KMS that does not answer holds up a refresh no longer than it may last.
func TestHungSigner(t *testing.T) {
	signer := testSigner(t)
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		source := newSource(t, srv, lineoauth.SourceConfig{RefreshTimeout: 3 * time.Second}, func(cfg *lineoauth.Config) {
			key, err := lineoauth.NewKey(hungSigner{signer, release}, "k")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Key = key
		})
		start := time.Now()
		_, err := source.Token(t.Context())
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 4*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		_ = source.Close()
		close(release)
	})
}

// A token that comes after its refresh was given up is not forgotten.
func TestLateToken(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived, RefreshTimeout: 3 * time.Second}, func(cfg *lineoauth.Config) {
			base := cfg.Transport
			cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				<-release // deaf to the context
				return base.RoundTrip(req.WithContext(context.WithoutCancel(req.Context())))
			})
		})
		if _, err := source.Token(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
		close(release)
		synctest.Wait()
		if n := len(srv.State().Tokens); n != 1 {
			t.Fatalf("%d tokens came late", n)
		}
		if err := source.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(srv.State().Tokens); n != 0 {
			t.Errorf("%d tokens are valid after Revoke", n)
		}
	})
}

func TestDeadOnArrival(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: time.Second})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 2 * time.Second})
		if token, err := source.Token(t.Context()); err == nil {
			t.Errorf("an invalid token was returned: %+v", token)
		}
	})
}

// sluggish is a signer that hangs when it is used first.
type sluggish struct {
	crypto.Signer
	hung atomic.Bool
}

func (s *sluggish) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.hung.CompareAndSwap(false, true) {
		time.Sleep(3 * time.Hour)
	}
	return s.Signer.Sign(r, digest, opts)
}

// A KMS that hung once holds up no later signature.
func TestSignerHungOnce(t *testing.T) {
	signer := testSigner(t)
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		key, err := lineoauth.NewKey(&sluggish{Signer: signer}, srv.Config().Key.ID())
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, lineoauth.Config{ChannelID: srv.Channel().ID, Key: key, Transport: srv.Transport()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := client.Assertion(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it hangs: %v", err)
		}
		start := time.Now()
		if _, err := client.Assertion(t.Context(), 0); err != nil || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(3 * time.Hour) // the bubble ends with its goroutines
	})
}

// Who waits gets all attempts, also after an answer that broke off.
func TestCutAnswerIsRetried(t *testing.T) {
	for _, kind := range []lineoauthtest.FaultKind{lineoauthtest.CutBody, lineoauthtest.ResetAfter, lineoauthtest.ServerError} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			srv.Inject(lineoauthtest.Fault{Kind: kind})
			source, err := retrying(t, srv.Config()).Source(lineoauth.SourceConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			get(t, source)
		})
	}
}

// While only LINE's verification fails, tokens are issued.
func TestVerificationFails(t *testing.T) {
	for _, kind := range []lineoauth.Kind{lineoauth.Stateless, lineoauth.V21} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			st := new(store.Memory)
			first := get(t, newSource(t, srv, lineoauth.SourceConfig{Kind: kind, Store: st}))
			time.Sleep(31 * 24 * time.Hour)
			srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauth.OpVerifyChannelTokenByJWT, Times: -1})
			if get(t, newSource(t, srv, lineoauth.SourceConfig{Kind: kind, Store: st})) == first {
				t.Errorf("%s: the expired token", kind)
			}
		})
	}
}

// Revoke issues no token that nobody needs any more.
func TestRevokeIssuesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "20"})
		source, err := retrying(t, srv.Config()).Source(lineoauth.SourceConfig{Kind: lineoauth.V21})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = source.Token(t.Context()) }()
		time.Sleep(time.Second)
		if err := source.Revoke(t.Context()); err != nil {
			t.Error(err)
		}
		if n := srv.State().Calls[lineoauth.OpIssueChannelTokenByJWT]; n != 1 {
			t.Errorf("%d calls to issue", n)
		}
	})
}
