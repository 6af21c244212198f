// Package lineoauthtest provides an emulator of LINE's channel access token platform
// for tests, in the style of [net/http/httptest].
//
// A [Server] has channels, checks the signatures and claims of assertions, and
// issues, verifies, lists and revokes tokens by LINE's rules and with LINE's error
// bodies. Its routes are generated from the same OpenAPI document as the client.
//
//	srv := lineoauthtest.NewServer()
//	defer srv.Close()
//	client, err := lineoauth.New(srv.Config())
//
// The server's time is the machine's until [Server.Advance] advances it.
// [Server.Inject] makes answers fail, [Channel.ReissueSecret] and [Channel.ReplaceKey]
// rotate credentials, and [Server.Reset] starts over. [Server.State] reports what
// happened. [Server.Transport] reaches the server without a socket, also inside a
// [testing/synctest] bubble.
//
// A whole bot can be tested: for a valid token of any kind, the server has the
// endpoints of the Messaging API that bots call most. It keeps the messages that were
// pushed, sent as replies, multicast or broadcast, and has profiles
// ([Server.SetProfile]) and contents ([Server.SetContent]). [Help] lists all endpoints;
// others are answered with 501 and a list of those it has.
//
// For clients in other languages, paths below /_emulator/ do the same over HTTP; the
// command "lineoauth serve" runs a server for them. They take JSON only.
//
// A server can be left running. It refuses requests from web pages and for other host
// names ([Server.AllowHost]). It keeps the last 100 requests and 100 messages (of 4 MiB
// together), the last 100,000 stateless tokens of a channel, 1,000 faults, 1,000
// profiles and 100 contents (of 16 MiB together): older requests, messages and tokens
// are forgotten, and what exceeds the other limits is refused. A body has to arrive
// within 30 seconds, with 1 MiB at most; an answer that is not read for 30 seconds is
// abandoned. The clock is the machine's wall clock, which continues during sleep.
//
// LINE's rate limits apply after [Server.LimitRates]; a [Fault] can answer with 429
// at any time.
//
// The server answers as LINE's reference says or, where people recorded LINE's answers,
// as those: TestFacts has a row for each fact, with its source. Where nothing is known,
// such as for a token that LINE never issued, the answer is the server's choice, and
// [Request.Undocumented] marks it: do not depend on that.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package lineoauthtest
