package lineoauth

import (
	"testing"
	"time"
)

// A range, so that the random part needs no seed.
func TestRefreshAt(t *testing.T) {
	issued := time.Unix(1_800_000_000, 0)
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		life, longest   time.Duration
		earliest, after time.Duration // before the end
	}{
		"15 minutes":              {15 * time.Minute, DefaultRefreshWindow, 225 * time.Second, 112500 * time.Millisecond},
		"30 days":                 {30 * day, DefaultRefreshWindow, 5 * time.Minute, 150 * time.Second},
		"30 days, an hour's room": {30 * day, time.Hour, time.Hour, 30 * time.Minute},
		"8 seconds":               {8 * time.Second, DefaultRefreshWindow, 2 * time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			end := issued.Add(tt.life)
			for _, random := range []float64{0, 0.5, 0.999999} {
				got := end.Sub(refreshAt(issued, end, tt.longest, random))
				if got > tt.earliest || got <= tt.after {
					t.Errorf("random %v: %v before the end; want from %v to %v", random, got, tt.earliest, tt.after)
				}
			}
			if refreshAt(issued, end, tt.longest, 0).Equal(refreshAt(issued, end, tt.longest, 0.5)) {
				t.Error("there is no jitter")
			}
		})
	}
}

func TestScarce(t *testing.T) {
	var all time.Duration
	n := 0
	for ; all < 30*24*time.Hour; n++ {
		all += scarce(n + 1)
	}
	if n > 45 || scarce(1) != 0 || scarce(2) != 0 || scarce(3) != 10*time.Minute || scarce(1000) != 24*time.Hour {
		t.Errorf("%d tokens in 30 days; waits %v, %v, %v … %v", n, scarce(1), scarce(2), scarce(3), scarce(1000))
	}
}

func TestBackOff(t *testing.T) {
	for n, longest := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 5: 8 * time.Second, 8: time.Minute, 1000: time.Minute} {
		if got := backOff(n, 0); got != longest/2 {
			t.Errorf("after %d failures, at least %v; want %v", n, got, longest/2)
		}
		if got := backOff(n, 0.999999999); got > longest || got < longest*99/100 {
			t.Errorf("after %d failures, at most %v; want %v", n, got, longest)
		}
	}
}
