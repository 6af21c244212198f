// testscript builds on neither.

//go:build !plan9 && !wasip1

package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Ctrl-C ends a comparison, but not before what it had issued is revoked.
func TestInterruptedConformanceRevokes(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	t.Cleanup(line.Close)
	private, public, err := newKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := line.Channel().RegisterKey("kid", public); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 10)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/oauth/verify" {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
			asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		line.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	cmd := process("conformance", "--timeout", "1h", "--base-url", slow.URL)
	cmd.Env = append(cmd.Env, "LINE_CHANNEL_ID="+line.Channel().ID, "LINE_CHANNEL_SECRET="+line.Channel().Secret,
		"LINE_PRIVATE_KEY="+string(private), "LINE_KEY_ID=kid")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	interrupt(t, cmd)
	issued := 0
	for _, request := range line.State().Requests {
		if request.Operation == lineoauth.OpIssueChannelToken && request.Status == http.StatusOK {
			issued++
		}
	}
	if issued != 1 {
		t.Errorf("%d short-lived tokens were issued", issued)
	}
	for _, token := range line.State().Tokens {
		if token.Kind != lineoauth.Stateless {
			t.Errorf("a %s token is left", token.Kind)
		}
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
