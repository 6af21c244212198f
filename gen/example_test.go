package gen_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func Example() {
	srv := lineoauthtest.NewServer() // in place of LINE, which is gen.DefaultServerURL
	defer srv.Close()

	client, err := gen.NewClientWithResponses(srv.URL)
	if err != nil {
		log.Fatal(err)
	}
	rsp, err := client.IssueStatelessChannelTokenWithFormdataBodyWithResponse(context.Background(),
		gen.IssueStatelessChannelTokenFormdataRequestBody{
			GrantType:    "client_credentials",
			ClientID:     srv.Channel().ID,
			ClientSecret: srv.Channel().Secret,
		})
	switch {
	case err != nil:
		fmt.Println(err)
	case rsp.JSON200 == nil:
		fmt.Println("refused:", rsp.Status())
	default:
		fmt.Println(rsp.JSON200.TokenType, rsp.JSON200.ExpiresIn)
	}
	// Output: Bearer 900
}

// The answers as they come, through an http.Client that follows no redirect: it
// would carry the secret elsewhere.
func ExampleNewClient() {
	srv := lineoauthtest.NewServer() // in place of LINE, which is gen.DefaultServerURL
	defer srv.Close()

	client, err := gen.NewClient(srv.URL, gen.WithHTTPClient(&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		log.Fatal(err)
	}
	rsp, err := client.VerifyChannelTokenByJWT(context.Background(), &gen.VerifyChannelTokenByJWTParams{AccessToken: "nonsense"})
	if err != nil {
		log.Fatal(err)
	}
	defer rsp.Body.Close()
	fmt.Println(rsp.StatusCode)
	// Output: 400
}
