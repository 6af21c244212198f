package lineoauth_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// lookalikes are Unicode's letters beyond ASCII whose lower or upper case, or
// any other letter that they fold to, is one of ASCII, and those that IDNA maps to
// one, by that letter.
var lookalikes = sync.OnceValue(func() map[rune][]rune {
	found := make(map[rune][]rune)
	for r := rune(0x80); r <= rune(unicode.CaseRanges[len(unicode.CaseRanges)-1].Hi); r++ {
		for _, as := range []rune{unicode.ToLower(r), unicode.To(unicode.LowerCase, unicode.ToUpper(r)), unicode.To(unicode.LowerCase, unicode.SimpleFold(r))} {
			if as = unicode.ToLower(as); as < 0x80 && unicode.IsLetter(as) {
				found[as] = append(found[as], r)
				break
			}
		}
	}
	for r := 'a'; r <= 'z'; r++ {
		found[r] = append(found[r], r-'a'+'ａ', r-'a'+'Ａ', r-'a'+'ⓐ', r-'a'+'𝐚') // fullwidth, circled, mathematical
	}
	found['.'] = []rune{'。', '．', '｡', '․'}
	found['-'] = []rune{'‐', '‑', '－', '\u00ad'}
	return found
})

// tokens returns a function that reports whether a transport sends a token along
// with a request.
func tokens(t *testing.T, transport lineoauth.Transport) func(*url.URL) bool {
	t.Helper()
	var got string
	transport.Base = roundTrip(func(req *http.Request) (*http.Response, error) {
		got = req.Header.Get("Authorization")
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}, nil
	})
	return func(u *url.URL) bool {
		rsp, err := transport.RoundTrip((&http.Request{URL: u, Header: http.Header{}}).WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		return got != ""
	}
}

// No host that has a letter in place of another gets a token, or is a base URL.
func TestHostsThatLookAlike(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	source := newSource(t, srv, lineoauth.SourceConfig{})
	plain := newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) { cfg.BaseURL = "http://localhost:80" })
	const own = "kiosk.example"
	if found := lookalikes(); len(found['i']) < 2 || len(found['s']) < 2 || len(found['k']) < 2 {
		t.Fatalf("the search found %q", found)
	}
	for _, tt := range []struct {
		scheme, host string
		sends        func(*url.URL) bool
	}{
		{"https", "api.line.me", tokens(t, lineoauth.Transport{Source: source})},
		{"https", "api-data.line.me", tokens(t, lineoauth.Transport{Source: source})},
		{"https", own, tokens(t, lineoauth.Transport{Source: source, Hosts: []string{own}})},
		{"http", "localhost", tokens(t, lineoauth.Transport{Source: plain})},
	} {
		if !tt.sends(&url.URL{Scheme: tt.scheme, Host: strings.ToUpper(tt.host)}) {
			t.Errorf("%s gets no token", tt.host)
		}
		for letter, others := range lookalikes() {
			for _, other := range others {
				for i := range tt.host {
					if rune(tt.host[i]) != letter {
						continue
					}
					host := tt.host[:i] + string(other) + tt.host[i+1:]
					if tt.sends(&url.URL{Scheme: tt.scheme, Host: host}) {
						t.Errorf("%q gets a token (%U)", host, other)
					}
					if _, err := lineoauth.New(lineoauth.Config{BaseURL: tt.scheme + "://" + host}); !errors.Is(err, lineoauth.ErrInvalid) {
						t.Errorf("base URL %s://%s: %v", tt.scheme, host, err)
					}
				}
			}
		}
	}
	// An entry that is not ASCII stands for nothing, least of all for what folds to it.
	for _, hosts := range [][]string{{"k\u0130osk.example"}, {"\u212aiosk.example"}, {"kio\u017fk.example"}} {
		sends := tokens(t, lineoauth.Transport{Source: source, Hosts: hosts})
		if sends(&url.URL{Scheme: "https", Host: own}) || sends(&url.URL{Scheme: "https", Host: hosts[0]}) {
			t.Errorf("hosts %q: a token was sent", hosts)
		}
	}
}

