// Package redisstore keeps channel access tokens in Redis, so that processes on
// many machines share a token, and find it again when they start anew. [Store]
// is a [lineoauth.Store]:
//
//	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(redisstore.Config{Client: rdb})
//	…
//	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store})
//	…
//	token, err := source.Token(ctx)
//
// # When to choose it
//
// LINE lets a channel have 30 live v2.1 tokens, and 30 short-lived ones, which a
// bot in many containers, or in functions that come and go, uses up, unless they
// share one. For one machine, package filestore needs no server. Stateless
// tokens, of which there may be any number, need no store.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
//
// # What it promises
//
//   - Of two processes that replace the same token, one does, and the other is
//     told by [lineoauth.ErrStoreConflict].
//   - One process at a time has the lease. One that ends or is stopped keeps
//     others from issuing for no longer than [Config.LeaseTime].
//   - A new token is known to all processes at once, by a notice, or after a
//     minute if that is lost. All watches of a Store share one connection.
//   - What is damaged or foreign is not used, but renamed to end in ":corrupt",
//     and stays for a week.
//
// # What it does not
//
// Redis may lose an entry, by a flush, a restart or a failover. The next process
// that looks for its live token there and does not find it puts it back. At
// worst, one that starts before that issues a token too many, as it does when two
// hold the lease after a failover. The newer token stays.
//
// The policy noeviction is best for it, or one that evicts by frequency or age. A
// full Redis with noeviction refuses to save; processes with a live token tell of
// that by [lineoauth.EventStoreFailed], and go on.
//
// # Who can read it
//
// Without a [Config.AEAD], whoever can read Redis, its disk or the network on the
// way has the token. TLS and the user of Redis are set in its client.
//
// # What is in Redis
//
// For each token there is one entry of about a kilobyte, which ends with the
// token, and for seconds a lease beside it, with ":lease" after its name.
//
// It takes Redis 5 or newer, or what speaks its protocol, with the commands GET,
// SET, EVAL, EVALSHA, PUBLISH, SUBSCRIBE and UNSUBSCRIBE, and in scripts TYPE,
// RENAME, PEXPIRE and DEL, for the keys and channels that begin with the prefix.
package redisstore
