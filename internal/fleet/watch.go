package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// Watch has the store call changed for each change until ctx ends, if it can.
func (f *Fleet) Watch(ctx context.Context, changed func(), failed func(error, time.Duration)) {
	if !f.Watches() {
		return
	}
	watcher := f.Store.(store.Watcher)
	notify := func() {
		if ctx.Err() == nil {
			f.setWatched(true)
			f.changes.notify()
			changed()
		}
	}
	for wait := time.Second; ; wait = min(2*wait, lookEvery) {
		begun := f.Clock.Now()
		_, err := guarded(ctx, &f.watches, func(ctx context.Context) (struct{}, error) { return struct{}{}, watcher.Watch(ctx, f.Key, notify) }, nil)
		if f.setWatched(false) {
			changed() // from now on, the keeper has to look
		}
		if f.Clock.Now().Sub(begun) > lookEvery {
			wait = time.Second
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("it ended")
		}
		failed(fmt.Errorf("watching the stored token: %w", err), wait)
		if f.Clock.Sleep(ctx, wait) != nil {
			return
		}
	}
}

func (f *Fleet) isWatched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watched
}

// setWatched returns what was so before.
func (f *Fleet) setWatched(watched bool) (before bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.watched = f.watched, watched
	return before
}

// waiter waits for another process: for a notice, or in growing steps.
type waiter struct {
	*Fleet
	step  time.Duration
	woken bool // by a notice
	looks int
}

const (
	firstStep   = 150 * time.Millisecond
	longestStep = 300 * time.Millisecond
	watchedStep = 3 * time.Second // a process that was killed reports nothing
	// A process that waits long heeds fewer notices.
	freeLooks   = 4
	noticeSpace = 500 * time.Millisecond
)

// pause waits for changed to be closed, or for a step. It fails only if ctx ends.
func (w *waiter) pause(ctx context.Context, changed <-chan struct{}) error {
	if w.looks++; w.looks > freeLooks && w.isWatched() {
		_ = w.Clock.Sleep(ctx, noticeSpace) // if ctx ends, so does the pause
	}
	w.step = min(w.step+firstStep, longestStep)
	step := w.step
	if w.isWatched() {
		step = watchedStep
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-changed:
			stop()
		case <-waiting.Done():
		}
	}()
	w.woken = w.Clock.Sleep(waiting, step) != nil
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting for the process that is issuing a token: %w", err)
	}
	return nil
}
