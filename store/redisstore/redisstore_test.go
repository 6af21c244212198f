package redisstore_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/envelope"
	"github.com/lineoauth/lineoauth/store/redisstore"
	"github.com/lineoauth/lineoauth/store/storetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis tells of each connection that fails
	// The tests wait most of the time.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const (
	key    = "2173512004/v2.1/https://api.line.me"
	entry  = "lineoauth:{token:" + key + "}"
	secret = "a secret value"
	// patience is how long a test waits for what should come sooner.
	patience = time.Minute
)

func newAEAD(t testing.TB, fill byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func newStore(t testing.TB, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	store, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func newClient(t testing.TB, addr string) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func save(t testing.TB, store lineoauth.Store, revision, value string) {
	t.Helper()
	if err := store.Save(t.Context(), key, revision, []byte(value), time.Now().Add(time.Hour)); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func eventually(t testing.TB, failure string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", failure, patience)
		}
	}
}

// ended calls f, which must not wait for long.
func ended(t testing.TB, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("%s does not end (after %v)", what, patience)
		return nil
	}
}

// conform runs the suite with and without encryption.
func conform(t *testing.T, client func(t *testing.T) redis.UniversalClient) {
	for name, aead := range map[string]cipher.AEAD{"clear": nil, "encrypted": newAEAD(t, 1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) func() lineoauth.Store {
				return func() lineoauth.Store {
					return newStore(t, redisstore.Config{Client: client(t), Prefix: t.Name() + ":", AEAD: aead})
				}
			})
		})
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	conform(t, func(t *testing.T) redis.UniversalClient { return newClient(t, server.Addr()) })
}

func TestNew(t *testing.T) {
	client := newClient(t, "127.0.0.1:1")
	for name, cfg := range map[string]redisstore.Config{
		"no client":          {},
		"braces":             {Client: client, Prefix: "{a}"},
		"negative LeaseTime": {Client: client, LeaseTime: -1},
		"short LeaseTime":    {Client: client, LeaseTime: time.Millisecond},
	} {
		if _, err := redisstore.New(cfg); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("%s: %v; want ErrInvalid", name, err)
		}
	}
}

