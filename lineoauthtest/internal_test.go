package lineoauthtest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest/internal/api"
)

// Stateless tokens are kept up to a bound, and the oldest are forgotten.
func TestTokensAreBounded(t *testing.T) {
	s := NewUnstartedServer()
	defer s.Close()
	c, err := s.AddChannel("", "")
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	first := c.issue(lineoauth.Stateless, now, time.Hour)
	second := c.issue(lineoauth.Stateless, now, time.Hour)
	for i := range maxStateless - 2 { // without the time that signatures take
		other := &token{channel: c, kind: lineoauth.Stateless, text: strconv.Itoa(i), expiresAt: second.expiresAt}
		c.tokens[lineoauth.Stateless] = append(c.tokens[lineoauth.Stateless], other)
		s.byText[other.text] = other
	}
	if s.find(first.text) == nil || s.forgotten != 0 {
		t.Error("a token was forgotten too early")
	}
	c.issue(lineoauth.Stateless, now, time.Hour)
	if s.find(first.text) != nil || s.find(second.text) == nil {
		t.Error("the oldest token, and it alone, should be forgotten")
	}
	if len(s.byText) != maxStateless || len(c.tokens[lineoauth.Stateless]) != maxStateless || s.forgotten != 1 {
		t.Errorf("%d and %d tokens are kept, %d forgotten", len(s.byText), len(c.tokens[lineoauth.Stateless]), s.forgotten)
	}
}

// An operation that only the OpenAPI document has is refused with what to do.
func TestUnansweredOperations(t *testing.T) {
	s := NewUnstartedServer()
	defer s.Close()
	s.mux = http.NewServeMux()
	s.routeOperations(api.Unanswered(unanswered))
	for i, route := range api.Routes() {
		fields := make(url.Values)
		for _, name := range route.Fields {
			fields.Set(name, "x")
		}
		method, path, _ := strings.Cut(route.Pattern, " ")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path+"?"+fields.Encode(), nil))
		if want := "no answer to " + route.Operation + " (" + route.Pattern + ") yet"; rec.Code != http.StatusNotImplemented || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", route.Operation, rec.Code, rec.Body)
		}
		if noted := s.State().Requests[i]; string(noted.Operation) != route.Operation || noted.Status != rec.Code || !noted.Undocumented {
			t.Errorf("%s: %+v", route.Operation, noted)
		}
	}
}

// The rate limits count a request for the channel that it names, in any of the ways.
func TestCaller(t *testing.T) {
	s := NewUnstartedServer()
	defer s.Close()
	c := s.Channel()
	client, err := lineoauth.New(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := client.Assertion(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	token := c.IssueLongLivedToken().Reveal()
	field := func(name, value string) string { return url.Values{name: {value}}.Encode() }
	for name, tt := range map[string]struct {
		query, form, authorization string
		want                       *Channel
	}{
		"client_id":              {"", field("client_id", c.ID), "", c},
		"form beside a query":    {"x=1", field("client_id", c.ID), "", c},
		"assertion":              {"", field("client_assertion", assertion.Reveal()), "", c},
		"assertion in the query": {field("client_assertion", assertion.Reveal()), "", "", c},
		"token":                  {"", field("access_token", token), "", c},
		"token in the query":     {field("access_token", token), "", "", c},
		"bearer":                 {"", `{"to":"U1"}`, "Bearer " + token, c},
		"unknown ID":             {"", field("client_id", "1"), "", nil},
		"unknown token":          {"", field("access_token", "x"), "Bearer x", nil},
		"no assertion":           {"", field("client_assertion", "a.b.c"), "", nil},
		"nothing":                {"", "", "", nil},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/?"+tt.query, strings.NewReader(tt.form))
		r.Header.Set("Authorization", tt.authorization)
		if bad := takeBody(httptest.NewRecorder(), r); bad != nil {
			t.Fatal(bad)
		}
		s.mu.Lock()
		got := s.caller(r)
		s.mu.Unlock()
		if got != tt.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
