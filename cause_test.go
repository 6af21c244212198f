package lineoauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// through is a transport that has a proxy.
func through(t *testing.T, proxy string) *http.Transport {
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u)}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func answersAll(t *testing.T, status int) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

// rawServer answers each connection with a text.
func rawServer(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// Errors name the cause, and what to do about it.
func TestErrorsPointAtTheCause(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(untrusted.Certificate())
	knows := func(cfg *tls.Config) *http.Transport {
		cfg.RootCAs = trusted
		transport := &http.Transport{TLSClientConfig: cfg}
		t.Cleanup(transport.CloseIdleConnections)
		return transport
	}
	closed, _ := closedPort(t)
	port := strings.TrimPrefix(closed, "http://")
	lost, nameServer := nameServerThatAnswers(nxDomain)(t)
	for name, tt := range map[string]struct {
		base      string
		transport http.RoundTripper
		want      []string
		not       []string
		fromEnv   []string // in place of want
	}{
		"unknown authority": {untrusted.URL, nil, []string{`the authority "O=Acme Co"`, "RootCAs", "SSL_CERT_FILE"}, []string{"check the network"},
			[]string{`the authority "O=Acme Co"`, "SSL_CERT_FILE"}},
		"certificate of another": {untrusted.URL, knows(&tls.Config{ServerName: "line.example"}), []string{"the server that answered is not that host"}, []string{"check the network"}, nil},
		"certificate expired": {untrusted.URL, knows(&tls.Config{Time: func() time.Time { return time.Now().AddDate(200, 0, 0) }}),
			[]string{"has expired", "synchronize the clock (NTP)"}, []string{"check the network"}, nil},
		"no TLS":               {"https://" + rawServer(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), &http.Transport{}, []string{"does not speak TLS"}, nil, nil},
		"proxy is not there":   {"https://line.example", through(t, "http://"+port), []string{"the proxy cannot be reached", "HTTPS_PROXY"}, []string{"base URL"}, nil},
		"proxy asks, CONNECT":  {"https://line.example", through(t, answersAll(t, 407)), []string{"the proxy asks for a user name", "HTTPS_PROXY"}, []string{"base URL"}, nil},
		"proxy asks, plain":    {"http://127.0.0.2", through(t, answersAll(t, 407)), []string{"407", "the proxy asks for a user name"}, nil, nil},
		"proxy refuses":        {"https://line.example", through(t, answersAll(t, 403)), []string{"Forbidden", "the proxy refused"}, []string{"base URL"}, nil},
		"proxy cannot":         {"https://line.example", through(t, answersAll(t, 502)), []string{"Bad Gateway", "the proxy refused"}, []string{"base URL"}, nil},
		"no such host":         {lost, nameServer, []string{"check the network and the base URL", "DNS does not know the host line.example"}, nil, nil},
		"status 000":           {"http://" + rawServer(t, "HTTP/1.1 000 \r\nContent-Length: 2\r\n\r\n{}"), nil, []string{"status is not an HTTP status"}, []string{"answered 0"}, nil},
		"status 099":           {"http://" + rawServer(t, "HTTP/1.1 099 x\r\nContent-Length: 2\r\n\r\n{}"), nil, []string{"status is not an HTTP status"}, nil, nil},
		"status 999":           {"http://" + rawServer(t, "HTTP/1.1 999 x\r\nContent-Length: 2\r\n\r\n{}"), nil, []string{"status is not an HTTP status"}, []string{"LINE has trouble"}, nil},
		"a refused connection": {closed, nil, []string{"connection refused; check the network and the base URL"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := lineoauth.Config{BaseURL: tt.base, Transport: tt.transport}
			_, err := newClient(t, cfg).VerifyChannelToken(t.Context(), opaque)
			says(t, err, tt.want, tt.not)
			if tt.fromEnv == nil {
				return
			}
			cfg, err = lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", "LINE_CHANNEL_SECRET", "s", "LINE_OAUTH_BASE_URL", tt.base))
			if err != nil {
				t.Fatal(err)
			}
			_, err = newClient(t, cfg).VerifyChannelToken(t.Context(), opaque)
			says(t, err, tt.fromEnv, append(tt.not, "RootCAs", "TLSClientConfig"))
		})
	}
}

func says(t *testing.T, err error, want, not []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	fitForALog(t, err, opaque)
	for _, s := range want {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error = %v; want %q in it", err, s)
		}
	}
	for _, s := range not {
		if strings.Contains(err.Error(), s) {
			t.Errorf("error = %v; %q is in it", err, s)
		}
	}
}

// A deadline of the caller's own is not the network's fault, before the answer and
// in its middle; the client's timeout may be.
func TestDeadlineOfTheCaller(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() },
		"no end":    func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); stall(w, r) },
	} {
		bubble(t, func(t *testing.T, _ *lineoauthtest.Server) {
			cfg := slowServer(t, answer)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := newClient(t, cfg).VerifyChannelToken(ctx, opaque)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			says(t, err, nil, []string{"network", "base URL"})
			cfg.Timeout = time.Second
			_, err = newClient(t, cfg).VerifyChannelToken(t.Context(), opaque)
			says(t, err, []string{"no answer within 1s", "check the network"}, []string{"caller"})
		})
	}
}

