package redisstore_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// Trouble of Redis is not mistaken for a lease of another process.
func TestTrouble(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
	s := newStore(t, redisstore.Config{Client: client})
	check := func(what string, want ...string) {
		t.Helper()
		_, loadErr := s.Load(t.Context(), key)
		_, saveErr := s.Save(t.Context(), key, update("", secret))
		_, leaseErr := s.Lease(t.Context(), key, time.Minute)
		watchErr := s.Watch(t.Context(), key, func() { t.Error("there is nothing to watch") })
		for call, err := range map[string]error{"Load": loadErr, "Save": saveErr, "Lease": leaseErr, "Watch": watchErr} {
			if err == nil || errors.Is(err, store.ErrLeased) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrCorrupt) {
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

// silent accepts connections at the returned address, and never answers.
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

// lateContext has a deadline that its Err notices late, as the timers of a busy machine
// may; a connection's own timer can be earlier.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Every call ends with its context's deadline, and a watch when its context is
// canceled, whatever Redis does.
func TestContext(t *testing.T) {
	t.Parallel()
	addr, _ := silent(t, "127.0.0.1:0")
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, ReadTimeout: 2 * waitLimit})
	defer func() { _ = client.Close() }()
	s := newStore(t, redisstore.Config{Client: client})
	for call, do := range map[string]func(context.Context) error{
		"Load":  func(ctx context.Context) error { _, err := s.Load(ctx, key); return err },
		"Save":  func(ctx context.Context) error { _, err := s.Save(ctx, key, update("", "x")); return err },
		"Lease": func(ctx context.Context) error { _, err := s.Lease(ctx, key, time.Minute); return err },
		"Watch": func(ctx context.Context) error { return s.Watch(ctx, key, func() {}) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v; want context.DeadlineExceeded", call, err)
		}
		if took := time.Since(start); took > waitLimit {
			t.Errorf("%s took %v", call, took)
		}
		cancel()
		if call == "Watch" { // it continues while Redis does not answer
			continue
		}
		if err := do(lateContext{t.Context(), time.Now().Add(50 * time.Millisecond)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, with a late context: %v; want context.DeadlineExceeded", call, err)
		}
	}
	for name, options := range map[string]*redis.Options{
		"by default":          {Addr: addr},
		"without any timeout": {Addr: addr, ReadTimeout: -1},
	} {
		client := redis.NewClient(options)
		defer func() { _ = client.Close() }()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		start := time.Now()
		if err := newStore(t, redisstore.Config{Client: client}).Watch(ctx, key, func() {}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Watch: %v; want context.Canceled", name, err)
		}
		if took := time.Since(start); took > waitLimit {
			t.Errorf("%s: Watch took %v", name, took)
		}
	}
}

// fipsEnv holds the address of a Redis, in a process that uses all of a store.
const fipsEnv = "REDISSTORE_TEST_FIPS"

// A process in FIPS 140 mode has no SHA-1, by which Redis knows scripts.
func TestFIPS(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), fipsEnv+"="+miniredis.RunT(t).Addr(), "GODEBUG=fips140=only")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func useAll(addr string) error {
	if !fips140.Enabled() {
		return errors.New("FIPS 140 mode is off")
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	inner, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	s, err := store.Sealed(inner, aead)
	if err != nil {
		return err
	}
	release, err := s.Lease(ctx, key, time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.Save(ctx, key, update("", secret)); err != nil {
		return err
	}
	if entry, err := s.Load(ctx, key); string(entry.Value) != secret || err != nil {
		return fmt.Errorf("Load = %q, %w", entry.Value, err)
	}
	watch, stop := context.WithCancel(ctx)
	if err := s.(store.Watcher).Watch(watch, key, stop); !errors.Is(err, context.Canceled) {
		return err
	}
	if err := client.Set(ctx, entry, "damaged", 0).Err(); err != nil {
		return err
	}
	if _, err := s.Load(ctx, key); !errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("Load of a damaged value: %w", err)
	}
	return nil
}
