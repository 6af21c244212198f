package lineoauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

var sentinels = []error{
	lineoauth.ErrInvalid, lineoauth.ErrMissingCredentials, lineoauth.ErrTokenLimit, lineoauth.ErrUnknownKey,
	lineoauth.ErrInvalidAssertion, lineoauth.ErrInvalidCredentials, lineoauth.ErrInvalidToken, lineoauth.ErrRateLimited,
	lineoauth.ErrNotRevocable,
}

// only fails unless err matches want and no other case.
func only(t *testing.T, err, want error) {
	t.Helper()
	for _, s := range sentinels {
		wanted := s == want //nolint:errorlint // the sentinels themselves
		if errors.Is(err, s) != wanted {
			t.Errorf("errors.Is(%v, %v) = %v", err, s, !wanted)
		}
	}
}

// Each of LINE's error bodies, as the emulator sends it, and what it means.
func TestErrorBodies(t *testing.T) {
	srv := lineoauthtest.NewServer()
	t.Cleanup(srv.Close)
	good := newClient(t, srv.Config())
	with := func(change func(*lineoauth.Config)) *lineoauth.Client {
		cfg := srv.Config()
		change(&cfg)
		return newClient(t, cfg)
	}
	other, err := srv.AddChannel("", "")
	if err != nil {
		t.Fatal(err)
	}
	secretOnly := func(cfg *lineoauth.Config) { cfg.Key = nil }
	wrongSecret := with(func(cfg *lineoauth.Config) { cfg.Key, cfg.ChannelSecret = nil, lineoauth.NewSecret("wrong") })
	issue21 := func(c *lineoauth.Client) error { _, err := c.IssueChannelToken(t.Context(), 0); return err }
	stateless := func(c *lineoauth.Client) error { _, err := c.IssueStatelessChannelToken(t.Context()); return err }
	keyIDs := func(c *lineoauth.Client) error { _, err := c.ValidChannelAccessTokenKeyIDs(t.Context()); return err }
	short := func(c *lineoauth.Client) error { _, err := c.IssueShortLivedChannelToken(t.Context()); return err }
	verify := func(token string) error { _, err := good.VerifyChannelToken(t.Context(), token); return err }
	reveal := func(token *lineoauth.Token, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return token.AccessToken.Reveal()
	}
	unknownKey := with(func(cfg *lineoauth.Config) {
		key, err := lineoauth.NewKey(testSigner(t), "")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Key, cfg.KeyID = key, "nobody's"
	})
	wrongChannel := with(func(cfg *lineoauth.Config) { cfg.ChannelID = other.ID })
	// As given assertions, for the client signs its own by LINE's clock.
	signedAt := func(offset time.Duration) *lineoauth.Client {
		signed, err := with(func(cfg *lineoauth.Config) { cfg.Now = func() time.Time { return time.Now().Add(offset) } }).Assertion(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return good.WithAssertion(signed.Reveal())
	}
	wrongKey := with(func(cfg *lineoauth.Config) {
		kid := cfg.Key.ID()
		key, err := lineoauth.NewKey(testSigner(t), kid)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Key = key
	})
	tooLong := with(func(cfg *lineoauth.Config) { cfg.SkipChecks = true })
	full, err := srv.AddChannel("", "")
	if err != nil {
		t.Fatal(err)
	}
	fullClient := newClient(t, full.Config())
	for range 30 {
		if _, err := fullClient.IssueChannelToken(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	expired := reveal(good.IssueChannelToken(t.Context(), time.Second))
	revoked := reveal(good.IssueChannelToken(t.Context(), time.Hour))
	live := reveal(good.IssueChannelToken(t.Context(), time.Hour))
	srv.Advance(2 * time.Second)
	if err := good.RevokeChannelToken(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		err                        error
		status                     int
		code, description, message string
		is                         error
	}{
		"30 valid tokens": {issue21(fullClient), 400, "", "", "The maximum number of access tokens has already been issued", lineoauth.ErrTokenLimit},

		"issuer not the key's channel, v2.1":      {issue21(wrongChannel), 400, "invalid_client", "iss and clientId of key do not match", "", lineoauth.ErrInvalidAssertion},
		"issuer not the key's channel, stateless": {stateless(wrongChannel), 400, "invalid_client", "iss and clientId of key do not match", "", lineoauth.ErrInvalidAssertion},
		"issuer not the key's channel, key IDs":   {keyIDs(wrongChannel), 400, "invalid_client", "iss and clientId of key do not match", "", lineoauth.ErrInvalidAssertion},
		"assertion expired":                       {issue21(signedAt(-time.Hour)), 400, "invalid_client", "Invalid exp", "", lineoauth.ErrInvalidAssertion},
		"assertion too far ahead":                 {issue21(signedAt(2 * time.Minute)), 400, "invalid_client", "Invalid exp", "", lineoauth.ErrInvalidAssertion},
		"signature of another key":                {issue21(wrongKey), 400, "invalid_client", "*", "", lineoauth.ErrInvalidAssertion},
		"token_exp over 30 days": {func() error {
			_, err := tooLong.IssueChannelToken(t.Context(), 31*24*time.Hour)
			return err
		}(), 400, "invalid_client", "Invalid token_exp", "", lineoauth.ErrInvalidAssertion},
		"assertion malformed": {issue21(good.WithAssertion("x.y.z")), 400, "invalid_client", "*", "", lineoauth.ErrInvalidAssertion},

		"kid unknown, v2.1":      {issue21(unknownKey), 404, "", "", "Cannot find channel key that satisfies the conditions", lineoauth.ErrUnknownKey},
		"kid unknown, stateless": {stateless(unknownKey), 404, "", "", "Cannot find channel key that satisfies the conditions", lineoauth.ErrUnknownKey},
		"kid unknown, key IDs":   {keyIDs(unknownKey), 404, "", "", "Cannot find channel key that satisfies the conditions", lineoauth.ErrUnknownKey},

		"stateless, wrong secret": {stateless(wrongSecret), 400, "invalid_request", "Invalid 'client_credentials'.", "", lineoauth.ErrInvalidCredentials},
		"stateless, unknown channel": {stateless(with(func(cfg *lineoauth.Config) { secretOnly(cfg); cfg.ChannelID = "1" })),
			400, "invalid_request", "Invalid 'client_credentials'.", "", lineoauth.ErrInvalidCredentials},
		"short-lived, unknown channel": {short(with(func(cfg *lineoauth.Config) { secretOnly(cfg); cfg.ChannelID = "1" })),
			400, "invalid_client", "invalid client_id", "", lineoauth.ErrInvalidCredentials},
		"short-lived, wrong secret": {short(wrongSecret), 400, "invalid_client", "invalid client_secret", "", lineoauth.ErrInvalidCredentials},
		"parameter missing": {stateless(with(func(cfg *lineoauth.Config) {
			secretOnly(cfg)
			cfg.OperationURLs = map[lineoauth.Operation]string{lineoauth.OpIssueStatelessChannelToken: dropForm(t, srv.URL)}
		})), 400, "invalid_request", "some parameters missed or invalid", "", nil},

		"v2.1 verify, expired":           {verify(expired), 400, "invalid_request", "The access token expired", "", lineoauth.ErrInvalidToken},
		"v2.1 verify, revoked":           {verify(revoked), 400, "invalid_request", "The access token revoked", "", lineoauth.ErrInvalidToken},
		"v2.1 verify, not this server's": {verify(jws), 400, "invalid_request", "*", "", lineoauth.ErrInvalidToken},
		"v2.1 revoke, wrong secret": {wrongSecret.RevokeChannelToken(t.Context(), live),
			400, "invalid_client", "invalid client_secret", "", lineoauth.ErrInvalidCredentials},
		"v2 verify, unknown":   {verify("AAAA/+=="), 400, "invalid_request", "access_token invalid", "", lineoauth.ErrInvalidToken},
		"v2 verify, malformed": {verify("no token"), 400, "invalid_request", "access_token in invalid format", "", lineoauth.ErrInvalidToken},
		"v2 revoke, malformed": {good.RevokeChannelToken(t.Context(), "no token"), 400, "invalid_request", "", "", lineoauth.ErrInvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			var e *lineoauth.Error
			if !errors.As(tt.err, &e) {
				t.Fatalf("error = %v", tt.err)
			}
			if e.StatusCode != tt.status || e.Code != tt.code || e.Message != tt.message ||
				tt.description != "*" && e.Description != tt.description {
				t.Errorf("error = %v", e)
			}
			if e.RequestID == "" || !strings.Contains(e.Error(), e.RequestID) {
				t.Errorf("the request ID is missing: %v", e)
			}
			if strings.Contains(e.Error(), "\n") {
				t.Errorf("more than one line: %q", e.Error())
			}
			only(t, e, tt.is)
		})
	}
	if _, err := good.VerifyChannelToken(t.Context(), live); err != nil {
		t.Errorf("the token whose revocation was refused: %v", err)
	}
}

// Tokens that the client sends elsewhere by their form still meet these.
func TestErrorBodiesOfTheOtherForm(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	for name, tt := range map[string]struct {
		path string
		form string
		want string
	}{
		"v2.1 revoke, not a JWS":     {"/oauth2/v2.1/revoke", "&access_token=" + strings.Repeat("A", 171) + "%3D", "The access token not JWS"},
		"v2.1 revoke, malformed JWS": {"/oauth2/v2.1/revoke", "&access_token=a.b.c", "The access token malformed"},
		"v2.1 verify, not a JWS":     {"/oauth2/v2.1/verify?access_token=opaque", "", "The access token not JWS"},
	} {
		t.Run(name, func(t *testing.T) {
			method, body := http.MethodGet, ""
			if tt.form != "" {
				method, body = http.MethodPost, "client_id="+srv.Channel().ID+"&client_secret="+srv.Channel().Secret+tt.form
			}
			req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+tt.path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", form+"; charset=UTF-8")
			rsp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()
			var buf strings.Builder
			if err := rsp.Write(&buf); err != nil {
				t.Fatal(err)
			}
			if rsp.StatusCode != 400 || !strings.Contains(buf.String(), `{"error":"invalid_request","error_description":"`+tt.want+`"}`) {
				t.Errorf("answer:\n%s", buf.String())
			}
		})
	}
}

// dropForm is a proxy that loses a request's body.
func dropForm(t *testing.T, to string) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rsp, err := http.Post(to+r.RequestURI, form, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer rsp.Body.Close()
		w.Header().Set("Content-Type", rsp.Header.Get("Content-Type"))
		w.Header().Set("X-Line-Request-Id", rsp.Header.Get("X-Line-Request-Id"))
		w.WriteHeader(rsp.StatusCode)
		_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"some parameters missed or invalid"}`))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAnswersThatAreNotLINEs(t *testing.T) {
	for name, tt := range map[string]struct {
		status            int
		contentType, body string
		want              string
		is                error
	}{
		"login page":        {200, "text/html", "<html>log in</html>", "text/html, not JSON", nil},
		"JSON under HTML":   {200, "text/html", `{"client_id":"1","expires_in":1}`, "text/html, not JSON", nil},
		"no content type":   {200, "", "hello", "not JSON", nil},
		"empty object":      {200, "application/json", "{}", "no client_id", nil},
		"null":              {200, "application/json", "null", "the answer is the JSON null", nil},
		"not JSON":          {200, "application/json", "oops", "not the JSON that was expected", nil},
		"wrong type":        {200, "application/json", `{"client_id":"1","expires_in":"1"}`, "not the JSON that was expected", nil},
		"too much":          {200, "application/json", strings.Repeat(" ", 1<<20+1), "more than 1048576 bytes", nil},
		"no content":        {204, "", "", "LINE answered 204", nil},
		"HTML 502":          {502, "text/html", "<html>bad gateway</html>", "LINE has trouble; try again later", nil},
		"500 without body":  {500, "", "", "LINE answered 500", nil},
		"429 without body":  {429, "", "", "try again later", lineoauth.ErrRateLimited},
		"Messaging API 400": {400, "application/json", `{"message":"m","details":[{"message":"dm","property":"dp"}]}`, "LINE answered 400 m: dp dm", nil},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, lineoauth.Config{BaseURL: answering(t, tt.status, tt.contentType, tt.body)})
			v, err := client.VerifyChannelToken(t.Context(), opaque)
			var e *lineoauth.Error
			if v != nil || !errors.As(err, &e) || e.StatusCode != tt.status || e.RequestID != "req-1" {
				t.Fatalf("VerifyChannelToken = %+v, %v", v, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v; want %q in it", err, tt.want)
			}
			only(t, err, tt.is)
		})
	}
}

func TestTokensThatAreNone(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: "no access_token",
		`{"access_token":"","token_type":"Bearer","expires_in":1}`:       "no access_token",
		`{"access_token":"t","token_type":"Bearer","expires_in":0}`:      "expires_in 0",
		`{"access_token":"t","token_type":"Bearer","expires_in":-1}`:     "expires_in -1",
		`{"access_token":"t","token_type":"MAC","expires_in":1}`:         "not Bearer",
		`{"access_token":"t","token_type":"Bearer","expires_in":1e30}`:   "not the JSON",
		`{"access_token":["t"],"token_type":"Bearer","expires_in":3600}`: "not the JSON",
	} {
		cfg := lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("hunter2"), BaseURL: answering(t, 200, "application/json", body)}
		token, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context())
		if token != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: token %v, error %v", body, token, err)
		}
	}
	noType := lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("hunter2"), BaseURL: answering(t, 200, "application/json", `{"access_token":"t","expires_in":1}`)}
	if token, err := newClient(t, noType).IssueStatelessChannelToken(t.Context()); err != nil || token.TokenType != "Bearer" {
		t.Errorf("token_type left out: %+v, %v", token, err)
	}
	if _, err := newClient(t, noType).WithAssertion("a").IssueChannelToken(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "no key_id") {
		t.Errorf("key_id left out: %v", err)
	}
	past := newClient(t, lineoauth.Config{BaseURL: answering(t, 200, "application/json", `{"client_id":"1","expires_in":-1}`)})
	if v, err := past.VerifyChannelToken(t.Context(), opaque); err == nil {
		t.Errorf("a negative expires_in: %+v", v)
	}
	base := answering(t, 200, "application/json", `{}`)
	client := newClient(t, lineoauth.Config{BaseURL: base}).WithAssertion("a")
	if kids, err := client.ValidChannelAccessTokenKeyIDs(t.Context()); err == nil {
		t.Errorf("key IDs of an empty answer = %q", kids)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for header, want := range map[string]time.Duration{
		"":             0,
		"7":            7 * time.Second,
		"-7":           0,
		"soon":         0,
		"999999999999": 1<<63 - 1,
		now.Add(90 * time.Second).UTC().Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).UTC().Format(http.TimeFormat):       0,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		client := newClient(t, lineoauth.Config{BaseURL: srv.URL, Now: func() time.Time { return now }})
		_, err := client.VerifyChannelToken(t.Context(), opaque)
		srv.Close()
		var e *lineoauth.Error
		if !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("Retry-After %q: %v, want %v", header, err, want)
		}
	}
}

// A redirect that is followed takes the secret to another server.
func TestNoRedirect(t *testing.T) {
	var leaked int
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked++ }))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+r.RequestURI, status)
		}))
		client := newClient(t, lineoauth.Config{BaseURL: srv.URL})
		for _, token := range []string{opaque, jws} {
			_, err := client.VerifyChannelToken(t.Context(), token)
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(thief.URL, "http://")) || strings.Contains(err.Error(), token) {
				t.Errorf("%d: %v", status, err)
			}
		}
		srv.Close()
	}
	if leaked != 0 {
		t.Errorf("%d requests reached another server", leaked)
	}
}

// A server that says back what it heard must not get a secret into an error.
func TestErrorsHoldNoSecret(t *testing.T) {
	const secret = "s3cr3t+/=&token"
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		var heard string
		for name := range r.Form {
			heard += r.Form.Get(name) + " "
		}
		w.Header().Set("X-Line-Request-Id", strings.TrimSpace(heard))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"` + heard + `","error_description":"` + heard + r.URL.RawQuery + `","message":"` + heard +
			`","details":[{"message":"` + heard + `","property":"` + heard + `"}]}`))
	}))
	defer echo.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer broken.Close()
	for _, base := range []string{echo.URL, broken.URL, "http://127.0.0.1:1"} {
		client := newClient(t, lineoauth.Config{BaseURL: base, ChannelID: "1", ChannelSecret: lineoauth.NewSecret(secret)})
		for _, o := range calls {
			token := secret
			if o.token == lineoauth.V21 {
				token = jws
			}
			_, err := o.with(t.Context(), client, secret, token)
			if err == nil {
				t.Errorf("%s at %s: no error", o.name, base)
				continue
			}
			for _, s := range []string{secret, "s3cr3t", jws} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%s at %s shows %q: %v", o.name, base, s, err)
				}
			}
		}
	}
}

