package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// scenario describes a run: the processes, and the faults with their times.
type scenario struct {
	seed         uint64
	processes    int
	channels     int
	limited      bool          // tokens count toward the limit of 30
	life         time.Duration // of a token
	store        storeKind
	withoutStore bool // tokens are issued while the store fails
	leaseEnds    bool // a lease ends with its process
	ageless      bool // the store cannot tell ages
	plain        bool // no caller asks for a token that is valid for long
	length       time.Duration
	faults       []fault
}

type storeKind int

const (
	noStore storeKind = iota
	polledStore
	watchedStore
)

func (k storeKind) String() string { return [...]string{"no", "polled", "watched"}[k] }

// fault is a fault at a time.
type fault struct {
	kind   faultKind
	at     time.Duration
	lasts  time.Duration
	proc   int           // -1 for those of LINE and the store
	amount time.Duration // by how much a clock is set, or what Retry-After names
	chance float64       // of what a request comes to
}

func (f fault) end() time.Duration { return f.at + f.lasts }

type faultKind int

const (
	lineRefuses    faultKind = iota // connections
	lineHangs                       // requests
	line500                         // also 502 to 504
	lineLoses                       // answers, before or after the effect
	lineSlow                        //
	lineRetryAfter                  // 429
	line401                         // at one endpoint, for valid tokens
	lineRevokes                     // the newest token
	netRefuses                      // a process's proxy: nothing leaves the machine
	netHangs                        // a process's proxy does not answer
	storeDown                       //
	storeHangs                      //
	storeDeaf                       // hangs, whatever a context says
	storeReadOnly                   //
	storeFlaky                      // calls fail before or after the effect
	storeSlow                       //
	storeConflicts                  // whatever is saved
	storeEmptied                    //
	storeDamaged                    // the entry
	storeSet                        // its clock
	procFreezes                     //
	procSleeps                      // with its machine
	procKilled                      // and starts again
	procCloses                      // and starts again
	procSet                         // its machine's wall clock
	faultKinds
)

var faultNames = [...]string{
	"LINE refuses connections", "LINE hangs", "LINE answers 5xx", "LINE loses answers", "LINE is slow", "LINE answers 429",
	"an endpoint answers 401", "LINE revokes the newest token", "proxy refuses", "proxy hangs", "store is down", "store hangs",
	"store hangs and heeds no context", "store is read-only", "store is flaky", "store is slow", "store always conflicts", "store is emptied",
	"stored value is damaged", "store's clock is set", "process is frozen", "machine sleeps", "process is killed",
	"process closes", "wall clock is set",
}

func (k faultKind) String() string { return faultNames[k] }

// weights are the relative frequencies of faults.
var weights = [faultKinds]int{
	lineRefuses: 4, lineHangs: 4, line500: 3, lineLoses: 6, lineSlow: 2, lineRetryAfter: 3, line401: 3, lineRevokes: 3,
	netRefuses: 4, netHangs: 2, storeDown: 3, storeHangs: 3, storeDeaf: 2, storeReadOnly: 4, storeFlaky: 4, storeSlow: 2, storeConflicts: 1,
	storeEmptied: 2, storeDamaged: 2, storeSet: 2, procFreezes: 5, procSleeps: 4, procKilled: 6, procCloses: 3, procSet: 6,
}

func (f fault) String() string {
	s := fmt.Sprintf("%v %v", f.at, f.kind)
	if f.proc >= 0 {
		s += fmt.Sprintf(" (process %d)", f.proc)
	}
	if f.lasts > 0 {
		s += fmt.Sprintf(" for %v", f.lasts)
	}
	if f.amount != 0 {
		s += fmt.Sprintf(", by %v", f.amount)
	}
	if f.chance > 0 {
		s += fmt.Sprintf(", chance %.2f", f.chance)
	}
	return s
}

func (s scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d processes, %d channels, tokens of %v, limited %v, %v store, IssueWithoutStore %v, lease ends with process %v, store without clock %v, %v\n",
		s.seed, s.processes, s.channels, s.life, s.limited, s.store, s.withoutStore, s.leaseEnds, s.ageless, s.length)
	for _, f := range s.faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	return b.String()
}

