//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
	"github.com/lineoauth/lineoauth/store/redisstore/internal/redisserver"
)

func TestConformanceOfRedis(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	conform(t, func(t *testing.T) redis.UniversalClient { return newClient(t, server.Addr) })
}

func TestConformanceOfCluster(t *testing.T) {
	t.Parallel()
	var addrs []string
	var first *redisserver.Server
	for i := range 3 {
		node := redisserver.Start(t, "cluster-enabled yes")
		client := node.Client()
		from, to := i*16384/3, (i+1)*16384/3-1
		slots := make([]any, 0, to-from+3)
		slots = append(slots, "CLUSTER", "ADDSLOTS")
		for slot := from; slot <= to; slot++ {
			slots = append(slots, slot)
		}
		if err := client.Do(t.Context(), slots...).Err(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = node
		} else if err := client.Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(first.Port)).Err(); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, node.Addr)
	}
	for _, addr := range addrs {
		client := newClient(t, addr)
		eventually(t, "the cluster does not come together", func() bool {
			info, err := client.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	conform(t, func(t *testing.T) redis.UniversalClient {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = client.Close() })
		return client
	})
}

// When the master is gone, Sentinel leads to another, which has what was saved.
func TestSentinel(t *testing.T) {
	t.Parallel()
	const name = "main"
	master := redisserver.Start(t)
	replica := redisserver.Start(t, fmt.Sprintf("replicaof 127.0.0.1 %d", master.Port))
	sentinel := redisserver.StartSentinel(t,
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", name, master.Port),
		fmt.Sprintf("sentinel down-after-milliseconds %s 500", name),
		fmt.Sprintf("sentinel failover-timeout %s 1000", name))
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: name, SentinelAddrs: []string{sentinel.Addr}, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	s := newStore(t, redisstore.Config{Client: client})

	watcher := watch(t, s, key)
	revision := save(t, s, "", "value")
	eventually(t, "the replica does not follow, or Sentinel does not know it", func() bool {
		exists, err := replica.Client().Exists(t.Context(), entry).Result()
		info := sentinel.Client().Do(t.Context(), "SENTINEL", "REPLICAS", name)
		replicas, infoErr := info.Slice()
		return err == nil && exists == 1 && infoErr == nil && len(replicas) == 1
	})
	master.Kill()
	eventually(t, "there is no new master", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		found, err := s.Load(ctx, key)
		if err != nil || string(found.Value) != "value" || found.Revision != revision {
			return false
		}
		_, err = s.Save(ctx, key, update(revision, "new"))
		return err == nil
	})
	for len(watcher.changes) > 0 {
		<-watcher.changes
	}
	eventually(t, "the watcher is not told by the new master", func() bool {
		save(t, s, loads(t, s, "new").Revision, "new")
		return len(watcher.changes) > 0
	})
	watcher.end(t)
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A release does not wait for a Redis that hangs.
func TestReleaseOutage(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ReadTimeout: -1}) // which waits for as long as Redis hangs
	defer func() { _ = client.Close() }()
	s := newStore(t, redisstore.Config{Client: client})
	release, err := s.Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	defer server.Continue()
	released := make(chan struct{})
	go func() { release(); close(released) }()
	select {
	case <-released:
	case <-time.After(waitLimit):
		t.Error("release waits")
	}
}

// A lease that Redis gives when nobody waits for it any more is given back.
func TestLateLease(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	client := newClient(t, server.Addr)
	s := newStore(t, redisstore.Config{Client: client, LeaseTime: time.Hour})
	save(t, s, "", "value") // so that there is a connection
	server.Stop()
	if _, err := s.Lease(timeout(t, 200*time.Millisecond), key, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lease of a Redis that hangs: %v", err)
	}
	server.Continue()
	for range 2 { // the first may come before the late one
		eventually(t, "the late lease is kept", func() bool {
			release, err := s.Lease(t.Context(), key, time.Hour)
			if err == nil {
				release()
			}
			return err == nil
		})
	}
	eventually(t, "a lease is left", func() bool {
		left, err := client.Exists(t.Context(), entry+":lease").Result()
		return err == nil && left == 0
	})
}

