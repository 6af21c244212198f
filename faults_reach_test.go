package lineoauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
)

// closedPort is one that a client has, so that nobody can listen on it meanwhile.
func closedPort(t *testing.T) (string, http.RoundTripper) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return "http://" + conn.LocalAddr().String(), &http.Transport{}
}

// Answers of a name server (RFC 1035, section 4.1.1).
const (
	servFail = 2
	nxDomain = 3
)

// nameServerThatAnswers is asked for the host, and knows no names.
func nameServerThatAnswers(code byte) func(*testing.T) (string, http.RoundTripper) {
	return func(t *testing.T) (string, http.RoundTripper) {
		server, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		go func() {
			query := make([]byte, 512)
			for {
				n, from, err := server.ReadFrom(query)
				if err != nil {
					return
				}
				query[2], query[3] = query[2]|0x80, code
				_, _ = server.WriteTo(query[:n], from)
			}
		}()
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
		}}
		return "https://line.example", &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
	}
}

func selfSigned(t *testing.T) (string, http.RoundTripper) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL, &http.Transport{}
}

// trusting is a server whose certificate is known to the client.
func trusting(t *testing.T, cfg *tls.Config) (string, http.RoundTripper) {
	base, _ := selfSigned(t)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(conn.ConnectionState().PeerCertificates[0])
	return base, &http.Transport{TLSClientConfig: cfg}
}

func ofAnotherHost(t *testing.T) (string, http.RoundTripper) {
	return trusting(t, &tls.Config{ServerName: "line.example"})
}

func expired(t *testing.T) (string, http.RoundTripper) {
	return trusting(t, &tls.Config{Time: func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }})
}

func noTLS(t *testing.T) (string, http.RoundTripper) {
	return "https://" + rawServer(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), &http.Transport{}
}

// unreadable is the way of the default transport when the proxy's variable is wrong.
func unreadable(t *testing.T) (string, http.RoundTripper) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://line.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = http.ProxyFromEnvironment(req) // it keeps what it reads first for all tests
	t.Setenv("HTTPS_PROXY", "http://user:hunter2@proxy.example:port")
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	source, err := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s")}).Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	return "https://line.example", &lineoauth.Transport{Source: source, Hosts: []string{}} // which puts no token on anything
}

func plainProxy(t *testing.T) (string, http.RoundTripper) {
	return "http://127.0.0.2", through(t, answersAll(t, http.StatusProxyAuthRequired))
}

func noProxy(t *testing.T) (string, http.RoundTripper) {
	base, _ := closedPort(t)
	return "https://line.example", through(t, base)
}

func proxyThatAnswers(status int) func(*testing.T) (string, http.RoundTripper) {
	return func(t *testing.T) (string, http.RoundTripper) {
		return "https://line.example", through(t, answersAll(t, status))
	}
}

// unanswered takes a request, and never answers.
func unanswered(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body) // only then does net/http notice that the client goes
	<-r.Context().Done()
}

// flood writes until nobody reads.
func flood(w io.Writer) {
	for {
		if _, err := io.WriteString(w, strings.Repeat("x", 1<<10)); err != nil {
			return
		}
	}
}

type served struct{}

// counting is the ConnContext of a server that counts a connection's requests.
func counting(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, served{}, new(atomic.Int32))
}

// unused has LINE answer the first request of each connection, and other operations
// than the first, if the fault strikes used connections alone.
func (f *fault) unused(strikes, line http.Handler) http.Handler {
	var first atomic.Value
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.CompareAndSwap(nil, r.URL.Path)
		n, _ := r.Context().Value(served{}).(*atomic.Int32)
		if f.used && (first.Load() != r.URL.Path || n.Add(1) == 1) {
			line.ServeHTTP(w, r)
			return
		}
		strikes.ServeHTTP(w, r)
	})
}

func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, waiting)
}

func canceled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(waiting, cancel)
	return ctx, cancel
}

func byKey(op lineoauth.Operation) bool {
	return op == lineoauth.OpIssueStatelessChannelToken || op == lineoauth.OpIssueChannelTokenByJWT || op == lineoauth.OpGetsAllValidChannelAccessTokenKeyIds
}
