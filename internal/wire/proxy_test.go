package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/internal/wire"
)

// NO_PROXY means what it means to net/http, with which package interop compares it.
func TestGoesDirect(t *testing.T) {
	for _, tt := range []struct {
		list, url string
		want      bool
	}{
		{"", "https://api.line.me", false},
		{"api.line.me", "https://api.line.me", true},
		{"line.me", "https://api.line.me", true},
		{"other.example, LINE.me ,", "https://API.line.ME", true},
		{"ine.me", "https://api.line.me", false},
		{".line.me", "https://api.line.me", true},
		{".line.me", "https://line.me", false}, // subdomains alone
		{"*.line.me", "https://api.line.me", true},
		{"*.line.me", "https://line.me", false},
		{"*line.me", "https://line.me", false},
		{"*", "https://api.line.me", true},
		{"other.example, *", "https://api.line.me", true},
		{"api.line.me:443", "https://api.line.me", true},
		{"api.line.me:80", "https://api.line.me", false},
		{"api.line.me:80", "http://api.line.me", true},
		{"api.line.me:8443", "https://api.line.me:8443", true},
		{"api.line.me:", "https://api.line.me", true},
		{":443", "https://api.line.me", false},
		{"192.0.2.1", "https://192.0.2.1", true},
		{"2.1", "https://192.0.2.1", false}, // an address has no parts
		{"192.0.2.1:80", "https://192.0.2.1", false},
		{"192.0.2.0/24", "https://192.0.2.1", true},
		{"192.0.2.0/24", "https://192.0.3.1", false},
		{"2001:db8::/32", "https://[2001:db8::1]", true},
		{"[2001:db8::1]:443", "https://[2001:DB8::1]", true},
		{"[2001:db8::1]", "https://[2001:db8::1]", false},
		{"", "http://127.9.9.9", true},
		{"", "http://[::1]", true},
		{"", "http://localhost", true},
		{"", "http://LocalHost.", true}, // not to net/http, but to ReportProxies
		{"b\u00fccher.example", "https://b\u00fccher.example", true},
		{"b\u00fccher.example", "https://xn--bcher-kva.example", false}, // it is reported, not bypassed
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := wire.GoesDirect(tt.list, u); got != tt.want {
			t.Errorf("NO_PROXY=%s %s: %t", tt.list, tt.url, got)
		}
	}
}

// Of NO_PROXY and no_proxy, the first that is not empty counts.
func TestFirstNoProxy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("variables have no case there")
	}
	t.Setenv("HTTPS_PROXY", "http://proxy.example:http")
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	wire.ReportProxies(transport)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.line.me", nil)
	for _, tt := range []struct {
		upper, lower string
		reported     bool
	}{
		{"", "line.me", false},
		{"line.me", "", false},
		{"other.example", "line.me", true},
		{"line.me", "other.example", false},
	} {
		t.Setenv("NO_PROXY", tt.upper)
		t.Setenv("no_proxy", tt.lower)
		if _, err := transport.Proxy(req); errors.As(err, new(*wire.UnreadableProxy)) != tt.reported {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// A transport of the caller's that asks the environment sends nothing if the answer is
// unknown, and stays as it is. Checking that costs other transports nothing.
func TestOwnTransport(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://hunter2:http")
	t.Setenv("NO_PROXY", "direct.example")
	for _, tt := range []struct {
		url       string
		transport *http.Transport
		reported  bool
	}{
		{"https://line.invalid", &http.Transport{Proxy: http.ProxyFromEnvironment}, true},
		{"https://direct.example", &http.Transport{Proxy: http.ProxyFromEnvironment}, false},
		{"ftp://line.invalid", &http.Transport{Proxy: http.ProxyFromEnvironment}, false},
		{"https://line.invalid", &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})}, false},
		{"https://line.invalid", &http.Transport{}, false},
	} {
		dialed := errors.New("dialed")
		tt.transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, dialed }
		body := &body{Reader: strings.NewReader("x")}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.url, body)
		if err != nil {
			t.Fatal(err)
		}
		a := wire.Do(t.Context(), tt.transport, req, -1)
		if reported := errors.As(a.Err, new(*wire.UnreadableProxy)); reported != tt.reported || reported && !a.Unsent || !reported && a.Err == nil || !body.closed {
			t.Errorf("%s: %v, unsent %t, body closed %t", tt.url, a.Err, a.Unsent, body.closed)
		}
		if tt.reported && (strings.Contains(a.Err.Error(), "hunter2") || errors.Is(a.Err, dialed)) {
			t.Errorf("%s: %v", tt.url, a.Err)
		}
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://line.invalid", nil)
	var other http.RoundTripper = refusing{}
	if n := testing.AllocsPerRun(100, func() { _, _ = wire.RoundTrip(other, req) }); n != 0 { //nolint:bodyclose // there is none
		t.Errorf("%v allocations", n)
	}
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
