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
	// asideFor is how long what was put aside is kept.
	asideFor = 7 * 24 * time.Hour
)

// Config configures a [Store].
type Config struct {
	// Client leads to Redis: one server, Sentinel, or a cluster. It stays the
	// caller's; close it when the last source is closed. Set
	// ContextTimeoutEnabled in its options: without it, a call of a Redis that
	// hangs ends with the client's timeouts, some seconds after its context. Leave
	// ReadOnly and what routes to replicas off, since replicas lag behind.
	Client redis.UniversalClient
	// Prefix begins the names of keys and channels. Stores with different
	// prefixes share nothing. It holds no braces, which place keys in a cluster.
	// Empty means DefaultPrefix.
	Prefix string
	// LeaseTime is how long a process that ended or was stopped while it issued a
	// token keeps others from that. A process that runs extends its lease. At
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

// New returns a store. It sends nothing yet. The error matches
// [store.ErrInvalid]: the Client is missing, or Prefix or LeaseTime is wrong.
func New(cfg Config) (*Store, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if cfg.LeaseTime == 0 {
		cfg.LeaseTime = DefaultLeaseTime
	}
	switch {
	case cfg.Client == nil:
		return nil, fmt.Errorf("redisstore: %w: Client is not set", store.ErrInvalid)
	case strings.ContainsAny(cfg.Prefix, "{}"):
		return nil, fmt.Errorf("redisstore: %w: Prefix %q must hold no braces", store.ErrInvalid, cfg.Prefix)
	case cfg.LeaseTime < minLeaseTime:
		return nil, fmt.Errorf("redisstore: %w: LeaseTime must be %v at least", store.ErrInvalid, minLeaseTime)
	}
	return &Store{cfg: cfg}, nil
}

// Format prints the store without its client's password, under every verb.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "Redis store under %s", s.cfg.Prefix)
}

// entry names the entry of a key, and the channel that tells of it. The braces
// keep all that belongs to a key in one slot of a cluster; what is in them must
// not be empty, nor begin with a brace.
func (s *Store) entry(key string) string { return s.cfg.Prefix + "{token:" + key + "}" }

// Load implements [store.Store], in one round trip. What is damaged or foreign is
// renamed to end in ":corrupt", for a week; the error contains that name. The age
// is by the clock of Redis; it is unknown when somebody made the entry stay
// longer.
func (s *Store) Load(ctx context.Context, key string) (store.Entry, error) {
	name := s.entry(key)
	for {
		data, left, err := s.get(ctx, name)
		var found envelope.Envelope
		switch {
		case redis.HasErrorPrefix(err, "WRONGTYPE"):
			err = fmt.Errorf("%w: it is no string", store.ErrCorrupt)
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
		done, failed := s.eval(ctx, putAside, []string{name, aside}, data, asideFor.Milliseconds())
		if failed != nil {
			// It is in the way as long as it stays.
			return store.Entry{}, fmt.Errorf("%v; putting it aside failed: %w", err, failed) //nolint:errorlint // must not match ErrCorrupt
		}
		if done {
			return store.Entry{}, fmt.Errorf("%w; look at it under %q, where it stays for %d days", err, aside, asideFor/(24*time.Hour))
		}
		// Another process was faster.
	}
}

// get returns an entry, nil if there is none, and how long it stays.
func (s *Store) get(ctx context.Context, name string) (data []byte, left time.Duration, err error) {
	var get *redis.StringCmd
	var ttl *redis.DurationCmd
	_, err = s.cfg.Client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		get, ttl = tx.Get(ctx, name), tx.PTTL(ctx, name)
		return nil
	})
	for _, cmd := range []redis.Cmder{get, ttl} {
		if redis.HasErrorPrefix(err, "EXECABORT") { // since Redis refused one of them
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

// Save implements [store.Store], in one round trip. The entry stays in Redis for
// the value's lifetime.
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

// failure is an error of Redis without the arguments of the command, which some
// of its answers repeat.
func failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	text, _, cut := strings.Cut(err.Error(), ", with args")
	switch {
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()): // the client reports its connection
		return fmt.Errorf("redisstore: %w: %w", ctx.Err(), err)
	case cut:
		return fmt.Errorf("redisstore: %s; the store needs this command: use a server, or a proxy, that has it", text)
	case redis.HasErrorPrefix(err, "NOPERM"):
		return fmt.Errorf("redisstore: %w; the store needs this: let the user of Redis have it", err)
	}
	return fmt.Errorf("redisstore: %w", err)
}
