// Package lineoauthtest is an emulator of LINE's channel access token platform,
// for tests, in the manner of [net/http/httptest].
//
// A [Server] keeps channels, checks the signatures and claims of assertions
// for real, and issues, verifies, lists and revokes tokens by LINE's rules and
// with LINE's error bodies. Its routes are generated from the same OpenAPI
// document as the client.
//
//	srv := lineoauthtest.NewServer()
//	defer srv.Close()
//	client, err := lineoauth.New(srv.Config())
//
// The server's time is the machine's until [Server.Advance] moves it on.
// [Server.Inject] makes answers go wrong, [Channel.ReissueSecret] and
// [Channel.ReplaceKey] rotate credentials, and [Server.Reset] begins anew.
// [Server.State] reports what happened. [Server.Transport] reaches the server
// without a socket, also inside a [testing/synctest] bubble.
//
// A whole bot can be tested: for a valid token of any kind, the server answers what
// bots of the Messaging API call first. It keeps the messages that were pushed, sent
// as replies, multicast or broadcast, and has profiles ([Server.SetProfile]) and
// contents ([Server.SetContent]). [Help] lists all endpoints; others are answered
// with 501 and what there is.
//
// For clients in other languages, paths below /_emulator/ do the same over HTTP; the
// command "lineoauth serve" runs a server for them. They take JSON alone.
//
// A server can be left running. It answers to no web page and to no foreign host
// name ([Server.AllowHost]). It keeps the last 100 requests and 100 messages (of 4 MiB
// together), the last 100,000 stateless tokens of a channel, 1,000 faults, 1,000
// profiles and 100 contents (of 16 MiB together): older requests, messages and
// tokens are forgotten, what else is over is refused. A body has to come within 30
// seconds, and have 1 MiB at most; an answer that is not read for 30 seconds is given
// up. The clock is the machine's wall clock, which goes on in sleep.
//
// LINE's rate limits apply after [Server.LimitRates]; a [Fault] answers with 429 at
// any time.
//
// The server answers as LINE's reference says or, where people recorded LINE's
// answers, as those: TestFacts has a row for each fact, with its source. Where nothing
// is known, such as of a token that never was one, the answer is the server's choice,
// and [Request.Undocumented] marks it: do not depend on that.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package lineoauthtest
