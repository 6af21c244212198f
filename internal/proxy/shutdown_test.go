package proxy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/pipe"
	"github.com/lineoauth/lineoauth/internal/proxy"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// hanging never answers, like a network that drops packets.
type hanging struct{ next http.RoundTripper }

func (h hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != botInfo {
		return h.next.RoundTrip(req)
	}
	<-req.Context().Done()
	return nil, req.Context().Err()
}

const botInfo = "/v2/bot/info"

// A request that hangs delays the shutdown by the grace period at most.
func TestEndOfWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := lineoauthtest.NewUnstartedServer()
		defer line.Close()
		cfg := line.Config()
		cfg.Transport = hanging{cfg.Transport}
		client, err := lineoauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		source, err := client.Source(lineoauth.SourceConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		var log strings.Builder
		p, err := proxy.New(proxy.Config{Source: source, Transport: cfg.Transport, Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		l := pipe.Listen()
		ctx, end := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- p.Serve(ctx, l, 9*time.Second) }()
		bot := &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
		go func() {
			rsp, err := bot.Get("http://localhost" + botInfo)
			if err == nil {
				_ = rsp.Body.Close()
			}
		}()
		synctest.Wait()
		end()
		start := time.Now()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 9*time.Second || took > 9*time.Second+100*time.Millisecond {
			t.Errorf("Serve returned after %v", took)
		}
		if text := log.String(); !strings.Contains(text, `"status":502`) || !strings.Contains(text, `"error":"the proxy ended before the whole answer was sent"`) {
			t.Errorf("the log is %s", text)
		}
		bot.CloseIdleConnections()
	})
}
