// testscript builds on neither.

//go:build !plan9 && !wasip1

package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// SIGTERM has the proxy finish what is under way; Ctrl-C ends it at once.
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
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var ready proxying
		if err := json.NewDecoder(out).Decode(&ready); err != nil {
			t.Fatal(err)
		}
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
				t.Error("a request that was interrupted is answered")
			}
			continue
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		for err == nil { // until it lets nobody new in
			var conn net.Conn
			if conn, err = net.Dial("tcp", strings.TrimPrefix(ready.URL, "http://")); err == nil {
				_ = conn.Close()
				runtime.Gosched()
			}
		}
		release <- struct{}{}
		if err := <-answered; err != nil {
			t.Errorf("a request that was under way: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// Who started the proxy hears why there is no token, and of each request.
func TestProxyWarns(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	defer line.Close()
	cmd := process("proxy", "--listen", "0", "--log")
	cmd.Env = append(cmd.Env, "LINE_OAUTH_BASE_URL="+line.URL, "LINE_CHANNEL_ID="+line.Channel().ID, "LINE_CHANNEL_SECRET=wrong-secret")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ready proxying
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		rsp, err := http.Get(ready.URL + "/v2/bot/info")
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		if rsp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the bot gets %s", rsp.Status)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	said := stderr.String()
	if strings.Count(said, "lineoauth: warning: issueStatelessChannelToken: LINE answered 400 ") == 0 ||
		strings.Count(said, `"method":"GET","path":"/v2/bot/info","status":503,`) != 2 || strings.Contains(said, "wrong-secret") {
		t.Errorf("standard error is %q", said)
	}
}
