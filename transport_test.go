package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

const pushBody = `{"to":"U1","messages":[{"type":"text","text":"hi"}]}`

func push(t *testing.T, client *http.Client, url string, body io.Reader) int {
	t.Helper()
	rsp, err := client.Post(url+"/v2/bot/message/push", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	_ = rsp.Body.Close()
	return rsp.StatusCode
}

func liveServer(t *testing.T) (*lineoauthtest.Server, *lineoauth.Source) {
	t.Helper()
	srv := lineoauthtest.NewServer()
	t.Cleanup(srv.Close)
	return srv, newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.ShortLived})
}

func TestTransport(t *testing.T) {
	srv, source := liveServer(t)
	client := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v2/bot/info", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer unused")
	rsp, err := client.Do(req)
	if err != nil || rsp.StatusCode != 200 {
		t.Fatalf("answer: %v, %v", rsp, err)
	}
	_ = rsp.Body.Close()
	if got := req.Header.Get("Authorization"); got != "Bearer unused" {
		t.Errorf("the caller's request was changed: %q", got)
	}
}

// A token that was revoked meanwhile costs one more request, with the body.
func TestTransportReplacesARefusedToken(t *testing.T) {
	srv, source := liveServer(t)
	client := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	revoke := func() {
		t.Helper()
		if err := newClient(t, srv.Config()).RevokeChannelToken(t.Context(), get(t, source)); err != nil {
			t.Fatal(err)
		}
	}
	revoke()
	if status := push(t, client, srv.URL, strings.NewReader(pushBody)); status != 200 {
		t.Errorf("push: %d", status)
	}
	if n := srv.State().Calls[lineoauthtest.OpPushMessage]; n != 2 {
		t.Errorf("%d requests", n)
	}
	// A body that cannot be had again is not sent again; the token is dropped.
	srv.Advance(2 * time.Minute)
	revoke()
	if status := push(t, client, srv.URL, io.MultiReader(strings.NewReader(pushBody))); status != 401 {
		t.Errorf("push of a stream: %d", status)
	}
	if status := push(t, client, srv.URL, io.MultiReader(strings.NewReader(pushBody))); status != 200 {
		t.Errorf("the next push of a stream: %d", status)
	}
	if n := srv.State().Calls[lineoauthtest.OpPushMessage]; n != 4 {
		t.Errorf("%d requests", n)
	}
}

func TestTransportRepeatsWithoutABody(t *testing.T) {
	srv, source := liveServer(t)
	if err := newClient(t, srv.Config()).RevokeChannelToken(t.Context(), get(t, source)); err != nil {
		t.Fatal(err)
	}
	rsp, err := (&http.Client{Transport: &lineoauth.Transport{Source: source}}).Get(srv.URL + "/v2/bot/info")
	if err != nil || rsp.StatusCode != 200 {
		t.Fatalf("answer: %v, %v", rsp, err)
	}
	_ = rsp.Body.Close()
}

// When there is no other token, LINE's 401 is the answer.
func TestTransportKeepsTheRefusal(t *testing.T) {
	srv, source := liveServer(t)
	if err := newClient(t, srv.Config()).RevokeChannelToken(t.Context(), get(t, source)); err != nil {
		t.Fatal(err)
	}
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauth.OpIssueChannelToken, Times: -1})
	rsp, err := (&http.Client{Transport: &lineoauth.Transport{Source: source}}).Post(srv.URL+"/v2/bot/message/push", "application/json", strings.NewReader(pushBody))
	if err != nil || rsp.StatusCode != 401 {
		t.Fatalf("answer: %v, %v", rsp, err)
	}
	defer rsp.Body.Close()
	if text, err := io.ReadAll(rsp.Body); err != nil || !strings.Contains(string(text), "Authentication failed") {
		t.Errorf("body = %s, %v", text, err)
	}
}

// A request is sent once more, not forever, and only if the token is not valid.
func TestTransportRepeatsOnce(t *testing.T) {
	srv, source := liveServer(t)
	var requests int
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		body, _ := io.ReadAll(r.Body)
		if string(body) != pushBody {
			t.Errorf("body = %q", body)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer refusing.Close()
	host := strings.TrimPrefix(refusing.URL, "http://")
	client := &http.Client{Transport: &lineoauth.Transport{Source: source, Hosts: []string{host}}}
	token := get(t, source)
	if status := push(t, client, refusing.URL, strings.NewReader(pushBody)); status != 401 || requests != 1 || get(t, source) != token {
		t.Errorf("with a valid token: %d after %d requests", status, requests)
	}
	srv.Channel().RevokeToken(token)
	if status := push(t, client, refusing.URL, strings.NewReader(pushBody)); status != 401 || requests != 3 || get(t, source) == token {
		t.Errorf("with a revoked one: %d after %d requests", status, requests-1)
	}
}

// A Transport that was not made as it should be returns an error.
func TestTransportWithoutSource(t *testing.T) {
	transport := new(lineoauth.Transport)
	defer transport.CloseIdleConnections()
	rsp, err := (&http.Client{Transport: transport}).Get("https://api.line.me/v2/bot/info")
	if !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("error = %v", err)
	}
	if rsp != nil {
		_ = rsp.Body.Close()
	}
}

