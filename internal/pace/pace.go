// Package pace decides when a value that expires is renewed: a pure function of
// what happened, and when.
package pace

import (
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
)

const (
	// Fast is the longest wait of a process without a valid value.
	Fast = time.Second

	firstWait                = 500 * time.Millisecond
	slow                     = time.Minute // the longest wait of one that has a valid value
	firstDoubt, longestDoubt = 10 * time.Minute, 24 * time.Hour
	// forgetAfter is how long it takes to forget half of the refusals.
	forgetAfter = 10 * time.Minute
	// freeRefusals is how many refused values are replaced at once.
	freeRefusals = 2
)

// State is what is known of a value and of the attempts to renew it. The zero
// State is that of a value that was never there.
type State struct {
	Expires clock.Instant // 0 while there is no value
	Due     clock.Instant // for its renewal

	failures  int // in a row
	failedAt  clock.Instant
	wait      time.Duration // after the last failure
	hold      clock.Instant // until then nothing is issued
	look      clock.Instant // when to see what others did; 0 for never
	refusals  int           // values that were refused before they expired, fewer with time
	refusedAt clock.Instant
	doubts    int
	doubtAt   clock.Instant // until then a doubt changes nothing
	later     clock.Instant // until then a refused value is not replaced, or another process is at it
}

// Event is something that happened to a value.
type Event struct {
	Kind Kind
	// Expires, Life and Window are for Renewed: when the new value expires, how
	// long such values are valid, and how long before they expire they are renewed
	// at most.
	Expires      clock.Instant
	Life, Window time.Duration
	// Hold is for Failed: how long a server asked to wait.
	Hold time.Duration
	// Look is for all but Refused, Doubted, Wanted and Changed: when to see what others did. 0
	// means never.
	Look time.Duration
	// Random is from 0 to 1, so that many processes do not act in step.
	Random float64
}

// Kind is what happened.
type Kind int

// What can happen to a value.
const (
	Renewed Kind = iota // there is another one
	Kept                // there is no other one, and none was needed
	Busy                // there is none yet, since another process is issuing it
	Failed              // there is no other one, although it was needed
	Refused             // it is not valid any more
	Doubted             // it may not be valid any more
	Wanted              // a caller needs another one, which is valid for longer
	Changed             // others may have another one
)

// After returns the state after an event.
func (s State) After(e Event, now clock.Instant) State {
	switch e.Kind {
	case Renewed:
		s.failures, s.failedAt, s.hold, s.later = 0, 0, 0, 0
		window := min(e.Life/4, e.Window)
		s.Expires = e.Expires
		s.Due = e.Expires.Add(-window + scale(window/2, e.Random))
	case Busy:
		s.later = now.Add(e.Look)
	case Failed:
		s.failures++
		s.failedAt = now
		// Random between half and all, twice as long each time.
		longest := min(firstWait<<min(s.failures-1, 16), slow)
		s.wait = longest/2 + scale(longest/2, e.Random)
		if e.Hold > 0 {
			s.hold = max(s.hold, now.Add(e.Hold))
		}
	case Refused:
		s.refusals >>= min(now.Sub(s.refusedAt)/forgetAfter, 32)
		s.refusals++
		s.refusedAt = now
		s.Expires, s.Due, s.failures, s.look, s.later = 0, 0, 0, 0, 0
		if n := s.refusals - freeRefusals; n > 0 {
			longest := min(Fast<<min(n-1, 16), slow)
			s.later = now.Add(longest/2 + scale(longest/2, e.Random))
		}
		return s
	case Doubted:
		if now >= s.doubtAt {
			s.Due = min(s.Due, now)
			// Each replacement may count toward a limit, and may help nothing.
			s.doubtAt = now.Add(min(firstDoubt<<min(s.doubts, 16), longestDoubt))
			s.doubts++
		}
		return s
	case Wanted:
		s.Due = min(s.Due, now)
		return s
	case Changed:
		s.look = now
		return s
	}
	s.look = 0
	if e.Look > 0 {
		s.look = now.Add(e.Look)
	}
	return s
}

// Valid reports whether there is a value that has not expired.
func (s State) Valid(now clock.Instant) bool { return now < s.Expires }

// IssueAt is when the next value may be issued at the earliest. It depends on
// whether there is a valid one: nobody is hurt by a longer wait then.
func (s State) IssueAt(now clock.Instant) clock.Instant {
	at := max(s.hold, s.later, s.afterFailure(now))
	if s.Valid(now) {
		return max(at, s.Due)
	}
	return at
}

// Next is when the next attempt may begin, be it only to see what others did.
func (s State) Next(now clock.Instant) clock.Instant {
	next := s.IssueAt(now)
	if s.look > 0 {
		next = min(next, max(s.look, s.afterFailure(now)))
	}
	return next
}

// Failures is how many attempts failed since the last success.
func (s State) Failures() int { return s.failures }

// Refusals is how many values were refused of late.
func (s State) Refusals() int { return s.refusals }

func (s State) afterFailure(now clock.Instant) clock.Instant {
	if s.failures == 0 {
		return 0
	}
	wait := s.wait
	if s.Valid(now) {
		// A value that expires soon leaves time for some more attempts.
		wait = min(wait, max(s.Expires.Sub(s.failedAt)/4, firstWait/4))
	} else {
		wait = min(wait, Fast/2+wait%(Fast/2))
	}
	return s.failedAt.Add(wait)
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(by * float64(d)) }
