package lineoauth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

func Example() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	ctx := context.Background()

	client, err := lineoauth.New(srv.Config()) // a bot has lineoauth.ConfigFromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueChannelToken(ctx, 24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a", token.Kind, "token,", token.AccessToken, "for", token.Lifetime())

	if err := client.RevokeChannelToken(ctx, token.AccessToken.Reveal()); err != nil {
		log.Fatal(err)
	}
	_, err = client.VerifyChannelToken(ctx, token.AccessToken.Reveal())
	fmt.Println("invalid:", errors.Is(err, lineoauth.ErrInvalidToken))
	// Output:
	// a v2.1 token, [redacted] for 24h0m0s
	// invalid: true
}

func ExampleSource() {
	srv := lineoauthtest.NewServer() // in place of LINE
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
	for range 3 {
		token, err := source.Token(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Kind, token.Lifetime())
	}
	fmt.Println("issued:", srv.State().Calls[lineoauth.OpIssueStatelessChannelToken])
	// Output:
	// stateless 15m0s
	// stateless 15m0s
	// stateless 15m0s
	// issued: 1
}

func ExampleTransport() {
	srv := lineoauthtest.NewServer() // in place of LINE
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
	rsp, err := bot.Get(srv.URL + "/v2/bot/info")
	if err != nil {
		log.Fatal(err)
	}
	defer rsp.Body.Close()
	fmt.Println(rsp.Status)
	// Output: 200 OK
}

func ExamplePool() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	shared := srv.Config()
	pool := &lineoauth.Pool{New: func(_ context.Context, channelID string) (*lineoauth.Source, error) {
		cfg := shared // its key and transport; a bot looks up the channel's own
		cfg.ChannelID = channelID
		client, err := lineoauth.New(cfg)
		if err != nil {
			return nil, err
		}
		return client.Source(lineoauth.SourceConfig{})
	}}
	defer pool.Close()
	ctx := context.Background()
	source, err := pool.Source(ctx, srv.Channel().ID)
	if err != nil {
		log.Fatal(err)
	}
	token, err := source.Token(ctx)
	fmt.Println(token.Kind, err, pool.Len())
	// Output: stateless <nil> 1
}

func ExampleConfigFromEnv() {
	environment := map[string]string{"LINE_CHANNEL_ID": "1234567890"}
	_, err := lineoauth.ConfigFromEnv(func(name string) string { return environment[name] })
	fmt.Println(err)
	// Output: lineoauth: invalid configuration or argument: credentials are missing: set LINE_CHANNEL_SECRET or LINE_CHANNEL_SECRET_FILE or LINE_PRIVATE_KEY or LINE_PRIVATE_KEY_FILE
}

func ExampleClient_IssueStatelessChannelToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueStatelessChannelToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.TokenType, token.Kind, token.Lifetime())
	// Output: Bearer stateless 15m0s
}

func ExampleClient_IssueChannelToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueChannelToken(context.Background(), 7*24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Kind, token.Lifetime(), "with a key ID:", token.KeyID != "")
	// Output: v2.1 168h0m0s with a key ID: true
}

func ExampleClient_IssueShortLivedChannelToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueShortLivedChannelToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Kind, token.Lifetime())
	// Output: short-lived 720h0m0s
}

func ExampleClient_VerifyChannelToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	token, err := client.IssueStatelessChannelToken(ctx)
	if err != nil {
		log.Fatal(err)
	}
	srv.Advance(5 * time.Minute)
	verification, err := client.VerifyChannelToken(ctx, token.AccessToken.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verification.ClientID == srv.Channel().ID, verification.Remaining().Round(time.Minute))
	// Output: true 10m0s
}

func ExampleClient_TokenValidFor() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	token, err := client.IssueStatelessChannelToken(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range []time.Duration{time.Minute, time.Hour} {
		good, err := client.TokenValidFor(ctx, token.AccessToken.Reveal(), d)
		fmt.Println(d, good, err)
	}
	// Output:
	// 1m0s true <nil>
	// 1h0m0s false <nil>
}

func ExampleClient_RevokeChannelToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for _, issue := range []func(context.Context) (*lineoauth.Token, error){
		client.IssueShortLivedChannelToken,
		client.IssueStatelessChannelToken,
	} {
		token, err := issue(ctx)
		if err != nil {
			log.Fatal(err)
		}
		err = client.RevokeChannelToken(ctx, token.AccessToken.Reveal())
		fmt.Println(token.Kind, "still valid:", errors.Is(err, lineoauth.ErrNotRevocable))
	}
	// Output:
	// short-lived still valid: false
	// stateless still valid: true
}

func ExampleClient_ValidChannelAccessTokenKeyIDs() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	token, err := client.IssueChannelToken(ctx, time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	ids, err := client.ValidChannelAccessTokenKeyIDs(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ids), ids[0] == token.KeyID)
	// Output: 1 true
}

func ExampleClient_Assertion() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	assertion, err := client.Assertion(context.Background(), 24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(assertion, len(assertion.Reveal()) > 0)
	// Output: [redacted] true
}

func ExampleClient_WithAssertion() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	ctx := context.Background()

	// The process that has the key signs.
	signer, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	assertion, err := signer.Assertion(ctx, time.Hour)
	if err != nil {
		log.Fatal(err)
	}

	// One that has only the assertion issues the token.
	cfg := srv.Config()
	cfg.Key, cfg.ChannelSecret = nil, lineoauth.Secret{}
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.WithAssertion(assertion.Reveal()).IssueChannelToken(ctx, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Kind, token.Lifetime())
	// Output: v2.1 1h0m0s
}