// A cause that repeats the URL, as some transports' do, shows nowhere in the
// chain of errors, and neither does a gateway's credential.
func TestErrorChainHoldsNoSecret(t *testing.T) {
	failing := roundTrip(func(req *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("GET %s giving up: %w", req.URL, io.ErrUnexpectedEOF)
	})
	gateway := roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(`{"message":"who is ` + req.Header.Get("Authorization") + `?"}`))}, nil
	})
	for _, transport := range []http.RoundTripper{failing, gateway} {
		client := newClient(t, lineoauth.Config{Transport: transport, Authorization: lineoauth.NewSecret("Bearer hunter2")})
		_, err := client.VerifyChannelToken(t.Context(), jws)
		var e *lineoauth.Error
		if !errors.As(err, &e) || errors.Is(err, io.ErrUnexpectedEOF) == (e.StatusCode == 400) {
			t.Errorf("the cause: %v", err)
		}
		for ; err != nil; err = errors.Unwrap(err) {
			if strings.Contains(err.Error(), jws) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%T shows a secret: %v", err, err)
			}
		}
	}
}

// What is not quite one of LINE's known refusals is none of them.
func TestNearMisses(t *testing.T) {
	issue := func(c *lineoauth.Client) error { _, err := c.IssueStatelessChannelToken(t.Context()); return err }
	v21 := func(c *lineoauth.Client) error {
		_, err := c.WithAssertion("assertion").IssueChannelToken(t.Context(), 0)
		return err
	}
	verify := func(c *lineoauth.Client) error { _, err := c.VerifyChannelToken(t.Context(), opaque); return err }
	revoke := func(c *lineoauth.Client) error { return c.RevokeChannelToken(t.Context(), jws) }
	for name, tt := range map[string]struct {
		call   func(*lineoauth.Client) error
		status int
		body   string
		is     error
		advice string
	}{
		"404 of something else":     {issue, 404, `{"message":"not found"}`, nil, ""},
		"401 invalid_client":        {v21, 401, `{"error":"invalid_client"}`, nil, ""},
		"by secret, invalid_client": {issue, 400, `{"error":"invalid_client"}`, lineoauth.ErrInvalidCredentials, "check the channel ID"},
		"revoke, invalid_request":   {revoke, 400, `{"error":"invalid_request"}`, lineoauth.ErrInvalidToken, "copied whole"},
		"revoke, a new text":        {revoke, 400, `{"error":"invalid_request","error_description":"x"}`, nil, "reference"},
		"verify, parameter missing": {verify, 400, `{"error":"invalid_request","error_description":"some parameters missed or invalid"}`, nil, ""},
		"token limit":               {v21, 400, `{"message":"The maximum number of access tokens has already been issued"}`, lineoauth.ErrTokenLimit, "stateless tokens"},
		"exp":                       {v21, 400, `{"error":"invalid_client","error_description":"Invalid exp"}`, lineoauth.ErrInvalidAssertion, "clock"},
		"429":                       {verify, 429, "", lineoauth.ErrRateLimited, "try again later"},
		"500":                       {verify, 500, "", nil, "LINE has trouble"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("hunter2"), BaseURL: answering(t, tt.status, "application/json", tt.body)})
			err := tt.call(client)
			only(t, err, tt.is)
			if !strings.Contains(err.Error(), tt.advice) || strings.Contains(err.Error(), "something between") {
				t.Errorf("error = %v; want %q in it", err, tt.advice)
			}
		})
	}
}

