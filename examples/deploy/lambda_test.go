//go:build unix

package deploy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/testproc"
)

// The program runs as Lambda runs it: it asks for its invocations, and is frozen between
// them for longer than its token is valid.
func TestLambda(t *testing.T) {
	w := newWorld(t, "secret")
	next, answers := make(chan events.LambdaFunctionURLRequest), make(chan events.LambdaFunctionURLResponse, 1)
	runtime := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/") {
		case "invocation/next":
			select {
			case event := <-next:
				rw.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
				rw.Header().Set("Lambda-Runtime-Deadline-Ms", "9999999999999")
				_ = json.NewEncoder(rw).Encode(event)
			case <-r.Context().Done():
			}
		case "invocation/1/response":
			var answer events.LambdaFunctionURLResponse
			if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
				t.Error(err)
			}
			rw.WriteHeader(http.StatusAccepted)
			answers <- answer
		default:
			text, _ := io.ReadAll(r.Body)
			t.Errorf("it calls %s: %s", r.URL.Path, text)
		}
	}))
	defer runtime.Close()
	cmd := testproc.Command(t, filepath.Join(bin, "lambda"))
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(runtime.URL, "http://"),
		"LINE_CHANNEL_ID=" + channelID, "LINE_CHANNEL_SECRET=secret", "LINE_OAUTH_BASE_URL=" + w.line.URL,
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	invoke := func(secret string) int {
		t.Helper()
		next <- events.LambdaFunctionURLRequest{Body: webhookText, Headers: map[string]string{"x-line-signature": signature(secret)}}
		return (<-answers).StatusCode
	}
	if got := invoke("wrong"); got != http.StatusBadRequest {
		t.Errorf("a webhook that LINE did not sign is answered with %d", got)
	}
	for range 2 {
		if got := invoke("secret"); got != http.StatusOK {
			t.Errorf("a webhook is answered with %d", got)
		}
	}
	w.sent(2, lineoauth.OpIssueStatelessChannelToken, 1)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.line.Advance(time.Hour)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := invoke("secret"); got != http.StatusOK {
		t.Errorf("after the freeze, a webhook is answered with %d", got)
	}
	w.sent(3, lineoauth.OpIssueStatelessChannelToken, 2)
}
