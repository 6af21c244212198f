// Package conformance compares a server – LINE, an emulator or a gateway – with the
// documented and recorded behavior of LINE's channel access token platform, fact by
// fact.
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
// If the server is an emulator (detected by GET /_emulator/state), Run also fills the
// token limits, injects faults, and advances the emulator's clock by 31 days.
//
// A [Report] contains no secret. The command "lineoauth conformance" prints one.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package conformance
