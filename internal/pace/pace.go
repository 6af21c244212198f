// Package pace decides when to renew a value that expires. It is a pure function of
// past events and their times.
package pace

import (
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
)

const (
	// Fast is the longest wait without a valid value.
	Fast = time.Second

	firstWait                = 500 * time.Millisecond
	slow                     = time.Minute // the longest wait with a valid value
	firstDoubt, longestDoubt = 10 * time.Minute, 24 * time.Hour
	// forgetAfter is the half-life of the count of refusals.
	forgetAfter = 10 * time.Minute
	// freeRefusals is how many refused values are replaced without a wait.
	freeRefusals = 2
)

// State is the state of a value and of the attempts to renew it. The zero State is
// that of a value that has not been obtained yet.
type State struct {
	Expires clock.Instant // 0 without a value
	Due     clock.Instant // when to renew it

	failures  int // consecutive
	failedAt  clock.Instant
	wait      time.Duration // until the next attempt after a failure
	hold      clock.Instant // nothing is issued before
	look      clock.Instant // when to check for another process's value; 0 means never
	refusals  int           // decaying count of values that were refused before they expired
	refusedAt clock.Instant
	doubts    int
	doubtAt   clock.Instant // doubts before have no effect
	later     clock.Instant // a refused value is not replaced before, or another process is replacing it
}

// Event is an event in the life cycle of a value.
type Event struct {
	Kind Kind
	// Expires, Life and Window are for Renewed: when the new value expires, the
	// lifetime of such values, and the maximum time before expiry at which they are
	// renewed.
	Expires      clock.Instant
	Life, Window time.Duration
	// Hold is for Failed: how long a server requested to wait.
	Hold time.Duration
	// Look is for all kinds but Refused, Doubted, Wanted and Changed: when to check
	// for another process's value. 0 means never.
	Look time.Duration
	// Random is from 0 to 1: jitter that keeps processes from acting simultaneously.
	Random float64
}

// Kind is the kind of an event.
type Kind int

// The kinds of events.
const (
	Renewed Kind = iota // there is a new value
	Kept                // there is no new value, and none was needed
	Busy                // no new value yet: another process is issuing it
	Failed              // there is no new value, although one was needed
	Refused             // the value is no longer valid
	Doubted             // the value may no longer be valid
	Wanted              // a caller needs a value that is valid for longer
	Changed             // other processes may have a new value
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
		// Exponential backoff, with jitter between half and all of the wait.
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
			// Each replacement may count toward a limit, and may not help.
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

// IssueAt is the earliest time to issue the next value. It is later while there is a
// valid value, since callers do not need the new one yet.
func (s State) IssueAt(now clock.Instant) clock.Instant {
	at := max(s.hold, s.later, s.afterFailure(now))
	if s.Valid(now) {
		return max(at, s.Due)
	}
	return at
}

// Next is when the next attempt may start, even if only to check for another
// process's value.
func (s State) Next(now clock.Instant) clock.Instant {
	next := s.IssueAt(now)
	if s.look > 0 {
		next = min(next, max(s.look, s.afterFailure(now)))
	}
	return next
}

// Failures is the number of attempts that failed since the last success.
func (s State) Failures() int { return s.failures }

// Refusals is the number of recently refused values.
func (s State) Refusals() int { return s.refusals }

func (s State) afterFailure(now clock.Instant) clock.Instant {
	if s.failures == 0 {
		return 0
	}
	wait := s.wait
	if s.Valid(now) {
		// Leave time for some more attempts before the value expires.
		wait = min(wait, max(s.Expires.Sub(s.failedAt)/4, firstWait/4))
	} else {
		wait = min(wait, Fast/2+wait%(Fast/2))
	}
	return s.failedAt.Add(wait)
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(by * float64(d)) }
