// Package filestore keeps channel access tokens in a directory, so that the processes
// of one machine share a token, and find it again after a restart. [Store] is a
// [store.Store]:
//
//	store, err := filestore.New(filestore.Config{})
//	…
//	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store})
//	…
//	token, err := source.Token(ctx)
//
// # When to choose it
//
// LINE lets a channel have 30 valid v2.1 tokens, and 30 short-lived ones. A bot on one
// machine that is restarted often, has several workers, or is run by cron uses them up,
// unless it keeps its token. The command "lineoauth token" shares the directory with
// shell scripts. For many machines, use package redisstore. Stateless tokens, of which
// there may be any number, need no store.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
//
// # What it promises
//
//   - A reader finds a whole token, or none: a token is replaced by a rename, once
//     the next one is on disk.
//   - Of two processes that replace the same token, one does, and the other gets
//     [store.ErrConflict].
//   - One process at a time has the lease. One that is killed leaves nothing
//     locked. One that is stopped keeps its lease until that ends; in the moment
//     of replacing a token, it keeps others from replacing it until it resumes or
//     exits, but not from reading it.
//   - What no Store saved for this key is neither used nor overwritten, but put
//     aside and named by an error that matches [store.ErrCorrupt].
//   - A full or read-only disk is an error that contains what to do; it leaves the
//     stored token as it was.
//
// This holds on Linux, macOS, Windows and other Unix systems, on file systems with
// working locks. On network file systems, locks may be missing, or outlive their
// process for a while. Plan 9 and WebAssembly have no locks, and [New] returns an
// error.
//
// # How it knows the age of a token
//
// The age is the time since the file was written, by the clock of this machine. Each
// process that loads or saves records the time on the .lock file, once a minute. A
// clock that shows an earlier time has been set back: the age is then
// [store.AgeUnknown], until the next save. Machines that share a directory over a
// network should have clocks that agree to two seconds; where they do not, ages are
// unknown.
//
// # Who can read it
//
// Anyone who can read the files, or their disk, can read the token, unless the store
// is sealed; see [store.Sealed].
//
// On Unix the directory is created with mode 0700 and the files with 0600. If they
// belong to this user and have other modes, as on a Kubernetes volume with an
// fsGroup, which opens them to a group at each start, they are given these modes
// again; a directory that others can only list is left as it is. A directory that
// others can write to and whose mode cannot be changed, or that belongs to another
// user than this process's or root, is an error. So are such files, as on file
// systems without modes, unless [Config.AnyMode] is set. A token's file that belongs
// to another user, or that all users could change, is quarantined; one of root's,
// only if this user cannot read it. A .lock or .lease of another user that this one
// cannot open, or a link in its place, is replaced. On Windows the directory's access
// list decides; that of the default directory only admits its user.
//
// # What is on disk
//
// These files, each named after the channel, the kind of token and a hash of the
// key:
//
//   - .json: the token, with its revision and a checksum. It remains after the token has expired, until it is replaced.
//   - .lock: locked for the moment in which a token is replaced. It stays. Its time
//     is the latest that a process saw, or a year ahead after the clock was set
//     back.
//   - .lease: locked by the process that issues the next token; its name contains
//     its end. It goes with the lease, or with the next one.
//   - .tmp: a token that is about to be in its place. What a crash left is removed
//     after an hour.
//   - .refused-TIME: a quarantined file, since it was torn, changed, written by
//     something else, larger than 1 MiB, a link, or another user's. Look at it, and
//     delete it.
package filestore