func TestBrokenBodies(t *testing.T) {
	srv := lineoauthtest.NewServer()
	t.Cleanup(srv.Close)
	client := newClient(t, srv.Config())
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.CutBody})
	if _, err := client.IssueShortLivedChannelToken(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("cut body: %v", err)
	}
	// It must stop to read long before the timeout.
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Endless})
	if _, err := client.IssueShortLivedChannelToken(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("endless body: %v", err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer slow.Close()
	client = newClient(t, lineoauth.Config{BaseURL: slow.URL, Timeout: 50 * time.Millisecond})
	if _, err := client.VerifyChannelToken(t.Context(), opaque); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("slow body: %v", err)
	}
}

// Every answer is read completely and closed, so one connection serves all.
func TestConnectionIsReused(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_request"}`+strings.Repeat(" ", 5000))
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	client := newClient(t, lineoauth.Config{BaseURL: srv.URL})
	for range 10 {
		_, _ = client.VerifyChannelToken(t.Context(), opaque)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("10 calls took %d connections", n)
	}
}

func TestErrorsAreCleanedAndCut(t *testing.T) {
	base := answering(t, 400, "application/json", `{"error":"a\u001b[31m\nb","error_description":"`+strings.Repeat("x", 5000)+`"}`)
	_, err := newClient(t, lineoauth.Config{BaseURL: base}).VerifyChannelToken(t.Context(), opaque)
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 600 {
		t.Errorf("error = %q", err)
	}
}