func TestFormat(t *testing.T) {
	client := redis.NewClient(&redis.Options{Password: secret})
	defer func() { _ = client.Close() }()
	store := newStore(t, redisstore.Config{Client: client, AEAD: newAEAD(t, 1)})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if got := fmt.Sprintf(verb, store); got != "Redis store under lineoauth:" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestEntryEndsWithToken(t *testing.T) {
	server := miniredis.RunT(t)
	store := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
	save(t, store, "", secret)
	if ttl := server.TTL(entry); ttl < 59*time.Minute || ttl > time.Hour {
		t.Errorf("the entry of a token that lives an hour ends after %v", ttl)
	}
	server.FastForward(time.Hour)
	if value, revision, err := store.Load(t.Context(), key); value != nil || revision != "" || err != nil {
		t.Errorf("Load after the token's end = %q, %q, %v", value, revision, err)
	}
	// Who shares a clock that is ahead has nothing to keep.
	if err := store.Save(t.Context(), key, "", []byte(secret), time.Now().Add(-time.Hour)); err != nil {
		t.Errorf("Save of what has ended: %v", err)
	}
}

func TestEncrypted(t *testing.T) {
	server := miniredis.RunT(t)
	save(t, newStore(t, redisstore.Config{Client: newClient(t, server.Addr()), AEAD: newAEAD(t, 1)}), "", secret)
	if dump := server.Dump(); strings.Contains(dump, secret) || strings.Contains(dump, "YSBzZWNyZXQ") {
		t.Error("Redis has the value in the clear")
	}
}

// What is damaged is set aside and named, but not shown.
func TestCorrupt(t *testing.T) {
	sealed, err := envelope.Seal(nil, key, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	other, err := envelope.Seal(nil, "another key", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(*miniredis.Miniredis) error{
		"foreign":     func(m *miniredis.Miniredis) error { return m.Set(entry, secret) },
		"empty":       func(m *miniredis.Miniredis) error { return m.Set(entry, "") },
		"torn":        func(m *miniredis.Miniredis) error { return m.Set(entry, string(sealed[:len(sealed)/2])) },
		"another key": func(m *miniredis.Miniredis) error { return m.Set(entry, string(other)) },
		"a list":      func(m *miniredis.Miniredis) error { _, err := m.Lpush(entry, secret); return err },
	} {
		t.Run(name, func(t *testing.T) {
			server := miniredis.RunT(t)
			store := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
			if err := put(server); err != nil {
				t.Fatal(err)
			}
			before := strings.ReplaceAll(server.Dump(), entry, entry+":corrupt")
			_, _, err := store.Load(t.Context(), key)
			if !errors.Is(err, lineoauth.ErrStoreCorrupt) || !strings.Contains(err.Error(), entry+":corrupt") || strings.Contains(err.Error(), secret) {
				t.Errorf("Load: %v; want ErrStoreCorrupt, and the name alone", err)
			}
			if dump := server.Dump(); dump != before {
				t.Errorf("after Load Redis has\n%s\nwant\n%s", dump, before)
			}
			if ttl := server.TTL(entry + ":corrupt"); ttl != 7*24*time.Hour {
				t.Errorf("it is kept for %v", ttl)
			}
			if _, revision, err := store.Load(t.Context(), key); revision != "" || err != nil {
				t.Errorf("the next Load: %q, %v; want nothing", revision, err)
			}
			save(t, store, "", secret)
		})
	}
}

// A value that another process saves meanwhile is not set aside.
func TestCorruptReplaced(t *testing.T) {
	server := miniredis.RunT(t)
	good, err := envelope.Seal(nil, key, []byte("good"))
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t, server.Addr())
	client.AddHook(after{"get", func(func() error) error { return server.Set(entry, string(good)) }})
	if err := server.Set(entry, secret); err != nil {
		t.Fatal(err)
	}
	value, _, err := newStore(t, redisstore.Config{Client: client}).Load(t.Context(), key)
	if string(value) != "good" || err != nil {
		t.Errorf("Load = %q, %v; want what was saved meanwhile", value, err)
	}
}

// What another configuration or version wrote is no damage.
func TestLeftAlone(t *testing.T) {
	sealed, err := envelope.Seal(newAEAD(t, 1), key, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		aead cipher.AEAD
		data string
		want string
	}{
		"no key":      {nil, string(sealed), "no key"},
		"another key": {newAEAD(t, 2), string(sealed), "another key"},
		"newer":       {nil, `{"lineoauth":2,"token":"` + secret + `"}`, "update"},
	} {
		server := miniredis.RunT(t)
		if err := server.Set(entry, tt.data); err != nil {
			t.Fatal(err)
		}
		store := newStore(t, redisstore.Config{Client: newClient(t, server.Addr()), AEAD: tt.aead})
		_, _, err := store.Load(t.Context(), key)
		if err == nil || errors.Is(err, lineoauth.ErrStoreCorrupt) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), entry) {
			t.Errorf("%s: Load: %v", name, err)
		}
		if got, _ := server.Get(entry); got != tt.data {
			t.Errorf("%s: the entry was changed", name)
		}
	}
}

// go-redis sends a command again when its answer is lost; what was saved at
// first stays saved.
func TestSaveSentAgain(t *testing.T) {
	server := miniredis.RunT(t)
	client := newClient(t, server.Addr())
	store := newStore(t, redisstore.Config{Client: client})
	save(t, store, "", "old")
	_, revision, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	client.AddHook(after{"eval", func(again func() error) error { return again() }})
	save(t, store, revision, "new")
}

// after does something after each command of a name.
type after struct {
	command string
	do      func(again func() error) error
}

func (a after) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a after) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && cmd.Name() == a.command {
			err = a.do(func() error { return next(ctx, cmd) })
		}
		return err
	}
}

