package lineoauth

// Operation names one of the eight endpoints by its operationId in the OpenAPI
// document.
type Operation string

// The operations of LINE's channel access token API.
const (
	OpIssueStatelessChannelToken           Operation = "issueStatelessChannelToken"
	OpGetsAllValidChannelAccessTokenKeyIds Operation = "getsAllValidChannelAccessTokenKeyIds"
	OpIssueChannelTokenByJWT               Operation = "issueChannelTokenByJWT"
	OpVerifyChannelTokenByJWT              Operation = "verifyChannelTokenByJWT"
	OpRevokeChannelTokenByJWT              Operation = "revokeChannelTokenByJWT"
	OpIssueChannelToken                    Operation = "issueChannelToken"
	OpVerifyChannelToken                   Operation = "verifyChannelToken"
	OpRevokeChannelToken                   Operation = "revokeChannelToken"
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
