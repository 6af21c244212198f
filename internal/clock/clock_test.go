package clock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/lineoauth/lineoauth/internal/clock"
)

// hands are two clocks that a test sets.
type hands clock.Reading

func (h *hands) read() clock.Reading { return clock.Reading(*h) }

func (h *hands) run(d time.Duration)     { h.Wall += d; h.Mono += d }
func (h *hands) suspend(d time.Duration) { h.Wall += d }
func (h *hands) set(d time.Duration)     { h.Wall += d }

func TestElapsed(t *testing.T) {
	const h = time.Hour
	for name, tt := range map[string]struct {
		move func(h *hands, look func())
		want time.Duration
	}{
		"runs":                               {func(c *hands, _ func()) { c.run(h) }, h},
		"sleeps":                             {func(c *hands, _ func()) { c.run(1); c.suspend(h) }, h + 1},
		"set back":                           {func(c *hands, _ func()) { c.set(-5 * h); c.run(h) }, h},
		"set back twice":                     {func(c *hands, _ func()) { c.set(-5 * h); c.run(h); c.set(-h); c.run(h) }, 2 * h},
		"set back, then sleeps":              {func(c *hands, look func()) { c.set(-h); look(); c.suspend(h) }, h},
		"sleeps, then set back":              {func(c *hands, look func()) { c.suspend(h); look(); c.set(-h); c.run(h) }, 2 * h},
		"sleeps often":                       {func(c *hands, look func()) { c.suspend(h); look(); c.run(h); look(); c.suspend(h) }, 3 * h},
		"drifts a little":                    {func(c *hands, look func()) { c.run(h); c.set(-time.Second / 2); look(); c.run(h) }, 2 * h},
		"set forward, which is not detected": {func(c *hands, _ func()) { c.set(3 * h) }, 3 * h},
	} {
		t.Run(name, func(t *testing.T) {
			both := &hands{Wall: 1e18}
			c := clock.NewFromReadings(both.read, nil)
			start := c.Now()
			looks := 0
			tt.move(both, func() {
				if looks++; looks%2 == 1 {
					c.Before(clock.Never)
				} else {
					c.Now()
				}
			})
			if got := c.Now().Sub(start); got != tt.want {
				t.Errorf("%v have passed, the clock reports %v", tt.want, got)
			}
		})
	}
}

// Whatever happens to both clocks between calls, instants do not go back by a second, and
// never lag behind true time by more than small drifts.
func FuzzInstants(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		both := &hands{Wall: 1e18}
		c := clock.NewFromReadings(both.read, nil)
		start := c.Now()
		before := start
		var truth time.Duration
		for range 100 {
			longest := []time.Duration{time.Second, 5 * time.Second, 5 * time.Hour}[r.IntN(3)]
			d := time.Duration(r.Int64N(int64(longest)))
			switch r.IntN(4) {
			case 0:
				both.set(-d)
			case 1:
				both.set(d)
			case 2:
				both.suspend(d)
				truth += d
			default:
				both.run(d)
				truth += d
			}
			now := c.Now()
			if before.Sub(now) >= time.Second {
				t.Fatalf("%v before an earlier instant", before.Sub(now))
			}
			if now.Sub(start) < truth-100*time.Second {
				t.Fatalf("%v have passed, the clock reports %v", truth, now.Sub(start))
			}
			before = now
		}
	})
}

// setWall sets the wall clock of a reading, in whole seconds, and not its monotonic one.
// Only the system can do that; in a Time, the seconds begin at bit 30.
func setWall(t time.Time, d time.Duration) time.Time {
	*(*int64)(unsafe.Pointer(&t)) += int64(d/time.Second) << 30 //nolint:gosec // in a test
	return t
}

// trust is how long the clock reads one of its clocks only.
const trust = 100 * time.Microsecond

