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
// [Server.Inject] makes answers go wrong, and [Server.State] tells what
// happened. [Server.Transport] reaches the server without a socket, also inside
// a [testing/synctest] bubble. A whole bot can be tested: the server answers
// GET /v2/bot/info and POST /v2/bot/message/push and reply of the Messaging API
// for a live token.
//
// For clients in other languages, GET /_emulator/state, POST /_emulator/clock
// and POST and DELETE /_emulator/faults do the same over HTTP; the command
// "lineoauth serve" runs a server for them.
//
// It counts no calls against LINE's rate limits; a [Fault] answers with 429.
//
// The server answers as LINE's reference says or, where people recorded LINE's
// answers, as those: TestFacts has a row for each fact, with its source. Where nothing
// is known, such as of a token that never was one, the answer is the server's choice,
// and [Request.Undocumented] marks it: do not depend on that.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package lineoauthtest
