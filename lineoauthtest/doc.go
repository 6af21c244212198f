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
package lineoauthtest
