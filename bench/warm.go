package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

type floor struct{ expires int64 }

// warm measures the cost of a cached token.
func warm() {
	ctx := context.Background()
	live := func(context.Context) (time.Duration, error) { return time.Hour, nil }
	var current atomic.Pointer[floor]
	current.Store(&floor{time.Now().Add(time.Hour).UnixNano()})
	type contender struct {
		name string
		get  get
	}
	contenders := []contender{{"floor: atomic load, time.Now", func(context.Context) error {
		if time.Now().UnixNano() >= current.Load().expires {
			return context.DeadlineExceeded
		}
		return nil
	}}}
	for _, p := range peers {
		g := p.new(live, time.Minute)
		check(g(ctx))
		contenders = append(contenders, contender{p.name, g})
	}
	rows := make([][]string, len(contenders))
	for i, c := range contenders {
		rows[i] = []string{c.name}
	}
	var allocs = make([]int64, len(contenders))
	measure := func(procs int, bench func(get) func(b *testing.B)) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		var base float64
		for i, c := range contenders {
			r := best(bench(c.get))
			if i == 0 {
				base = perOp(r)
			}
			rows[i] = append(rows[i], fmt.Sprintf("%.1f (%.2f×)", perOp(r), perOp(r)/base))
			allocs[i] = max(allocs[i], r.AllocsPerOp())
		}
	}
	measure(runtime.NumCPU(), func(g get) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = g(ctx)
			}
		}
	})
	for _, procs := range []int{1, 2, 8} {
		measure(procs, func(g get) func(b *testing.B) {
			return func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						_ = g(ctx)
					}
				})
			}
		})
	}
	for i := range rows {
		rows[i] = append(rows[i], fmt.Sprint(allocs[i]))
	}
	table(fmt.Sprintf("A valid token on %d cores, in ns per call (relative to the floor)", runtime.NumCPU()),
		[]string{"", "serial", "1 goroutine", "2 goroutines", "8 goroutines", "allocations"}, rows)
}
