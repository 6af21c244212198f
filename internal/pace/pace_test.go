package pace_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/pace"
)

// start is when the tests start; long after the zero instant, as on a clock that has
// been running for a while.
const start = clock.Instant(1000 * time.Hour)

// timeline is a state that changes over time.
type timeline struct {
	pace.State
	now    clock.Instant
	random float64
}

func (s *timeline) after(e pace.Event) {
	e.Random = s.random
	s.State = s.After(e, s.now)
}

func (s *timeline) pass(d time.Duration) { s.now = s.now.Add(d) }

// issue is the time until a value may be issued, next the time until an attempt.
func (s *timeline) issue() time.Duration { return max(s.IssueAt(s.now).Sub(s.now), 0) }
func (s *timeline) next() time.Duration  { return max(s.Next(s.now).Sub(s.now), 0) }

func (s *timeline) renew(life, window time.Duration) {
	s.after(pace.Event{Kind: pace.Renewed, Expires: s.now.Add(life), Life: life, Window: window})
}

// fail fails n times, each as soon as a value may be issued.
func (s *timeline) fail(n int) {
	for range n {
		s.pass(s.issue())
		s.after(pace.Event{Kind: pace.Failed})
	}
}

// Waits are checked as ranges, since they are random.
func TestWaits(t *testing.T) {
	const (
		second = time.Second
		minute = time.Minute
		hour   = time.Hour
	)
	type span struct{ from, to time.Duration }
	atOnce := span{0, 0}
	for name, tt := range map[string]struct {
		events      func(*timeline)
		issue, next span
	}{
		"nothing happened": {func(*timeline) {}, atOnce, atOnce},

		"renewed, a quarter of its lifetime before expiry": {
			func(s *timeline) { s.renew(40*minute, hour) }, span{30 * minute, 35 * minute}, span{30 * minute, 35 * minute}},
		"renewed, the window before expiry": {
			func(s *timeline) { s.renew(30*24*hour, hour) }, span{719 * hour, 719*hour + 30*minute}, span{719 * hour, 719*hour + 30*minute}},
		"adopted late in its lifetime": {
			func(s *timeline) {
				s.after(pace.Event{Kind: pace.Renewed, Expires: s.now.Add(minute), Life: hour, Window: hour})
			}, atOnce, atOnce},
		"renewed, with a look before": {
			func(s *timeline) {
				s.after(pace.Event{Kind: pace.Renewed, Expires: s.now.Add(hour), Life: hour, Window: hour, Look: minute})
			}, span{45 * minute, 53 * minute}, span{minute, minute}},
		"kept, with a look": {
			func(s *timeline) { s.renew(hour, hour); s.after(pace.Event{Kind: pace.Kept, Look: minute}) },
			span{45 * minute, 53 * minute}, span{minute, minute}},
		"kept, without a look": {
			func(s *timeline) {
				s.renew(hour, hour)
				s.after(pace.Event{Kind: pace.Kept, Look: minute})
				s.after(pace.Event{Kind: pace.Kept})
			},
			span{45 * minute, 53 * minute}, span{45 * minute, 53 * minute}},

		"failed, no value":          {func(s *timeline) { s.fail(1) }, span{second / 4, second / 2}, span{second / 4, second / 2}},
		"failed twice, no value":    {func(s *timeline) { s.fail(2) }, span{second / 2, second}, span{second / 2, second}},
		"failed 1000 times":         {func(s *timeline) { s.fail(1000) }, span{second / 2, second}, span{second / 2, second}},
		"failed, a value":           {func(s *timeline) { s.renew(hour, hour); s.fail(1) }, span{second / 4, second / 2}, span{second / 4, second / 2}},
		"failed five times":         {func(s *timeline) { s.renew(hour, hour); s.fail(5) }, span{4 * second, 8 * second}, span{4 * second, 8 * second}},
		"failed eight times":        {func(s *timeline) { s.renew(hour, hour); s.fail(8) }, span{30 * second, minute}, span{30 * second, minute}},
		"failed until it expired":   {func(s *timeline) { s.renew(hour, hour); s.fail(1000) }, span{second / 8, second}, span{second / 8, second}},
		"failed, and then expired":  {func(s *timeline) { s.renew(hour, hour); s.fail(8); s.pass(hour) }, atOnce, atOnce},
		"failed just before expiry": {func(s *timeline) { s.renew(hour, hour); s.pass(hour - second); s.fail(3) }, span{second / 8, second / 4}, span{second / 8, second / 4}},
		"expired within a wait": {func(s *timeline) {
			s.renew(hour, hour)
			s.fail(8)
			s.Expires = s.now.Add(1)
			s.pass(1)
		}, span{second/2 - 1, second}, span{second/2 - 1, second}},
		"failed, with a look": {func(s *timeline) {
			s.renew(hour, hour)
			s.fail(8)
			s.pass(s.issue())
			s.after(pace.Event{Kind: pace.Failed, Look: second})
		}, span{30 * second, minute}, span{30 * second, minute}},

		"held": {func(s *timeline) { s.after(pace.Event{Kind: pace.Failed, Hold: hour}) },
			span{hour, hour}, span{hour, hour}},
		"held, with a look": {func(s *timeline) { s.after(pace.Event{Kind: pace.Failed, Hold: hour, Look: second}) },
			span{hour, hour}, span{second, second}},
		"held, and then for less": {func(s *timeline) {
			s.after(pace.Event{Kind: pace.Failed, Hold: hour})
			s.after(pace.Event{Kind: pace.Failed, Hold: second})
		}, span{hour, hour}, span{hour, hour}},
		"held, then refused": {func(s *timeline) {
			s.renew(hour, hour)
			s.after(pace.Event{Kind: pace.Failed, Hold: minute})
			s.after(pace.Event{Kind: pace.Refused})
		}, span{minute, minute}, span{minute, minute}},
		"held, then renewed by others": {func(s *timeline) {
			s.after(pace.Event{Kind: pace.Failed, Hold: 24 * hour})
			s.renew(hour, hour)
		}, span{45 * minute, 53 * minute}, span{45 * minute, 53 * minute}},
		"held, and over": {func(s *timeline) { s.after(pace.Event{Kind: pace.Failed, Hold: minute}); s.pass(minute) },
			atOnce, atOnce},

		"busy": {func(s *timeline) { s.after(pace.Event{Kind: pace.Busy, Look: second}) },
			span{second, second}, span{second, second}},
		"busy, and over": {func(s *timeline) { s.after(pace.Event{Kind: pace.Busy, Look: second}); s.pass(second) },
			atOnce, atOnce},

		"refused": {func(s *timeline) { s.renew(hour, hour); s.after(pace.Event{Kind: pace.Refused}) }, atOnce, atOnce},
		"refused twice": {func(s *timeline) { s.after(pace.Event{Kind: pace.Refused}); s.after(pace.Event{Kind: pace.Refused}) },
			atOnce, atOnce},
		"refused five times": {func(s *timeline) {
			for range 5 {
				s.after(pace.Event{Kind: pace.Refused})
			}
		}, span{2 * second, 4 * second}, span{2 * second, 4 * second}},
		"refused 100 times": {func(s *timeline) {
			for range 100 {
				s.after(pace.Event{Kind: pace.Refused})
			}
		}, span{30 * second, minute}, span{30 * second, minute}},
		"refused thrice": {func(s *timeline) {
			for range 3 {
				s.after(pace.Event{Kind: pace.Refused})
			}
		}, span{second / 2, second}, span{second / 2, second}},
		"refused thrice, then after two hours": {func(s *timeline) {
			for range 3 {
				s.after(pace.Event{Kind: pace.Refused})
			}
			s.pass(2 * hour)
			s.after(pace.Event{Kind: pace.Refused})
		}, atOnce, atOnce},
		"refused after failures": {func(s *timeline) { s.renew(hour, hour); s.fail(8); s.after(pace.Event{Kind: pace.Refused}) },
			atOnce, atOnce},

		"doubted": {func(s *timeline) { s.renew(hour, hour); s.after(pace.Event{Kind: pace.Doubted}) }, atOnce, atOnce},
		"doubted, and held": {func(s *timeline) {
			s.renew(hour, hour)
			s.after(pace.Event{Kind: pace.Failed, Hold: minute})
			s.after(pace.Event{Kind: pace.Doubted})
		}, span{minute, minute}, span{minute, minute}},
		"doubted again, too soon": {func(s *timeline) {
			s.renew(24*hour, hour)
			s.after(pace.Event{Kind: pace.Doubted})
			s.pass(10*minute - 1)
			s.renew(24*hour, hour)
			s.after(pace.Event{Kind: pace.Doubted})
		}, span{23 * hour, 24 * hour}, span{23 * hour, 24 * hour}},

		"wanted": {func(s *timeline) { s.renew(hour, hour); s.after(pace.Event{Kind: pace.Wanted}) }, atOnce, atOnce},
		"wanted, after a failure": {func(s *timeline) {
			s.renew(hour, hour)
			s.fail(3)
			s.after(pace.Event{Kind: pace.Wanted})
		}, span{second, 2 * second}, span{second, 2 * second}},

		"changed": {func(s *timeline) { s.renew(hour, hour); s.after(pace.Event{Kind: pace.Changed}) },
			span{45 * minute, 53 * minute}, atOnce},
		"changed while held": {func(s *timeline) {
			s.after(pace.Event{Kind: pace.Failed, Hold: hour})
			s.pass(second)
			s.after(pace.Event{Kind: pace.Changed})
		}, span{hour - second, hour - second}, atOnce},
		"changed after refusals": {func(s *timeline) {
			for range 100 {
				s.after(pace.Event{Kind: pace.Refused})
			}
			s.after(pace.Event{Kind: pace.Changed})
		}, span{30 * second, minute}, atOnce},
	} {
		t.Run(name, func(t *testing.T) {
			for _, random := range []float64{0, 0.25, 0.5, 0.999, 1} {
				s := timeline{now: start, random: random}
				tt.events(&s)
				if got := s.issue(); got < tt.issue.from || got > tt.issue.to {
					t.Errorf("with %v: issues after %v, not after %v to %v", random, got, tt.issue.from, tt.issue.to)
				}
				if got := s.next(); got < tt.next.from || got > tt.next.to {
					t.Errorf("with %v: next attempt after %v, not after %v to %v", random, got, tt.next.from, tt.next.to)
				}
			}
		})
	}
}