func TestNetworkError(t *testing.T) {
	base, transport := closedPort(t)
	addr := strings.TrimPrefix(base, "http://")
	_, err := newClient(t, lineoauth.Config{BaseURL: base, Transport: transport}).VerifyChannelToken(t.Context(), jws)
	var e *lineoauth.Error
	var op *net.OpError
	if !errors.As(err, &e) || e.StatusCode != 0 || !errors.As(err, &op) {
		t.Fatalf("error = %v", err)
	}
	for _, want := range []string{"verifyChannelTokenByJWT", addr + "/oauth2/v2.1/verify", "refused", "check the network"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want %q in it", err, want)
		}
	}
}

// Whatever form a server gives to a secret that it heard, and wherever it puts
// it, the error does not show it.
func TestErrorsHoldNoSecretInOtherLetters(t *testing.T) {
	const secret = "eyJhbGciOiJIUzI1NiJ9.Pay/load+=.SIG_nature"
	header := func(name, value string) http.Header {
		return http.Header{"Content-Type": {"application/json"}, "X-Line-Request-Id": {"r"}, name: {value}}
	}
	lower := strings.ToLower(secret)
	for name, tt := range map[string]struct {
		status int
		header http.Header
		body   string
	}{
		"field twice":         {200, header("X", ""), `{"` + secret + `":1,"` + secret + `":2,"client_id":"1","expires_in":1}`},
		"field twice, folded": {200, header("X", ""), `{"` + secret + `":1,"` + lower + `":2,"client_id":"1","expires_in":1}`},
		"content type":        {200, header("Content-Type", "text/"+secret), "x"},
		"refused type":        {400, header("Content-Type", "text/"+secret+"; charset=x"), "x"},
		"redirect":            {307, header("Location", "https://elsewhere.example/"+secret+"%0a%1b"), ""},
		"lower escapes":       {400, header("X", ""), `{"message":"` + strings.NewReplacer("/", "%2f", "+", "%2b", "=", "%3d").Replace(secret) + `"}`},
		"path escapes":        {400, header("X", ""), `{"message":"` + url.PathEscape(secret) + `"}`},
		"lower case":          {400, header("X", ""), `{"message":"` + lower + `"}`},
		"escaped twice":       {400, header("X", ""), `{"message":"` + url.QueryEscape(url.QueryEscape(secret)) + `"}`},
		"a form, decoded":     {400, header("X", ""), `{"message":"` + strings.ReplaceAll(secret, "+", " ") + `"}`},
		"HTML":                {400, header("X", ""), `{"message":"` + strings.NewReplacer("/", "&#x2F;", "+", "&#43;", "=", "&equals;").Replace(secret) + `"}`},
		"JSON in JSON":        {400, header("X", ""), `{"message":"` + strings.NewReplacer("/", `\\/`, "+", `\\u002B`, "=", `\\u003d`).Replace(secret) + `"}`},
		"Base64":              {400, header("X", ""), `{"message":"` + base64.StdEncoding.EncodeToString([]byte(secret)) + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, lineoauth.Config{Transport: fixed(tt.status, tt.header, tt.body), SkipChecks: true})
			_, err := client.VerifyChannelToken(t.Context(), secret)
			if err == nil || strings.Contains(strings.ToLower(err.Error()), "nature") || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte(secret))[:20]) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("error = %q", err)
			}
		})
	}
	const channelSecret = "0123456789abcdef+0123456789abcde"
	basic := base64.StdEncoding.EncodeToString([]byte("12345:" + channelSecret))
	client := newClient(t, lineoauth.Config{ChannelID: "12345", ChannelSecret: lineoauth.NewSecret(channelSecret), Transport: fixed(400, header("X", ""), `{"message":"bad `+basic+`"}`)})
	if _, err := client.IssueShortLivedChannelToken(t.Context()); err == nil || strings.Contains(err.Error(), basic) {
		t.Errorf("error = %v", err)
	}
	const password = "s3cretpassword"
	for _, body := range []string{password, "gateway:" + password} {
		client := newClient(t, lineoauth.Config{
			Authorization: lineoauth.NewSecret("Basic " + base64.StdEncoding.EncodeToString([]byte("gateway:"+password))),
			Transport:     fixed(401, header("X", ""), `{"message":"bad `+body+`"}`),
		})
		if _, err := client.VerifyChannelToken(t.Context(), opaque); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("error = %v", err)
		}
	}
}

