// Package clock measures elapsed time with two clocks: the wall clock, which advances
// while the machine sleeps but can be set forward and back, and the monotonic clock,
// which is never set but stops during sleep. Elapsed time is the larger of both, so
// that setting a clock back does not extend a token's lifetime, and a sleep does not
// extend a wait.
package clock

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Instant is a point in time, in nanoseconds since some point before the clock was
// created. It goes back by a fraction of a second at most, where a clock did. The zero
// Instant is before all others.
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

// Reading is a reading of the two clocks.
type Reading struct{ Wall, Mono time.Duration }

// Clock returns instants. It is safe for concurrent use.
type Clock struct {
	now   func() time.Time // nil for time.Now
	start time.Time
	model *model // replaces now and timers
	from  atomic.Pointer[anchor]
}

// model is the time of a simulated machine.
type model struct {
	read  func() Reading
	sleep func(context.Context, time.Duration) error
}

// anchor is a reading and the corresponding instant. Within maxRun after it, instants
// follow from it.
type anchor struct {
	Reading
	at    Instant
	until Instant      // which is not reached while trust lasts
	trust atomic.Int64 // until when the monotonic clock alone is read
}

func newAnchor(r Reading, at Instant) *anchor {
	return &anchor{Reading: r, at: at, until: at.Add(maxRun + maxTrust)}
}

// New returns a clock over a function such as [time.Now], whose times contain both
// clocks' readings. Times without a monotonic reading work, too. nil means time.Now.
func New(now func() time.Time) *Clock {
	c := &Clock{now: now, start: time.Now()}
	if now != nil {
		c.start = now()
	}
	c.from.Store(newAnchor(c.reading(), 1))
	return c
}

// NewFromReadings returns a clock over two simulated clocks and a sleep function; nil
// means this machine's timers.
func NewFromReadings(read func() Reading, sleep func(context.Context, time.Duration) error) *Clock {
	c := &Clock{model: &model{read, sleep}}
	c.from.Store(newAnchor(read(), 1))
	return c
}

func (c *Clock) reading() Reading {
	if c.model != nil {
		return c.model.read()
	}
	t := time.Now()
	if c.now != nil {
		t = c.now()
	}
	return Reading{time.Duration(t.UnixNano()), t.Sub(c.start)}
}

const (
	// maxApart is the difference between the clocks that counts as drift; more means
	// that the machine slept or a clock was set.
	maxApart = time.Second
	// maxRun bounds the error when a clock without a monotonic reading goes back. It is
	// no more than maxApart: clocks that are both within it are not apart.
	maxRun = time.Second
	// maxTrust is how long after both clocks were read the monotonic one alone is. It
	// advances by more when a machine goes to sleep, which stops its processes first and
	// resumes them last.
	maxTrust = 100 * time.Microsecond
)

// elapsed returns the larger elapsed time of both clocks.
func elapsed(wall, mono time.Duration) time.Duration { return max(wall, mono) }

// Now returns the current instant.
func (c *Clock) Now() Instant {
	from := c.from.Load()
	now := c.reading()
	wall, mono := now.Wall-from.Wall, now.Mono-from.Mono
	passed, apart := elapsed(wall, mono), wall-mono
	if -maxApart < apart && apart < maxApart && 0 <= passed && passed < maxRun {
		return from.at + Instant(passed)
	}
	return c.rebase()
}

// Before reports whether the current instant is before limit. Each call for a token asks
// this, so for a tenth of a millisecond after both clocks were read it reads one of them.
func (c *Clock) Before(limit Instant) bool {
	from := c.from.Load()
	if limit < from.until {
		return c.Now() < limit
	}
	if c.now == nil && c.mono() < time.Duration(from.trust.Load()) {
		return true
	}
	now := c.reading()
	if wall, mono := now.Wall-from.Wall, now.Mono-from.Mono; 0 <= wall && wall < maxRun && mono < maxRun {
		from.trust.Store(int64(now.Mono + maxTrust))
		return true
	}
	return c.Now() < limit
}

func (c *Clock) mono() time.Duration {
	if c.model != nil {
		return c.model.read().Mono
	}
	return time.Since(c.start)
}

// rebase returns the current instant and makes it the new anchor: setting a clock
// back now must not hide a later sleep.
func (c *Clock) rebase() Instant {
	for {
		from, now := c.from.Load(), c.reading()
		passed := elapsed(now.Wall-from.Wall, now.Mono-from.Mono)
		at := from.at.Add(max(passed, 0))
		if c.from.CompareAndSwap(from, newAnchor(now, at)) {
			return at
		}
	}
}

// Sleep waits until d has passed on either clock, and fails if ctx is done earlier.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if c.model != nil && c.model.sleep != nil {
		return c.model.sleep(ctx, d)
	}
	until := c.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	var look <-chan time.Time // timers stop during sleep
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