// Processes whose attempts fail simultaneously must not retry simultaneously.
func TestWaitsDiffer(t *testing.T) {
	for n := 1; n < 20; n++ {
		waits := map[time.Duration]bool{}
		for range 50 {
			s := timeline{now: start}
			for range n {
				s.random = rand.Float64()
				s.after(pace.Event{Kind: pace.Failed})
			}
			waits[s.next().Round(time.Millisecond)] = true
		}
		if len(waits) < 25 {
			t.Errorf("after %d failures, 50 processes have %d waits", n, len(waits))
		}
	}
}

// With a valid value, waits double up to a minute; close to its expiry they become
// shorter again.
func TestBackOff(t *testing.T) {
	s := timeline{now: start, random: 1}
	s.renew(time.Hour, time.Hour)
	var longest, last time.Duration
	attempts := 0
	for s.pass(s.next()); s.Valid(s.now); s.pass(s.next()) {
		s.after(pace.Event{Kind: pace.Failed})
		attempts++
		last = s.next()
		longest = max(longest, last)
	}
	if longest != time.Minute || last > time.Second || attempts < 20 || attempts > 60 {
		t.Errorf("%d attempts in 7 to 15 minutes, with waits of at most %v, finally %v", attempts, longest, last)
	}
	if s.Failures() != attempts {
		t.Errorf("%d failures after %d attempts", s.Failures(), attempts)
	}
	s.renew(time.Hour, time.Hour)
	if s.Failures() != 0 {
		t.Errorf("%d failures after a success", s.Failures())
	}
}

