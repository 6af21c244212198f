package simulate

import (
	"flag"
	"runtime"
	"slices"
	"testing"
	"time"
)

var (
	seeds  = flag.Int("seeds", 10, "how many seeds to run")
	first  = flag.Uint64("seed", 1, "the first seed")
	twice  = flag.Bool("twice", false, "run each seed twice, and count those that differ")
	before = flag.Int("before", 40, "how many lines of the log to print before a breach")
	small  = flag.Bool("shrink", true, "search for the shortest scenario of a breach")
	all    = flag.Bool("all", false, "continue after a breach, and only count")
)

// TestSimulate runs seeds, one after another.
func TestSimulate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that a seed gives the same run
	begun, cpu := time.Now(), cpuTime()
	var hours float64
	var waits []time.Duration
	ran, differ, issued, answers, broken := 0, 0, 0, 0, 0
	for seed := *first; ran < *seeds; seed++ {
		s := draw(seed)
		o := s.run(t, false)
		ran++
		hours += o.hours
		waits = append(waits, o.waits...)
		issued += o.issued
		answers += o.answers
		if *twice && s.run(t, false).hash != o.hash {
			differ++
		}
		if len(o.breaches) > 0 {
			broken++
			if *all || !*small {
				t.Errorf("seed %d: %v (and %d others)", seed, o.breaches[0], len(o.breaches)-1)
				if !*all {
					break
				}
				continue
			}
			report(t, s, o)
			break
		}
	}
	used := cpuTime() - cpu
	t.Logf("%d seeds, %.0f hours of a fleet of 10 in %v (%v of a core): %.0f hours a minute of a core; %d tokens, %d answers",
		ran, hours/10, time.Since(begun).Round(time.Second), used.Round(time.Second), hours/10/used.Minutes(), issued, answers)
	if *twice {
		t.Logf("%d of %d seeds gave another run the second time", differ, ran)
	}
	if broken > 0 {
		t.Logf("%d seeds broken", broken)
	}
	if len(waits) > 0 {
		slices.Sort(waits)
		median := waits[len(waits)/2]
		t.Logf("%d times all worked again for a process without a token: it had one after %v (median), %v (99 of 100), %v (all)",
			len(waits), median, waits[len(waits)*99/100], waits[len(waits)-1])
		if median > time.Second && len(waits) > 100 {
			t.Errorf("I3: the median is %v", median)
		}
	}
}

// report prints the shortest scenario that shows a breach.
func report(t *testing.T, s scenario, o outcome) {
	t.Helper()
	t.Errorf("seed %d: %v", s.seed, o.breaches[0])
	s = shrink(t, s, o.breaches[0])
	for range 5 {
		if o = s.run(t, true); broke(o, "") {
			break
		}
	}
	t.Logf("%v", s)
	from := max(0, len(o.trace)-40)
	if len(o.breaches) > 0 {
		for i, line := range o.trace {
			if len(line) > 3 && line[:3] == "***" {
				from = max(0, i-*before)
				o.trace = o.trace[:min(len(o.trace), i+3)]
				break
			}
		}
	}
	for _, line := range o.trace[from:] {
		t.Log(line)
	}
}

func broke(o outcome, rule string) bool {
	return slices.ContainsFunc(o.breaches, func(b breach) bool { return rule == "" || b.rule == rule })
}

// shrink removes the parts of a scenario that a breach does not need.
func shrink(t *testing.T, s scenario, b breach) scenario {
	t.Helper()
	rule := b.rule
	try := func(c scenario) bool {
		if broke(c.run(t, false), rule) {
			s = c
			return true
		}
		return false
	}
	c := s
	c.length = b.at + time.Second
	c.faults = slices.DeleteFunc(slices.Clone(s.faults), func(f fault) bool { return f.at > c.length })
	try(c)
	for again := true; again; {
		again = false
		for i := len(s.faults) - 1; i >= 0; i-- {
			c := s
			c.faults = slices.Delete(slices.Clone(s.faults), i, i+1)
			again = try(c) || again
		}
		if s.processes > 1 {
			c := s
			c.processes--
			c.faults = slices.DeleteFunc(slices.Clone(s.faults), func(f fault) bool { return f.proc >= c.processes })
			again = try(c) || again
		}
		if s.channels > 1 {
			c := s
			c.channels--
			again = try(c) || again
		}
		for i := range s.faults {
			if s.faults[i].lasts > 2*time.Second {
				c := s
				c.faults = slices.Clone(s.faults)
				c.faults[i].lasts /= 2
				again = try(c) || again
			}
		}
	}
	return s
}
