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
// LINE allows 30 valid v2.1 tokens and 30 short-lived tokens per channel. A bot in
// many containers, or in short-lived functions, exceeds these limits unless all share
// a token. For one machine, use package filestore, which needs no server. Stateless
// tokens have no limit and need no store.
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
//   - The age of a token is measured by the clock of Redis.
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
// Use the policy noeviction, or one that evicts by frequency or age. A full Redis
// with noeviction refuses to save; processes with a valid token report that as an
// event, and continue.
//
// # Who can read it
//
// Anyone who can read Redis, its disk or the network traffic can read the token,
// unless the store is sealed; see [store.Sealed]. Configure TLS and the Redis user in
// the client.
//
// # What is in Redis
//
// For each token there is one entry of about a kilobyte, which expires with it, and
// for seconds a lease, whose name ends in ":lease".
//
// The store needs Redis 5 or newer, or a compatible server, with the commands MULTI,
// EXEC, GET, PTTL, EVAL, SUBSCRIBE, UNSUBSCRIBE and PING, and in scripts GET, SET,
// PUBLISH, PEXPIRE, DEL, TYPE and RENAME, for the keys and channels that begin
// with the prefix. Without EVAL, tokens can be loaded and watched, but neither
// leased nor saved.
package redisstore