// Scheme and port are those of the base URL, or the ones that a host stands for.
func TestSchemesAndPorts(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	source := func(base string, allow bool) *lineoauth.Source {
		return newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) { cfg.BaseURL, cfg.AllowPlainHTTP = base, allow })
	}
	line, gateway, sidecar := source("https://api.line.me", false), source("https://gateway.example", true), source("http://sidecar.example", true)
	local := source("http://LOCALHOST.:8080", false)
	for _, tt := range []struct {
		source *lineoauth.Source
		hosts  []string
		url    url.URL
		want   bool
	}{
		{line, nil, url.URL{Scheme: "https", Host: "api.line.me"}, true},
		{line, nil, url.URL{Scheme: "https", Host: "api.line.me:443"}, true},
		{line, nil, url.URL{Scheme: "https", Host: "API-data.LINE.me:443"}, true},
		{line, nil, url.URL{Scheme: "https", Host: "api.line.me:80"}, false},
		{line, nil, url.URL{Scheme: "https", Host: "api-data.line.me:80"}, false},
		{line, nil, url.URL{Scheme: "https", Host: "api.line.me:0443"}, false},
		{line, nil, url.URL{Scheme: "https", Host: "api.line.me:443:443"}, false},
		{line, nil, url.URL{Scheme: "https", Host: " api.line.me"}, false},
		{line, nil, url.URL{Scheme: "https", Host: "api.line.me/"}, false},
		{line, nil, url.URL{Scheme: "HTTPS", Host: "api.line.me"}, false}, // which net/http does not know
		{line, nil, url.URL{Scheme: "ftp", Host: "api.line.me"}, false},
		{line, nil, url.URL{Scheme: "", Host: "api.line.me"}, false},
		{line, nil, url.URL{Scheme: "http", Host: "api.line.me:443"}, false},
		{gateway, nil, url.URL{Scheme: "https", Host: "gateway.example"}, true},
		{gateway, nil, url.URL{Scheme: "http", Host: "gateway.example"}, false}, // another port, and not what BaseURL says
		{gateway, nil, url.URL{Scheme: "http", Host: "gateway.example:443"}, false},
		{gateway, nil, url.URL{Scheme: "ftp", Host: "gateway.example"}, false},
		{gateway, nil, url.URL{Scheme: "https", Host: "api-data.line.me"}, false},
		{sidecar, nil, url.URL{Scheme: "http", Host: "sidecar.example:80"}, true},
		{sidecar, nil, url.URL{Scheme: "https", Host: "sidecar.example"}, false},
		{local, nil, url.URL{Scheme: "http", Host: "localhost.:8080"}, true},
		{local, nil, url.URL{Scheme: "http", Host: "localhost.:8081"}, false},
		{line, []string{"Gate.example:443"}, url.URL{Scheme: "https", Host: "gate.EXAMPLE"}, true},
		{line, []string{"gate.example"}, url.URL{Scheme: "https", Host: "gate.example:443"}, true},
		{line, []string{"gate.example:8443"}, url.URL{Scheme: "https", Host: "gate.example:8443"}, true},
		{line, []string{"gate.example:443"}, url.URL{Scheme: "http", Host: "gate.example:443"}, false},
		{line, []string{"gate.example"}, url.URL{Scheme: "https", Host: "gate.example:80"}, false},
		{line, []string{""}, url.URL{Scheme: "https", Host: ""}, false},
		{line, []string{":443"}, url.URL{Scheme: "https", Host: ":443"}, false},
		{sidecar, []string{":8080"}, url.URL{Scheme: "http", Host: ":8080"}, false},
		{sidecar, []string{"[]:8080"}, url.URL{Scheme: "http", Host: ":8080"}, false},
		{sidecar, []string{"gate.example"}, url.URL{Scheme: "http", Host: "gate.example:80"}, true},
		{sidecar, []string{"gate.example"}, url.URL{Scheme: "ftp", Host: "gate.example"}, false},
		{line, []string{"127.0.0.1:8080"}, url.URL{Scheme: "http", Host: "127.0.0.1:8080"}, true},
	} {
		if got := tokens(t, lineoauth.Transport{Source: tt.source, Hosts: tt.hosts})(&tt.url); got != tt.want {
			t.Errorf("%s with hosts %q: a token was sent: %v", &tt.url, tt.hosts, got)
		}
	}
}

// A Base that does not know whom it talks to is refused, before anything is sent,
// and whatever the request.
func TestTransportRefusesBase(t *testing.T) {
	srv, source := liveServer(t)
	for name, cfg := range map[string]*tls.Config{
		"skips the verification":   {InsecureSkipVerify: true},
		"allows less than TLS 1.2": {MinVersion: tls.VersionTLS11},
	} {
		transport := &lineoauth.Transport{Source: source, Base: &http.Transport{TLSClientConfig: cfg}}
		for range 2 {
			for _, to := range []string{srv.URL + "/v2/bot/info", "https://elsewhere.invalid/"} {
				rsp, err := (&http.Client{Transport: transport}).Get(to)
				if err == nil {
					_ = rsp.Body.Close()
				}
				if !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), "Base "+name) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if _, err := lineoauth.New(lineoauth.Config{Transport: transport.Base}); !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), "Transport "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := srv.State().Calls["getBotInfo"]; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	good := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
	defer good.CloseIdleConnections()
	client := &http.Client{Transport: &lineoauth.Transport{Source: source, Base: good}}
	rsp, err := client.Get(srv.URL + "/v2/bot/info")
	if err != nil {
		t.Fatal(err)
	}
	_ = rsp.Body.Close()
}

// Localhost is this machine whatever DNS says, also with a final dot, in any case.
func TestLocalhostWithoutDNS(t *testing.T) {
	t.Parallel()
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	base := strings.Replace(srv.URL, "127.0.0.1", "LOCALHOST.", 1)
	cfg.BaseURL = base
	client, err := lineoauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
		t.Error(err)
	}
	read, _ := lineoauth.ConfigFromEnv(func(name string) string { return map[string]string{"LINE_OAUTH_BASE_URL": base}[name] })
	if want := strings.Replace(base, "LOCALHOST.", "localhost", 1); read.BaseURL != want {
		t.Errorf("the base URL is %s, not %s", read.BaseURL, want)
	}
}
