// testscript does not build on these.

//go:build !plan9 && !wasip1

package cli

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Ctrl-C and SIGTERM stop a comparison once the tokens that it issued are revoked.
func TestInterruptedConformanceRevokes(t *testing.T) {
	t.Parallel()
	for sig, exitCode := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 1} {
		t.Run(sig.String(), func(t *testing.T) {
			line := lineoauthtest.NewServer()
			t.Cleanup(line.Close)
			asked := make(chan struct{}, 10)
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/oauth/verify" {
					_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client is gone
					asked <- struct{}{}
					<-r.Context().Done()
					return
				}
				line.ServeHTTP(w, r)
			}))
			t.Cleanup(slow.Close)
			cmd := process("conformance", "--timeout", "1h", "--base-url", slow.URL)
			cmd.Env = append(cmd.Env, "LINE_CHANNEL_ID="+line.Channel().ID, "LINE_CHANNEL_SECRET="+line.Channel().Secret)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer late.Stop()
			<-asked
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			exit := new(exec.ExitError)
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitCode || stderr.String() != "lineoauth: interrupted; the issued tokens were revoked\n" {
				t.Errorf("%v, %s", err, stderr.String())
			}
			issued := 0
			for _, request := range line.State().Requests {
				if request.Operation == lineoauth.OpIssueChannelToken && request.Status == http.StatusOK {
					issued++
				}
			}
			for _, token := range line.State().Tokens {
				if token.Kind != lineoauth.Stateless {
					t.Errorf("a %s token is left", token.Kind)
				}
			}
			if issued != 1 {
				t.Errorf("%d short-lived tokens were issued", issued)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	for base, want := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://127.9.9.9": true, "http://[::1]:80/": true, "http://LocalHost.:1": true, "https://localhost": true,
		"https://api.line.me": false, "http://localhost.example": false, "http://10.0.0.1": false, "https://127.0.0.1.example": false, "": false,
	} {
		if got := isLoopback(base); got != want {
			t.Errorf("%q: %t", base, got)
		}
	}
}
