package gen_test

import (
	"context"
	"fmt"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func Example() {
	srv := lineoauthtest.NewServer() // in place of LINE, which is gen.DefaultServerURL
	defer srv.Close()

	client, err := gen.NewClientWithResponses(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
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
