package lineoauth

import (
	"math/rand/v2"
	"time"
)

// jitter is a random number from 0 to 1, for a fleet that is not to act in step.
func jitter() float64 { return rand.Float64() } //nolint:gosec // hides nothing

// refreshAt is when a token is to be refreshed: in the first half of a window
// before its end that is a quarter of its life, or longest if that is shorter.
func refreshAt(issuedAt, expiresAt time.Time, longest time.Duration, random float64) time.Time {
	window := min(expiresAt.Sub(issuedAt)/4, longest)
	return expiresAt.Add(-window + time.Duration(random*float64(window)/2))
}

const (
	minBackOff = 500 * time.Millisecond
	maxBackOff = time.Minute
	// LINE may ask for more patience than that, within reason.
	maxRetryAfter = time.Hour
)

// backOff is the time after the n-th failure in a row in which nothing is
// tried: twice as long each time, and random between half of that and all.
func backOff(n int, random float64) time.Duration {
	d := min(minBackOff<<min(n-1, 16), maxBackOff)
	return d/2 + time.Duration(random*float64(d/2))
}

// patience shortens a wait so that a token that is soon to end leaves time for
// some more tries.
func patience(wait time.Duration, live *liveToken, now time.Time) time.Duration {
	if live == nil {
		return wait
	}
	return min(wait, max(time.Duration(live.expiresAt-now.UnixNano())/4, minBackOff/4))
}

// longestWait is the longest time that scarce gives.
const longestWait = 24 * time.Hour

// scarce is the time after the n-th token in a row that may have been wasted,
// for a kind of which a channel has 30 places: some come soon, so that a short
// trouble passes, and the others over weeks.
func scarce(n int) time.Duration {
	const free, first = 3, 10 * time.Minute
	if n < free {
		return 0
	}
	return min(first<<min(n-free, 16), longestWait)
}
