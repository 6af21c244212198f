// Package clock measures elapsed time by two clocks: the wall clock, which goes
// on while a machine sleeps but is set forward and back, and the monotonic clock,
// which is never set but stands still in sleep. Elapsed is the larger of what
// both report, so that a clock that is set back prolongs no life, and a sleep
// prolongs no wait.
package clock

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Instant is a point in time, in nanoseconds since some point before the clock
// was made. It never goes back. The zero Instant is before all others.
type Instant int64

// Never is after all other instants.
const Never Instant = math.MaxInt64

// Add returns the instant d later, at most Never.
func (i Instant) Add(d time.Duration) Instant {
	if d > 0 && i > Never-Instant(d) {
		return Never
	}
	return i + Instant(d)
}

// Sub returns the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Reading is what the two clocks show.
type Reading struct{ Wall, Mono time.Duration }

// Clock tells instants. It is safe for concurrent use.
type Clock struct {
	now   func() time.Time
	start time.Time
	model *model // in place of now and of timers
	from  atomic.Pointer[anchor]
}

// model is another machine's time.
type model struct {
	read  func() Reading
	sleep func(context.Context, time.Duration) error
}

// anchor is a reading, and the instant that it stands for.
type anchor struct {
	Reading
	at Instant
}

// New returns a clock over a function such as [time.Now], whose times have both
// clocks' readings. Times without a monotonic reading do, too.
func New(now func() time.Time) *Clock {
	c := &Clock{now: now, start: now()}
	c.from.Store(&anchor{c.reading(), 1})
	return c
}

// NewFromReadings returns a clock over any two clocks, and a way to sleep; nil means
// timers of this machine.
func NewFromReadings(read func() Reading, sleep func(context.Context, time.Duration) error) *Clock {
	c := &Clock{model: &model{read, sleep}}
	c.from.Store(&anchor{read(), 1})
	return c
}

func (c *Clock) reading() Reading {
	if c.model != nil {
		return c.model.read()
	}
	t := c.now()
	return Reading{time.Duration(t.UnixNano()), t.Sub(c.start)}
}

const (
	// maxApart is by how much the two clocks may drift apart until that counts as
	// a sleep or as a clock that was set.
	maxApart = time.Second
	// maxRun bounds what is lost when a clock goes back that has no monotonic
	// reading.
	maxRun = time.Second
)

// elapsed is how long a time was by both clocks.
func elapsed(wall, mono time.Duration) time.Duration { return max(wall, mono) }

// Now returns the current instant.
func (c *Clock) Now() Instant {
	from := c.from.Load()
	var wall, mono time.Duration
	if c.model == nil { // what reading does, without its call: every call for a token comes here
		t := c.now()
		wall, mono = time.Duration(t.UnixNano())-from.Wall, t.Sub(c.start)-from.Mono
	} else {
		now := c.model.read()
		wall, mono = now.Wall-from.Wall, now.Mono-from.Mono
	}
	passed, apart := elapsed(wall, mono), wall-mono
	if -maxApart < apart && apart < maxApart && 0 <= passed && passed < maxRun {
		return from.at + Instant(passed)
	}
	return c.anew()
}

// anew returns the current instant, from which on both clocks count anew: one
// that is set back now must not hide a sleep that comes later.
func (c *Clock) anew() Instant {
	for {
		from, now := c.from.Load(), c.reading()
		passed := elapsed(now.Wall-from.Wall, now.Mono-from.Mono)
		at := from.at.Add(max(passed, 0))
		if c.from.CompareAndSwap(from, &anchor{now, at}) {
			return at
		}
	}
}

// Sleep waits until d has passed by either clock, and fails if ctx ends earlier.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if c.model != nil && c.model.sleep != nil {
		return c.model.sleep(ctx, d)
	}
	until := c.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	var look <-chan time.Time // timers stand still in sleep
	if d > time.Second {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-look:
			if c.Now() >= until {
				return nil
			}
		}
	}
}
