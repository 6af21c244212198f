package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/proxy"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// placeholder is the token that bots send.
const placeholder = "eyJhbGciOiJIUzI1NiJ9.made.up"

// fixture is an upstream with LINE's token endpoints, and a proxy in front of it.
type fixture struct {
	testing.TB
	line     *lineoauthtest.Server
	upstream *httptest.Server
	source   *lineoauth.Source
	proxy    *proxy.Proxy
	URL      string
	client   *http.Client
	log      *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// setting is a test's configuration.
type setting struct {
	kind    lineoauth.Kind
	handler http.HandlerFunc // for all but the token endpoints; nil means the emulator
	tls     bool
	named   bool // over TLS, as LINE; its host names resolve to the upstream
	proxy   func(*proxy.Config)
}

func newFixture(t testing.TB, s setting) *fixture {
	t.Helper()
	w := &fixture{TB: t, line: lineoauthtest.NewUnstartedServer(), log: new(syncBuffer)}
	t.Cleanup(w.line.Close)
	w.upstream = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if s.handler == nil || strings.HasPrefix(r.URL.Path, "/oauth2/") || strings.HasPrefix(r.URL.Path, "/v2/oauth/") {
			w.line.ServeHTTP(rw, r)
			return
		}
		s.handler(rw, r)
	}))
	w.upstream.EnableHTTP2 = true
	if s.tls {
		w.upstream.StartTLS()
	} else {
		w.upstream.Start()
	}
	t.Cleanup(w.upstream.Close)
	transport := w.transport(s)
	cfg := w.line.Config()
	cfg.BaseURL, cfg.Transport = w.upstream.URL, transport
	if s.named {
		cfg.BaseURL = ""
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if w.source, err = client.Source(lineoauth.SourceConfig{Kind: s.kind}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.source.Close() })
	settings := proxy.Config{Source: w.source, BaseURL: cfg.BaseURL, Transport: transport, Now: cfg.Now, Log: w.log}
	if s.proxy != nil {
		s.proxy(&settings)
	}
	if w.proxy, err = proxy.New(settings); err != nil {
		t.Fatal(err)
	}
	w.serve()
	return w
}

func withoutLog(cfg *proxy.Config) { cfg.Log = nil }

// transport connects to the upstream, also under LINE's host names.
func (w *fixture) transport(s setting) *http.Transport {
	transport := proxy.NewTransport()
	w.Cleanup(transport.CloseIdleConnections)
	if s.tls {
		transport.TLSClientConfig = &tls.Config{RootCAs: w.upstream.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	}
	if s.named {
		transport.TLSClientConfig.ServerName = "example.com" // the name in the certificate
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.upstream.Listener.Addr().String())
		}
	}
	return transport
}

// serve runs the proxy until the test ends.
func (w *fixture) serve() {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	w.URL = "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(w.Context()))
	served := make(chan error, 1)
	go func() { served <- w.proxy.Serve(ctx, l, time.Minute) }()
	own := &http.Transport{MaxIdleConnsPerHost: 2000}
	w.client = &http.Client{Transport: own}
	w.Cleanup(func() {
		own.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			w.Errorf("Serve: %v", err)
		}
	})
}

// do sends a request with a placeholder token.
func (w *fixture) do(method, path, body string, change ...func(*http.Request)) (status int, header http.Header, text string) {
	w.Helper()
	req, err := http.NewRequest(method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+placeholder)
	for _, c := range change {
		c(req)
	}
	rsp, err := w.client.Do(req)
	if err != nil {
		w.Error(err)
		return 0, nil, ""
	}
	defer rsp.Body.Close()
	data, err := io.ReadAll(rsp.Body)
	if err != nil {
		w.Error(err)
	}
	return rsp.StatusCode, rsp.Header, string(data)
}

const message = `{"to":"U4af4980629","messages":[{"type":"text","text":"hello"}]}`

// revoke revokes the proxy's token.
func (w *fixture) revoke() {
	w.Helper()
	cfg := w.line.Config()
	cfg.BaseURL = w.upstream.URL
	client, err := lineoauth.New(cfg)
	if err != nil {
		w.Error(err)
		return
	}
	token, err := w.source.Token(w.Context())
	if err != nil {
		w.Error(err)
		return
	}
	if err := client.RevokeChannelToken(w.Context(), token.AccessToken.Reveal()); err != nil {
		w.Error(err)
	}
}

// load sends messages from several clients while something happens, and fails unless
// each message is sent.
func (w *fixture) load(clients, each int, between func()) {
	w.Helper()
	var sent atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				status, _, text := w.do("POST", "/v2/bot/message/push", message)
				if status != 200 || !strings.Contains(text, "sentMessages") {
					w.Errorf("%d %s", status, text)
				}
				if n := sent.Add(1); n%int64(clients*each/6) == 0 && n < int64(clients*each) {
					between()
				}
			}
		})
	}
	wg.Wait()
}
