package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// beyond simulates an outage that starts before a token expires and lasts longer,
// with one caller every 10 ms, and measures how soon after it there is a token. Each
// source has several runs, all concurrently.
func beyond() {
	const (
		runs   = 20
		life   = 10 * time.Second
		window = 2500 * time.Millisecond
		begins = 8 * time.Second // after the first token
	)
	back := make([][]time.Duration, len(peers))
	attempts := make([]atomic.Int32, len(peers))
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, p := range peers {
		back[i] = make([]time.Duration, 0, runs)
		for run := range runs {
			ends := life + 5*time.Second + time.Duration(run)*time.Second/runs
			all.Go(func() {
				start := time.Now()
				g := p.new(func(context.Context) (time.Duration, error) {
					if since := time.Since(start); begins <= since && since < ends {
						attempts[i].Add(1)
						return 0, errDown
					}
					return life, nil
				}, window)
				check(g(context.Background()))
				// As if there had been no caller until then, so that no refresh comes
				// before the outage.
				time.Sleep(begins)
				for time.Since(start) < ends || g(context.Background()) != nil {
					_ = g(context.Background())
					time.Sleep(10 * time.Millisecond)
				}
				took := time.Since(start) - ends
				mu.Lock()
				defer mu.Unlock()
				back[i] = append(back[i], took)
			})
		}
	}
	all.Wait()
	var rows [][]string
	for i, p := range peers {
		slices.Sort(back[i])
		ms := func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
		rows = append(rows, []string{p.name, ms(back[i][runs/2]), ms(back[i][runs-1]), fmt.Sprint(attempts[i].Load() / runs)})
	}
	table(fmt.Sprintf("An outage of 7 s that ends 5 s after the token expired, a call every 10 ms, %d runs", runs),
		[]string{"", "first success after it, median", "longest", "attempts in the outage"}, rows)
}
