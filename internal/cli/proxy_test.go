// testscript does not build on these.

//go:build !plan9 && !wasip1

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// SIGTERM makes the proxy finish active requests; Ctrl-C stops it immediately.
func TestProxyEnds(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	defer line.Close()
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/bot/info" {
			line.ServeHTTP(w, r)
			return
		}
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer upstream.Close()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := process("proxy", "--listen", "0")
		cmd.Env = append(cmd.Env, "LINE_OAUTH_BASE_URL="+upstream.URL,
			"LINE_CHANNEL_ID="+line.Channel().ID, "LINE_CHANNEL_SECRET="+line.Channel().Secret)
		ready := started(t, cmd)
		answered := make(chan error, 1)
		go func() {
			rsp, err := http.Get(ready.URL + "/v2/bot/info")
			if err == nil {
				err = rsp.Body.Close()
			}
			answered <- err
		}()
		<-arrived
		if sig == os.Interrupt {
			interrupt(t, cmd)
			if err := <-answered; err == nil {
				t.Error("an interrupted request was answered")
			}
			continue
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil { // until it accepts no more connections
			var conn net.Conn
			if conn, err = net.Dial("tcp", strings.TrimPrefix(ready.URL, "http://")); err == nil {
				_ = conn.Close()
				runtime.Gosched()
			}
		}
		release <- struct{}{}
		if err := <-answered; err != nil {
			t.Errorf("an active request: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// started starts a process of "lineoauth proxy", and returns what it prints once it listens.
func started(t *testing.T, cmd *exec.Cmd) (ready proxying) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return ready
}

// startProxy runs "lineoauth proxy" with a credential of the line's channel until stop,
// which returns its standard error.
func startProxy(t *testing.T, line *lineoauthtest.Server, credential string, flags ...string) (url string, stop func() string) {
	t.Helper()
	cmd := process(append([]string{"proxy", "--listen", "0"}, flags...)...)
	cmd.Env = append(cmd.Env, "LINE_OAUTH_BASE_URL="+line.URL, "LINE_CHANNEL_ID="+line.Channel().ID, credential)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	ready := started(t, cmd)
	return ready.URL, func() string {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		return stderr.String()
	}
}

// A secret that Kubernetes mounts again, by the swap of a link, is used for the next
// token.
func TestProxyTakesMountedSecrets(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	defer line.Close()
	dir := t.TempDir()
	mount := func(version, secret string) {
		t.Helper()
		if err := errors.Join(
			os.Mkdir(filepath.Join(dir, version), 0o700),
			os.WriteFile(filepath.Join(dir, version, "secret"), []byte(secret+"\n"), 0o600),
			os.Symlink(version, filepath.Join(dir, "..tmp")),
			os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")),
		); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", line.Channel().Secret)
	if err := os.Symlink(filepath.Join("..data", "secret"), filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	url, stop := startProxy(t, line, "LINE_CHANNEL_SECRET_FILE="+filepath.Join(dir, "secret"))
	status := func() int {
		rsp, err := http.Get(url + "/v2/bot/info")
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		return rsp.StatusCode
	}
	if got := status(); got != http.StatusOK {
		t.Errorf("%d with the first secret", got)
	}
	secret := line.Channel().ReissueSecret("")
	mount("..2", secret)
	line.Advance(15 * time.Minute) // the next request needs another token
	if got := status(); got != http.StatusOK {
		t.Errorf("%d with the next secret", got)
	}
	if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	line.Advance(15 * time.Minute)
	if got := status(); got != http.StatusOK {
		t.Errorf("%d without a secret in the file, where the last one is still good", got)
	}
	if said := stop(); !strings.Contains(said, "warning: getting the credentials: ") || !strings.Contains(said, "; the last ones are used until it succeeds") || strings.Contains(said, secret) {
		t.Errorf("standard error is %q", said)
	}
}

// Standard error reports why there is no token, and each request.
func TestProxyWarns(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	defer line.Close()
	url, stop := startProxy(t, line, "LINE_CHANNEL_SECRET=wrong-secret", "--log")
	for range 2 {
		rsp, err := http.Get(url + "/v2/bot/info")
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		if rsp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the bot gets %s", rsp.Status)
		}
	}
	said := stop()
	if strings.Count(said, "lineoauth: warning: issueStatelessChannelToken: LINE answered 400 ") == 0 ||
		strings.Count(said, `"method":"GET","path":"/v2/bot/info","status":503,`) != 2 || strings.Contains(said, "wrong-secret") {
		t.Errorf("standard error is %q", said)
	}
}

// A warning comes once, whatever differs between LINE's answers, and again after a
// success.
func TestProxyWarnsOnce(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := &changes{app: &app{stderr: &b}}
	refusal := func(status int, id string, wait time.Duration, attempts int) error {
		return fmt.Errorf("lineoauth: %w", &lineoauth.Error{
			Operation: "issueStatelessChannelToken", StatusCode: status, RequestID: id, RetryAfter: wait, Attempts: attempts,
		})
	}
	reset := func(port int) error {
		return &lineoauth.Error{Operation: "issueStatelessChannelToken", Err: &net.OpError{
			Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port}, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 443}, Err: syscall.ECONNRESET,
		}}
	}
	for _, tt := range []struct {
		kind  lineoauth.EventKind
		err   error
		warns bool
	}{
		{lineoauth.EventRefreshFailed, refusal(400, "a1", 0, 1), true},
		{lineoauth.EventRefreshFailed, refusal(400, "b2", 0, 1), false},
		{lineoauth.EventRefreshFailed, refusal(503, "c3", time.Second, 2), true},
		{lineoauth.EventRetried, refusal(503, "d4", time.Second, 1), false},
		{lineoauth.EventRefreshFailed, refusal(503, "e5", 2*time.Second, 3), false},
		{lineoauth.EventStoreFailed, errors.New("the disk is full"), true},
		{lineoauth.EventRefreshFailed, refusal(503, "f6", 0, 3), false},
		{lineoauth.EventStoreFailed, errors.New("the disk is full"), false},
		{lineoauth.EventRefreshFailed, reset(50001), true},
		{lineoauth.EventRefreshFailed, reset(50002), false},
		{lineoauth.EventIssued, nil, false},
		{lineoauth.EventRefreshFailed, reset(50003), true},
	} {
		before := b.Len()
		c.note(lineoauth.Event{Kind: tt.kind, Err: tt.err})
		if said := b.String()[before:]; (said != "") != tt.warns {
			t.Errorf("%s, %v: %q", tt.kind, tt.err, said)
		}
	}
}

// What LINE sends beyond an answer is not shown: it may repeat the token.
func TestProxyHidesUnsolicited(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	defer line.Close()
	tokens := make(chan string, 3)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/bot/info" {
			line.ServeHTTP(w, r)
			return
		}
		tokens <- r.Header.Get("Authorization")
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\nyou sent "+r.Header.Get("Authorization"))
		_, _ = io.Copy(io.Discard, conn) // until the proxy has read it
		_ = conn.Close()
	}))
	defer upstream.Close()
	url, stop := startProxy(t, line, "LINE_CHANNEL_SECRET="+line.Channel().Secret, "--base-url", upstream.URL)
	for range cap(tokens) {
		rsp, err := http.Get(url + "/v2/bot/info")
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		if token := <-tokens; rsp.StatusCode != http.StatusNoContent || !strings.HasPrefix(token, "Bearer ") {
			t.Errorf("%s", rsp.Status)
		}
	}
	if said := stop(); said != "" {
		t.Errorf("standard error is %q", said)
	}
}