// rude is a net.Error of a transport of the caller's, which shows the URL.
type rude struct{ text string }

func (r rude) Error() string { return r.text }
func (rude) Timeout() bool   { return true }
func (rude) Temporary() bool { return true }

// What errors.As finds in an error shows no URL either.
func TestErrorsInsideHoldNoSecret(t *testing.T) {
	for name, cause := range map[string]func(*http.Request) error{
		"url.Error": func(r *http.Request) error {
			return &url.Error{Op: "Get", URL: r.URL.String(), Err: io.ErrUnexpectedEOF}
		},
		"wrapped url.Error": func(r *http.Request) error {
			return fmt.Errorf("again: %w", &url.Error{Op: "Get", URL: r.URL.String(), Err: io.ErrUnexpectedEOF})
		},
		"net.Error": func(r *http.Request) error { return rude{r.URL.String()} },
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, lineoauth.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return nil, cause(r) })})
			_, err := client.VerifyChannelToken(t.Context(), jws)
			var ue *url.Error
			var ne net.Error
			if errors.As(err, &ue) {
				t.Errorf("errors.As finds %v", ue)
			}
			if isNet := errors.As(err, &ne); isNet != (name == "net.Error") || isNet && (strings.Contains(ne.Error(), jws) || !ne.Timeout()) {
				t.Errorf("errors.As finds %v", ne)
			}
			if name != "net.Error" && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error = %v", err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)), jws) {
				t.Errorf("error = %#v", errors.Unwrap(err))
			}
		})
	}
}

