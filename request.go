package lineoauth

import (
	"net/http"

	"github.com/lineoauth/lineoauth/gen"
)

const (
	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// The requests of calls, by package gen.

func statelessRequest(cl *call, server string) (*http.Request, error) {
	// The two credentials exclude each other.
	body := gen.IssueStatelessChannelTokenFormdataRequestBody{GrantType: grantType, ClientID: cl.channelID, ClientSecret: cl.secret}
	if cl.asserted {
		body = gen.IssueStatelessChannelTokenFormdataRequestBody{GrantType: grantType, ClientAssertionType: assertionType, ClientAssertion: cl.assertion}
	}
	return gen.NewIssueStatelessChannelTokenRequestWithFormdataBody(server, body)
}

func keyIDsRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewGetsAllValidChannelAccessTokenKeyIDsRequest(server, &gen.GetsAllValidChannelAccessTokenKeyIDsParams{
		ClientAssertionType: assertionType, ClientAssertion: cl.assertion,
	})
}

func v21Request(cl *call, server string) (*http.Request, error) {
	return gen.NewIssueChannelTokenByJWTRequestWithFormdataBody(server, gen.IssueChannelTokenByJWTFormdataRequestBody{
		GrantType: grantType, ClientAssertionType: assertionType, ClientAssertion: cl.assertion,
	})
}

func v21VerifyRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewVerifyChannelTokenByJWTRequest(server, &gen.VerifyChannelTokenByJWTParams{AccessToken: cl.token})
}

func v21RevokeRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewRevokeChannelTokenByJWTRequestWithFormdataBody(server, gen.RevokeChannelTokenByJWTFormdataRequestBody{
		ClientID: cl.channelID, ClientSecret: cl.secret, AccessToken: cl.token,
	})
}

func shortLivedRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewIssueChannelTokenRequestWithFormdataBody(server, gen.IssueChannelTokenFormdataRequestBody{
		GrantType: grantType, ClientID: cl.channelID, ClientSecret: cl.secret,
	})
}

func verifyRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewVerifyChannelTokenRequestWithFormdataBody(server, gen.VerifyChannelTokenFormdataRequestBody{AccessToken: cl.token})
}

func revokeRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewRevokeChannelTokenRequestWithFormdataBody(server, gen.RevokeChannelTokenFormdataRequestBody{AccessToken: cl.token})
}
