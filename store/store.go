// Package store is where the processes of a fleet keep the channel access token that
// they share, so that they use one together, and find it again after a restart.
//
// A [Store] keeps bytes under keys, and leases. Package filestore keeps them in files,
// for the processes of one machine; the module redisstore in Redis, for many machines;
// [Memory] in one process. Package storetest tests your own. [Sealed] encrypts what any
// of them keeps.
//
// The package does not import the OAuth client, so a store need not import it either.
package store

import (
	"context"
	"errors"
	"time"
)

// Store keeps values and leases under keys. A key names a channel, a kind of
// token and a base URL; a value holds a token in the clear, unless the store is
// [Sealed]. Errors must show neither values nor keys of encryption. A Store is
// safe for concurrent use.
//
// A method returns soon after its context ends. One that does not is abandoned;
// a few such calls at once make the caller treat the store as failing.
type Store interface {
	// Load returns the value that was saved last under key. For a value that the store
	// did not save itself, or that is damaged, the error matches [ErrCorrupt]; the
	// store has then moved it aside for inspection, unless the entry that is returned
	// with the error has a Revision.
	Load(ctx context.Context, key string) (Entry, error)
	// Save atomically replaces a value, and returns the new revision. If the stored
	// revision is not update.Replaces, nothing changes and the error matches
	// [ErrConflict].
	Save(ctx context.Context, key string, update Update) (revision string, err error)
	// Lease gives the caller the exclusive right to issue the token of a key, until
	// it calls release, its process exits, or ttl has passed. It does not wait: while
	// another caller has the lease, the error matches [ErrLeased]. Release returns
	// once the lease is free, or after a few seconds.
	Lease(ctx context.Context, key string, ttl time.Duration) (release func(), err error)
}

// Watcher is a [Store] that reports changes. Others are polled.
type Watcher interface {
	Store
	// Watch calls changed when it starts to watch the key, after each change of the
	// value, and whenever it may have missed one, until ctx is done. It may call it
	// more often, ideally when a lease of the key is released. It returns earlier
	// only if it cannot watch; it is called again after a while.
	Watch(ctx context.Context, key string, changed func()) error
}

// Entry is what a store has under a key. The zero Entry means that there is nothing.
type Entry struct {
	// Value is what was saved.
	Value []byte
	// Revision identifies this save: each save of a key has a new one, even of an equal
	// value. Empty when nothing is stored.
	Revision string
	// Age is the time since the save, by the store's own clock or by whatever
	// is the same for all processes; they do not compare their own clocks.
	// Negative, as [AgeUnknown] is, when the store cannot tell, for instance
	// because a clock was set back since.
	Age time.Duration
}

// AgeUnknown is the [Entry.Age] of a store that cannot tell.
const AgeUnknown time.Duration = -1

// Update is what [Store] has to save.
type Update struct {
	// Value takes the place of the stored one.
	Value []byte
	// Replaces is the [Entry.Revision] that the caller knows; empty when it found
	// nothing.
	Replaces string
	// Lifetime is how long the value is needed. A store may delete it after that, and
	// not before.
	Lifetime time.Duration
}

// Errors of a [Store]. Test for them with [errors.Is].
var (
	// ErrConflict is returned when another process saved meanwhile.
	ErrConflict = errors.New("another process saved meanwhile")
	// ErrLeased is returned when another process has the lease.
	ErrLeased = errors.New("another process has the lease")
	// ErrCorrupt is returned when the stored value is damaged or not the store's.
	ErrCorrupt = errors.New("the stored value is damaged or foreign")
	// ErrSealed is returned when a stored value was sealed with another key, is
	// not sealed where it should be, or the reverse. The value stays in its place.
	ErrSealed = errors.New("the stored value is encrypted in another way")
	// ErrNewer is returned when a newer version of this module saved the value. It
	// stays in its place.
	ErrNewer = errors.New("a newer version saved the stored value; update this program, or use another store")
	// ErrInvalid is returned when the configuration of a store is refused.
	ErrInvalid = errors.New("invalid store configuration")
)
