package simulate

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	window    = 5 * time.Minute // before a token expires, in which it is refreshed
	leaseTime = time.Minute
	// leaseEndsAfter is how long a lease lasts without an extension.
	leaseEndsAfter = 8 * time.Second
	lineTimeout    = 10 * time.Second // of a request
	askers         = 2                // of each channel in each process
	placesOfLINE   = 30
)

// world is a running scenario.
type world struct {
	scenario
	start    time.Time
	over     chan struct{} // closed when callers should return
	wg       sync.WaitGroup
	machines []*machine
	line     []*channel
	tokens   map[string]*token // by text
	shared   *shared

	mu       sync.Mutex
	runs     int
	breaches []breach
	traced   bool
	trace    []string
	hash     uint64
	waits    []time.Duration // of callers, from the moment that all worked again
	issued   int
	answers  int

	storeCalls int
}

// breach is an invariant that did not hold.
type breach struct {
	rule string
	at   time.Duration
	text string
}

func (b breach) String() string { return fmt.Sprintf("%v %s: %s", b.at, b.rule, b.text) }

// outcome is the result of a run.
type outcome struct {
	breaches []breach
	trace    []string
	hash     uint64
	waits    []time.Duration
	hours    float64 // of processes
	issued   int
	answers  int

	storeCalls int
}

// run runs a scenario.
func (s scenario) run(t *testing.T, traced bool) (o outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := &world{scenario: s, start: time.Now(), over: make(chan struct{}), tokens: make(map[string]*token), traced: traced}
		w.play()
		o = outcome{w.breaches, w.trace, w.hash, w.waits, s.length.Hours() * float64(s.processes), w.issued, w.answers, w.storeCalls}
	})
	return o
}

// rand returns a source that depends on the seed and a name.
func (w *world) rand(kind, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed<<8|kind, n))
}

func (w *world) play() {
	for ch := range w.channels {
		w.line = append(w.line, &channel{n: ch, issuedAt: -1, lost: make(map[int]*losses), silent: make(map[int]bool)})
	}
	w.shared = newShared(w)
	for n := range w.processes {
		m, r := &machine{w: w, n: n}, w.rand(3, uint64(n))
		m.wallOffset = 1e9*time.Second + between(r, -12*time.Hour, 12*time.Hour)
		m.wallRate, m.monoRate = 1+(r.Float64()-0.5)*1e-4, 1+(r.Float64()-0.5)*1e-4
		m.last = m.clocks(0)
		w.machines = append(w.machines, m)
	}
	for _, m := range w.machines {
		m.start()
	}
	type edge struct {
		at time.Duration
		do func()
	}
	var edges []edge
	for i, f := range w.faults {
		edges = append(edges, edge{f.at, func() { w.begin(i) }})
		if f.lasts > 0 {
			edges = append(edges, edge{f.end(), func() { w.finish(i) }})
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return int(a.at - b.at) })
	for _, e := range edges {
		if e.at > w.length {
			break
		}
		time.Sleep(e.at - w.now())
		e.do()
	}
	time.Sleep(w.length - w.now())
	close(w.over)
	for _, m := range w.machines {
		m.end(false)
	}
	w.wg.Wait()
	time.Sleep(time.Minute)
	synctest.Wait()
	w.checkEnd()
}

// checkEnd reports leaked goroutines.
func (w *world) checkEnd() {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "synctest bubble") && strings.Contains(g, "lineoauth/internal/") && !strings.Contains(g, "checkEnd") && !strings.Contains(g, "synctest.Run") {
			w.breach("I7", "a goroutine leaked: %s", g)
			return
		}
	}
}

func (w *world) now() time.Duration { return time.Since(w.start) }

