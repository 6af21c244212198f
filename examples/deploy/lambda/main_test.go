package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Time goes by while an instance is frozen. No token that expired meanwhile is sent, and
// one that is about to expire is replaced before the answer, not beside it.
func TestFreeze(t *testing.T) {
	t.Parallel()
	line := lineoauthtest.NewServer()
	defer line.Close()
	cfg := line.Config()
	credentials := lineoauth.Credentials{ChannelSecret: cfg.ChannelSecret}
	cfg.ChannelSecret, cfg.Key, cfg.KeyID = lineoauth.Secret{}, nil, ""
	f, err := newFunction(cfg, func(context.Context) (lineoauth.Credentials, error) { return credentials, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer f.source.Close()
	const body = `{"destination":"U0","events":[{"type":"message","replyToken":"r1","source":{"type":"user","userId":"U1"},"message":{"type":"text","id":"1","quoteToken":"q","text":"hello"}}]}`
	sign := hmac.New(sha256.New, []byte(credentials.ChannelSecret.Reveal()))
	_, _ = sign.Write([]byte(body))
	event := events.LambdaFunctionURLRequest{
		Body: base64.StdEncoding.EncodeToString([]byte(body)), IsBase64Encoded: true,
		Headers: map[string]string{"x-line-signature": base64.StdEncoding.EncodeToString(sign.Sum(nil))},
	}
	for i, frozen := range []time.Duration{0, time.Minute, 10 * time.Minute, time.Hour} {
		line.Advance(frozen)
		response, err := f.handle(t.Context(), event)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("after %v: %+v, %v", frozen, response, err)
		}
		state := line.State()
		if want := []int{1, 1, 2, 3}[i]; state.Calls[lineoauth.OpIssueStatelessChannelToken] != want || len(state.Messages) != i+1 {
			t.Errorf("after %v: %d tokens, %d messages", frozen, state.Calls[lineoauth.OpIssueStatelessChannelToken], len(state.Messages))
		}
		if n := state.Calls[lineoauthtest.OpReplyMessage]; n != i+1 {
			t.Errorf("after %v: %d replies, of which LINE refused some", frozen, n)
		}
	}
}
