package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
	"github.com/lineoauth/lineoauth/store/storetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis reports each connection that fails
	if addr := os.Getenv(fipsEnv); addr != "" {
		if err := useAll(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	key    = "2173512004/v2.1/https://api.line.me"
	entry  = "lineoauth:{token:" + key + "}"
	secret = "a secret value"
	// waitLimit is the timeout for events that should occur sooner.
	waitLimit = time.Minute
)

func newStore(t testing.TB, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newClient(t testing.TB, addr string) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func update(replaces, value string) store.Update {
	return store.Update{Value: []byte(value), Replaces: replaces, Lifetime: time.Hour}
}

func save(t testing.TB, s store.Store, replaces, value string) (revision string) {
	t.Helper()
	revision, err := s.Save(t.Context(), key, update(replaces, value))
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return revision
}

// loads checks what Load returns.
func loads(t testing.TB, s store.Store, want string) store.Entry {
	t.Helper()
	entry, err := s.Load(t.Context(), key)
	if string(entry.Value) != want || (entry.Revision == "") != (want == "") || err != nil {
		t.Errorf("Load = %q in revision %q, %v; want %q", entry.Value, entry.Revision, err, want)
	}
	return entry
}

func eventually(t testing.TB, failure string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(waitLimit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", failure, waitLimit)
		}
	}
}

func conform(t *testing.T, client func(t *testing.T) redis.UniversalClient) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) func() store.Store {
		return func() store.Store {
			return newStore(t, redisstore.Config{Client: client(t), Prefix: t.Name() + ":"})
		}
	})
}

func TestConformance(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := miniredis.RunT(t)
	// Its clock stands still. This one is never ahead of ours, however late a tick
	// comes: then a lease would end too soon.
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				server.FastForward(4 * time.Millisecond)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
	conform(t, func(t *testing.T) redis.UniversalClient { return newClient(t, server.Addr()) })
}

func TestNew(t *testing.T) {
	client := newClient(t, "127.0.0.1:1")
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer func() { _ = ring.Close() }()
	for name, cfg := range map[string]redisstore.Config{
		"no client":          {},
		"Ring":               {Client: ring},
		"embedded Ring":      {Client: struct{ *redis.Ring }{ring}},
		"braces":             {Client: client, Prefix: "{a}"},
		"negative LeaseTime": {Client: client, LeaseTime: -1},
		"short LeaseTime":    {Client: client, LeaseTime: time.Millisecond},
	} {
		if _, err := redisstore.New(cfg); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v; want ErrInvalid", name, err)
		}
	}
}

func TestFormat(t *testing.T) {
	client := redis.NewClient(&redis.Options{Password: secret})
	defer func() { _ = client.Close() }()
	s := newStore(t, redisstore.Config{Client: client})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "Redis store under lineoauth:" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// An entry ages by the clock of Redis, and ends with its lifetime, counted from
// the last save.
func TestAge(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	s := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
	revision := save(t, s, "", secret)
	ages := func(want time.Duration) {
		t.Helper()
		if got := loads(t, s, secret).Age; got != want {
			t.Errorf("the age is %v; want %v", got, want)
		}
	}
	ages(0)
	server.FastForward(50 * time.Minute)
	ages(50 * time.Minute)
	revision = save(t, s, revision, secret)
	ages(0)
	server.FastForward(50 * time.Minute)
	ages(50 * time.Minute)
	// Another client may have changed the expiry.
	server.SetTTL(entry, 2*time.Hour)
	ages(store.AgeUnknown)
	if err := newClient(t, server.Addr()).Persist(t.Context(), entry).Err(); err != nil {
		t.Fatal(err)
	}
	ages(store.AgeUnknown)
	save(t, s, revision, secret)
	server.FastForward(time.Hour)
	loads(t, s, "")
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	for lifetime, want := range map[time.Duration]time.Duration{
		-time.Hour:                 time.Millisecond, // it has nothing to keep
		0:                          time.Millisecond,
		1500 * time.Microsecond:    2 * time.Millisecond,
		time.Hour:                  time.Hour,
		100 * 365 * 24 * time.Hour: 100 * 365 * 24 * time.Hour,
	} {
		s := newStore(t, redisstore.Config{Client: newClient(t, server.Addr()), Prefix: fmt.Sprint(int64(lifetime), ":")})
		if _, err := s.Save(t.Context(), "k", store.Update{Lifetime: lifetime}); err != nil {
			t.Errorf("Save for %v: %v", lifetime, err)
		}
		if got := server.TTL(fmt.Sprint(int64(lifetime), ":{token:k}")); got < want || got > want+time.Millisecond {
			t.Errorf("the entry of what lives for %v ends after %v; want %v", lifetime, got, want)
		}
	}
}

// Each method is one round trip.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := newClient(t, server.Addr())
	s := newStore(t, redisstore.Config{Client: client})
	revision := save(t, s, "", "x")
	trips := new(counter)
	client.AddHook(trips)
	one := func(method string) {
		t.Helper()
		if trips.n != 1 {
			t.Errorf("%s takes %d round trips", method, trips.n)
		}
		trips.n = 0
	}
	loads(t, s, "x")
	one("Load")
	save(t, s, revision, "y")
	one("Save")
	release, err := s.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	one("Lease")
	if _, err := s.Lease(t.Context(), key, time.Minute); !errors.Is(err, store.ErrLeased) {
		t.Errorf("Lease: %v; want ErrLeased", err)
	}
	one("Lease of what is leased")
	release()
	one("release")
}

// counter counts what is sent, but not what begins a connection.
type counter struct{ n int }

func (c *counter) count(cmd redis.Cmder) {
	if name := cmd.Name(); name != "hello" && name != "client" {
		c.n++
	}
}

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.count(cmd)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.count(cmds[0])
		return next(ctx, cmds)
	}
}
