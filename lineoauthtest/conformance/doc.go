// Package conformance compares a server that claims to be LINE's channel access
// token platform with what is known of LINE, fact by fact: LINE's own answers, an
// emulator's, or a gateway's.
//
//	report, err := conformance.Run(ctx, srv.Config())
//
// Each fact is a row with a name, such as v2.1-verify-expired, and a [Strength]. A row
// agrees, differs, or is unknown: it could not be tested with these credentials or
// without an emulator's help, or LINE does not document it.
//
// [Run] is safe on a test channel of the real LINE: it sends fewer than 100 requests
// one after another, issues at most one token of each kind, and revokes it at the end,
// also when it is interrupted. A stateless token cannot be revoked, and expires after
// 15 minutes. Do not use the channel of a bot in production: if the channel has 30
// short-lived tokens, LINE revokes the oldest one for the one that Run issues.
//
// If the server is an emulator (it answers GET /_emulator/state), Run also fills the
// limits of tokens, injects faults and moves the emulator's clock 31 days on.
//
// A [Report] contains no secret. The command "lineoauth conformance" prints one.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package conformance