// begin starts a fault.
func (w *world) begin(i int) {
	f := &w.faults[i]
	w.mu.Lock()
	w.note(f.proc, -1, "begins: ", f.kind.String())
	w.mu.Unlock()
	switch f.kind {
	case lineRevokes:
		w.revokeNewest()
	case storeEmptied, storeDamaged, storeSet:
		w.shared.strike(f)
	case procFreezes, procSleeps:
		w.freeze(w.machines[f.proc])
	case procKilled, procCloses:
		w.machines[f.proc].end(f.kind == procKilled)
		if f.lasts == 0 {
			w.finish(i)
		}
	}
}

// finish ends a fault.
func (w *world) finish(i int) {
	f := &w.faults[i]
	w.mu.Lock()
	w.note(f.proc, -1, "is over: ", f.kind.String())
	w.mu.Unlock()
	switch f.kind {
	case procKilled, procCloses:
		if m := w.machines[f.proc]; m.run == nil && w.active(procKilled, f.proc) == nil && w.active(procCloses, f.proc) == nil {
			m.start()
		}
	case procFreezes, procSleeps:
		w.mu.Lock()
		if w.stoppedUntil(f.proc) == 0 {
			w.machines[f.proc].stopped = nil
			w.machines[f.proc].look()
		}
		w.mu.Unlock()
	case storeDown, storeHangs, storeDeaf:
		w.shared.tellAll()
	}
}

// freeze stops a machine's process; a sleep is noticed by its clocks.
func (w *world) freeze(m *machine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.run != nil && m.stopped == nil {
		c := m.look()
		m.stopped = &c
	}
}

// active returns an active fault of a kind, or nil.
func (w *world) active(kind faultKind, proc int) *fault {
	now := w.now()
	for i := range w.faults {
		f := &w.faults[i]
		if f.at > now {
			break
		}
		if f.kind == kind && f.proc == proc && now < f.end() {
			return f
		}
	}
	return nil
}

// stoppedUntil is when a machine's process, which is stopped now, resumes, or 0.
func (w *world) stoppedUntil(proc int) time.Duration {
	now := w.now()
	var until time.Duration
	for i := range w.faults {
		f := &w.faults[i]
		if f.at > now {
			break
		}
		if f.proc == proc && now < f.end() && (f.kind == procFreezes || f.kind == procSleeps) {
			until = max(until, f.end())
		}
	}
	return until
}

// overlap is how much of a sleep is over, without what an earlier one covers.
func (w *world) overlap(i int, at time.Duration) time.Duration {
	f := &w.faults[i]
	from := f.at
	for j := range i {
		if g := &w.faults[j]; g.kind == procSleeps && g.proc == f.proc {
			from = max(from, g.end())
		}
	}
	return max(min(at, f.end())-from, 0)
}

// nextEdge returns when a machine's clocks change next.
func (w *world) nextEdge(proc int, now time.Duration) time.Duration {
	next := now + 24*time.Hour
	for i := range w.faults {
		f := &w.faults[i]
		if f.proc == proc && f.at > now && (f.kind == procSet || f.kind == procFreezes || f.kind == procSleeps) {
			next = min(next, f.at)
		}
	}
	return next
}

// breach records a breach.
func (w *world) breach(rule, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breachLocked(rule, format, args...)
}

func (w *world) breachLocked(rule, format string, args ...any) {
	b := breach{rule, w.now(), fmt.Sprintf(format, args...)}
	w.breaches = append(w.breaches, b)
	if w.traced {
		w.trace = append(w.trace, "*** "+b.String())
	}
}

// note adds to the log, and to its checksum. w.mu is held.
func (w *world) note(proc, ch int, what, more string) {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.now(), proc, ch, what, more)
	w.hash += h.Sum64() // in any order at one instant
	if !w.traced {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v ", w.now())
	if proc >= 0 {
		fmt.Fprintf(&b, "process %d ", proc)
	}
	if ch > 0 {
		fmt.Fprintf(&b, "channel %d ", ch)
	}
	_, _ = io.WriteString(&b, what+more)
	w.trace = append(w.trace, b.String())
}

func (w *world) key(ch int) string { return fmt.Sprintf("channel%d", ch) }
