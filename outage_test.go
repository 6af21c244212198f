package lineoauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// firstGood is the time until a caller that asks every 10 ms has a token.
func firstGood(t *testing.T, source *lineoauth.Source) time.Duration {
	t.Helper()
	start := time.Now()
	for time.Since(start) < time.Hour {
		if _, err := source.Token(t.Context()); err == nil {
			return time.Since(start)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no token within an hour")
	return 0
}

// However long an outage lasts, there is a token within a second after it.
func TestOutageBeyondTheExpiry(t *testing.T) {
	t.Parallel()
	for _, fault := range []lineoauthtest.FaultKind{lineoauthtest.ServerError, lineoauthtest.ResetBefore, lineoauthtest.ResetAfter} {
		for _, kind := range []lineoauth.Kind{lineoauth.Stateless, lineoauth.V21} {
			for _, beyond := range []time.Duration{time.Second, time.Hour} {
				bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
					cfg := lineoauth.SourceConfig{Kind: kind}
					if kind == lineoauth.V21 {
						cfg.ValidFor = 15 * time.Minute
					}
					source := newSource(t, srv, cfg)
					token, err := source.Token(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					srv.Inject(lineoauthtest.Fault{Kind: fault, Times: -1})
					for end := token.ExpiresAt().Add(beyond); time.Now().Before(end); time.Sleep(max(5*time.Second, beyond/60)) {
						if _, err := source.Token(t.Context()); err != nil && time.Now().Before(token.ExpiresAt()) {
							t.Fatalf("%s, %s: an error although a token is valid: %v", fault, kind, err)
						}
					}
					srv.ClearFaults()
					if took := firstGood(t, source); took > time.Second {
						t.Errorf("%s, %s: %v of outage beyond the expiry, and %v more until there was a token", fault, kind, beyond, took)
					}
					if n := valid(srv); kind == lineoauth.V21 && n > 3 {
						t.Errorf("%s: %d tokens count toward the limit", fault, n)
					}
				})
			}
		}
	}
}

// proxies are those that let no request out.
var proxies = map[string]func(w http.ResponseWriter){
	"407": func(w http.ResponseWriter) {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	},
	"502":            func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
	"503":            func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
	"breaks off":     func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	"not listening":  nil,
	"no certificate": nil,
}

// tunnel is a proxy that connects to one address, whatever is asked for.
func tunnel(t *testing.T, to string, healthy *atomic.Bool, sick func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			t.Errorf("a proxy was asked to %s", r.Method)
		}
		if !healthy.Load() && sick != nil {
			sick(w)
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
		}()
		_, _ = io.Copy(in, out)
		_ = in.Close()
	})
}

// What never left the machine was not lost: it costs no token, and no wait.
func TestNothingWasSent(t *testing.T) {
	for name, sick := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := lineoauthtest.NewUnstartedServer()
			defer line.Close()
			front := httptest.NewUnstartedServer(line)
			front.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client
			front.StartTLS()
			defer front.Close()

			var healthy, dialable, trusted atomic.Bool
			dialable.Store(name != "not listening")
			trusted.Store(name != "no certificate")
			proxy := httptest.NewServer(tunnel(t, front.Listener.Addr().String(), &healthy, sick))
			defer proxy.Close()
			proxyURL, err := url.Parse(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			closed, _ := closedPort(t)
			good := front.Client().Transport.(*http.Transport).TLSClientConfig
			transport := &http.Transport{
				Proxy: http.ProxyURL(proxyURL),
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					if !dialable.Load() {
						addr = strings.TrimPrefix(closed, "http://")
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				},
				TLSClientConfig: &tls.Config{RootCAs: good.RootCAs, ServerName: "example.com", VerifyConnection: func(tls.ConnectionState) error {
					if !trusted.Load() {
						return errors.New("the certificate is not trusted")
					}
					return nil
				}},
			}
			defer transport.CloseIdleConnections()

			cfg := line.Config()
			cfg.BaseURL, cfg.Transport = "https://line.example", transport
			source, err := newClient(t, cfg).Source(lineoauth.SourceConfig{Kind: lineoauth.V21})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			// Far more failures than of lost answers would be borne.
			for source.Stats().Failed < 6 {
				if _, err := source.Token(t.Context()); err == nil {
					t.Fatal("a token came although nothing can be sent")
				}
				time.Sleep(10 * time.Millisecond)
			}
			healthy.Store(true)
			dialable.Store(true)
			trusted.Store(true)
			failed := source.Stats().Failed
			took := firstGood(t, source)
			// One attempt that was under way may have failed.
			if n := source.Stats().Failed - failed; n > 1 || took > 30*time.Second {
				t.Errorf("%d failed attempts in %v after it was healthy", n, took)
			}
			if calls := line.State().Calls; calls[issueV21] != 1 || calls[lineoauth.OpGetsAllValidChannelAccessTokenKeyIds] > 1 {
				t.Errorf("calls %v; want one issue, since nothing was lost", calls)
			}
		})
	}
}

// A caller that finds its token expired while a background refresh is under way
// gets as many attempts as any that waits.
func TestFreeze(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var asleep atomic.Int64
		var fails atomic.Bool
		source := newSource(t, srv, lineoauth.SourceConfig{}, func(cfg *lineoauth.Config) {
			cfg.MaxAttempts = 3
			cfg.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(asleep.Load())) }
			base := cfg.Transport
			cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if fails.Load() {
					time.Sleep(time.Second)
					return nil, errors.New("the connection broke in sleep")
				}
				return base.RoundTrip(req)
			})
		})
		first := get(t, source)
		time.Sleep(13*time.Minute + 10*time.Second)
		fails.Store(true)
		get(t, source) // begins a refresh
		synctest.Wait()
		asleep.Store(int64(time.Hour))
		srv.Advance(time.Hour)
		time.Sleep(500 * time.Millisecond)
		go func() {
			time.Sleep(600 * time.Millisecond)
			fails.Store(false)
		}()
		if get(t, source) == first {
			t.Error("the expired token")
		}
	})
}

// Waits pass in sleep.
func TestRetryAfterPassesInSleep(t *testing.T) {
	for name, st := range map[string]store.Store{"alone": nil, "shared": silent(new(store.Memory))} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				var asleep atomic.Int64
				source := newSource(t, srv, shared(st), func(cfg *lineoauth.Config) {
					cfg.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(asleep.Load())) }
				})
				srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "600"})
				if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrRateLimited) {
					t.Fatalf("error = %v", err)
				}
				time.Sleep(2 * time.Second)
				if _, err := source.Token(t.Context()); err == nil {
					t.Fatal("Retry-After was not heeded")
				}
				synctest.Wait()
				asleep.Store(int64(20 * time.Hour))
				srv.Advance(20 * time.Hour)
				if name == "shared" {
					time.Sleep(10 * time.Minute) // Memory's clock stood still
				}
				time.Sleep(time.Second)
				get(t, source)
			})
		})
	}
}
