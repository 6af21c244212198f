package lineoauth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// newClient returns a client that makes one attempt of a call, unless cfg has more.
func newClient(t *testing.T, cfg lineoauth.Config) *lineoauth.Client {
	t.Helper()
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = 1
	}
	return retrying(t, cfg)
}

// retrying returns a client that makes as many attempts of a call as lineoauth.New has it.
func retrying(t *testing.T, cfg lineoauth.Config) *lineoauth.Client {
	t.Helper()
	client, err := lineoauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// emulator returns a running emulator and a client of it that has every
// credential.
func emulator(t *testing.T) (*lineoauthtest.Server, *lineoauth.Client) {
	t.Helper()
	srv := lineoauthtest.NewServer()
	t.Cleanup(srv.Close)
	return srv, newClient(t, srv.Config())
}

// answering returns the base URL of a server that answers as told.
func answering(t *testing.T, status int, contentType, body string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Line-Request-Id", "req-1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

const (
	jws    = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
	opaque = "op/aque+token="
	form   = "application/x-www-form-urlencoded"
)

// Every call is what the document says of its operation.
func TestWire(t *testing.T) {
	const secret, signed = "s+/=&", "a.b+c/d="
	doc := document(t)
	for _, o := range calls {
		t.Run(o.name, func(t *testing.T) {
			d := doc[o.op]
			values := url.Values{
				"grant_type": {"client_credentials"}, "client_id": {"123"}, "client_secret": {secret}, "access_token": {o.text()},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {signed},
			}
			requests := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests++; requests > 1 { // the verify after a revoke
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
					return
				}
				d.check(t, r, values)
				if d.answer != nil {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, d.example())
				}
			}))
			defer srv.Close()
			cfg := lineoauth.Config{ChannelID: "123", ChannelSecret: lineoauth.NewSecret(secret), BaseURL: srv.URL}
			cfg.OperationURLs = map[lineoauth.Operation]string{o.op: srv.URL}
			if _, err := o.with(t.Context(), newClient(t, cfg), signed, o.text()); err != nil || requests == 0 {
				t.Fatal(requests, err)
			}
		})
	}
}