// Before agrees with Now, whichever way the clocks are read, unless both were read just
// before.
func TestBefore(t *testing.T) {
	both, start := new(hands), time.Now()
	for name, create := range map[string]func() *clock.Clock{
		"simulated": func() *clock.Clock { return clock.NewFromReadings(both.read, nil) },
		"both clocks": func() *clock.Clock {
			return clock.New(func() time.Time { return setWall(start.Add(both.Mono), both.Wall-both.Mono) })
		},
		"the wall clock": func() *clock.Clock {
			return clock.New(func() time.Time { return start.Add(both.Wall).Round(0) })
		},
	} {
		r := rand.New(rand.NewPCG(1, 0))
		upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
		c := create()
		looked := both.Mono - trust
		for range 40_000 {
			at, passed := c.Now(), upTo([]time.Duration{2 * trust, 1500 * time.Millisecond}[r.IntN(2)])
			both.run(passed)
			switch d := upTo(3*time.Second) - 1500*time.Millisecond; r.IntN(6) {
			case 0:
				both.set(d)
			case 1:
				both.suspend(d.Abs())
			}
			limit := at.Add(passed + time.Duration(r.IntN(3)) - 1 + time.Duration(r.IntN(2))*time.Second)
			got, want := c.Before(limit), c.Now() < limit
			if got != want && (want || both.Mono-looked >= trust) {
				t.Fatalf("%s: %v after a reading, before an instant %v after it: %v", name, passed, limit.Sub(at), got)
			}
			if got == want {
				looked = both.Mono
			}
		}
	}
}

// A sleep, and a clock that is set forward, are noticed once the monotonic clock has
// advanced a little; the end of a token's life, at once.
func TestTrust(t *testing.T) {
	both := &hands{Wall: 1e18}
	c := clock.NewFromReadings(both.read, nil)
	limit := c.Now().Add(time.Hour)
	before := func(want bool) {
		t.Helper()
		if got := c.Before(limit); got != want {
			t.Errorf("Before = %t", got)
		}
	}
	before(true)
	both.suspend(2 * time.Hour)
	before(true)
	both.run(trust - 1)
	before(true)
	both.run(1)
	before(false)
	both.set(-2 * time.Hour)
	before(false)

	c = clock.NewFromReadings(both.read, nil)
	start := c.Now()
	both.run(time.Second - 1)
	before(true)
	for range 10 {
		both.run(trust / 20)
		for _, limit := range []clock.Instant{start.Add(time.Second), start.Add(time.Second + trust/2), start.Add(time.Second + trust)} {
			if got, now := c.Before(limit), c.Now(); got != (now < limit) {
				t.Errorf("%v before it: %t", limit.Sub(now), got)
			}
		}
	}
}

func TestNowOfTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead time.Duration
		c := clock.New(func() time.Time { return time.Now().Add(ahead) })
		start := c.Now()
		time.Sleep(time.Minute)
		if got := c.Now().Sub(start); got != time.Minute {
			t.Errorf("a minute took %v", got)
		}
		wall := clock.New(func() time.Time { return time.Now().Add(ahead).Round(0) })
		start = wall.Now()
		ahead = -time.Hour // no monotonic reading
		if got := wall.Now().Sub(start); got != 0 {
			t.Errorf("the wall clock was set back, and %v have passed", got)
		}
		time.Sleep(time.Minute)
		if got := wall.Now().Sub(start); got != time.Minute {
			t.Errorf("a minute took %v", got)
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asleep atomic.Int64 // timers do not notice
		c := clock.New(func() time.Time { return time.Now().Add(time.Duration(asleep.Load())).Round(0) })
		for _, d := range []time.Duration{0, time.Millisecond, time.Second, time.Minute} {
			start := time.Now()
			if err := c.Sleep(t.Context(), d); err != nil || time.Since(start) != d {
				t.Errorf("slept %v for %v: %v", time.Since(start), d, err)
			}
		}
		start := time.Now()
		done := make(chan error)
		go func() { done <- c.Sleep(t.Context(), time.Hour) }()
		time.Sleep(time.Minute)
		asleep.Store(int64(2 * time.Hour))
		if err := <-done; err != nil || time.Since(start) > time.Minute+time.Second {
			t.Errorf("woke %v after a sleep that outlasted the wait: %v", time.Since(start)-time.Minute, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the context was canceled: %v", err)
		}
	})
}

func TestNever(t *testing.T) {
	if clock.Never.Add(time.Hour) != clock.Never || clock.Instant(5).Add(1<<63-1) != clock.Never {
		t.Error("Never is not the last instant")
	}
}

func BenchmarkNow(b *testing.B) {
	c := clock.New(time.Now)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Now()
		}
	})
}

func BenchmarkTimeNow(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = time.Now().UnixNano()
		}
	})
}
