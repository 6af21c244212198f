package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var errDown = errors.New("LINE is down")

// cold calls a source without a token from 1,000 goroutines.
func cold() {
	var rows [][]string
	for _, p := range peers {
		row := []string{p.name}
		for _, down := range []bool{false, true} {
			var mints atomic.Int32
			g := p.new(func(ctx context.Context) (time.Duration, error) {
				mints.Add(1)
				time.Sleep(5 * time.Millisecond)
				if down {
					return 0, errDown
				}
				return time.Hour, nil
			}, time.Minute)
			var wg sync.WaitGroup
			var failed atomic.Int32
			start := time.Now()
			for range 1000 {
				wg.Go(func() {
					if g(context.Background()) != nil {
						failed.Add(1)
					}
				})
			}
			wg.Wait()
			row = append(row, fmt.Sprint(mints.Load()), fmt.Sprint(failed.Load()), time.Since(start).Round(100*time.Microsecond).String())
		}
		rows = append(rows, row)
	}
	table("1,000 goroutines without a token, one issue takes 5 ms",
		[]string{"", "issues", "failed", "all returned after", "LINE down: attempts", "failed", "all returned after"}, rows)
}

// deadline has callers with 50 ms wait for a refresh of 500 ms that they, or another
// caller, started; a caller without a deadline must not be affected.
func deadline() {
	var rows [][]string
	for _, p := range peers {
		g := p.new(func(ctx context.Context) (time.Duration, error) {
			select {
			case <-time.After(500 * time.Millisecond):
				return time.Hour, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}, time.Minute)
		var wg sync.WaitGroup
		took := make([]time.Duration, 2)
		for i := range took {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				start := time.Now()
				_ = g(ctx)
				took[i] = time.Since(start)
			})
			time.Sleep(10 * time.Millisecond)
		}
		patient := "fine"
		wg.Go(func() {
			if g(context.Background()) != nil {
				patient = "fails"
			}
		})
		wg.Wait()
		rows = append(rows, []string{p.name, took[0].Round(100 * time.Microsecond).String(), took[1].Round(100 * time.Microsecond).String(), patient})
	}
	table("A deadline of 50 ms during a refresh of 500 ms",
		[]string{"", "first caller returned after", "second caller", "a caller without deadline"}, rows)
}

// outage fails every attempt for 2 s, from the first one before a token expires.
func outage() {
	const life, window = 20 * time.Second, 5 * time.Second
	rows := make([][]string, len(peers))
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			var mints, attempts, calls, failed, slow atomic.Int32
			var outageEnd atomic.Int64
			g := p.new(func(context.Context) (time.Duration, error) {
				if mints.Load() == 0 {
					mints.Add(1)
					return life, nil
				}
				now := time.Now().UnixNano()
				if outageEnd.CompareAndSwap(0, now+int64(2*time.Second)) || now < outageEnd.Load() {
					attempts.Add(1)
					return 0, errDown
				}
				mints.Add(1)
				time.Sleep(500 * time.Millisecond)
				return life, nil
			}, window)
			check(g(context.Background()))
			var callers sync.WaitGroup
			end := time.Now().Add(life + 2*time.Second)
			for range 200 {
				callers.Go(func() {
					for time.Now().Before(end) {
						start := time.Now()
						calls.Add(1)
						if g(context.Background()) != nil {
							failed.Add(1)
						}
						if time.Since(start) > 100*time.Millisecond {
							slow.Add(1)
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			callers.Wait()
			share := fmt.Sprintf("%.1f %%", 100*float64(failed.Load())/float64(calls.Load()))
			rows[i] = []string{p.name, share, fmt.Sprint(attempts.Load()), fmt.Sprint(slow.Load()), fmt.Sprint(mints.Load() - 1)}
		})
	}
	all.Wait()
	table("An outage of 2 s before a token expires, 200 callers every 10 ms, for 22 s",
		[]string{"", "failed calls", "attempts in the outage", "calls over 100 ms", "refreshes after it"}, rows)
}

// refreshes goes through four refreshes of 500 ms with 200 goroutines.
func refreshes() {
	const life, window = 8 * time.Second, 2 * time.Second
	control := peer{"control: no refresh", func(_ mint, window time.Duration) get {
		return peers[0].new(func(context.Context) (time.Duration, error) { return time.Hour, nil }, window)
	}}
	var rows [][]string
	for _, p := range append([]peer{control}, peers...) {
		var mints, failed atomic.Int32
		g := p.new(func(context.Context) (time.Duration, error) {
			mints.Add(1)
			time.Sleep(500 * time.Millisecond)
			return life, nil
		}, window)
		check(g(context.Background()))
		var mu sync.Mutex
		var times []time.Duration
		var callers sync.WaitGroup
		// By then each has refreshed four times, but not five.
		end := time.Now().Add(4*life - window/4)
		for range 200 {
			callers.Go(func() {
				var own []time.Duration
				for time.Now().Before(end) && mints.Load() < 6 {
					start := time.Now()
					if g(context.Background()) != nil {
						failed.Add(1)
					}
					own = append(own, time.Since(start))
					time.Sleep(2 * time.Millisecond)
				}
				mu.Lock()
				defer mu.Unlock()
				times = append(times, own...)
			})
		}
		callers.Wait()
		slices.Sort(times)
		rows = append(rows, []string{
			p.name,
			times[len(times)-1].Round(10 * time.Microsecond).String(),
			times[len(times)*999/1000].Round(100 * time.Nanosecond).String(),
			fmt.Sprint(max(mints.Load()-1, 0)),
			fmt.Sprint(failed.Load()),
			fmt.Sprint(len(times)),
		})
	}
	table("200 goroutines, a call every 2 ms, during refreshes of 500 ms",
		[]string{"", "longest call", "p99.9", "refreshes", "failed", "calls"}, rows)
}
