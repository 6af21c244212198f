package lineoauthtest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func ExampleServer() {
	srv := lineoauthtest.NewUnstartedServer() // in memory; NewServer listens
	defer srv.Close()
	ctx := context.Background()

	client, err := lineoauth.New(srv.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := client.IssueStatelessChannelToken(ctx)
	if err != nil {
		fmt.Println(err)
		return
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
