package oauth2adapt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/oauth2adapt"
)

func ExampleTokenSource() {
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
	bot := oauth2.NewClient(ctx, oauth2adapt.TokenSource(ctx, source))
	rsp, err := bot.Get(srv.URL + "/v2/bot/info")
	if err != nil {
		log.Fatal(err)
	}
	defer rsp.Body.Close()
	fmt.Println(rsp.Status)
	// Output: 200 OK
}

// The adapter returns the source's type and expiry, and the next token once there is one.
func TestTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		cfg := srv.Config()
		client, err := lineoauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		source, err := client.Source(lineoauth.SourceConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		ctx, cancel := context.WithCancel(t.Context())
		adapted := oauth2adapt.TokenSource(ctx, source)
		for range 2 {
			want, err := source.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := adapted.Token()
			if err != nil {
				t.Fatal(err)
			}
			if got.AccessToken != want.AccessToken.Reveal() || !got.Expiry.Equal(want.ExpiresAt()) || got.Type() != "Bearer" || got.ExpiresIn != 900 {
				t.Errorf("got a token of type %q until %v, want the source's until %v", got.Type(), got.Expiry, want.ExpiresAt())
			}
			time.Sleep(15 * time.Minute)
		}
		cancel()
		if _, err := adapted.Token(); !errors.Is(err, context.Canceled) {
			t.Errorf("after its context was canceled: %v", err)
		}
	})
}
