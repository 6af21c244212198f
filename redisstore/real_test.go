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

	"github.com/lineoauth/lineoauth/redisstore"
	"github.com/lineoauth/lineoauth/redisstore/internal/redisserver"
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
	store := newStore(t, redisstore.Config{Client: client})

	watch, stop := context.WithCancel(t.Context())
	changes, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		_ = store.Watch(watch, key, func() { changes <- struct{}{} })
	}()
	save(t, store, "", "value")
	_, revision, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica does not follow, or Sentinel does not know it", func() bool {
		exists, err := replica.Client().Exists(t.Context(), entry).Result()
		info := sentinel.Client().Do(t.Context(), "SENTINEL", "REPLICAS", name)
		replicas, infoErr := info.Slice()
		return err == nil && exists == 1 && infoErr == nil && len(replicas) == 1
	})
	master.Kill()
	eventually(t, "there is no new master", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		value, now, err := store.Load(ctx, key)
		return err == nil && string(value) == "value" && now == revision && store.Save(ctx, key, revision, []byte("new"), time.Now().Add(time.Hour)) == nil
	})
	for len(changes) > 0 {
		<-changes
	}
	_, revision, err = store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watcher is not told by the new master", func() bool {
		save(t, store, revision, "new")
		return len(changes) > 0
	})
	stop()
	<-ended
}

// A watcher learns that it may have missed something, and ends with its context
// while Redis hangs.
func TestWatchOutage(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	store := newStore(t, redisstore.Config{Client: server.Client()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- store.Watch(ctx, key, func() { changes <- struct{}{} }) }()
	await := func(what string) {
		t.Helper()
		select {
		case <-changes:
		case err := <-ended:
			t.Fatalf("Watch ended: %v", err)
		case <-time.After(patience):
			t.Fatalf("Watch does not tell %s", what)
		}
	}
	await("that it begins")
	server.Restart()
	await("of a new connection")
	save(t, store, "", "value")
	await("of a change after that")

	server.Kill()
	_, accepted := silent(t, server.Addr)
	<-accepted // go-redis has its lock now, and waits for an answer
	start := time.Now()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v; want context.Canceled", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("Watch ended %v after its context", took)
	}
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
	store := newStore(t, redisstore.Config{Client: server.Client()})
	release, err := store.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	defer server.Continue()
	start := time.Now()
	release()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("release took %v", took)
	}
}

// A lease that Redis gives when nobody waits for it any more is given back.
func TestLateLease(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr}) // which waits on
	defer func() { _ = client.Close() }()
	store := newStore(t, redisstore.Config{Client: client, LeaseTime: time.Hour})
	save(t, store, "", "value") // so that there is a connection
	server.Stop()
	if _, err := store.Lease(timeout(t, 200*time.Millisecond), key, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lease of a Redis that hangs: %v", err)
	}
	server.Continue()
	for range 2 { // the first may come before the late one
		eventually(t, "the late lease is kept", func() bool {
			release, err := store.Lease(t.Context(), key, time.Hour)
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

// A Redis that lacks a command may repeat its arguments.
func TestMissingCommand(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"EVALSHA", "GET"} {
		server := redisserver.Start(t, fmt.Sprintf("rename-command %s \"\"", command))
		store := newStore(t, redisstore.Config{Client: server.Client(), Prefix: "p"})
		_, _, err := store.Load(t.Context(), "k")
		if err == nil {
			err = store.Save(t.Context(), "k", "", []byte(secret), time.Now().Add(time.Hour))
		}
		if err == nil || strings.Contains(err.Error(), "args") || !strings.Contains(strings.ToUpper(err.Error()), command) {
			t.Errorf("without %s: %v", command, err)
		}
	}
}
