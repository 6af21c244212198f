// Package redisstore keeps channel access tokens in Redis, so that processes on many
// machines share a token, and find it again after a restart. [Store] is a
// [store.Watcher]:
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
// LINE lets a channel have 30 valid v2.1 tokens, and 30 short-lived ones, which a
// bot in many containers, or in functions that come and go, uses up, unless they
// share one. For one machine, package filestore needs no server. Stateless
// tokens, of which there may be any number, need no store.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
//
// # What it promises
//
//   - Of two processes that replace the same token, one does, and the other gets
//     [store.ErrConflict].
//   - One process at a time has the lease. One that ends or is stopped keeps
//     others from issuing for no longer than [Config.LeaseTime].
//   - A new token, and a lease that is released, are known to all processes at
//     once, by a notice, or after a minute if that is lost. All watches of a Store
//     share one connection.
//   - The age of a token is what Redis says, by its own clock.
//   - What is damaged or foreign is not used, but renamed to end in ":corrupt",
//     and stays for a week.
//
// Each call is one round trip.
//
// # What it does not
//
// Redis may lose an entry, by a flush, a restart or a failover. The next process
// that looks for its valid token there and does not find it puts it back. At
// worst, one that starts before that issues a token too many, as it does when two
// hold the lease after a failover. The newer token stays.
//
// The policy noeviction is best for it, or one that evicts by frequency or age. A
// full Redis with noeviction refuses to save; processes with a valid token report
// that as an event, and go on.
//
// # Who can read it
//
// Whoever can read Redis, its disk or the network on the way has the token, unless
// the store is sealed; see [store.Sealed]. TLS and the user of Redis are set in
// its client.
//
// # What is in Redis
//
// For each token there is one entry of about a kilobyte, which ends with its
// lifetime, and for seconds a lease beside it, with ":lease" after its name.
//
// It takes Redis 5 or newer, or what speaks its protocol, with the commands MULTI,
// EXEC, GET, PTTL, EVAL, SUBSCRIBE, UNSUBSCRIBE and PING, and in scripts GET, SET,
// PUBLISH, PEXPIRE, DEL, TYPE and RENAME, for the keys and channels that begin
// with the prefix. Without EVAL, tokens can be loaded and watched, but neither
// leased nor saved.
package redisstore