// A token that was issued manually becomes the one that all sources share.
func ExampleClient_StoreToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	token, err := client.IssueChannelToken(ctx, time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	shared := new(store.Memory) // a bot has filestore or redisstore
	if err := client.StoreToken(ctx, shared, token); err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: shared})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	adopted, err := source.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same:", adopted.KeyID == token.KeyID)
	// Output: the same: true
}

func ExampleClient_StoredToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	shared := new(store.Memory) // a bot has filestore or redisstore
	none, err := client.StoredToken(ctx, shared, lineoauth.V21)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(none)

	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: shared})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	if _, err := source.Token(ctx); err != nil {
		log.Fatal(err)
	}
	token, err := client.StoredToken(ctx, shared, lineoauth.V21)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Kind, token.Lifetime())
	// Output:
	// <nil>
	// v2.1 720h0m0s
}

func ExampleError() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	cfg := srv.Config()
	cfg.Key, cfg.ChannelSecret = nil, lineoauth.NewSecret("not the channel's")
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.IssueStatelessChannelToken(context.Background())
	fmt.Println("wrong credentials:", errors.Is(err, lineoauth.ErrInvalidCredentials))
	var refused *lineoauth.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Operation, refused.StatusCode, refused.Code)
		fmt.Println("to name when asking LINE:", refused.RequestID != "")
	}
	// Output:
	// wrong credentials: true
	// issueStatelessChannelToken 400 invalid_request
	// to name when asking LINE: true
}

func ExampleConfig_onEvent() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
	cfg := srv.Config()
	cfg.OnEvent = func(e lineoauth.Event) {
		fmt.Println(e.Kind, "after an error:", e.Err != nil)
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	if _, err := source.Token(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// token refresh failed after an error: true
	// token issued after an error: false
}

func ExampleSource_Token() {
	srv := lineoauthtest.NewServer() // in place of LINE
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
	token, err := source.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Kind, token.AccessToken) // token.AccessToken.Reveal() is for the wire
	// Output: stateless [redacted]
}

// A job that takes a while starts with a token that outlasts it.
func ExampleSource_FreshToken() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	ctx := context.Background()
	for range 2 {
		token, err := source.FreshToken(ctx, 20*time.Minute)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("valid for 20 minutes:", token.ExpiresAt().Sub(srv.Now()) > 20*time.Minute)
		srv.Advance(50 * time.Minute)
	}
	// Output:
	// valid for 20 minutes: true
	// valid for 20 minutes: true
}

func ExampleSource_Invalidate() {
	srv := lineoauthtest.NewServer() // in place of LINE
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
	ctx := context.Background()
	old, err := source.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	// When an endpoint has answered 401, LINE is asked about the token.
	replaced, err := source.Invalidate(ctx, old.AccessToken.Reveal())
	fmt.Println("replaced:", replaced, err)

	srv.Channel().RevokeToken(old.AccessToken.Reveal()) // as anyone could with the secret
	replaced, err = source.Invalidate(ctx, old.AccessToken.Reveal())
	fmt.Println("replaced:", replaced, err)
	// Output:
	// replaced: false <nil>
	// replaced: true <nil>
}

func ExampleSource_Revoke() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	ctx := context.Background()
	if _, err := source.Token(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("valid:", len(srv.State().Tokens))
	if err := source.Revoke(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("valid:", len(srv.State().Tokens))
	// Output:
	// valid: 1
	// valid: 0
}

func ExampleSource_Middleware() {
	srv := lineoauthtest.NewServer() // in place of LINE
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
	handler := source.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := lineoauth.TokenFromContext(r.Context())
		fmt.Println(ok, token.Kind)
		w.WriteHeader(http.StatusNoContent)
	}))
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/webhook", nil))
	fmt.Println(answer.Code)
	// Output:
	// true stateless
	// 204
}

func ExampleTokenFromContext() {
	_, ok := lineoauth.TokenFromContext(context.Background()) // no Middleware here
	fmt.Println(ok)
	// Output: false
}

func ExampleSecret() {
	secret := lineoauth.NewSecret("s3cret")
	fmt.Printf("%v %+v %s\n", secret, struct{ Secret lineoauth.Secret }{secret}, secret.Reveal())
	// Output: [redacted] {Secret:[redacted]} s3cret
}

func ExampleConfig_authorization() {
	bot := base64.StdEncoding.EncodeToString([]byte("bot:password"))
	cfg := lineoauth.Config{
		BaseURL:       "https://gateway.example",
		Authorization: lineoauth.NewSecret("Basic " + bot), // or "Bearer " and a token
	}
	fmt.Println(cfg.Authorization, cfg.Authorization.Reveal())
	// Output: [redacted] Basic Ym90OnBhc3N3b3Jk
}

func ExampleOperations() {
	for _, op := range lineoauth.Operations() {
		if op == lineoauth.OpVerifyChannelToken || op == lineoauth.OpVerifyChannelTokenByJWT {
			fmt.Println(op)
		}
	}
	// Unordered output:
	// verifyChannelTokenByJWT
	// verifyChannelToken
}

func ExampleParseKey() {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	file := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	key, err := lineoauth.ParseKey(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key, key.Public().Equal(private.Public()))
	// Output: RSA-2048 key "" true
}
