//go:build unix

package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/store/redisstore"
	"github.com/lineoauth/lineoauth/store/redisstore/internal/redisserver"
)

// A watcher learns that it may have missed something, and ends with its context
// while Redis hangs.
func TestWatchOutage(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ReadTimeout: time.Hour}) // which ends no wait
	defer func() { _ = client.Close() }()
	s := newStore(t, redisstore.Config{Client: client})
	watcher := watch(t, s, key)
	watcher.await(t, "that it begins")
	server.Restart()
	watcher.await(t, "of a new connection")
	save(t, s, "", "value")
	watcher.await(t, "of a change after that")

	server.Kill()
	_, accepted := silent(t, server.Addr)
	<-accepted // go-redis has its lock now, and waits for an answer
	watcher.end(t)
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
	s := newStore(t, redisstore.Config{Client: client})
	keyOf := func(i int) string { return fmt.Sprintf("%d/v2.1/https://api.line.me", i) }
	for range 2 { // the second time with another connection
		watches := make([]*watching, 100)
		for i := range watches {
			watches[i] = watch(t, s, keyOf(i))
		}
		for _, w := range watches {
			w.await(t, "that it begins")
		}
		connection()
		twin := watch(t, s, keyOf(42))
		twin.await(t, "that it begins")
		watches[42].await(t, "that it may have missed something")
		twin.end(t)

		found, err := s.Load(t.Context(), keyOf(42))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Save(t.Context(), keyOf(42), update(found.Revision, "x")); err != nil {
			t.Fatal(err)
		}
		watches[42].await(t, "of a change")
		for i, w := range watches {
			if len(w.changes) > 0 {
				t.Errorf("the watch of key %d is notified of a key that it does not watch", i)
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
	last := watch(t, s, key)
	last.await(t, "that it begins")
	_ = client.Close()
	if err := <-last.ended; err == nil || !strings.Contains(err.Error(), "the client is closed") {
		t.Errorf("Watch of a client that is closed: %v", err)
	}
}