// slowServer returns the configuration for a server in a bubble.
func slowServer(t *testing.T, handler http.Handler) lineoauth.Config {
	f := fault{slow: true, answer: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { handler.ServeHTTP(w, r) }}
	n := f.start(t, nil)
	return lineoauth.Config{BaseURL: n.base, Transport: n.transport}
}

const badProxyEnv = "LINEOAUTH_BAD_PROXY"

// A proxy variable that net/http cannot read, and so goes around the proxy without a
// word, fails the call by its name.
func TestUnreadableProxy(t *testing.T) {
	t.Parallel()
	if name := os.Getenv(badProxyEnv); name != "" {
		for _, transport := range []http.RoundTripper{nil, byEnvironment(t)} {
			for _, base := range []string{"https://0.0.0.0:1", "http://0.0.0.0:1"} {
				_, err := newClient(t, lineoauth.Config{BaseURL: base, AllowPlainHTTP: true, Transport: transport}).VerifyChannelToken(t.Context(), opaque)
				excepted := os.Getenv("NO_PROXY") != ""
				if !excepted && strings.HasPrefix(strings.ToLower(name), base[:strings.Index(base, ":")]+"_") {
					if !errors.Is(err, lineoauth.ErrInvalid) {
						t.Errorf("%s: %v", base, err)
					}
					says(t, err, []string{name + " cannot be read"}, []string{"hunter2", "check the network"})
				} else {
					says(t, err, nil, []string{name + " cannot be read"})
				}
			}
			throughTransport(t, name, transport)
		}
		srv := lineoauthtest.NewServer() // on loopback, where there is no proxy
		defer srv.Close()
		cfg := lineoauth.Config{BaseURL: srv.URL, ChannelID: srv.Channel().ID, ChannelSecret: lineoauth.NewSecret(srv.Channel().Secret)}
		if _, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	for setting, noProxy := range map[string]string{
		"HTTPS_PROXY=http://user:hunter2@proxy:port": "", "https_proxy=http://[::1": "", "HTTP_PROXY=proxy.example:http": "", "HTTPS_PROXY=ftp://proxy": "", "HTTPS_PROXY=http://proxy.example:65536": "", "HTTPS_PROXY=http://user:pass@hunter2/word@proxy.example:1": "", "https_proxy=user:1?hunter2@proxy.example:1": "",
		"HTTPS_PROXY=://": "other.example, 0.0.0.0", "http_proxy=a b": "*",
	} {
		name, _, _ := strings.Cut(setting, "=")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUnreadableProxy$")
		cmd.Env = append(os.Environ(), badProxyEnv+"="+name, setting, "NO_PROXY="+noProxy, "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", setting, err, out)
		}
	}
}

// throughTransport is the same fault for a request of a bot, which is closed.
func throughTransport(t *testing.T, name string, base http.RoundTripper) {
	t.Helper()
	line := "http://0.0.0.0:1"
	if strings.HasPrefix(strings.ToLower(name), "https") {
		line = "https://0.0.0.0:1"
	}
	source, err := newClient(t, lineoauth.Config{BaseURL: line, AllowPlainHTTP: true, ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s")}).Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	body := &closeRecorder{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(line, ":1", ":2", 1), body) // a host that gets no token
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := (&lineoauth.Transport{Source: source, Base: base}).RoundTrip(req)
	if err == nil {
		_ = rsp.Body.Close()
	}
	if want := os.Getenv("NO_PROXY") == ""; errors.Is(err, lineoauth.ErrInvalid) != want {
		t.Errorf("a Transport's error: %v", err)
	}
	if !body.closed {
		t.Error("the body was not closed")
	}
}

// A 401 whose body is slow, or has no end, does not hold up the request.
func TestSlowRefusal(t *testing.T) {
	for name, answer := range slowRefusals {
		t.Run(name, func(t *testing.T) {
			if status := slowRefusal(t, answer); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		})
	}
}

// slowRefusals are LINE's to a token that was revoked.
var slowRefusals = map[string]func(w http.ResponseWriter, r *http.Request){
	"401 whose body does not come": stall,
	"401 whose body does not end":  func(w http.ResponseWriter, _ *http.Request) { flood(w) },
}

// slowRefusal returns the status that a bot gets in the end, whose first request is
// answered with a 401 and what answer writes then.
func slowRefusal(t *testing.T, answer http.HandlerFunc) (status int) {
	line, source := liveServer(t)
	var first lineoauth.Token
	bot := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+first.AccessToken.Reveal() {
			w.WriteHeader(http.StatusUnauthorized)
			_ = http.NewResponseController(w).Flush()
			answer(w, r)
		}
	}))
	defer bot.Close()
	var err error
	if first, err = source.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !line.Channel().RevokeToken(first.AccessToken.Reveal()) {
		t.Fatal("the token was not revoked")
	}
	host := strings.TrimPrefix(bot.URL, "http://")
	client := &http.Client{Transport: &lineoauth.Transport{Source: source, Hosts: []string{host}}}
	defer client.CloseIdleConnections()
	return push(t, client, bot.URL, strings.NewReader(pushBody))
}
