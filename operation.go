package lineoauth

// Operation names one of the eight endpoints by its operationId in the OpenAPI
// document.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
type Operation string

// The operations of LINE's channel access token API.
const (
	OpIssueStatelessChannelToken           Operation = "issueStatelessChannelToken"           // POST /oauth2/v3/token
	OpGetsAllValidChannelAccessTokenKeyIds Operation = "getsAllValidChannelAccessTokenKeyIds" // GET /oauth2/v2.1/tokens/kid
	OpIssueChannelTokenByJWT               Operation = "issueChannelTokenByJWT"               // POST /oauth2/v2.1/token
	OpVerifyChannelTokenByJWT              Operation = "verifyChannelTokenByJWT"              // GET /oauth2/v2.1/verify
	OpRevokeChannelTokenByJWT              Operation = "revokeChannelTokenByJWT"              // POST /oauth2/v2.1/revoke
	OpIssueChannelToken                    Operation = "issueChannelToken"                    // POST /v2/oauth/accessToken
	OpVerifyChannelToken                   Operation = "verifyChannelToken"                   // POST /v2/oauth/verify
	OpRevokeChannelToken                   Operation = "revokeChannelToken"                   // POST /v2/oauth/revoke
)

// Operations lists all operations, in the order of the OpenAPI document.
func Operations() []Operation {
	return []Operation{
		OpIssueStatelessChannelToken,
		OpGetsAllValidChannelAccessTokenKeyIds,
		OpIssueChannelTokenByJWT,
		OpVerifyChannelTokenByJWT,
		OpRevokeChannelTokenByJWT,
		OpIssueChannelToken,
		OpVerifyChannelToken,
		OpRevokeChannelToken,
	}
}
