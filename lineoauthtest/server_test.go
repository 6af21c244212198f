package lineoauthtest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Close ends a request that is delayed although its client has sent more, which is when
// net/http does not see that client leave.
func TestCloseEndsDelays(t *testing.T) {
	srv := lineoauthtest.NewServer()
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Hour})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const request = "GET /v2/bot/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	for len(srv.State().Faults) > 0 {
		runtime.Gosched()
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	closed := make(chan struct{})
	go func() { srv.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("Close waits for the delay")
	}
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func newServer(t *testing.T) *lineoauthtest.Server {
	t.Helper()
	srv := lineoauthtest.NewServer()
	t.Cleanup(func() {
		srv.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return srv
}

func newClient(t *testing.T, cfg lineoauth.Config) *lineoauth.Client {
	t.Helper()
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = 1
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Real time is what a token's life waits for inside a bubble, and no socket.
func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		client := newClient(t, srv.Config())
		token, err := client.IssueStatelessChannelToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(15*time.Minute - time.Second)
		if _, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal()); err != nil {
			t.Errorf("a second before it expires: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal()); !errors.Is(err, lineoauth.ErrInvalidToken) {
			t.Errorf("when it expires: %v", err)
		}
	})
}

func TestLimits(t *testing.T) {
	srv := newServer(t)
	client := newClient(t, srv.Config())
	var v21, short []string
	for range 30 {
		token, err := client.IssueChannelToken(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		v21 = append(v21, token.AccessToken.Reveal())
		token, err = client.IssueShortLivedChannelToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		short = append(short, token.AccessToken.Reveal())
	}
	alive := func(token string) bool {
		ok, err := client.TokenValidFor(t.Context(), token, 0)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if _, err := client.IssueChannelToken(t.Context(), 0); !errors.Is(err, lineoauth.ErrTokenLimit) {
		t.Errorf("the 31st v2.1 token: %v", err)
	}
	if _, err := client.IssueShortLivedChannelToken(t.Context()); err != nil {
		t.Errorf("the 31st short-lived token: %v", err)
	}
	if alive(short[0]) || !alive(short[1]) {
		t.Error("the oldest short-lived token, and it alone, should be revoked")
	}
	for range 40 {
		if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.RevokeChannelToken(t.Context(), v21[7]); err != nil {
		t.Fatal(err)
	}
	if _, err := client.IssueChannelToken(t.Context(), 0); err != nil {
		t.Errorf("after a revocation: %v", err)
	}
	srv.Advance(time.Hour)
	for range 29 {
		if _, err := client.IssueChannelToken(t.Context(), 0); err != nil {
			t.Fatalf("after the others expired: %v", err)
		}
	}
}

func TestHTTP(t *testing.T) {
	srv := newServer(t)
	good := "grant_type=client_credentials&client_id=" + srv.Channel().ID + "&client_secret=" + srv.Channel().Secret
	for name, tt := range map[string]struct {
		method, path, contentType, body string
		status                          int
		want                            string
	}{
		"fields in the query":   {"POST", "/oauth2/v3/token?" + good, formType, "", 400, "some parameters missed or invalid"},
		"grant type":            {"POST", "/v2/oauth/accessToken", formType, strings.Replace(good, "client_credentials", "password", 1), 400, "some parameters missed or invalid"},
		"camelCase":             {"GET", "/oauth2/v2.1/verify?accessToken=x", "", "", 400, "some parameters missed or invalid"},
		"+ not encoded":         {"POST", "/v2/oauth/verify", formType, "access_token=a+b/c=", 400, "access_token in invalid format"},
		"empty 200 of a revoke": {"POST", "/v2/oauth/revoke", formType, "access_token=AAAA", 200, ""},
		"unclean path":          {"POST", "//oauth2/v3/token", formType, good, 404, `"message"`},
		"unclean unknown path":  {"POST", "//nothing", formType, good, 404, `"message"`},
		"unknown path":          {"GET", "/oauth2/v9", "", "", 501, "the emulator has no GET /oauth2/v9; it has "},
		"wrong method":          {"GET", "/oauth2/v3/token", "", "", 405, "POST /oauth2/v3/token"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", tt.contentType)
			rsp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()
			body, err := io.ReadAll(rsp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if rsp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) || tt.want == "" && len(body) > 0 {
				t.Errorf("answer: %d %s", rsp.StatusCode, body)
			}
			if rsp.Header.Get("X-Line-Request-Id") == "" {
				t.Error("no X-Line-Request-Id")
			}
			if tt.status == 405 && rsp.Header.Get("Allow") != "POST" {
				t.Errorf("Allow = %q", rsp.Header.Get("Allow"))
			}
		})
	}
}

func TestRegisterKey(t *testing.T) {
	srv := newServer(t)
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	jwk := func(fields string) []byte { return fmt.Appendf(nil, `{"kty":"RSA","n":%q,"e":"AQAB"%s}`, n, fields) }
	for name, tt := range map[string]struct {
		jwk  []byte
		want string
	}{
		"use":             {jwk(`,"alg":"RS256","use":"sig"`), ""},
		"key_ops":         {jwk(`,"alg":"RS256","key_ops":["verify"]`), ""},
		"kid":             {jwk(`,"alg":"RS256","use":"sig","kid":"x"`), `"kid"`},
		"empty kid":       {jwk(`,"alg":"RS256","use":"sig","kid":""`), `"kid"`},
		"use and key_ops": {jwk(`,"alg":"RS256","use":"sig","key_ops":["verify"]`), "one of"},
		"neither":         {jwk(`,"alg":"RS256"`), "one of"},
		"use enc":         {jwk(`,"alg":"RS256","use":"enc"`), `"use" is "enc"`},
		"key_ops sign":    {jwk(`,"alg":"RS256","key_ops":["sign"]`), `"key_ops" is`},
		"no alg":          {jwk(`,"use":"sig"`), `"alg"`},
		"alg RS512":       {jwk(`,"alg":"RS512","use":"sig"`), `"alg"`},
		"EC":              {[]byte(`{"kty":"EC","alg":"RS256","use":"sig"}`), `"kty"`},
		"other size":      {[]byte(`{"kty":"RSA","alg":"RS256","use":"sig","n":"AQAB","e":"AQAB"}`), "bits"},
		"no JSON":         {[]byte("hello"), "not a JWK"},
		"a third":         {jwk(`,"alg":"RS256","use":"sig"`), "already has 2 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			channel, err := srv.AddChannel("", "")
			if err != nil {
				t.Fatal(err)
			}
			if name == "a third" {
				for range 2 {
					if _, err := channel.RegisterKey("", tt.jwk); err != nil {
						t.Fatal(err)
					}
				}
			}
			kid, err := channel.RegisterKey("", tt.jwk)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) || (kid == "") != (err != nil) {
				t.Errorf("RegisterKey = %q, %v; want %q in it", kid, err, tt.want)
			}
		})
	}
	if _, err := srv.Channel().RegisterKey("mine", jwk(`,"alg":"RS256","use":"sig"`)); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Channel().RegisterKey("mine", jwk(`,"alg":"RS256","use":"sig"`)); err == nil {
		t.Error("a key ID was given twice")
	}
}