// draw returns the scenario of a seed.
func draw(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	s := scenario{seed: seed, processes: 1 + r.IntN(10), channels: 1 + r.IntN(5)/4, leaseEnds: r.IntN(2) == 0}
	switch r.IntN(6) {
	case 0, 1:
		s.life = 15 * time.Minute
	case 2:
		s.limited, s.life = true, 30*time.Minute
	case 3:
		s.limited, s.life = true, time.Hour
	case 4:
		s.limited, s.life = true, 6*time.Hour
	default:
		s.limited, s.life = true, 30*24*time.Hour
	}
	switch n := r.IntN(10); {
	case n == 0:
		s.store = noStore
	case n < 5:
		s.store = polledStore
	default:
		s.store = watchedStore
	}
	s.withoutStore = r.IntN(6) == 0
	s.ageless = r.IntN(8) == 0
	s.length = between(r, 2*time.Hour, 12*time.Hour)
	if s.life == 6*time.Hour {
		s.length += 12 * time.Hour
	}
	for n := 1 + r.IntN(8); n > 0; n-- {
		f := s.drawFault(r)
		s.faults = append(s.faults, f)
		for r.IntN(3) == 0 { // several at a time
			g := s.drawFault(r)
			g.at = max(f.at+between(r, -10*time.Second, f.lasts+10*time.Second), time.Second)
			s.faults = append(s.faults, g)
		}
	}
	for r.IntN(10) == 0 { // a program that starts often
		at, every, proc := between(r, 0, s.length), between(r, time.Second, 5*time.Minute), r.IntN(s.processes)
		kind := procKilled
		if r.IntN(2) == 0 {
			kind = procCloses
		}
		for range 3 + r.IntN(20) {
			at += every
			s.faults = append(s.faults, fault{kind: kind, at: at, lasts: between(r, 0, every/2), proc: proc})
		}
	}
	if r.IntN(5) == 0 { // in the middle of the first issue
		f := fault{kind: procFreezes, at: between(r, 50*time.Millisecond, time.Second), lasts: between(r, leaseEndsAfter, 2*leaseTime), proc: r.IntN(s.processes)}
		if r.IntN(3) == 0 {
			f.kind, f.lasts = procKilled, f.lasts/20
		}
		s.faults = append(s.faults, f)
	}
	s.settle()
	return s
}

// settle sorts the faults, and extends the run until the last of them is over.
func (s *scenario) settle() {
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
	for _, f := range s.faults {
		s.length = max(s.length, f.end()+time.Minute)
	}
}

func (s scenario) drawFault(r *rand.Rand) fault {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n, kind := r.IntN(sum), faultKind(0)
	for ; n >= weights[kind]; kind++ {
		n -= weights[kind]
	}
	f := fault{kind: kind, proc: -1, at: between(r, 0, s.length), chance: 1}
	if r.IntN(8) == 0 {
		f.at = between(r, 0, 10*time.Second) // at the start
	}
	// As many short ones as long ones.
	f.lasts = time.Duration(float64(time.Second) * math.Exp(r.Float64()*math.Log(7200)))
	if r.IntN(2) == 0 {
		f.chance = 0.05 + 0.9*r.Float64()
	}
	switch kind {
	case lineRetryAfter:
		f.amount = between(r, time.Second, 10*time.Minute)
	case lineRevokes, storeEmptied, storeDamaged:
		f.lasts, f.chance = 0, 0
	case storeDeaf:
		f.lasts = min(f.lasts, 10*time.Minute)
	case storeSet, procSet:
		f.lasts, f.chance = 0, 0
		f.amount = between(r, -12*time.Hour, 12*time.Hour)
		if r.IntN(2) == 0 {
			f.amount = between(r, -5*time.Minute, 5*time.Minute)
		}
	case procKilled, procCloses:
		f.lasts = min(f.lasts, 10*time.Minute)
	}
	if kind >= procFreezes || kind == netRefuses || kind == netHangs {
		f.proc = r.IntN(s.processes)
	}
	switch kind {
	case line500, lineLoses, lineHangs, storeFlaky, lineRetryAfter:
	default:
		f.chance = 0
	}
	return f
}

func between(r *rand.Rand, from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return from + time.Duration(r.Int64N(int64(to-from)))
}
