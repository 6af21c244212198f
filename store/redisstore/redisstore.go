package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/internal/envelope"
)

// Defaults for [Config].
const (
	DefaultPrefix    = "lineoauth:"
	DefaultLeaseTime = 10 * time.Second
)

const (
	// minLeaseTime leaves time for Redis to answer.
	minLeaseTime = 100 * time.Millisecond
	// asideFor is how long quarantined values are kept.
	asideFor = 7 * 24 * time.Hour
)

// Config configures a [Store].
type Config struct {
	// Client is the Redis client: for one server, Sentinel, or a cluster, but not a
	// [redis.Ring]. The caller closes it, after the last source is closed. Set
	// ContextTimeoutEnabled in its options: without it, a call of a Redis that hangs
	// ends with the client's timeouts, some seconds after its context. Do not set
	// ReadOnly or ReplicaOnly or route to replicas, since replicas lag behind.
	Client redis.UniversalClient
	// Prefix begins the names of keys and channels. Stores with different prefixes
	// share nothing. It must not contain braces, which determine the cluster slot of
	// a key. Empty means DefaultPrefix.
	Prefix string
	// LeaseTime is how long a process that exits or is suspended while it issues a
	// token prevents others from issuing one. A running process extends its lease. At
	// least 100 ms; 0 means DefaultLeaseTime.
	LeaseTime time.Duration
}

// Store keeps tokens in Redis, of any number of channels. It is safe for
// concurrent use. Use one for all sources of a process: its watches share a
// connection.
type Store struct {
	cfg Config

	mu         sync.Mutex
	subscriber *subscriber // while there are watches
}

var _ store.Watcher = (*Store)(nil)

// New returns a store. It does not connect yet. It returns an error that matches
// [store.ErrInvalid] if Client is missing or a Ring, or if Prefix or LeaseTime is
// invalid.
func New(cfg Config) (*Store, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if cfg.LeaseTime == 0 {
		cfg.LeaseTime = DefaultLeaseTime
	}
	// It panics in Subscribe without a channel. This also finds it where it is embedded.
	_, ring := cfg.Client.(interface{ Options() *redis.RingOptions })
	switch {
	case ring:
		return nil, fmt.Errorf("redisstore: %w: Client is a redis.Ring, which is not supported; use redis.NewClient, redis.NewFailoverClient or redis.NewClusterClient", store.ErrInvalid)
	case cfg.Client == nil:
		return nil, fmt.Errorf("redisstore: %w: Client is nil; set it", store.ErrInvalid)
	case strings.ContainsAny(cfg.Prefix, "{}"):
		return nil, fmt.Errorf("redisstore: %w: Prefix %q contains a brace; remove it", store.ErrInvalid, cfg.Prefix)
	case cfg.LeaseTime < minLeaseTime:
		return nil, fmt.Errorf("redisstore: %w: invalid LeaseTime: use at least %v, or 0 for the default", store.ErrInvalid, minLeaseTime)
	}
	return &Store{cfg: cfg}, nil
}

// Format prints the store without its client's password, under every verb.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "Redis store under %s", s.cfg.Prefix)
}

// entry returns the name of a key's entry, and of its notification channel. The
// braces keep everything of a key in one cluster slot; their content must not be
// empty or start with a brace.
func (s *Store) entry(key string) string { return s.cfg.Prefix + "{token:" + key + "}" }

// Load implements [store.Store], in one round trip. A damaged or foreign value is
// renamed to end in ":corrupt", for a week; the error contains that name. The age is
// determined by the clock of Redis; it is unknown if the entry's expiry was changed.
func (s *Store) Load(ctx context.Context, key string) (store.Entry, error) {
	name := s.entry(key)
	for {
		data, left, err := s.get(ctx, name)
		var found envelope.Envelope
		switch {
		case redis.HasErrorPrefix(err, "WRONGTYPE"):
			err = fmt.Errorf("%w: it is not a string", store.ErrCorrupt)
		case err != nil:
			return store.Entry{}, failure(ctx, err)
		case data == nil:
			return store.Entry{}, nil
		default:
			found, err = envelope.Open(key, data)
		}
		if err == nil {
			return store.Entry{Value: found.Value, Revision: found.Revision, Age: age(found, left)}, nil
		}
		err = fmt.Errorf("redisstore: key %q: %w", name, err)
		if !errors.Is(err, store.ErrCorrupt) {
			return store.Entry{}, err
		}
		aside := name + ":corrupt"
		done, failed := s.eval(ctx, quarantine, []string{name, aside}, data, asideFor.Milliseconds())
		if failed != nil {
			// It blocks the entry until it is removed.
			return store.Entry{}, fmt.Errorf("%v; remove it, since renaming it failed: %w", err, failed) //nolint:errorlint // must not match ErrCorrupt
		}
		if done {
			return store.Entry{}, fmt.Errorf("%w; inspect it under %q, where it is kept for %d days", err, aside, asideFor/(24*time.Hour))
		}
		// Another process was faster.
	}
}

// get returns an entry, or nil, and its remaining lifetime.
func (s *Store) get(ctx context.Context, name string) (data []byte, left time.Duration, err error) {
	var get *redis.StringCmd
	var ttl *redis.DurationCmd
	_, err = s.cfg.Client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		get, ttl = tx.Get(ctx, name), tx.PTTL(ctx, name)
		return nil
	})
	for _, cmd := range []redis.Cmder{get, ttl} {
		if redis.HasErrorPrefix(err, "EXECABORT") { // Redis refused one of them
			err = cmd.Err()
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	data, err = get.Bytes()
	return data, ttl.Val(), err
}

func age(e envelope.Envelope, left time.Duration) time.Duration {
	lifetime := time.Duration(e.Lifetime) * time.Millisecond
	if left < 0 || left > lifetime {
		return store.AgeUnknown
	}
	return lifetime - left
}

// Save implements [store.Store], in one round trip. The entry expires with the
// value's lifetime.
func (s *Store) Save(ctx context.Context, key string, update store.Update) (revision string, err error) {
	next := envelope.New(key, update)
	data, err := next.Encode()
	if err != nil {
		return "", fmt.Errorf("redisstore: %w", err)
	}
	saved, err := s.eval(ctx, save, []string{s.entry(key)}, update.Replaces, next.Revision, data, next.Lifetime)
	if err == nil && !saved {
		err = fmt.Errorf("redisstore: %w", store.ErrConflict)
	}
	if err != nil {
		return "", err
	}
	return next.Revision, nil
}

// failure returns an error of Redis without the arguments of the command, which some
// answers of Redis repeat.
func failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	text, _, cut := strings.Cut(err.Error(), ", with args")
	ended := ctx.Err()
	if deadline, ok := ctx.Deadline(); ended == nil && ok && !time.Now().Before(deadline) {
		ended = context.DeadlineExceeded // the connection's timer was earlier than the context's
	}
	switch {
	case ended != nil && !errors.Is(err, ended): // an error of the connection
		return fmt.Errorf("redisstore: %w: %w", ended, err)
	case cut:
		return fmt.Errorf("redisstore: %s; use a server or proxy that supports this command", text)
	case redis.HasErrorPrefix(err, "NOPERM"):
		return fmt.Errorf("redisstore: %w; allow this for the Redis user", err)
	}
	return fmt.Errorf("redisstore: %w", err)
}
