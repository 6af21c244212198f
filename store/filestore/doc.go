// Package filestore keeps channel access tokens in a directory, so that the
// processes of one machine share a token, and find it again when they start
// anew. [Store] is a [lineoauth.Store]:
//
//	store, err := filestore.New(filestore.Config{})
//	…
//	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store})
//	…
//	token, err := source.Token(ctx)
//
// # When to choose it
//
// LINE lets a channel have 30 live v2.1 tokens, and 30 short-lived ones. A bot on
// one machine that is restarted often, has several workers, or is run by cron
// uses them up, unless it keeps its token. The command "lineoauth token" shares
// the directory with shell scripts. For many machines there is package
// redisstore. Stateless tokens, of which there may be any number, need no store.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
//
// # What it promises
//
//   - A reader finds a whole token, or none: a token is replaced by a rename, once
//     the next one is on disk.
//   - Of two processes that replace the same token, one does, and the other is
//     told by [lineoauth.ErrStoreConflict].
//   - One process at a time has the lease. One that is killed leaves nothing
//     locked. One that is stopped keeps its lease until that ends; in the moment
//     of replacing a token, it keeps others from replacing it until it goes on or
//     ends, but not from reading it.
//   - What no Store saved for this key is neither used nor overwritten, but set
//     aside and named by an error that matches [lineoauth.ErrStoreCorrupt].
//
// It does so on Linux, macOS, Windows and the other systems of Unix, on file
// systems with locks that work. On network file systems they may be missing, or
// outlive their process for a while. On Plan 9 and WebAssembly there are none, and
// [New] returns an error.
//
// # Who can read it
//
// Without a [Config.AEAD], whoever can read the files, or the disk that they are
// on, has the token. On Unix the directory is made with mode 0700 and the files
// with 0600; a directory that other users can write to, or that belongs to
// another user than this process's or root, is an error. On Windows the
// directory's access list decides; that of the default directory lets in its user
// alone.
//
// # What is on disk
//
// These files, each named after the channel, the kind of token and a hash of the
// key:
//
//   - .json: the token, with its key ID and a checksum, and encrypted if there is
//     an AEAD. It stays after the token's end, until the next one takes its place.
//   - .lock: locked for the moment in which a token is replaced. It stays.
//   - .lease: locked by the process that issues the next token; its name says
//     until when. It goes with the lease, or with the next one.
//   - .tmp: a token that is about to be in its place. What a crash left is removed
//     after an hour.
//   - .refused-TIME: what was set aside, since it was torn, changed, written by
//     something else, larger than 1 MiB, a link, or open to other users. Look at
//     it, and delete it.
package filestore
