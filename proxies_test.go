package lineoauth_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

// byEnvironment is a transport of the caller's that asks the environment for proxies, as
// docs/configuration.md shows it.
func byEnvironment(t *testing.T) *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyFromEnvironment
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// Nothing that goes to this machine goes to a proxy, however its name is written.
func TestLoopbackWithoutProxy(t *testing.T) {
	const child = "LINEOAUTH_LOOPBACK_CHILD" // net/http reads the variables once in a process
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoopbackWithoutProxy$")
		cmd.Env = append(os.Environ(), child+"=1", "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var proxied atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	for _, host := range []string{"localhost", "LOCALHOST", "localhost.", "LocalHost.", "127.0.0.1", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:FFFF:127.0.0.1]", "[::1]"} {
		for name, transport := range map[string]http.RoundTripper{"default": nil, "own": byEnvironment(t)} {
			t.Run(host+"/"+name, func(t *testing.T) {
				before := proxied.Load()
				callLoopback(t, srv, host, transport)
				if n := proxied.Load() - before; n != 0 {
					t.Errorf("%d requests went to the proxy", n)
				}
			})
		}
	}
}

// callLoopback sends all kinds of requests to a server, under a name of this machine's.
func callLoopback(t *testing.T, srv *lineoauthtest.Server, host string, transport http.RoundTripper) {
	here := host != "[::1]" // where nobody listens
	base := strings.Replace(srv.URL, "127.0.0.1", host, 1)
	cfg := srv.Config()
	cfg.BaseURL, cfg.Transport, cfg.AllowPlainHTTP = base, transport, true
	source, err := newClient(t, cfg).Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if _, err := source.Token(t.Context()); here && err != nil {
		t.Error(err)
	}
	if here {
		bySecret := cfg // signatures are slow, and the requests with them go the same way
		bySecret.Key, bySecret.KeyID = nil, ""
		if _, err := conformance.Run(t.Context(), bySecret); err != nil {
			t.Errorf("conformance: %v", err)
		}
	}
	cfg.BaseURL, cfg.OperationURLs = srv.URL, map[lineoauth.Operation]string{lineoauth.OpIssueStatelessChannelToken: base}
	if _, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context()); here && err != nil {
		t.Error(err)
	}
	for _, hosts := range [][]string{nil, {strings.TrimPrefix(srv.URL, "http://"), strings.TrimPrefix(base, "http://")}} {
		rsp, err := (&http.Client{Transport: &lineoauth.Transport{Source: source, Hosts: hosts}}).Get(base + "/v2/bot/info")
		if err == nil {
			_ = rsp.Body.Close()
		}
		if here && (err != nil || rsp.StatusCode != http.StatusOK) {
			t.Errorf("a bot with hosts %q: %v, %v", hosts, rsp, err)
		}
	}
	if transport != nil {
		return // which sends requests without a token as net/http does
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, base, nil)
	if rsp, err := (&lineoauth.Transport{Source: source, Hosts: []string{}}).RoundTrip(req); err == nil {
		_ = rsp.Body.Close()
	}
}
