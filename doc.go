// Package lineoauth issues, verifies and revokes the channel access tokens with
// which a LINE bot calls the Messaging API.
//
// A [Client] is made from a [Config], which [ConfigFromEnv] fills from the
// environment:
//
//	cfg, err := lineoauth.ConfigFromEnv(os.Getenv)
//	…
//	client, err := lineoauth.New(cfg)
//	…
//	token, err := client.IssueStatelessChannelToken(ctx)
//
// LINE has three kinds of token to issue; see [Kind]. A channel authenticates
// with its secret, or with a JWT assertion (RFC 7523) that the client signs
// with the channel's [Key].
//
// A [Source] keeps a valid token for any number of goroutines, and a [Transport]
// puts it on requests to LINE:
//
//	source, err := client.Source(lineoauth.SourceConfig{})
//	…
//	bot := &http.Client{Transport: &lineoauth.Transport{Source: source}}
//
// Processes that use one token together, and a process that restarts, keep it
// in a store: package filestore has one for a machine, the module
// redisstore one for many, and package storetest tests any other.
//
// A call that LINE refuses, or that gets no answer, returns an [*Error];
// errors.Is distinguishes the cases that a program decides on. Tokens, secrets, keys
// and assertions never show in an error or when printed: a [Secret] is masked
// until Reveal is called.
//
// Package gen is the client that is generated from the OpenAPI document, by
// itself. Package lineoauthtest is an emulator of LINE's side.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
package lineoauth
