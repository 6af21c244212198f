package conformance_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

// exchange is a request and the emulator's answer to it.
type exchange struct {
	endpoint string     // such as "GET /oauth2/v2.1/verify"
	form     url.Values // or query
	request  *http.Request

	status int
	header http.Header
	body   string
}

// refuse makes the server answer with an OAuth error.
func (x *exchange) refuse(code, description string) {
	text, _ := json.Marshal(map[string]string{"error": code, "error_description": description})
	x.status, x.body = http.StatusBadRequest, string(text)
}

// field returns a text field of the answer.
func (x *exchange) field(name string) string {
	var fields map[string]any
	_ = json.Unmarshal([]byte(x.body), &fields)
	text, _ := fields[name].(string)
	return text
}

// front is a server in front of an emulator that may change its answers.
type front struct {
	*lineoauthtest.Server
	change func(x *exchange)

	mu    sync.Mutex
	alias map[string]string // original tokens, by their replacements
	done  map[string]bool   // state of a change
}

// newFront returns a front, and a configuration that uses it.
func newFront(t *testing.T, change func(x *exchange)) (*front, lineoauth.Config) {
	t.Helper()
	f := &front{Server: lineoauthtest.NewServer(), change: change, alias: make(map[string]string), done: make(map[string]bool)}
	t.Cleanup(f.Close)
	outer := httptest.NewServer(f)
	t.Cleanup(outer.Close)
	cfg := f.Config()
	cfg.BaseURL = outer.URL
	return f, cfg
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	plain := string(body)
	for fake, real := range f.alias {
		plain = strings.ReplaceAll(plain, fake, url.QueryEscape(real))
		r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, fake, url.QueryEscape(real))
		r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), fake, real))
	}
	if r.Header.Get("Authorization") == "" {
		r.Header.Del("Authorization")
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(plain)), int64(len(plain))
	rec := httptest.NewRecorder()
	f.Server.ServeHTTP(rec, r)
	x := &exchange{
		endpoint: r.Method + " " + r.URL.Path, form: r.URL.Query(), request: r,
		status: rec.Code, header: rec.Header(), body: rec.Body.String(),
	}
	if r.Method == http.MethodPost {
		x.form, _ = url.ParseQuery(plain)
	}
	if f.change != nil {
		f.change(x)
	}
	for name, values := range x.header {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(x.status)
	_, _ = io.WriteString(w, x.body)
}

// rename replaces the text of a token in an answer; the new text stands for the token
// afterwards.
func (f *front) rename(x *exchange, fake string) {
	real := x.field("access_token")
	f.alias[fake] = real
	x.body = strings.ReplaceAll(x.body, real, fake)
}

// hideEmulator makes a front look like LINE.
func hideEmulator(x *exchange) {
	if strings.Contains(x.endpoint, " /_emulator/") {
		x.status, x.body = http.StatusNotFound, `{"message":"Not found"}`
	}
}

func rows(report *conformance.Report, v conformance.Verdict) (names []string) {
	for _, row := range report.Rows {
		if row.Verdict == v {
			names = append(names, row.Row)
		}
	}
	return names
}

// liveTokens counts the tokens that LINE limits.
func liveTokens(srv *lineoauthtest.Server) (n int) {
	for _, token := range srv.State().Tokens {
		if token.Kind != lineoauth.Stateless {
			n++
		}
	}
	return n
}

// The emulator agrees with LINE, and has no tokens afterwards.
func TestEmulatorAgrees(t *testing.T) {
	t.Parallel()
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	report, err := conformance.Run(t.Context(), srv.Config())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if report.Count(conformance.Agrees) != len(report.Rows) {
		t.Error(text.String())
	}
	if n := liveTokens(srv); n != 0 {
		t.Errorf("%d tokens remain", n)
	}
	names := make(map[string]bool)
	for _, row := range report.Rows {
		if names[row.Row] {
			t.Errorf("duplicate row %s", row.Row)
		}
		names[row.Row] = true
		if recorded := row.Strength == conformance.Recorded; recorded && row.Source == "" {
			t.Errorf("%s has no source", row.Row)
		}
	}
}