func TestRefusalsAreForgotten(t *testing.T) {
	s := timeline{now: start}
	for range 8 {
		s.after(pace.Event{Kind: pace.Refused})
	}
	for _, want := range []int{5, 3, 2, 2} { // half of them, and the new one
		s.pass(10 * time.Minute)
		s.renew(24*time.Hour, time.Hour)
		s.after(pace.Event{Kind: pace.Refused})
		if s.Refusals() != want {
			t.Errorf("%d refusals, want %d", s.Refusals(), want)
		}
	}
	s.pass(1000 * time.Hour)
	s.after(pace.Event{Kind: pace.Refused})
	if s.Refusals() != 1 {
		t.Errorf("%d refusals after weeks, want 1", s.Refusals())
	}
}

// A server that refuses each request without a reason from LINE must not cause one
// token after another to be issued.
func TestDoubtsArePaced(t *testing.T) {
	s := timeline{now: start, random: 0.5}
	s.renew(30*24*time.Hour, time.Hour)
	var at []clock.Instant
	for s.now < start.Add(10*24*time.Hour) {
		s.pass(time.Minute)
		s.after(pace.Event{Kind: pace.Doubted})
		if s.issue() == 0 {
			at = append(at, s.now)
			s.renew(30*24*time.Hour, time.Hour)
		}
	}
	if len(at) < 5 || len(at) > 18 {
		t.Errorf("%d replacements in 10 days of doubts", len(at))
	}
	for i, wait := 1, 10*time.Minute; i < len(at); i, wait = i+1, min(2*wait, 24*time.Hour) {
		if got := at[i].Sub(at[i-1]); got < wait || got > wait+time.Minute {
			t.Errorf("replacement %d after %v, want %v", i+1, got, wait)
		}
	}
}

