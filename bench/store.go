package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// counted counts the calls of a store.
type counted struct {
	store.Store
	calls *atomic.Int64
}

func (c counted) Load(ctx context.Context, key string) (store.Entry, error) {
	c.calls.Add(1)
	return c.Store.Load(ctx, key)
}

func (c counted) Save(ctx context.Context, key string, update store.Update) (string, error) {
	c.calls.Add(1)
	return c.Store.Save(ctx, key, update)
}

func (c counted) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	c.calls.Add(1)
	return c.Store.Lease(ctx, key, ttl)
}

// countedWatcher preserves a store's Watch.
type countedWatcher struct {
	counted
	watcher store.Watcher
}

func (c countedWatcher) Watch(ctx context.Context, key string, changed func()) error {
	return c.watcher.Watch(ctx, key, changed)
}

// storeKind creates a store that counts its calls, or none.
type storeKind struct {
	name  string
	store func(calls *atomic.Int64) store.Store
}

// storeKinds returns the stores to measure, and a cleanup function.
func storeKinds() (kinds []storeKind, end func()) {
	dir, err := os.MkdirTemp("", "lineoauth-bench-")
	check(err)
	files, err := filestore.New(filestore.Config{Dir: dir})
	check(err)
	server, err := miniredis.Run()
	check(err)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, PoolSize: 200})
	inRedis, err := redisstore.New(redisstore.Config{Client: client})
	check(err)
	return []storeKind{
			{"without a store", func(*atomic.Int64) store.Store { return nil }},
			{"file store", func(n *atomic.Int64) store.Store { return counted{files, n} }},
			{"Redis store", func(n *atomic.Int64) store.Store { return countedWatcher{counted{inRedis, n}, inRedis} }},
		}, func() {
			check(client.Close())
			server.Close()
			check(os.RemoveAll(dir))
		}
}

// stores measures what a valid token costs with a store.
func stores() {
	kinds, end := storeKinds()
	defer end()
	ctx := context.Background()
	var rows [][]string
	var without float64
	for _, c := range kinds {
		var calls atomic.Int64
		line, err := lineoauth.New(lineoauth.Config{
			ChannelID:     "1234567890",
			ChannelSecret: lineoauth.NewSecret("0123456789abcdef0123456789abcdef"),
			Transport:     minting(func(context.Context) (time.Duration, error) { return time.Hour, nil }),
		})
		check(err)
		source, err := line.Source(lineoauth.SourceConfig{Store: c.store(&calls)})
		check(err)
		_, err = source.Token(ctx)
		check(err)

		before, start := calls.Load(), time.Now()
		serial := best(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = source.Token(ctx)
			}
		})
		parallel := best(func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = source.Token(ctx)
				}
			})
		})
		perSecond := float64(calls.Load()-before) / time.Since(start).Seconds()
		check(source.Close())
		if without == 0 {
			without = perOp(serial)
		}
		rows = append(rows, []string{c.name,
			fmt.Sprintf("%.1f (%.2f×)", perOp(serial), perOp(serial)/without),
			fmt.Sprintf("%.1f", perOp(parallel)),
			fmt.Sprint(serial.AllocsPerOp()),
			fmt.Sprintf("%.1f", perSecond)})
	}
	table("A valid token with a store, in ns", []string{"", "serial", fmt.Sprintf("parallel, %d CPUs", runtime.GOMAXPROCS(0)), "allocations", "store calls per second"}, rows)
}

// processes starts 200 sources, like 200 processes, at the same time without a token.
// One issue takes 5 s.
func processes() {
	const n, took = 200, 5 * time.Second
	kinds, end := storeKinds()
	defer end()
	var rows [][]string
	for _, c := range kinds {
		var calls, issues atomic.Int64
		var all sync.WaitGroup
		start := time.Now()
		for range n {
			line, err := lineoauth.New(lineoauth.Config{
				ChannelID:     "1234567890",
				ChannelSecret: lineoauth.NewSecret("0123456789abcdef0123456789abcdef"),
				Transport: minting(func(context.Context) (time.Duration, error) {
					issues.Add(1)
					time.Sleep(took)
					return time.Hour, nil
				}),
			})
			check(err)
			source, err := line.Source(lineoauth.SourceConfig{Store: c.store(&calls)})
			check(err)
			defer func() { _ = source.Close() }()
			all.Go(func() {
				_, err := source.Token(context.Background())
				check(err)
			})
		}
		all.Wait()
		rows = append(rows, []string{c.name, fmt.Sprint(issues.Load()), fmt.Sprint(calls.Load()), time.Since(start).Round(10 * time.Millisecond).String()})
	}
	table(fmt.Sprintf("%d cold processes, one issue takes %v", n, took), []string{"", "issues", "store calls", "all have a token after"}, rows)
}
