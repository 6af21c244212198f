package lineoauth

// Operation names one of LINE's endpoints by its operationId in the OpenAPI
// document.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
type Operation string

// isLimited reports whether the operation issues a token that counts toward the
// limit of 30. An operation that is new counts as limited until it is known.
func (op Operation) isLimited() bool { return op.issues() && op != OpIssueStatelessChannelToken }