func (a after) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// The lease of a process that is there lasts for longer than its time in Redis,
// and that of one that is gone does not.
func TestLeaseExtended(t *testing.T) {
	server := miniredis.RunT(t)
	const leaseTime = 2 * time.Second // a busy machine takes half of a shorter one to answer
	cfg := redisstore.Config{Client: newClient(t, server.Addr()), LeaseTime: leaseTime}
	store := newStore(t, cfg)
	save(t, store, "", "value") // so that there is a connection
	release, err := store.Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range 3 {
		server.FastForward(leaseTime * 2 / 3)
		if _, err := store.Lease(t.Context(), key, time.Hour); !errors.Is(err, lineoauth.ErrStoreLeased) {
			t.Fatalf("a lease that should be extended: %v", err)
		}
		eventually(t, "the lease is not extended", func() bool { return server.TTL(entry+":lease") == leaseTime })
	}
	server.FastForward(leaseTime)
	releaseOther, err := newStore(t, cfg).Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatalf("a lease that ended: %v", err)
	}
	release() // takes nothing from the other
	if _, err := store.Lease(t.Context(), key, time.Hour); !errors.Is(err, lineoauth.ErrStoreLeased) {
		t.Errorf("after a late release: %v", err)
	}
	releaseOther()
	releaseOther()
	if server.Exists(entry + ":lease") {
		t.Error("a released lease is still there")
	}
}

// Trouble of Redis is not mistaken for a lease of another process.
func TestTrouble(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
	store := newStore(t, redisstore.Config{Client: client})
	check := func(what string, want ...string) {
		t.Helper()
		_, _, loadErr := store.Load(t.Context(), key)
		saveErr := store.Save(t.Context(), key, "", []byte(secret), time.Now().Add(time.Hour))
		_, leaseErr := store.Lease(t.Context(), key, time.Minute)
		watchErr := store.Watch(t.Context(), key, func() { t.Error("there is nothing to watch") })
		for call, err := range map[string]error{"Load": loadErr, "Save": saveErr, "Lease": leaseErr, "Watch": watchErr} {
			if err == nil || errors.Is(err, lineoauth.ErrStoreLeased) || errors.Is(err, lineoauth.ErrStoreConflict) || errors.Is(err, lineoauth.ErrStoreCorrupt) {
				t.Errorf("%s: %s: %v", what, call, err)
				continue
			}
			for _, want := range want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s: %v; want %q", what, call, err, want)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %s shows the value: %v", what, call, err)
			}
		}
	}
	server.SetError("OOM command not allowed when used memory > 'maxmemory'.")
	check("full", "redisstore: ", "OOM")
	server.SetError("ERR unknown command 'X', with args beginning with: '" + secret + "'")
	check("a proxy", "redisstore: ", "unknown command")
	server.SetError("")
	server.Close()
	check("down", "redisstore: ", "refused")
	_ = client.Close()
	check("closed", "redisstore: ", "closed")
}

// silent accepts connections at an address, of which it tells, and never answers.
func silent(t *testing.T, addr string) (actual string, accepted <-chan struct{}) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	done, told := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			select {
			case told <- struct{}{}:
			default:
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), told
}

// Every call ends with its context, whatever Redis does.
func TestContext(t *testing.T) {
	addr, _ := silent(t, "127.0.0.1:0")
	for name, options := range map[string]*redis.Options{
		"the context's deadline": {Addr: addr, ContextTimeoutEnabled: true},
		"by default":             {Addr: addr},
		"without any timeout":    {Addr: addr, ReadTimeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClient(options)
			defer func() { _ = client.Close() }()
			store := newStore(t, redisstore.Config{Client: client})
			for call, do := range map[string]func(context.Context) error{
				"Load":  func(ctx context.Context) error { _, _, err := store.Load(ctx, key); return err },
				"Save":  func(ctx context.Context) error { return store.Save(ctx, key, "", nil, time.Now().Add(time.Hour)) },
				"Lease": func(ctx context.Context) error { _, err := store.Lease(ctx, key, time.Minute); return err },
				"Watch": func(ctx context.Context) error { return store.Watch(ctx, key, func() {}) },
			} {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(50*time.Millisecond, cancel)
				if err := ended(t, call, func() error { return do(ctx) }); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v; want context.Canceled", call, err)
				}
			}
		})
	}
}
