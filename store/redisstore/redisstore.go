package redisstore

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/envelope"
)

const (
	// DefaultPrefix is the [Config.Prefix] when none is given.
	DefaultPrefix = "lineoauth:"
	// DefaultLeaseTime is the [Config.LeaseTime] when none is given.
	DefaultLeaseTime = 10 * time.Second
)

const (
	// minLeaseTime leaves time for Redis to answer.
	minLeaseTime = 100 * time.Millisecond
	// asideFor is how long what was set aside is kept.
	asideFor = 7 * 24 * time.Hour
	// releaseTimeout bounds the end of a lease, which ends by itself, too.
	releaseTimeout = 2 * time.Second
	// subscribeTimeout bounds the first answer to a subscription.
	subscribeTimeout = 5 * time.Second
	// lookEvery is how often a watcher assumes that it missed a notice, of which
	// Redis sends each once at most.
	lookEvery = time.Minute
)

// Config is what a [Store] is made from.
type Config struct {
	// Client leads to Redis: one server, Sentinel, or a cluster. It stays the
	// caller's; close it when the last source is closed. Set
	// ContextTimeoutEnabled in its options, so that a Redis that hangs keeps a
	// connection no longer than a call has time. Leave ReadOnly and what routes to
	// replicas off, since replicas lag behind.
	Client redis.UniversalClient
	// Prefix begins the names of keys and channels. Stores with different
	// prefixes share nothing. It holds no braces, which place keys in a cluster.
	// Empty means DefaultPrefix.
	Prefix string
	// LeaseTime is how long a process that ended or was stopped while it issued a
	// token keeps others from that. A process that lives extends its lease. At
	// least 100 ms; 0 means DefaultLeaseTime.
	LeaseTime time.Duration
	// AEAD encrypts what Redis keeps, so that who reads Redis has no token. All
	// processes have the same key. nil means that tokens stand there in the
	// clear. A key that changes makes stored tokens unreadable: remove them, or
	// take another prefix. With a random nonce of 96 bits, as in AES-GCM, one key
	// is good for some billion tokens.
	AEAD cipher.AEAD
}

// Store keeps tokens in Redis, of any number of channels. It is made by [New] and
// safe for concurrent use. One for all sources of a process costs least, since
// its watches share a connection.
//
// Each method returns when its context ends, also when Redis hangs. The
// goroutine that then still waits for Redis ends with the timeouts of the
// client, or when that is closed.
type Store struct {
	cfg     Config
	redsync *redsync.Redsync

	mu         sync.Mutex
	subscriber *subscriber // while there are watches
}

var _ lineoauth.StoreWatcher = (*Store)(nil)

// New returns a store. It sends nothing yet. The error matches
// [lineoauth.ErrInvalid]: the Client is missing, or Prefix or LeaseTime is wrong.
func New(cfg Config) (*Store, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if cfg.LeaseTime == 0 {
		cfg.LeaseTime = DefaultLeaseTime
	}
	switch {
	case cfg.Client == nil:
		return nil, fmt.Errorf("redisstore: %w: Client is not set", lineoauth.ErrInvalid)
	case strings.ContainsAny(cfg.Prefix, "{}"):
		return nil, fmt.Errorf("redisstore: %w: Prefix %q must hold no braces", lineoauth.ErrInvalid, cfg.Prefix)
	case cfg.LeaseTime < minLeaseTime:
		return nil, fmt.Errorf("redisstore: %w: LeaseTime must be %v at least", lineoauth.ErrInvalid, minLeaseTime)
	}
	return &Store{cfg: cfg, redsync: redsync.New(goredis.NewPool(cfg.Client))}, nil
}

// Format prints the store without its AEAD and its client's password, under
// every verb.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "Redis store under %s", s.cfg.Prefix)
}

// entry names the entry of a key, and the channel that tells of it. The braces
// keep all that belongs to a key in one slot of a cluster; what is in them must
// not be empty, nor begin with a brace.
func (s *Store) entry(key string) string { return s.cfg.Prefix + "{token:" + key + "}" }

