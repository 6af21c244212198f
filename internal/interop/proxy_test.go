package interop

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/line/line-bot-sdk-go/v8/linebot/messaging_api"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/proxy"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// contents serves LINE's contents, to clients with a valid token.
type contents struct {
	line *lineoauthtest.Server
	mu   sync.Mutex
	kept map[string][]byte // by path
}

func (c *contents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/content") {
		c.line.ServeHTTP(w, r)
		return
	}
	info := httptest.NewRequest(http.MethodGet, "https://api.line.me/v2/bot/info", nil)
	info.Header = http.Header{"Authorization": r.Header["Authorization"]}
	allowed := httptest.NewRecorder()
	if c.line.ServeHTTP(allowed, info); allowed.Code != http.StatusOK {
		w.WriteHeader(allowed.Code)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method == http.MethodPost {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		c.kept[r.URL.Path] = data
		return
	}
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(c.kept[r.URL.Path])
}

// The unmodified SDK, with a placeholder token, works through the proxy, also after
// the proxy's token was revoked.
func TestThroughProxy(t *testing.T) {
	image := bytes.Repeat([]byte("\x89PNG\x00"), 200_000) // longer than the proxy buffers
	upstream := &contents{line: lineoauthtest.NewUnstartedServer(), kept: map[string][]byte{"/v2/bot/message/1/content": image}}
	defer upstream.line.Close()
	line := httptest.NewServer(upstream)
	defer line.Close()
	cfg := upstream.line.Config()
	cfg.BaseURL = line.URL
	client, err := lineoauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	p, err := proxy.New(proxy.Config{Source: source, BaseURL: line.URL})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	defer front.Close()
	bot, err := messaging_api.NewMessagingApiAPI("placeholder", messaging_api.WithEndpoint(front.URL))
	if err != nil {
		t.Fatal(err)
	}
	blob, err := messaging_api.NewMessagingApiBlobAPI("placeholder", messaging_api.WithBlobEndpoint(front.URL))
	if err != nil {
		t.Fatal(err)
	}
	hello := []messaging_api.MessageInterface{messaging_api.TextMessage{Text: "hello"}}
	for _, state := range []string{"", "revoked"} {
		if pushed, err := bot.PushMessage(&messaging_api.PushMessageRequest{To: "U4af4980629", Messages: hello}, ""); err != nil || len(pushed.SentMessages) != 1 {
			t.Errorf("%s: push: %v, %v", state, pushed, err)
		}
		if replied, err := bot.ReplyMessage(&messaging_api.ReplyMessageRequest{ReplyToken: "r", Messages: hello}); err != nil || len(replied.SentMessages) != 1 {
			t.Errorf("%s: reply: %v, %v", state, replied, err)
		}
		if _, err := blob.SetRichMenuImage("richmenu-1", "image/png", bytes.NewReader(image)); err != nil {
			t.Errorf("%s: upload: %v", state, err)
		}
		for name, get := range map[string]func() (*http.Response, error){
			"what a user sent":  func() (*http.Response, error) { return blob.GetMessageContent("1") },
			"what was uploaded": func() (*http.Response, error) { return blob.GetRichMenuImage("richmenu-1") },
		} {
			rsp, err := get()
			if err != nil {
				t.Errorf("%s: %s: %v", state, name, err)
				continue
			}
			data, err := io.ReadAll(rsp.Body)
			_ = rsp.Body.Close()
			if err != nil || !bytes.Equal(data, image) || rsp.Header.Get("Content-Type") != "image/png" {
				t.Errorf("%s: %s: %d bytes of %s, %v", state, name, len(data), rsp.Header.Get("Content-Type"), err)
			}
		}
		token, err := source.Token(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.RevokeChannelToken(t.Context(), token.AccessToken.Reveal()); err != nil {
			t.Fatal(err)
		}
	}
}
