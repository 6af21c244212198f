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
		node := redisserver.Start(t, "cluster-enabled yes", "cluster-node-timeout 2000")
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
	master := redisserver.Start(t, "repl-diskless-sync-delay 0")
	replica := redisserver.Start(t, fmt.Sprintf("replicaof 127.0.0.1 %d", master.Port))
	// Sentinel asks the master for its replicas at first, and every 10 seconds then.
	eventually(t, "the replica does not follow", func() bool {
		info, err := replica.Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	sentinel := redisserver.StartSentinel(t,
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", name, master.Port),
		fmt.Sprintf("sentinel down-after-milliseconds %s 500", name),
		fmt.Sprintf("sentinel failover-timeout %s 1000", name))
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: name, SentinelAddrs: []string{sentinel.Addr}, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	store := newStore(t, redisstore.Config{Client: client})

	watcher := watch(t, store, key)
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
	for len(watcher.changes) > 0 {
		<-watcher.changes
	}
	_, revision, err = store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watcher is not told by the new master", func() bool {
		save(t, store, revision, "new")
		return len(watcher.changes) > 0
	})
	watcher.end(t)
}

// A watcher learns that it may have missed something, and ends with its context
// while Redis hangs.
func TestWatchOutage(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	client := patientClient(t, server.Addr)
	store := newStore(t, redisstore.Config{Client: client})
	watcher := watch(t, store, key)
	watcher.await(t, "that it begins")
	server.Restart()
	watcher.await(t, "of a new connection")
	save(t, store, "", "value")
	watcher.await(t, "of a change after that")

	server.Kill()
	_, accepted := silent(t, server.Addr)
	<-accepted // go-redis has its lock now, and waits for an answer
	watcher.end(t)
}

// patientClient returns a client that waits for answers for longer than any test.
func patientClient(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: time.Hour})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// watching is a watch in a goroutine.
type watching struct {
	changes chan struct{}
	ended   chan error
	stop    context.CancelFunc
}

func watch(t *testing.T, store *redisstore.Store, key string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{make(chan struct{}, 100), make(chan error, 1), cancel}
	go func() { w.ended <- store.Watch(ctx, key, func() { w.changes <- struct{}{} }) }()
	return w
}

// await waits for a change.
func (w *watching) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-w.changes:
	case err := <-w.ended:
		t.Fatalf("Watch ended: %v", err)
	case <-time.After(patience):
		t.Fatalf("Watch does not tell %s", what)
	}
}

// end ends a watch that nothing else has ended.
func (w *watching) end(t *testing.T) {
	t.Helper()
	w.stop()
	if err := ended(t, "Watch", func() error { return <-w.ended }); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v; want context.Canceled", err)
	}
}

// The watches of a store share one connection, which ends with the last.
func TestWatchConnections(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	admin := server.Client()
	// connection waits until there is just one with subscriptions, and returns its ID.
	connection := func() (id string) {
		t.Helper()
		eventually(t, "there is not one connection", func() bool {
			list, err := admin.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
			id, _, _ = strings.Cut(strings.TrimPrefix(list, "id="), " ")
			return err == nil && strings.Count(list, "\n") == 1
		})
		return id
	}
	client := newClient(t, server.Addr)
	store := newStore(t, redisstore.Config{Client: client})
	keyOf := func(i int) string { return fmt.Sprintf("%d/v2.1/https://api.line.me", i) }
	for range 2 { // the second time with another connection
		watches := make([]*watching, 100)
		for i := range watches {
			watches[i] = watch(t, store, keyOf(i))
		}
		for _, w := range watches {
			w.await(t, "that it begins")
		}
		connection()
		twin := watch(t, store, keyOf(42))
		twin.await(t, "that it begins")
		watches[42].await(t, "that it may have missed something")
		twin.end(t)

		_, revision, err := store.Load(t.Context(), keyOf(42))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Save(t.Context(), keyOf(42), revision, []byte("x"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		watches[42].await(t, "of a change")
		for i, w := range watches {
			if len(w.changes) > 0 {
				t.Errorf("the watch of key %d is told of what it does not watch", i)
			}
		}
		for _, w := range watches[1:] {
			w.end(t)
		}
		eventually(t, "what nobody watches is still subscribed to", func() bool {
			channels, err := admin.PubSubChannels(t.Context(), "*").Result()
			return err == nil && len(channels) == 1
		})
		server.Restart()
		watches[0].await(t, "of a new connection")
		id := connection()
		watches[0].end(t)
		eventually(t, "the connection does not end with the last watch", func() bool {
			list, err := admin.Do(t.Context(), "CLIENT", "LIST", "ID", id).Text()
			return err == nil && strings.TrimSpace(list) == ""
		})
	}
	last := watch(t, store, key)
	last.await(t, "that it begins")
	_ = client.Close()
	if err := <-last.ended; err == nil || !strings.Contains(err.Error(), "the client is closed") {
		t.Errorf("Watch of a client that is closed: %v", err)
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
	store := newStore(t, redisstore.Config{Client: patientClient(t, server.Addr)})
	release, err := store.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	defer server.Continue()
	_ = ended(t, "release", func() error { release(); return nil })
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
	for _, command := range []string{"EVAL", "GET"} {
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