// Redaction does not change what a refusal is.
func TestRefusalsOfOddTokens(t *testing.T) {
	_, client := emulator(t)
	for _, token := range []string{"invalid", "request", "invalid_request", "access_token"} {
		if ok, err := client.TokenValidFor(t.Context(), token, 0); ok || err != nil {
			t.Errorf("%s: %v, %v", token, ok, err)
		}
	}
	client = newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("client"),
		Transport: fixed(400, http.Header{}, `{"error":"invalid_client","error_description":"invalid client_secret","details":{}}`)})
	if _, err := client.IssueShortLivedChannelToken(t.Context()); !errors.Is(err, lineoauth.ErrInvalidCredentials) {
		t.Errorf("error = %v", err)
	}
}

// An error reports a context and its cause, without advice about
// the network.
func TestContextWithACause(t *testing.T) {
	shutdown := errors.New("shutdown")
	stalled := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusOK)
		}
		stall(w, r)
	}))
	defer stalled.Close()
	client := newClient(t, lineoauth.Config{BaseURL: stalled.URL})
	for _, token := range []string{opaque, jws} { // without headers, and without a body
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(shutdown) })
		_, err := client.VerifyChannelToken(ctx, token)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, shutdown) || strings.Contains(err.Error(), "network") {
			t.Errorf("error = %v", err)
		}
		ctx, end := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, shutdown)
		if _, err := client.VerifyChannelToken(ctx, token); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
		end()
		cancel(nil)
	}
}