// FuzzPace applies random events in random order, and checks the invariants of each state.
func FuzzPace(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		upTo := func(d time.Duration) time.Duration { // any order of magnitude
			return time.Duration(float64(d) * r.ExpFloat64() / float64(int(1)<<r.IntN(20)))
		}
		var (
			s              pace.State
			now            = start
			held, busy     clock.Instant // nothing may be issued before
			refused        clock.Instant
			refusals, soon = 0, 0 // all refusals, and those of the last 10 hours
			doubted        clock.Instant
			look           clock.Instant
		)
		for range 200 {
			now = now.Add(upTo(24 * time.Hour))
			e := pace.Event{Kind: pace.Kind(r.IntN(8)), Random: r.Float64()}
			if r.IntN(2) == 0 {
				e.Look = upTo(time.Minute)
			}
			before := s
			switch e.Kind {
			case pace.Renewed:
				e.Life = 1 + upTo(30*24*time.Hour)
				e.Expires, e.Window = now.Add(1+upTo(e.Life)), upTo(24*time.Hour)
				held, busy = 0, 0
			case pace.Busy:
				e.Look = 1 + upTo(time.Minute)
				busy = now.Add(e.Look)
			case pace.Failed:
				if r.IntN(3) == 0 {
					e.Hold = 1 + upTo(24*time.Hour)
					held = max(held, now.Add(e.Hold))
				}
			case pace.Refused:
				refusals++
				if soon++; now.Sub(refused) > 10*time.Hour {
					soon = 1
				}
				refused, busy = now, 0
			}
			s = s.After(e, now)
			switch e.Kind {
			case pace.Refused:
				look = 0
			case pace.Doubted, pace.Wanted:
			case pace.Changed:
				look = now
			default:
				if look = 0; e.Look > 0 {
					look = now.Add(e.Look)
				}
			}
			paced := refused.Add(time.Minute) // at most that long after a refusal

			if s.Due > s.Expires {
				t.Fatalf("due %v after it expires", s.Due.Sub(s.Expires))
			}
			if e.Kind == pace.Failed && s.Failures() != before.Failures()+1 {
				t.Fatal("a failure does not count")
			}
			if got := s.Refusals(); got > refusals || soon == 1 && e.Kind == pace.Refused && got > 1+refusals>>10 {
				t.Fatalf("%d refusals of %d", got, refusals)
			}
			if e.Kind == pace.Doubted && s.Due < before.Due {
				if doubted > 0 && now.Sub(doubted) < 10*time.Minute {
					t.Fatalf("two doubts within %v both had an effect", now.Sub(doubted))
				}
				doubted = now
			}
			// Invariants of the state now, and of the same state later.
			for range 5 {
				issue, next, valid := s.IssueAt(now), s.Next(now), s.Valid(now)
				if valid != (now < s.Expires) {
					t.Fatal("valid after it expired, or the reverse")
				}
				if next > issue {
					t.Fatalf("the next attempt is %v after the time to issue", next.Sub(issue))
				}
				if next < issue && (look == 0 || next < look) {
					t.Fatalf("an attempt %v before the time to issue, and nothing to check", issue.Sub(next))
				}
				if issue < held {
					t.Fatalf("issues %v before LINE allows it", held.Sub(issue))
				}
				if issue < busy {
					t.Fatal("issues while another process is issuing")
				}
				ordinary := max(held, busy)
				if soon > 1 {
					ordinary = max(ordinary, paced)
				}
				switch {
				case !valid && issue > max(ordinary, now.Add(pace.Fast)):
					t.Fatalf("waits %v without a valid value", issue.Sub(now))
				case valid && issue < s.Due:
					t.Fatalf("issues %v before it is due", s.Due.Sub(issue))
				case valid && issue > max(ordinary, s.Due, now.Add(time.Minute)):
					t.Fatalf("waits %v to renew a value that is due", issue.Sub(now))
				case valid && e.Kind == pace.Failed && issue > max(ordinary, s.Due, now.Add(max(s.Expires.Sub(now)/4, time.Second/8))):
					t.Fatalf("waits %v although the value expires in %v", issue.Sub(now), s.Expires.Sub(now))
				}
				e.Kind = -1
				now = now.Add(upTo(time.Minute))
			}
		}
	})
}
