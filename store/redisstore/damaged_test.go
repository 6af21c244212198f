package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/internal/envelope"
	"github.com/lineoauth/lineoauth/store/redisstore"
	"github.com/lineoauth/lineoauth/store/storetest"
)

func wrap(t *testing.T, key, value string) string {
	t.Helper()
	data, err := envelope.New(key, update("", value)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, func(t *testing.T) (func() store.Store, func(string)) {
		server := miniredis.RunT(t)
		damage := func(key string) {
			if err := server.Set("lineoauth:{token:"+key+"}", secret); err != nil {
				t.Fatal(err)
			}
		}
		return func() store.Store { return newStore(t, redisstore.Config{Client: newClient(t, server.Addr())}) }, damage
	})
}

// What is damaged is quarantined and named, but not shown, and not overwritten.
func TestCorrupt(t *testing.T) {
	t.Parallel()
	good := wrap(t, key, secret)
	for name, put := range map[string]func(*miniredis.Miniredis) error{
		"foreign":        func(m *miniredis.Miniredis) error { return m.Set(entry, secret) },
		"a number":       func(m *miniredis.Miniredis) error { return m.Set(entry, "5") },
		"empty":          func(m *miniredis.Miniredis) error { return m.Set(entry, "") },
		"empty revision": func(m *miniredis.Miniredis) error { return m.Set(entry, `{"lineoauth":2,"revision":""}`) },
		"torn":           func(m *miniredis.Miniredis) error { return m.Set(entry, good[:len(good)/2]) },
		"another key":    func(m *miniredis.Miniredis) error { return m.Set(entry, wrap(t, "another key", secret)) },
		"a list":         func(m *miniredis.Miniredis) error { _, err := m.Lpush(entry, secret); return err },
	} {
		t.Run(name, func(t *testing.T) {
			server := miniredis.RunT(t)
			s := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
			if err := put(server); err != nil {
				t.Fatal(err)
			}
			for _, replaces := range []string{"", "x"} {
				if _, err := s.Save(t.Context(), key, update(replaces, "late")); !errors.Is(err, store.ErrConflict) {
					t.Errorf("Save over it: %v; want ErrConflict", err)
				}
			}
			before := strings.ReplaceAll(server.Dump(), entry, entry+":corrupt")
			_, err := s.Load(t.Context(), key)
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), entry+":corrupt") || strings.Contains(err.Error(), secret) {
				t.Errorf("Load: %v; want ErrCorrupt, and the name alone", err)
			}
			if dump := server.Dump(); dump != before {
				t.Errorf("after Load Redis has\n%s\nwant\n%s", dump, before)
			}
			if ttl := server.TTL(entry + ":corrupt"); ttl != 7*24*time.Hour {
				t.Errorf("it is kept for %v", ttl)
			}
			loads(t, s, "")
			save(t, s, "", secret)
		})
	}
}

// A value that another process saves meanwhile is not quarantined.
func TestCorruptReplaced(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := newClient(t, server.Addr())
	client.AddHook(after{"get", func(func() error) error { return server.Set(entry, wrap(t, key, "good")) }})
	if err := server.Set(entry, secret); err != nil {
		t.Fatal(err)
	}
	loads(t, newStore(t, redisstore.Config{Client: client}), "good")
}

// What a newer version wrote is no damage.
func TestLeftAlone(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	const newer = `{"lineoauth":3,"revision":"r","token":"` + secret + `"}`
	if err := server.Set(entry, newer); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, redisstore.Config{Client: newClient(t, server.Addr())})
	found, err := s.Load(t.Context(), key)
	if !errors.Is(err, store.ErrNewer) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), entry) || found.Revision != "" {
		t.Errorf("Load = revision %q, %v; want ErrNewer", found.Revision, err)
	}
	if _, err := s.Save(t.Context(), key, update("", "x")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Save: %v; want ErrConflict", err)
	}
	if got, _ := server.Get(entry); got != newer {
		t.Error("the entry was changed")
	}
}

// go-redis sends a command again when its answer is lost; what was saved at
// first stays saved, and what was leased is.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := newClient(t, server.Addr())
	s := newStore(t, redisstore.Config{Client: client})
	client.AddHook(after{"eval", func(again func() error) error { return again() }})
	revision := save(t, s, "", "old")
	if revision = save(t, s, revision, "new"); loads(t, s, "new").Revision != revision {
		t.Error("Save returns another revision")
	}
	release, err := s.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if server.Exists(entry + ":lease") {
		t.Error("a released lease is still there")
	}
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
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if err == nil && cmd.Name() == a.command {
				err = a.do(func() error { return next(ctx, cmds) })
			}
		}
		return err
	}
}
