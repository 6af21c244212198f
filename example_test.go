package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

func ExampleSource() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	for range 3 {
		token, err := source.TokenContext(context.Background())
		if err != nil {
			fmt.Println(err)
			return
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
		fmt.Println(err)
		return
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	bot := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	rsp, err := bot.Get(srv.URL + "/v2/bot/info")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rsp.Body.Close()
	fmt.Println(rsp.Status)
	// Output: 200 OK
}

func ExamplePool() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	shared := srv.Config()
	pool := &lineoauth.Pool{New: func(channelID string) (*lineoauth.Source, error) {
		cfg := shared // its key and transport; a bot looks up the channel's own
		cfg.ChannelID = channelID
		client, err := lineoauth.New(cfg)
		if err != nil {
			return nil, err
		}
		return client.Source(lineoauth.SourceConfig{})
	}}
	defer pool.Close()
	source, err := pool.Source(srv.Channel().ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := source.TokenContext(context.Background())
	fmt.Println(token.Kind, err, pool.Len())
	// Output: stateless <nil> 1
}

func ExampleConfigFromEnv() {
	environment := map[string]string{"LINE_CHANNEL_ID": "1234567890"}
	_, err := lineoauth.ConfigFromEnv(func(name string) string { return environment[name] })
	fmt.Println(err)
	// Output: lineoauth: invalid configuration or argument: credentials are missing: set LINE_CHANNEL_SECRET or LINE_PRIVATE_KEY or LINE_PRIVATE_KEY_FILE
}