// Load implements [lineoauth.Store]. What is damaged or foreign is renamed to
// end in ":corrupt", for a week; the error says so.
func (s *Store) Load(ctx context.Context, key string) ([]byte, string, error) {
	name := s.entry(key)
	for {
		data, err := s.get(ctx, name)
		var value []byte
		switch {
		case redis.HasErrorPrefix(err, "WRONGTYPE"):
			err = fmt.Errorf("%w: it is no string", lineoauth.ErrStoreCorrupt)
		case err != nil:
			return nil, "", failure(err)
		case data == nil:
			return nil, "", nil
		default:
			value, err = envelope.Open(s.cfg.AEAD, key, data)
		}
		if err == nil {
			return value, envelope.Revision(data), nil
		}
		err = fmt.Errorf("redisstore: key %q: %w", name, err)
		if !errors.Is(err, lineoauth.ErrStoreCorrupt) {
			return nil, "", err
		}
		aside := name + ":corrupt"
		done, failed := s.run(ctx, setAside, []string{name, aside}, data, asideFor.Milliseconds())
		if failed != nil {
			// It is in the way as long as it stays.
			return nil, "", fmt.Errorf("%v; setting it aside failed: %w", err, failed) //nolint:errorlint // must not match ErrStoreCorrupt
		}
		if done {
			return nil, "", fmt.Errorf("%w; look at it under %q, where it stays for %d days", err, aside, asideFor/(24*time.Hour))
		}
		// Another process was faster.
	}
}

// Save implements [lineoauth.Store]. The entry ends at expiresAt, by the clock of
// this process.
func (s *Store) Save(ctx context.Context, key, revision string, value []byte, expiresAt time.Time) error {
	data, err := envelope.Seal(s.cfg.AEAD, key, value)
	if err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	name := s.entry(key)
	before, err := s.get(ctx, name)
	if err != nil {
		return failure(err)
	}
	if envelope.Revision(before) != revision {
		return lineoauth.ErrStoreConflict
	}
	life := max(time.Until(expiresAt).Milliseconds(), 1)
	saved, err := s.run(ctx, compareAndSet, []string{name}, before, data, life)
	if err == nil && !saved {
		err = lineoauth.ErrStoreConflict
	}
	return err
}

// The scripts return 1 when they did it, and 0 when the entry is another one.
const (
	compareAndSet = `
local old = redis.call('GET', KEYS[1]) or ''
if old ~= ARGV[1] then
	if old == ARGV[2] then return 1 end -- sent again, since the answer was lost
	return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.pcall('PUBLISH', KEYS[1], '') -- who is not told looks
return 1`

	setAside = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == 'string' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1`
)

func (s *Store) get(ctx context.Context, name string) ([]byte, error) {
	return await(ctx, func() ([]byte, error) {
		data, err := s.cfg.Client.Get(ctx, name).Bytes()
		if errors.Is(err, redis.Nil) {
			return nil, nil
		}
		return data, err
	}, nil)
}

// run sends the whole script: [redis.NewScript] would compute its SHA-1, which
// panics with GODEBUG=fips140=only.
func (s *Store) run(ctx context.Context, script string, keys []string, args ...any) (bool, error) {
	done, err := await(ctx, func() (bool, error) { return s.cfg.Client.Eval(ctx, script, keys, args...).Bool() }, nil)
	return done, failure(err)
}

// failure is an error of Redis without the arguments of the command, which some
// of its answers repeat.
func failure(err error) error {
	if err == nil {
		return nil
	}
	if text, _, cut := strings.Cut(err.Error(), ", with args"); cut {
		return fmt.Errorf("redisstore: %s; the user, or a proxy, lacks this command", text)
	}
	return fmt.Errorf("redisstore: %w", err)
}

// await makes a call and returns when ctx ends, which go-redis notices late or,
// while it reads, not at all. What comes too late goes to late.
func await[T any](ctx context.Context, call func() (T, error), late func(T)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result)
	go func() {
		value, err := call()
		select {
		case done <- result{value, err}:
		case <-ctx.Done():
			if err == nil && late != nil {
				late(value)
			}
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