// Where scripts are missing, or not permitted, nothing is leased or saved, what is
// stored is found, and the errors name the command.
func TestMissingCommand(t *testing.T) {
	t.Parallel()
	renamed := redisserver.Start(t, `rename-command EVAL ""`)
	limited := redisserver.Start(t)
	save(t, newStore(t, redisstore.Config{Client: limited.Client()}), "", "x")
	if err := limited.Client().Do(t.Context(), "ACL", "SETUSER", "bot", "on", ">"+secret, "~*", "&*", "+@all", "-eval", "-evalsha").Err(); err != nil {
		t.Fatal(err)
	}
	bot := redis.NewClient(&redis.Options{Addr: limited.Addr, Username: "bot", Password: secret, ContextTimeoutEnabled: true})
	defer func() { _ = bot.Close() }()
	for name, tt := range map[string]struct {
		client redis.UniversalClient
		stored string
	}{"missing": {renamed.Client(), ""}, "not permitted": {bot, "x"}} {
		s := newStore(t, redisstore.Config{Client: tt.client})
		found := loads(t, s, tt.stored)
		_, saveErr := s.Save(t.Context(), key, update(found.Revision, secret))
		_, leaseErr := s.Lease(t.Context(), key, time.Minute)
		for call, err := range map[string]error{"Save": saveErr, "Lease": leaseErr} {
			if err == nil || strings.Contains(err.Error(), "args") || strings.Contains(err.Error(), secret) || !strings.Contains(strings.ToUpper(err.Error()), "'EVAL'") ||
				!strings.Contains(err.Error(), "; use a server or proxy that supports this command") && !strings.Contains(err.Error(), "; allow this for the Redis user") || errors.Is(err, store.ErrLeased) || errors.Is(err, store.ErrConflict) {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
		if left, err := tt.client.Exists(t.Context(), entry+":lease").Result(); left != 0 || err != nil {
			t.Errorf("%s: a lease is left, %v", name, err)
		}
		loads(t, s, tt.stored)
	}
}

// Each other command that is missing is named, too.
func TestLimitedUser(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	admin := server.Client()
	for command, call := range map[string]func(*redisstore.Store) error{
		"get":   func(s *redisstore.Store) error { _, err := s.Load(t.Context(), key); return err },
		"pttl":  func(s *redisstore.Store) error { _, err := s.Load(t.Context(), key); return err },
		"multi": func(s *redisstore.Store) error { _, err := s.Load(t.Context(), key); return err },
		"subscribe": func(s *redisstore.Store) error {
			return s.Watch(timeout(t, waitLimit), key, func() { t.Error("there is nothing to watch") })
		},
	} {
		if err := admin.Do(t.Context(), "ACL", "SETUSER", command, "on", ">"+secret, "~*", "&*", "+@all", "-"+command).Err(); err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: command, Password: secret, ContextTimeoutEnabled: true})
		defer func() { _ = client.Close() }()
		err := call(newStore(t, redisstore.Config{Client: client}))
		if err == nil || !strings.Contains(err.Error(), "'"+command+"'") || !strings.Contains(err.Error(), "; use a server or proxy that supports this command") && !strings.Contains(err.Error(), "; allow this for the Redis user") || errors.Is(err, store.ErrCorrupt) {
			t.Errorf("without %s: %v", command, err)
		}
	}
	// All that the package's documentation lists is enough.
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "bot", "on", ">"+secret, "~lineoauth:*", "&lineoauth:*", "-@all",
		"+get", "+pttl", "+multi", "+exec", "+eval", "+set", "+publish", "+subscribe", "+unsubscribe", "+ping", "+type", "+rename", "+pexpire", "+del").Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "bot", Password: secret, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	s := newStore(t, redisstore.Config{Client: client, LeaseTime: 300 * time.Millisecond})
	watcher := watch(t, s, key)
	watcher.await(t, "that it begins")
	release, err := s.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	save(t, s, "", "x")
	watcher.await(t, "a change")
	loads(t, s, "x")
	release()
	watcher.await(t, "that a lease is released")
	watcher.end(t)
	if err := admin.Set(t.Context(), entry, "damaged", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), key); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), ":corrupt") {
		t.Errorf("Load of a damaged value: %v", err)
	}
}
