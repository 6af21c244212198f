package lineoauth_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// swallower is a TCP proxy that can swallow what the connections there are send,
// as a firewall does that has forgotten them. New ones pass.
type swallower struct {
	net.Listener
	to    string
	conns atomic.Int32
	mu    sync.Mutex
	dead  []*atomic.Bool
	open  []net.Conn
	works sync.WaitGroup
}

func swallow(t *testing.T, to string) *swallower {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swallower{Listener: l, to: to}
	s.works.Go(s.serve)
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.open {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.works.Wait()
	})
	return s
}

func (s *swallower) serve() {
	for {
		near, err := s.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", s.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		dead := new(atomic.Bool)
		s.mu.Lock()
		s.dead, s.open = append(s.dead, dead), append(s.open, near, far)
		s.mu.Unlock()
		s.conns.Add(1)
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			s.works.Go(func() { pass(way[0], way[1], dead) })
		}
	}
}

func pass(from, to net.Conn, dead *atomic.Bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if dead.Load() { // also the end is swallowed
			n = 0
		}
		if _, failed := to.Write(buf[:n]); n > 0 && failed != nil {
			return
		}
		if err != nil {
			if !dead.Load() {
				_ = to.Close()
			}
			return
		}
	}
}

// swallow swallows from now on what goes over the connections there are.
func (s *swallower) swallow() (conns int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dead := range s.dead {
		dead.Store(true)
	}
	return s.conns.Load()
}

// deadEnv marks a process of TestDeadConnections, where the default transport trusts
// the servers by SSL_CERT_FILE.
const deadEnv = "LINEOAUTH_DEAD"

// When all connections die in silence, one call fails at most, and the next one
// has a new connection: by the default transport, with HTTP/1 and HTTP/2, for a
// client and under a Transport, however many connections there were.
func TestDeadConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if os.Getenv(deadEnv) == "" {
		t.Parallel()
		srv := httptest.NewTLSServer(http.NotFoundHandler())
		cert := filepath.Join(t.TempDir(), "cert.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
		srv.Close()
		if err := os.WriteFile(cert, block, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDeadConnections$", "-test.v")
		cmd.Env = append(os.Environ(), deadEnv+"=1", "SSL_CERT_FILE="+cert, "SSL_CERT_DIR="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		} else {
			t.Logf("%s", out)
		}
		return
	}
	for name, h2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Run("client", func(t *testing.T) { deadUnderClient(t, h2) })
			t.Run("Transport", func(t *testing.T) { deadUnderTransport(t, h2) })
			if h2 {
				t.Run("without a deadline", func(t *testing.T) { deadWithoutDeadline(t) })
			}
		})
	}
}

// behind returns an emulator behind a swallower, and the configuration of a client of
// both.
func behind(t *testing.T, h2 bool) (*swallower, *lineoauthtest.Server, lineoauth.Config) {
	t.Helper()
	line := lineoauthtest.NewUnstartedServer()
	t.Cleanup(line.Close)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (r.ProtoMajor == 2) != h2 {
			t.Errorf("the request came by %s", r.Proto)
		}
		line.ServeHTTP(w, r)
	}))
	srv.EnableHTTP2 = h2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the client gives up
	srv.StartTLS()
	s := swallow(t, srv.Listener.Addr().String())
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	cfg := line.Config()
	cfg.BaseURL, cfg.Transport = "https://"+s.Addr().String(), nil
	cfg.Timeout, cfg.MaxAttempts = time.Minute, 1
	return s, line, cfg
}

// crowd makes calls at the same time, so that there are several connections.
func crowd(t *testing.T, call func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := call(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func deadUnderClient(t *testing.T, h2 bool) {
	s, _, cfg := behind(t, h2)
	patient := newClient(t, cfg)
	cfg.Timeout = 100 * time.Millisecond
	hasty := newClient(t, cfg)
	issue := func(c *lineoauth.Client) error { _, err := c.IssueStatelessChannelToken(t.Context()); return err }
	crowd(t, func() error { return issue(patient) })
	before := s.swallow()
	if err := issue(hasty); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("over a silent connection: %v", err)
	}
	// With a timeout of a minute, these would fail after that minute on one.
	for range 4 {
		if err := issue(patient); err != nil {
			t.Errorf("after one call failed: %v", err)
		}
	}
	if n := s.conns.Load() - before; n < 1 { // some that were under way may come late
		t.Errorf("%d new connections", n)
	}
	// One call with more than one attempt notices nothing.
	s.swallow()
	cfg.Timeout, cfg.MaxAttempts = time.Second, 5
	if err := issue(retrying(t, cfg)); err != nil {
		t.Errorf("with a second attempt: %v", err)
	}
}

func deadUnderTransport(t *testing.T, h2 bool) {
	s, line, cfg := behind(t, h2)
	source, err := newClient(t, cfg).Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	bot := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	info := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.BaseURL+"/v2/bot/info", nil)
		if err != nil {
			return err
		}
		rsp, err := bot.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, rsp.Body)
		return errors.Join(err, rsp.Body.Close())
	}
	crowd(t, func() error { return info(time.Minute) })
	before := s.swallow()
	if err := info(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("over a silent connection: %v", err)
	}
	for range 4 {
		if err := info(time.Minute); err != nil {
			t.Errorf("after one request failed: %v", err)
		}
	}
	if n := s.conns.Load() - before; n < 1 { // some that were under way may come late
		t.Errorf("%d new connections", n)
	}
	if n := line.State().Calls[lineoauthtest.OpGetBotInfo]; n != 10 {
		t.Errorf("LINE got %d requests", n)
	}
}

// A request without a deadline, too, finds out that an HTTP/2 connection is unresponsive.
func deadWithoutDeadline(t *testing.T) {
	s, _, cfg := behind(t, true)
	cfg.Timeout = -1
	client := newClient(t, cfg)
	if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.swallow()
	start := time.Now()
	_, err := client.IssueStatelessChannelToken(t.Context())
	t.Logf("%v after %v", err, time.Since(start))
	if e := new(lineoauth.Error); err != nil && !errors.As(err, &e) {
		t.Errorf("error = %v", err)
	}
	if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
		t.Errorf("after that: %v", err)
	}
}