func TestChannelsAreApart(t *testing.T) {
	srv := newServer(t)
	other, err := srv.AddChannel("1234567890", "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := srv.AddChannel("1234567890", "secret"); err == nil {
		t.Error("a channel ID was given twice")
	}
	for _, id := range []string{"12a", "-1", "2147483648", "4294967297", "18446744073709551617"} {
		if _, err := srv.AddChannel(id, ""); err == nil {
			t.Errorf("the channel ID %s", id)
		}
	}
	if _, err := srv.AddChannel("2147483647", ""); err != nil {
		t.Error(err)
	}
	if srv.Config().Key.Public().Equal(other.Config().Key.Public()) {
		t.Error("two channels have the same key")
	}
	mine, theirs := newClient(t, srv.Config()), newClient(t, other.Config())
	token, err := mine.IssueChannelToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.RevokeChannelToken(t.Context(), token.AccessToken.Reveal()); !errors.Is(err, lineoauth.ErrNotRevocable) {
		t.Errorf("revoking another channel's token: %v", err)
	}
	if kids, err := theirs.ValidChannelAccessTokenKeyIDs(t.Context()); err != nil || len(kids) != 0 {
		t.Errorf("the other channel's key IDs = %q, %v", kids, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	srv := newServer(t)
	client := newClient(t, srv.Config())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 3 { // the 31st would revoke the oldest, which may not be verified yet
				token, err := client.IssueShortLivedChannelToken(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				srv.Advance(time.Second)
				if _, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
