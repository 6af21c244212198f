package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// The whole bot against the emulator: webhook in, reply out, also after the token was
// revoked or expired.
func TestEchobot(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	handler, source, err := newBot(srv.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	say := func(text, secret string) int {
		body := `{"destination":"U0","events":[{"type":"message","mode":"active","timestamp":1,"webhookEventId":"e","deliveryContext":{"isRedelivery":false},` +
			`"replyToken":"r-` + text + `","source":{"type":"user","userId":"U1"},"message":{"type":"text","id":"1","quoteToken":"q","text":"` + text + `"}}]}`
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhook", strings.NewReader(body))
		req.Header.Set("x-line-signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		return rec.Code
	}
	secret := srv.Channel().Secret
	if code := say("hello", secret); code != 200 {
		t.Errorf("hello: %d", code)
	}
	srv.Advance(15 * time.Minute)
	if code := say("again", secret); code != 200 {
		t.Errorf("after the token expired: %d", code)
	}
	if code := say("forged", "another secret"); code != 400 {
		t.Errorf("forged: %d", code)
	}
	state := srv.State()
	if len(state.Messages) != 2 {
		t.Fatalf("messages = %+v", state.Messages)
	}
	for i, text := range []string{"hello", "again"} {
		m := state.Messages[i]
		if m.To != "r-"+text || string(m.Message) != `{"type":"text","text":"`+text+`"}` {
			t.Errorf("message = %s to %s", m.Message, m.To)
		}
	}
	if n := state.Calls[lineoauth.OpIssueStatelessChannelToken]; n != 2 {
		t.Errorf("%d tokens in two lifetimes", n)
	}
}
