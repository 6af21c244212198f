package simulate

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

const (
	s = time.Second
	m = time.Minute
	h = time.Hour
)

// stories are scenarios as they occur in production. check_test.go has the
// invariants; atMost is the maximum number of issued tokens.
var stories = []struct {
	name string
	scenario
	atMost int
}{
	{"an outage outlasts the token", scenario{processes: 1, life: 15 * m, length: 30 * m, faults: []fault{
		{kind: lineRefuses, at: 9 * m, lasts: 6*m + 2*s, proc: -1},
	}}, 0},
	{"an outage that hangs outlasts the tokens of a fleet", scenario{processes: 5, life: 30 * m, limited: true, store: watchedStore, length: 2 * h, faults: []fault{
		{kind: lineHangs, at: 20 * m, lasts: 40 * m, proc: -1, chance: 1},
	}}, 8},
	{"the proxy is down for 10 s at a token's end", scenario{processes: 1, life: 30 * m, limited: true, store: polledStore, length: h, faults: []fault{
		{kind: netRefuses, at: 24 * m, lasts: 6*m + 10*s, proc: 0},
	}}, 0},
	{"one process is behind a failed proxy", scenario{processes: 2, life: 30 * m, limited: true, store: polledStore, length: 3 * h, faults: []fault{
		{kind: netRefuses, at: s, lasts: 3*h - m, proc: 0},
	}}, 8},
	{"one endpoint answers 401", scenario{processes: 3, life: 6 * h, limited: true, store: watchedStore, length: 5 * h, faults: []fault{
		{kind: line401, at: m, lasts: h, proc: -1}, {kind: line401, at: 3 * h, lasts: h, proc: -1},
	}}, 1},
	{"three revocations, a day apart", scenario{processes: 2, life: 30 * 24 * h, limited: true, store: watchedStore, length: 73 * h, faults: []fault{
		{kind: lineRevokes, at: h, proc: -1}, {kind: lineRevokes, at: 25 * h, proc: -1}, {kind: lineRevokes, at: 49 * h, proc: -1},
	}}, 4},
	{"a clock is set back by an hour", scenario{processes: 1, life: 15 * m, length: 2 * h, faults: []fault{
		{kind: procSet, at: 5 * m, proc: 0, amount: -h},
	}}, 0},
	{"a clock is set back by nine hours, and the machine sleeps", scenario{processes: 2, life: h, limited: true, store: polledStore, length: 12 * h, faults: []fault{
		{kind: procSet, at: 10 * m, proc: 0, amount: -9 * h}, {kind: procSleeps, at: 30 * m, lasts: 3 * h, proc: 0},
	}}, 0},
	{"a Retry-After passes in sleep", scenario{processes: 1, life: 15 * m, length: 21 * h, faults: []fault{
		{kind: lineRetryAfter, at: 10 * m, lasts: 6 * m, proc: -1, amount: 10 * m, chance: 1}, {kind: procSleeps, at: 17 * m, lasts: 20 * h, proc: 0},
	}}, 0},
	{"a step of five minutes back costs no calls of the store", scenario{processes: 1, life: 30 * m, limited: true, store: watchedStore, length: 2 * h, faults: []fault{
		{kind: procSet, at: 10 * m, proc: 0, amount: -5 * m},
	}}, 0},
	{"34 starts on a full disk", scenario{processes: 1, life: 30 * 24 * h, limited: true, store: polledStore, length: h, faults: append([]fault{
		{kind: storeReadOnly, at: 0, lasts: 50 * m, proc: -1},
	}, starts(procCloses, 0, 34)...)}, 1},
	{"twelve starts while answers are lost", scenario{processes: 1, life: 30 * 24 * h, limited: true, store: watchedStore, length: h, faults: append([]fault{
		{kind: lineLoses, at: 0, lasts: 20 * m, proc: -1, chance: 1},
	}, starts(procKilled, 0, 12)...)}, 4},
	{"thirty starts of a cron job", scenario{processes: 2, life: 30 * 24 * h, limited: true, store: polledStore, length: h, faults: starts(procCloses, 1, 30)}, 1},
	{"a freeze in the middle of a refresh", scenario{processes: 2, life: 15 * m, store: watchedStore, length: h, faults: []fault{
		{kind: lineHangs, at: 9 * m, lasts: 2 * m, proc: -1, chance: 1}, {kind: procFreezes, at: 9*m + 30*s, lasts: 10 * m, proc: 0},
	}}, 0},
	{"a store hangs and heeds no context", scenario{processes: 2, life: h, limited: true, store: watchedStore, length: 2 * h, faults: []fault{
		{kind: storeDeaf, at: m, lasts: 10 * m, proc: -1}, {kind: procCloses, at: 2 * m, lasts: 10 * s, proc: 1},
	}}, 0},
	{"two hundred cold processes while LINE is slow", scenario{processes: 200, life: h, limited: true, store: watchedStore, length: m, faults: []fault{
		{kind: lineSlow, at: 0, lasts: 30 * s, proc: -1},
	}}, 1},
	{"two hundred cold processes, files, while LINE is slow", scenario{processes: 200, life: h, limited: true, store: polledStore, length: m, faults: []fault{
		{kind: lineSlow, at: 0, lasts: 30 * s, proc: -1},
	}}, 1},
	{"a store always conflicts", scenario{processes: 3, life: 15 * m, store: polledStore, length: h, faults: []fault{
		{kind: storeConflicts, at: s, lasts: 40 * m, proc: -1},
	}}, 0},

	// Found by seeds.
	{"requests hang when LINE is back", scenario{seed: 31, processes: 1, life: h, limited: true, store: polledStore, ageless: true, length: 2 * h, faults: []fault{
		{kind: netHangs, at: 8 * m, lasts: 58 * m, proc: 0}, {kind: lineHangs, at: 64 * m, lasts: 4 * m, proc: -1, chance: 1},
	}}, 0},
	{"the save of a mark is not heard of", scenario{seed: 8, processes: 3, life: h, limited: true, store: watchedStore, length: 2 * h, faults: []fault{
		{kind: storeFlaky, at: 54 * m, lasts: 5 * m, proc: -1, chance: 0.3},
	}}, 0},
	{"a token is issued and its save fails", scenario{seed: 274, processes: 1, life: 6 * h, limited: true, store: polledStore, length: 2 * h, faults: []fault{
		{kind: storeFlaky, at: 100 * time.Millisecond, lasts: 19 * s, proc: -1, chance: 0.3}, {kind: storeDown, at: h, lasts: 15 * s, proc: -1},
	}}, 0},
	{"a store without a clock", scenario{seed: 52, processes: 5, life: 15 * m, store: polledStore, ageless: true, length: 2 * h}, 13},
	{"an outage costs few calls of the store", scenario{seed: 33, processes: 10, life: 15 * m, store: watchedStore, length: 40 * m, faults: []fault{
		{kind: lineRefuses, at: 9 * m, lasts: 20 * m, proc: -1},
	}}, 0},
	{"a machine sleeps while it loads", scenario{seed: 331, processes: 5, life: 30 * m, limited: true, store: watchedStore, withoutStore: true, length: h, faults: []fault{
		{kind: lineRetryAfter, at: 15 * m, lasts: 23 * m, proc: -1, amount: 16 * s, chance: 1}, {kind: procSleeps, at: 18 * m, lasts: m, proc: 4}, {kind: procSleeps, at: 20 * m, lasts: m, proc: 3},
	}}, 0},
	{"a clock that is set forward spoils nobody else's token", scenario{seed: 550, processes: 5, life: 15 * m, store: watchedStore, length: h, faults: []fault{
		{kind: procSet, at: 8 * m, proc: 4, amount: 3 * m}, {kind: line500, at: 8*m + 10*s, lasts: 12 * m, proc: -1, chance: 1},
	}}, 0},
	{"a token is revoked and its expiry is reported again", scenario{seed: 768, processes: 4, life: 15 * m, store: watchedStore, length: 10 * m, faults: []fault{
		{kind: lineRefuses, at: 2 * s, lasts: 25 * s, proc: -1}, {kind: lineRevokes, at: 3 * s, proc: -1}, {kind: storeSet, at: 25 * s, proc: -1, amount: 5 * m},
	}}, 0},
	{"a store is emptied often in an outage", scenario{seed: 121, processes: 6, life: 15 * m, store: polledStore, length: h, faults: []fault{
		{kind: lineRetryAfter, at: 9 * m, lasts: 14 * m, proc: -1, amount: 5 * m, chance: 1}, {kind: storeEmptied, at: 10 * m, proc: -1}, {kind: storeEmptied, at: 12 * m, proc: -1},
	}}, 0},
	{"the store's clock is set back in an outage", scenario{seed: 784, processes: 4, life: 15 * m, store: watchedStore, length: h, faults: []fault{
		{kind: lineHangs, at: 9 * m, lasts: 18 * m, proc: -1, chance: 1}, {kind: storeSet, at: 9*m + 10*s, proc: -1, amount: -2 * m},
	}}, 0},
	{"a process is frozen as it issues", scenario{seed: 54, processes: 3, life: h, limited: true, store: polledStore, length: 10 * m, faults: []fault{
		{kind: procFreezes, at: 300 * time.Millisecond, lasts: 96 * s, proc: 0}, {kind: procFreezes, at: 300 * time.Millisecond, lasts: 96 * s, proc: 1},
	}}, 0},
}

// starts starts a process n times.
func starts(kind faultKind, proc, n int) (faults []fault) {
	for i := range n {
		faults = append(faults, fault{kind: kind, at: m + time.Duration(i)*80*s, lasts: 10 * s, proc: proc})
	}
	return faults
}

func TestStories(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as TestSimulate, which found some of them
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			s := story.scenario
			s.channels, s.plain = 1, story.atMost > 0
			s.faults = slices.Clone(s.faults)
			s.settle()
			seeds := 3
			if s.processes > 100 { // each of which draws its own numbers
				seeds = 1
			}
			for range seeds {
				o := s.run(t, false)
				if len(o.breaches) > 0 {
					report(t, s, o)
					return
				}
				if story.atMost > 0 && o.issued > story.atMost {
					t.Fatalf("LINE issues %d tokens; at most %d are enough", o.issued, story.atMost)
				}
				t.Logf("%d tokens, %d answers, %d calls of the store", o.issued, o.answers, o.storeCalls)
				s.seed++
			}
		})
	}
}