// An answer of fields alone must not take a processor for half a minute.
func TestManyFields(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"error":"invalid_request"`)
	for i := 0; b.Len() < 1<<20-20; i++ {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	b.WriteString("}")
	for _, status := range []int{200, 400} {
		_, err := newClient(t, lineoauth.Config{Transport: fixed(status, http.Header{"Content-Type": {"application/json"}}, b.String())}).VerifyChannelToken(t.Context(), opaque)
		if err == nil || !strings.Contains(err.Error(), "more than 100 fields") {
			t.Errorf("%d: %.200v", status, err)
		}
	}
}

func TestBoundsOfErrors(t *testing.T) {
	body := `{"message":"m","details":[` + strings.Repeat(`{"message":"x"},`, 500) + `{}]}`
	_, err := newClient(t, lineoauth.Config{Transport: fixed(400, http.Header{}, body)}).VerifyChannelToken(t.Context(), opaque)
	if e := new(lineoauth.Error); !errors.As(err, &e) || len(e.Details) != 10 {
		t.Errorf("error = %v", err)
	}
	body = `{"message":"a` + "\u202e\u2028\ufeff" + `b"}`
	_, err = newClient(t, lineoauth.Config{Transport: fixed(400, http.Header{}, body)}).VerifyChannelToken(t.Context(), opaque)
	if err == nil || !strings.Contains(err.Error(), "a   b") {
		t.Errorf("error = %q", err)
	}
	_, err = newClient(t, lineoauth.Config{Transport: fixed(503, http.Header{"Retry-After": {"7"}}, "")}).VerifyChannelToken(t.Context(), opaque)
	if err == nil || !strings.Contains(err.Error(), "try again in 7s") {
		t.Errorf("error = %v", err)
	}
	_, err = newClient(t, lineoauth.Config{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil })}).VerifyChannelToken(t.Context(), opaque)
	if err == nil || !strings.Contains(err.Error(), "neither an answer nor an error") {
		t.Errorf("error = %v", err)
	}
}
