// Package rotation is what the tests of the examples with changing credentials have
// in common.
package rotation

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// callers, and how many calls each makes.
const (
	callers = 50
	calls   = 10
)

// Try has 50 goroutines call LINE with a source's tokens. Half way the credentials
// are replaced and the token expires, so that the next one is issued by the new
// ones. No call may fail, and there have to be two tokens.
func Try(t *testing.T, line *lineoauthtest.Server, cfg lineoauth.Config, replace func()) {
	t.Helper()
	var changes atomic.Int32
	cfg.OnEvent = func(e lineoauth.Event) {
		switch e.Kind {
		case lineoauth.EventCredentialsChanged:
			changes.Add(1)
		case lineoauth.EventCredentialsFailed:
			t.Error(e.Err)
		}
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = callers
	defer base.CloseIdleConnections()
	bot := &http.Client{Transport: &lineoauth.Transport{Source: source, Base: base}}

	before := line.State().Calls[lineoauth.OpIssueStatelessChannelToken]
	var made atomic.Int32
	var load sync.WaitGroup
	for range callers {
		load.Go(func() {
			for range calls {
				if made.Add(1) == callers*calls/2 {
					replace()
					line.Advance(15 * time.Minute)
				}
				call(t, bot, line.URL+"/v2/bot/info")
			}
		})
	}
	load.Wait()
	if n := line.State().Calls[lineoauth.OpIssueStatelessChannelToken] - before; n != 2 {
		t.Errorf("%d requests for a token; want one with the credentials of before, and one with the new ones", n)
	}
	if n := changes.Load(); n != 1 {
		t.Errorf("%d changes of the credentials were reported", n)
	}
}

func call(t *testing.T, bot *http.Client, url string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	rsp, err := bot.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer rsp.Body.Close()
	if _, err := io.Copy(io.Discard, rsp.Body); err != nil || rsp.StatusCode != http.StatusOK {
		t.Errorf("status %d, %v", rsp.StatusCode, err)
	}
}