func TestStatelessByAssertionOnTheWire(t *testing.T) {
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"t","token_type":"Bearer","expires_in":899}`)
	}))
	defer srv.Close()
	client := newClient(t, lineoauth.Config{ChannelID: "123", ChannelSecret: lineoauth.NewSecret("s"), BaseURL: srv.URL})
	token, err := client.WithAssertion("a.b.c").IssueStatelessChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const want = "client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials"
	if got != want {
		t.Errorf("form = %s, want %s", got, want)
	}
	if token.Lifetime() != 899*time.Second {
		t.Errorf("Lifetime = %v; the answer's number is what counts", token.Lifetime())
	}
}

func TestIssueEachKind(t *testing.T) {
	srv, client := emulator(t)
	for kind, tt := range map[lineoauth.Kind]struct {
		issue    func(context.Context) (*lineoauth.Token, error)
		lifetime time.Duration
	}{
		lineoauth.Stateless: {client.IssueStatelessChannelToken, 15 * time.Minute},
		lineoauth.V21: {func(ctx context.Context) (*lineoauth.Token, error) {
			return client.IssueChannelToken(ctx, time.Hour)
		}, time.Hour},
		lineoauth.ShortLived: {client.IssueShortLivedChannelToken, 30 * 24 * time.Hour},
	} {
		t.Run(string(kind), func(t *testing.T) {
			before := srv.Now()
			token, err := tt.issue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if token.Kind != kind || token.TokenType != "Bearer" || token.Lifetime() != tt.lifetime {
				t.Errorf("token = %+v", token)
			}
			if (token.KeyID != "") != (kind == lineoauth.V21) {
				t.Errorf("KeyID = %q", token.KeyID)
			}
			if token.IssuedAt.Before(before) || token.IssuedAt.After(srv.Now()) {
				t.Errorf("IssuedAt = %v", token.IssuedAt)
			}
			if at := token.ExpiresAt(); at.Before(before.Add(tt.lifetime)) || at.After(srv.Now().Add(tt.lifetime)) {
				t.Errorf("ExpiresAt = %v", at)
			}
			v, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			scope := "profile chat_message.write"
			if kind == lineoauth.ShortLived {
				scope = "P CM"
			}
			if v.ClientID != srv.Channel().ID || v.Scope != scope || v.Remaining() > tt.lifetime || v.Remaining() < tt.lifetime-time.Minute {
				t.Errorf("verification = %+v", v)
			}
		})
	}
}

func TestShortLivedByKeyAlone(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	cfg.ChannelSecret = lineoauth.Secret{}
	token, err := newClient(t, cfg).IssueShortLivedChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if token.Kind != lineoauth.V21 || token.Lifetime() != 30*24*time.Hour || token.KeyID == "" {
		t.Errorf("token = %+v", token)
	}
}

func TestKeyIDs(t *testing.T) {
	_, client := emulator(t)
	var want []string
	for range 3 {
		token, err := client.IssueChannelToken(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, token.KeyID)
	}
	got, err := client.ValidChannelAccessTokenKeyIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("key IDs (-want +got):\n%s", diff)
	}
}

func TestRevoke(t *testing.T) {
	_, client := emulator(t)
	for kind, issue := range map[lineoauth.Kind]func(context.Context) (*lineoauth.Token, error){
		lineoauth.V21:        func(ctx context.Context) (*lineoauth.Token, error) { return client.IssueChannelToken(ctx, 0) },
		lineoauth.ShortLived: client.IssueShortLivedChannelToken,
	} {
		t.Run(string(kind), func(t *testing.T) {
			token, err := issue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time LINE does not know it
				if err := client.RevokeChannelToken(t.Context(), token.AccessToken.Reveal()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal()); !errors.Is(err, lineoauth.ErrInvalidToken) {
				t.Errorf("verify after revoke: %v", err)
			}
		})
	}
}

func TestRevokeStateless(t *testing.T) {
	_, client := emulator(t)
	token, err := client.IssueStatelessChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = client.RevokeChannelToken(t.Context(), token.AccessToken.Reveal())
	var e *lineoauth.Error
	if !errors.Is(err, lineoauth.ErrNotRevocable) || !errors.As(err, &e) || e.Operation != lineoauth.OpRevokeChannelTokenByJWT {
		t.Errorf("RevokeChannelToken: %v", err)
	}
}

func TestTokenValidFor(t *testing.T) {
	srv, client := emulator(t)
	token, err := client.IssueStatelessChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := token.AccessToken.Reveal()
	for d, want := range map[time.Duration]bool{10 * time.Minute: true, 16 * time.Minute: false} {
		if got, err := client.TokenValidFor(t.Context(), text, d); got != want || err != nil {
			t.Errorf("TokenValidFor %v = %v, %v", d, got, err)
		}
	}
	srv.Advance(15 * time.Minute)
	if got, err := client.TokenValidFor(t.Context(), text, 0); got || err != nil {
		t.Errorf("TokenValidFor of an invalid token = %v, %v", got, err)
	}
	srv.Close()
	if got, err := client.TokenValidFor(t.Context(), text, 0); got || err == nil {
		t.Errorf("TokenValidFor when LINE cannot be asked = %v, %v", got, err)
	}
}

func TestWithAssertion(t *testing.T) {
	srv, client := emulator(t)
	signed, err := client.Assertion(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	bare := newClient(t, lineoauth.Config{BaseURL: srv.URL}).WithAssertion(signed.Reveal())
	token, err := bare.IssueChannelToken(t.Context(), 0)
	if err != nil || token.Lifetime() != time.Hour {
		t.Errorf("IssueChannelToken = %+v, %v", token, err)
	}
	if _, err := bare.IssueChannelToken(t.Context(), time.Minute); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("a lifetime beside the assertion's: %v", err)
	}
	if _, err := bare.IssueStatelessChannelToken(t.Context()); err != nil {
		t.Error(err)
	}
	if kids, err := bare.ValidChannelAccessTokenKeyIDs(t.Context()); err != nil || len(kids) != 1 {
		t.Errorf("key IDs = %q, %v", kids, err)
	}
}

func TestLifetimesAreChecked(t *testing.T) {
	srv, client := emulator(t)
	for _, validFor := range []time.Duration{-1, -time.Hour, time.Millisecond, 31 * 24 * time.Hour} {
		if _, err := client.Assertion(t.Context(), validFor); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("Assertion for %v: %v", validFor, err)
		}
		if _, err := client.IssueChannelToken(t.Context(), validFor); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("IssueChannelToken for %v: %v", validFor, err)
		}
		if _, err := client.WithAssertion("assertion").IssueChannelToken(t.Context(), validFor); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("IssueChannelToken for %v by a given assertion: %v", validFor, err)
		}
	}
	if n := len(srv.State().Requests); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestWithAssertionRefusesNothing(t *testing.T) {
	_, client := emulator(t)
	if _, err := client.WithAssertion("").IssueChannelToken(t.Context(), 0); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("an empty assertion: %v", err)
	}
}

// When LINE cannot be asked whether a revocation took effect, nobody says so.
func TestRevokeUnconfirmed(t *testing.T) {
	srv, client := emulator(t)
	token, err := client.IssueChannelToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauth.OpVerifyChannelTokenByJWT})
	if err := client.RevokeChannelToken(t.Context(), token.AccessToken.Reveal()); err == nil || !strings.Contains(err.Error(), "LINE accepted the revocation") {
		t.Errorf("RevokeChannelToken: %v", err)
	}
}

type brokenSigner struct{ *rsa.PrivateKey }

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errKMS
}

var errKMS = errors.New("kms: unavailable")

func TestSignerFails(t *testing.T) {
	key, err := lineoauth.NewKey(brokenSigner{testSigner(t)}, "k")
	if err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t, lineoauth.Config{ChannelID: "1", Key: key}).IssueChannelToken(t.Context(), 0)
	if !errors.Is(err, errKMS) || errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("error = %v", err)
	}
}

func TestBaseURLWithPath(t *testing.T) {
	var paths []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	defer srv.Close()
	for _, base := range []string{srv.URL + "/line", srv.URL + "/line/"} {
		for _, cfg := range []lineoauth.Config{{BaseURL: base}, {OperationURLs: map[lineoauth.Operation]string{lineoauth.OpRevokeChannelToken: base}}} {
			cfg.Authorization = lineoauth.NewSecret("Bearer gateway")
			if err := newClient(t, cfg).RevokeChannelToken(t.Context(), opaque); err != nil {
				t.Fatal(err)
			}
		}
	}
	const want = "/line/v2/oauth/revoke Bearer gateway"
	if diff := cmp.Diff([]string{want, want, want, want}, paths); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestAuthorizationHeader(t *testing.T) {
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
	}))
	defer srv.Close()
	for _, authorization := range []lineoauth.Secret{
		{}, lineoauth.NewSecret("Bearer gateway"), lineoauth.NewSecret("Basic dXNlcjpwYXNz"),
	} {
		client := newClient(t, lineoauth.Config{BaseURL: srv.URL, Authorization: authorization})
		if err := client.RevokeChannelToken(t.Context(), opaque); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"", "Bearer gateway", "Basic dXNlcjpwYXNz"}, got); diff != "" {
		t.Errorf("Authorization (-want +got):\n%s", diff)
	}
}

func TestOperationURL(t *testing.T) {
	_, client := emulator(t)
	token, err := client.IssueStatelessChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := answering(t, 200, "application/json", `{"client_id":"7","expires_in":1}`)
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	cfg.OperationURLs = map[lineoauth.Operation]string{lineoauth.OpVerifyChannelTokenByJWT: elsewhere + "/"}
	client = newClient(t, cfg)
	clear(cfg.OperationURLs) // the client has a copy
	v, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal())
	if err != nil || v.ClientID != "7" {
		t.Errorf("VerifyChannelToken = %+v, %v", v, err)
	}
	if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
		t.Errorf("the other operations: %v", err)
	}
	cfg = srv.Config()
	cfg.OperationURLs = map[lineoauth.Operation]string{lineoauth.OpIssueChannelTokenByJWT: elsewhere}
	client = newClient(t, cfg)
	cfg.OperationURLs[lineoauth.OpIssueChannelTokenByJWT] = "https://other.example"
	st := &keys{new(store.Memory), map[string]bool{}}
	if _, err := client.StoredToken(t.Context(), st, lineoauth.V21); err != nil || !st.seen[cfg.ChannelID+"/v2.1/"+elsewhere] {
		t.Errorf("the stored token is looked for under %v: %v", st.seen, err)
	}
}

// Readers of JSON differ on which of two fields with one name counts.
func TestFieldTwice(t *testing.T) {
	const token = `"access_token":"t","token_type":"Bearer","expires_in":900`
	for body, refused := range map[string]bool{
		`{` + token + `,"access_token":"u"}`:                                      true,
		`{` + token + `,"EXPIRES_IN" : 1}`:                                        true,
		`{` + token + `,"\u0061ccess_token":"u"}`:                                 true,
		`{` + token + `,"more":{"access_token":"u","b":1,"b":2},"c":["c","b"]}`:   false,
		`{"more":"\"",` + token + `,"access_token":"u"}`:                          true,
		`{"more":"say \"access_token\":", "access":"access_token",` + token + `}`: false,
		"\n{\t" + token + `,"more":"\\"}`:                                         false,
	} {
		client := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("hunter2"),
			Transport: fixed(200, http.Header{"Content-Type": {"application/json"}}, body)})
		_, err := client.IssueStatelessChannelToken(t.Context())
		if got := err != nil && strings.Contains(err.Error(), "twice"); got != refused || !refused && err != nil {
			t.Errorf("%s: error = %v", body, err)
		}
	}
}

func TestUnknownFields(t *testing.T) {
	base := answering(t, 200, "application/json", `{"client_id":"7","expires_in":1,"new":true}`)
	for strict, wantErr := range map[bool]bool{false: false, true: true} {
		client := newClient(t, lineoauth.Config{BaseURL: base, DisallowUnknownFields: strict})
		if _, err := client.VerifyChannelToken(t.Context(), opaque); (err != nil) != wantErr {
			t.Errorf("DisallowUnknownFields %v: %v", strict, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := roundTrip(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		for timeout, want := range map[time.Duration]time.Duration{0: lineoauth.DefaultTimeout, time.Second: time.Second} {
			client := newClient(t, lineoauth.Config{Transport: never, Timeout: timeout})
			start := time.Now()
			_, err := client.VerifyChannelToken(t.Context(), opaque)
			if took := time.Since(start); took != want {
				t.Errorf("Timeout %v: back after %v", timeout, took)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("no answer within %v", want)) {
				t.Errorf("Timeout %v: %v", timeout, err)
			}
		}
		broken := roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		if _, err := newClient(t, lineoauth.Config{Transport: broken, Timeout: -1}).VerifyChannelToken(t.Context(), opaque); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("without a timeout, a network error: %v", err)
		}
		client := newClient(t, lineoauth.Config{Transport: never, Timeout: -1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := client.VerifyChannelToken(ctx, opaque); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context's deadline: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	_, client := emulator(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"verify":    func() error { _, err := client.VerifyChannelToken(ctx, opaque); return err },
		"assertion": func() error { _, err := client.Assertion(ctx, 0); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDefaultBaseURLIsLINEs(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	cfg := srv.Config()
	cfg.BaseURL = ""
	var host string
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		host = req.URL.Scheme + "://" + req.URL.Host
		return srv.Transport().RoundTrip(req)
	})
	if _, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	if host != "https://api.line.me" {
		t.Errorf("the call went to %s", host)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
