package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func Example() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	ctx := context.Background()

	client, err := lineoauth.New(srv.Config()) // a bot has lineoauth.ConfigFromEnv(os.Getenv)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := client.IssueChannelToken(ctx, 24*time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a", token.Kind, "token,", token.AccessToken, "for", token.Lifetime())

	if err := client.RevokeChannelToken(ctx, token.AccessToken.Reveal()); err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.VerifyChannelToken(ctx, token.AccessToken.Reveal())
	fmt.Println("dead:", errors.Is(err, lineoauth.ErrTokenInvalid))
	// Output:
	// a v2.1 token, [redacted] for 24h0m0s
	// dead: true
}

func ExampleConfigFromEnv() {
	environment := map[string]string{"LINE_CHANNEL_ID": "1234567890"}
	_, err := lineoauth.ConfigFromEnv(func(name string) string { return environment[name] })
	fmt.Println(err)
	// Output: lineoauth: invalid configuration or argument: credentials are missing: set LINE_CHANNEL_SECRET or LINE_PRIVATE_KEY or LINE_PRIVATE_KEY_FILE
}
