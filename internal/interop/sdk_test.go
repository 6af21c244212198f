package interop

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/line/line-bot-sdk-go/v8/linebot/channel_access_token"
	"github.com/line/line-bot-sdk-go/v8/linebot/messaging_api"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

const (
	grant         = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	unknownJWS    = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
)

// bot is a channel with the clients of line-bot-sdk-go.
type bot struct {
	*testing.T
	srv     *lineoauthtest.Server
	channel *lineoauthtest.Channel
	api     *channel_access_token.ChannelAccessTokenAPI
	key     *rsa.PrivateKey
	keyID   string
}

func newBot(t *testing.T) *bot {
	t.Helper()
	srv := lineoauthtest.NewServer()
	t.Cleanup(srv.Close)
	api, err := channel_access_token.NewChannelAccessTokenAPI(channel_access_token.WithEndpoint(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.JSONWebKey{Key: &key.PublicKey, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	keyID, err := srv.Channel().RegisterKey("", jwk)
	if err != nil {
		t.Fatal(err)
	}
	return &bot{t, srv, srv.Channel(), api, key, keyID}
}

func (b *bot) sign(kid, iss string, exp time.Duration) string {
	b.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: b.key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
	if err != nil {
		b.Fatal(err)
	}
	jws, err := signer.Sign(fmt.Appendf(nil, `{"iss":%q,"sub":%q,"aud":"https://api.line.me/","exp":%d,"token_exp":3600}`,
		iss, iss, b.srv.Now().Add(exp).Unix()))
	if err != nil {
		b.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func (b *bot) assertion() string {
	b.Helper()
	return b.sign(b.keyID, b.channel.ID, 10*time.Minute)
}

func (b *bot) v21() string {
	b.Helper()
	rsp, err := b.api.IssueChannelTokenByJWT(grant, assertionType, b.assertion())
	if err != nil {
		b.Fatal(err)
	}
	if rsp.ExpiresIn != 3600 || rsp.TokenType != "Bearer" || rsp.KeyId == "" {
		b.Errorf("v2.1 token: expires_in %d, token_type %q, key_id %q", rsp.ExpiresIn, rsp.TokenType, rsp.KeyId)
	}
	return rsp.AccessToken
}

func (b *bot) short() string {
	b.Helper()
	rsp, err := b.api.IssueChannelToken(grant, b.channel.ID, b.channel.Secret)
	if err != nil {
		b.Fatal(err)
	}
	if rsp.ExpiresIn != 2_592_000 || rsp.TokenType != "Bearer" {
		b.Errorf("short-lived token: expires_in %d, token_type %q", rsp.ExpiresIn, rsp.TokenType)
	}
	return rsp.AccessToken
}

func TestOperations(t *testing.T) {
	b := newBot(t)
	byAssertion, err := b.api.IssueStatelessChannelTokenByJWTAssertion(b.assertion())
	if err != nil {
		t.Fatal(err)
	}
	bySecret, err := b.api.IssueStatelessChannelTokenByClientSecret(b.channel.ID, b.channel.Secret)
	if err != nil {
		t.Fatal(err)
	}
	v21, short := b.v21(), b.short()
	for _, token := range []string{byAssertion.AccessToken, bySecret.AccessToken, v21} {
		rsp, err := b.api.VerifyChannelTokenByJWT(token)
		if err != nil {
			t.Fatal(err)
		}
		if rsp.ClientId != b.channel.ID || rsp.ExpiresIn < 890 {
			t.Errorf("verification = %+v", rsp)
		}
	}
	if rsp, err := b.api.VerifyChannelToken(short); err != nil || rsp.ClientId != b.channel.ID {
		t.Errorf("verification = %+v, %v", rsp, err)
	}
	if rsp, err := b.api.GetsAllValidChannelAccessTokenKeyIds(assertionType, b.assertion()); err != nil || len(rsp.Kids) != 1 {
		t.Errorf("key IDs = %+v, %v", rsp, err)
	}
	for range 2 {
		if _, err := b.api.RevokeChannelTokenByJWT(b.channel.ID, b.channel.Secret, v21); err != nil {
			t.Error(err)
		}
		if _, err := b.api.RevokeChannelToken(short); err != nil {
			t.Error(err)
		}
	}
	if rsp, err := b.api.GetsAllValidChannelAccessTokenKeyIds(assertionType, b.assertion()); err != nil || len(rsp.Kids) != 0 {
		t.Errorf("key IDs after the revocation = %+v, %v", rsp, err)
	}
}

func TestRefusals(t *testing.T) {
	b := newBot(t)
	other, err := b.srv.AddChannel("", "")
	if err != nil {
		t.Fatal(err)
	}
	issueV21 := func(assertion string) error {
		_, err := b.api.IssueChannelTokenByJWT(grant, assertionType, assertion)
		return err
	}
	stateless := func(assertion string) error {
		_, err := b.api.IssueStatelessChannelTokenByJWTAssertion(assertion)
		return err
	}
	keyIDs := func(assertion string) error {
		_, err := b.api.GetsAllValidChannelAccessTokenKeyIds(assertionType, assertion)
		return err
	}
	bySecret := func(id, secret string) error {
		_, err := b.api.IssueStatelessChannelTokenByClientSecret(id, secret)
		return err
	}
	short := func(id, secret string) error { _, err := b.api.IssueChannelToken(grant, id, secret); return err }
	verifyV21 := func(token string) error { _, err := b.api.VerifyChannelTokenByJWT(token); return err }
	verifyV2 := func(token string) error { _, err := b.api.VerifyChannelToken(token); return err }
	revokeV21 := func(id, secret, token string) error {
		_, err := b.api.RevokeChannelTokenByJWT(id, secret, token)
		return err
	}
	revokeV2 := func(token string) error { _, err := b.api.RevokeChannelToken(token); return err }

	revoked, expired := b.v21(), b.v21()
	if err := revokeV21(b.channel.ID, b.channel.Secret, revoked); err != nil {
		t.Fatal(err)
	}
	b.srv.Advance(time.Hour)
	for range 30 {
		b.v21()
	}
	live := b.short()
	for row, tt := range map[string]struct {
		err  error
		want string
	}{
		"v2.1 issue, 30 valid tokens":    {issueV21(b.assertion()), `400, {"message":"The maximum number of access tokens has already been issued"}`},
		"issuer, v2.1":                   {issueV21(b.sign(b.keyID, other.ID, time.Minute)), `400, {"error":"invalid_client","error_description":"iss and clientId of key do not match"}`},
		"issuer, stateless":              {stateless(b.sign(b.keyID, other.ID, time.Minute)), "iss and clientId of key do not match"},
		"issuer, key IDs":                {keyIDs(b.sign(b.keyID, other.ID, time.Minute)), "iss and clientId of key do not match"},
		"assertion expired":              {issueV21(b.sign(b.keyID, b.channel.ID, -time.Minute)), `400, {"error":"invalid_client","error_description":"Invalid exp"}`},
		"assertion too far ahead":        {stateless(b.sign(b.keyID, b.channel.ID, 31*time.Minute)), "Invalid exp"},
		"assertion malformed":            {keyIDs("x.y.z"), `400, {"error":"invalid_client"`},
		"kid unknown, v2.1":              {issueV21(b.sign("x", b.channel.ID, time.Minute)), `404, {"message":"Cannot find channel key that satisfies the conditions"}`},
		"kid unknown, stateless":         {stateless(b.sign("x", b.channel.ID, time.Minute)), "404"},
		"kid unknown, key IDs":           {keyIDs(b.sign("x", b.channel.ID, time.Minute)), "404"},
		"stateless by secret, wrong":     {bySecret(b.channel.ID, "x"), `400, {"error":"invalid_request","error_description":"Invalid 'client_credentials'."}`},
		"short-lived, unknown channel":   {short("1", "x"), `400, {"error":"invalid_client","error_description":"invalid client_id"}`},
		"short-lived, wrong secret":      {short(b.channel.ID, "x"), `400, {"error":"invalid_client","error_description":"invalid client_secret"}`},
		"parameter missing, short-lived": {short("", ""), `400, {"error":"invalid_request","error_description":"some parameters missed or invalid"}`},
		"parameter missing, v2.1":        {issueV21(""), "some parameters missed or invalid"},
		"parameter missing, verify":      {verifyV21(""), "some parameters missed or invalid"},
		"v2.1 verify, expired":           {verifyV21(expired), `400, {"error":"invalid_request","error_description":"The access token expired"}`},
		"v2.1 verify, unknown":           {verifyV21(unknownJWS), `400, {"error":"invalid_request"`},
		"v2.1 verify, not a JWS":         {verifyV21(live), `400, {"error":"invalid_request","error_description":"The access token not JWS"}`},
		"v2.1 revoke, not a JWS":         {revokeV21(b.channel.ID, b.channel.Secret, live), "The access token not JWS"},
		"v2.1 revoke, malformed":         {revokeV21(b.channel.ID, b.channel.Secret, "a.b.c"), `400, {"error":"invalid_request","error_description":"The access token malformed"}`},
		"v2.1 revoke, wrong secret":      {revokeV21(b.channel.ID, "x", unknownJWS), `400, {"error":"invalid_client","error_description":"invalid client_secret"}`},
		"v2 verify, unknown":             {verifyV2("AAAA"), `400, {"error":"invalid_request","error_description":"access_token invalid"}`},
		"v2 verify, badly formatted":     {verifyV2(unknownJWS), `400, {"error":"invalid_request","error_description":"access_token in invalid format"}`},
		"v2 revoke, badly formatted":     {revokeV2("a b"), `400, {"error":"invalid_request"`},
	} {
		t.Run(row, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
				t.Errorf("error = %v; want %s in it", tt.err, tt.want)
			}
		})
	}
	for name, err := range map[string]error{
		"v2.1 revoke, unknown": revokeV21(b.channel.ID, b.channel.Secret, unknownJWS),
		"v2.1 revoke, expired": revokeV21(b.channel.ID, b.channel.Secret, expired),
		"v2 revoke, unknown":   revokeV2("AAAA"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPushMessage(t *testing.T) {
	b := newBot(t)
	stateless, err := b.api.IssueStatelessChannelTokenByClientSecret(b.channel.ID, b.channel.Secret)
	if err != nil {
		t.Fatal(err)
	}
	v21 := b.v21()
	for _, token := range []string{v21, b.short(), stateless.AccessToken, b.channel.IssueLongLivedToken().Reveal()} {
		rsp, err := b.push(token)
		if err != nil || len(rsp.SentMessages) != 1 || rsp.SentMessages[0].Id == "" {
			t.Errorf("push = %+v, %v", rsp, err)
		}
		messaging, err := messaging_api.NewMessagingApiAPI(token, messaging_api.WithEndpoint(b.srv.URL))
		if err != nil {
			t.Fatal(err)
		}
		info, err := messaging.GetBotInfo()
		if err != nil || info.UserId == "" || info.ChatMode != messaging_api.BotInfoResponseCHAT_MODE_BOT {
			t.Errorf("bot info = %+v, %v", info, err)
		}
	}
	if _, err := b.api.RevokeChannelTokenByJWT(b.channel.ID, b.channel.Secret, v21); err != nil {
		t.Fatal(err)
	}
	if _, err := b.push(v21); err == nil || !strings.Contains(err.Error(), `401, {"message":"Authentication failed`) {
		t.Errorf("push with a revoked token: %v", err)
	}
}

// The most common calls of bots, with LINE's SDK.
func TestMessaging(t *testing.T) {
	b := newBot(t)
	token := b.short()
	messaging, err := messaging_api.NewMessagingApiAPI(token, messaging_api.WithEndpoint(b.srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	blob, err := messaging_api.NewMessagingApiBlobAPI(token, messaging_api.WithBlobEndpoint(b.srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	hello := []messaging_api.MessageInterface{messaging_api.TextMessage{Text: "hello"}}
	if _, err := messaging.Multicast(&messaging_api.MulticastRequest{To: []string{"U1", "U2"}, Messages: hello}, ""); err != nil {
		t.Error(err)
	}
	if _, err := messaging.Broadcast(&messaging_api.BroadcastRequest{Messages: hello}, ""); err != nil {
		t.Error(err)
	}
	if _, err := messaging.ReplyMessage(&messaging_api.ReplyMessageRequest{ReplyToken: "r", Messages: hello}); err != nil {
		t.Error(err)
	}
	got := b.srv.State().Messages
	if len(got) != 3 || len(got[0].Recipients) != 2 || got[1].Operation != lineoauthtest.OpBroadcast || got[2].To != "r" {
		t.Errorf("messages = %+v", got)
	}
	if profile, err := messaging.GetProfile("U4af4980629"); err != nil || profile.UserId != "U4af4980629" || profile.DisplayName == "" {
		t.Errorf("profile = %+v, %v", profile, err)
	}
	if err := b.srv.SetContent("325708", "audio/x-m4a", []byte("voice")); err != nil {
		t.Fatal(err)
	}
	content, err := blob.GetMessageContent("325708")
	if err != nil {
		t.Fatal(err)
	}
	defer content.Body.Close()
	if text, err := io.ReadAll(content.Body); err != nil || string(text) != "voice" || content.Header.Get("Content-Type") != "audio/x-m4a" {
		t.Errorf("content = %q, %v", text, err)
	}
}

func (b *bot) push(token string) (*messaging_api.PushMessageResponse, error) {
	b.Helper()
	messaging, err := messaging_api.NewMessagingApiAPI(token, messaging_api.WithEndpoint(b.srv.URL))
	if err != nil {
		b.Fatal(err)
	}
	return messaging.PushMessage(&messaging_api.PushMessageRequest{
		To:       "U4af4980629",
		Messages: []messaging_api.MessageInterface{messaging_api.TextMessage{Text: "hello"}},
	}, "")
}
