package lineoauthtest_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func ExampleServer() {
	srv := lineoauthtest.NewUnstartedServer() // in memory; NewServer would listen
	defer srv.Close()
	ctx := context.Background()

	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueStatelessChannelToken(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		alive, err := client.TokenValidFor(ctx, token.AccessToken.Reveal(), time.Minute)
		fmt.Println(alive, err)
		srv.Advance(15 * time.Minute)
	}
	// Output:
	// true <nil>
	// false <nil>
}

// A test of a bot: the server's state contains the sent messages.
func ExampleNewServer() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	bot := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	rsp, err := bot.Post(srv.URL+"/v2/bot/message/push", "application/json",
		strings.NewReader(`{"to":"U1","messages":[{"type":"text","text":"hello"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	defer rsp.Body.Close()
	for _, m := range srv.State().Messages {
		fmt.Println(m.To, string(m.Message))
	}
	// Output: U1 {"type":"text","text":"hello"}
}

func ExampleServer_Inject() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "60"})

	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.IssueStatelessChannelToken(context.Background())
	var refused *lineoauth.Error
	fmt.Println(errors.Is(err, lineoauth.ErrRateLimited), errors.As(err, &refused) && refused.RetryAfter == time.Minute)
	_, err = client.IssueStatelessChannelToken(context.Background())
	fmt.Println(err)
	// Output:
	// true true
	// <nil>
}

func ExampleServer_Advance() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.IssueStatelessChannelToken(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("valid:", len(srv.State().Tokens))
	srv.Advance(15 * time.Minute)
	fmt.Println("valid:", len(srv.State().Tokens))
	// Output:
	// valid: 1
	// valid: 0
}

func ExampleServer_State() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.IssueChannelToken(context.Background(), time.Hour); err != nil {
		log.Fatal(err)
	}
	state := srv.State()
	fmt.Println(state.Calls[lineoauth.OpIssueChannelTokenByJWT])
	for _, t := range state.Tokens {
		fmt.Println(t.Kind, t.ExpiresAt.Sub(t.IssuedAt))
	}
	for _, r := range state.Requests {
		fmt.Println(r.Operation, r.Status, r.Fields.Get("grant_type"))
	}
	// Output:
	// 1
	// v2.1 1h0m0s
	// issueChannelTokenByJWT 200 client_credentials
}

// A test with its own channels.
func ExampleServer_AddChannel() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	channel, err := srv.AddChannel("1234567890", "") // with a generated secret
	if err != nil {
		log.Fatal(err)
	}
	client, err := lineoauth.New(channel.Config())
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueShortLivedChannelToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	verification, err := client.VerifyChannelToken(context.Background(), token.AccessToken.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verification.ClientID)
	// Output: 1234567890
}

// The server without a socket, as in a testing/synctest bubble.
func ExampleServer_Transport() {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	client := &http.Client{Transport: srv.Transport()}
	rsp, err := client.Get("https://api.line.me/oauth2/v2.1/verify?access_token=nonsense")
	if err != nil {
		log.Fatal(err)
	}
	defer rsp.Body.Close()
	fmt.Println(rsp.StatusCode)
	// Output: 400
}

func ExampleChannel_RegisterKey() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	jwk, err := jose.JSONWebKey{Key: private.Public(), Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		log.Fatal(err)
	}
	keyID, err := srv.Channel().RegisterKey("", jwk)
	fmt.Println(keyID != "", err)
	// Output: true <nil>
}

func ExampleChannel_IssueLongLivedToken() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	token := srv.Channel().IssueLongLivedToken()
	good, err := client.TokenValidFor(context.Background(), token.Reveal(), 365*24*time.Hour)
	fmt.Println(good, err)
	// Output: true <nil>
}

// Rotation: a bot with the old secret is refused.
func ExampleChannel_ReissueSecret() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	before, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	srv.Channel().ReissueSecret("")
	after, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	for _, client := range []*lineoauth.Client{before, after} {
		_, err := client.IssueShortLivedChannelToken(context.Background())
		fmt.Println(errors.Is(err, lineoauth.ErrInvalidCredentials), err == nil)
	}
	// Output:
	// true false
	// false true
}

// One server for many tests, which is reset before each.
func ExampleServer_Reset() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	srv.Channel().IssueLongLivedToken()
	srv.Advance(time.Hour)
	srv.Reset()
	fmt.Println(len(srv.State().Tokens), time.Until(srv.Now()) < time.Minute)
	// Output: 0 true
}

// A test of a bot that downloads the content of a user's message.
func ExampleServer_SetContent() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	if err := srv.SetContent("325708", "text/plain", []byte("hello")); err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, srv.URL+"/v2/bot/message/325708/content", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+srv.Channel().IssueLongLivedToken().Reveal())
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	fmt.Println(rsp.Header.Get("Content-Type"), string(text), err)
	// Output: text/plain hello <nil>
}