// No token leaves for a host that is not LINE's, also not on a redirect.
func TestTransportTellsNobodyElse(t *testing.T) {
	srv, source := liveServer(t)
	var got []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	client := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	for _, status := range []lineoauthtest.FaultKind{lineoauthtest.Redirect, lineoauthtest.Redirect} {
		srv.Inject(lineoauthtest.Fault{Kind: status, Operation: lineoauthtest.OpPushMessage, Location: thief.URL})
		push(t, client, srv.URL, strings.NewReader(pushBody))
	}
	push(t, client, thief.URL, strings.NewReader(pushBody))
	if strings.Join(got, "") != "" || len(got) != 3 {
		t.Errorf("the thief got %q", got)
	}
}

func TestTransportHosts(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	real := newSource(t, srv, lineoauth.SourceConfig{})
	slash := newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) { cfg.BaseURL = "https://API.line.me:443/" })
	gateway := newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) { cfg.BaseURL = "https://gateway.example:8443" })
	for _, tt := range []struct {
		source *lineoauth.Source
		hosts  []string
		url    string
		want   bool
	}{
		{real, nil, "https://api.line.me/v2/bot/info", true},
		{real, nil, "https://API.LINE.ME/v2/bot/info", true},
		{real, nil, "https://api-data.line.me/v2/bot/message/1/content", true},
		{real, nil, "https://api.line.me:443/v2/bot/info", true},
		{slash, nil, "https://api.line.me/v2/bot/info", true},
		{slash, nil, "https://api-data.line.me/v2/bot/message/1/content", true},
		{real, nil, "http://api.line.me/v2/bot/info", false},
		{real, nil, "https://api.line.me.evil.example/", false},
		{real, nil, "https://api.line.me:8443/", false},
		{real, nil, "https://evil.example/api.line.me", false},
		{real, []string{}, "https://api.line.me/", false},
		{real, []string{"proxy.example"}, "https://proxy.example/x", true},
		{real, []string{"proxy.example"}, "https://api.line.me/", false},
		{gateway, nil, "https://gateway.example:8443/v2/bot/info", true},
		{gateway, nil, "https://api-data.line.me/", false},
		{gateway, nil, "https://gateway.example/", false},
	} {
		var got string
		transport := &lineoauth.Transport{Source: tt.source, Hosts: tt.hosts, Base: roundTrip(func(req *http.Request) (*http.Response, error) {
			got = req.Header.Get("Authorization")
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}, nil
		})}
		rsp, err := (&http.Client{Transport: transport}).Get(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		if strings.HasPrefix(got, "Bearer ey") != tt.want {
			t.Errorf("%s with hosts %q: a token was sent: %v", tt.url, tt.hosts, got != "")
		}
	}
}

type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

func TestTransportWithoutToken(t *testing.T) {
	srv, source := liveServer(t)
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
	body := &closeRecorder{Reader: strings.NewReader(pushBody)}
	rsp, err := (&http.Client{Transport: &lineoauth.Transport{Source: source}}).Post(srv.URL+"/v2/bot/message/push", "application/json", body)
	if err == nil {
		_ = rsp.Body.Close()
	}
	var e *lineoauth.Error
	var ue *url.Error
	if !errors.As(err, &e) || !errors.As(err, &ue) || e.StatusCode != 500 {
		t.Errorf("error = %v", err)
	}
	if !body.closed {
		t.Error("the body was not closed")
	}
}

func TestMiddleware(t *testing.T) {
	srv, source := liveServer(t)
	handler := source.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := lineoauth.TokenFromContext(r.Context())
		if !ok {
			t.Error("no token in the context")
			return
		}
		_, _ = fmt.Fprint(w, token.Kind)
	}))
	ask := func(ctx context.Context) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		return rec
	}
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7"})
	if rec := ask(t.Context()); rec.Code != 503 || rec.Header().Get("Retry-After") != "7" {
		t.Errorf("without a token: %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
	srv.Advance(7 * time.Second)
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "99999999999999"})
	if rec := ask(t.Context()); rec.Code != 503 || rec.Header().Get("Retry-After") != "3600" {
		t.Errorf("with an endless Retry-After: %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
	srv.Advance(time.Hour)
	if rec := ask(t.Context()); rec.Code != 200 || rec.Body.String() != "short-lived" {
		t.Errorf("with a token: %d %s", rec.Code, rec.Body)
	}
	if _, ok := lineoauth.TokenFromContext(t.Context()); ok {
		t.Error("a token came from nowhere")
	}
	_ = source.Close()
	if rec := ask(t.Context()); rec.Code != 503 || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("after Close: %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
}

func TestTransportRefusesOddRequests(t *testing.T) {
	srv, source := liveServer(t)
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []*http.Request{{Header: http.Header{}}, {URL: base}} {
		rsp, err := (&lineoauth.Transport{Source: source}).RoundTrip(req)
		if !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("error = %v", err)
		}
		if rsp != nil {
			_ = rsp.Body.Close()
		}
	}
}
