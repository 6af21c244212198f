package simulate

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/keeper"
	"github.com/lineoauth/lineoauth/internal/life"
	"github.com/lineoauth/lineoauth/store"
)

// machine has two clocks, and runs one process at a time.
type machine struct {
	w   *world
	n   int
	run *process // nil if none runs

	// Of the clocks, with w.mu:
	wallOffset         time.Duration
	wallRate, monoRate float64
	last               clock.Reading // last seen, and when
	lastAt             time.Duration
	stopped            *clock.Reading // seen by a frozen process
	behind             time.Duration  // by how much the larger of both clocks lags behind true time
	ahead              time.Duration  // by how much it is ahead
}

// asleepAfter is how long the monotonic clock of a machine that goes to sleep continues
// after its processes stopped; in truth, for longer.
const asleepAfter = time.Millisecond

// clocks returns the readings of the clocks at a true time. w.mu is held.
func (m *machine) clocks(at time.Duration) clock.Reading {
	awake, wall := at, time.Duration(float64(at)*m.wallRate)+m.wallOffset
	for i := range m.w.faults {
		f := &m.w.faults[i]
		if f.proc != m.n || f.at > at {
			continue
		}
		switch f.kind {
		case procSleeps:
			awake -= max(m.w.overlap(i, at)-asleepAfter, 0)
		case procSet:
			wall += f.amount
		}
	}
	return clock.Reading{Wall: wall, Mono: time.Duration(float64(awake) * m.monoRate)}
}

// read is the reading of a process's clock. Time stands still for a process that
// is frozen: it runs on in the model only up to its next contact with the world.
func (m *machine) read() clock.Reading {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.stopped != nil {
		return *m.stopped
	}
	return m.look()
}

// look reads the clocks, and accounts for time that they do not show. w.mu is held.
func (m *machine) look() clock.Reading {
	now := m.w.now()
	c := m.clocks(now)
	passed, seen := now-m.lastAt, max(c.Wall-m.last.Wall, c.Mono-m.last.Mono, 0)
	if seen < passed {
		m.behind += passed - seen
	} else {
		m.ahead += seen - passed
	}
	m.last, m.lastAt = c, now
	return c
}

// process is one run of a program.
type process struct {
	*machine
	id      int
	dead    chan struct{}
	killed  bool
	started time.Duration
	clock   *clock.Clock
	lives   []*channelLife
}

// channelLife is the life of one channel's token in one process, with its history.
type channelLife struct {
	p    *process
	ch   int
	life *life.Life
	// Each has its own, so that the order in which goroutines run at one instant
	// changes none.
	jitter, conn, end *rand.Rand
	caller            [askers]*rand.Rand
	current           *token // that the process told of last
	since             time.Duration
	// What the clocks had hidden when the process first had a token.
	behind map[string]time.Duration
	ahead  map[string]time.Duration
	lies   map[string]time.Duration // by how much the store understated an age
	gone   map[string]bool          // Refused reported it as replaced

	closing    bool
	closed     bool
	issuing    bool
	onTheWay   bool            // a request was sent
	calls      []time.Duration // recent, of the store
	inFlight   int
	window     int // calls of the store in this window
	windowFrom time.Duration
	firstAsk   time.Duration // since calm; -1 for none yet
	askedFor   time.Duration // the calm of which that is
	failing    bool
	waiting    int           // callers
	waited     time.Duration // when one had waited last
	failures   int           // that were told
	refusals   []time.Duration
}

var errDead = errors.New("the process has exited")

// start starts a process on the machine.
func (m *machine) start() {
	w := m.w
	w.mu.Lock()
	w.runs++
	p := &process{machine: m, id: w.runs, dead: make(chan struct{}), started: w.now()}
	m.stopped = nil
	m.look()
	m.run = p
	w.note(m.n, -1, "starts", "")
	w.mu.Unlock()
	p.clock = clock.NewFromReadings(m.read, p.sleep)
	for ch := range w.channels {
		p.lives = append(p.lives, newChannelLife(p, ch))
	}
	if w.active(procFreezes, m.n) != nil || w.active(procSleeps, m.n) != nil {
		w.freeze(m)
	}
	for _, c := range p.lives {
		for n := range askers {
			w.wg.Go(func() { c.ask(n) })
		}
	}
}

func newChannelLife(p *process, ch int) *channelLife {
	c := &channelLife{
		p: p, ch: ch, behind: make(map[string]time.Duration), ahead: make(map[string]time.Duration), lies: make(map[string]time.Duration),
		gone: make(map[string]bool), windowFrom: p.w.now(), firstAsk: -1,
	}
	id := uint64(p.id*p.w.channels + ch) //nolint:gosec // small
	c.jitter, c.conn, c.end = p.w.rand(4, id), p.w.rand(5, id), p.w.rand(6, id)
	for n := range c.caller {
		c.caller[n] = p.w.rand(uint64(7+n), id)
	}
	cfg := life.Config{
		Keeper: &keeper.Settings{Clock: p.clock, Attempts: 3, Timeout: time.Minute, Window: window, Random: func() float64 {
			p.w.mu.Lock()
			defer p.w.mu.Unlock()
			return c.jitter.Float64()
		}},
		Now:     time.Now,
		OnEvent: c.observe,
	}
	cfg.Fleet.LINE = &lineConn{c}
	cfg.Fleet.Clock = p.clock
	cfg.Fleet.Key = p.w.key(ch)
	cfg.Fleet.Limited = p.w.limited
	cfg.Fleet.WithoutStore = p.w.withoutStore
	cfg.Fleet.LeaseTime = leaseTime
	cfg.Fleet.Usable = func(*store.Token) bool { return true }
	switch p.w.store {
	case polledStore:
		cfg.Fleet.Store = &storeConn{c}
	case watchedStore:
		cfg.Fleet.Store = &watchConn{storeConn{c}}
	}
	c.life = life.New(cfg)
	return c
}

// end kills the machine's process, or shuts it down gracefully.
func (m *machine) end(kill bool) {
	w := m.w
	w.mu.Lock()
	p := m.run
	if p == nil {
		w.mu.Unlock()
		return
	}
	m.run = nil
	if kill {
		p.killed = true
		m.stopped = nil
		w.note(m.n, -1, "is killed", "")
		w.releaseAll(p)
		close(p.dead)
	} else {
		w.note(m.n, -1, "closes", "")
	}
	w.mu.Unlock()
	for _, c := range p.lives {
		w.wg.Go(func() { c.close(kill) })
	}
}

// gate holds a process that is frozen or sleeps, and fails once it was killed.
func (p *process) gate() error {
	for {
		select {
		case <-p.dead:
			return errDead
		default:
		}
		until := p.w.stoppedUntil(p.n)
		if until == 0 {
			return nil
		}
		_ = p.wait(context.Background(), until-p.w.now())
	}
}

// wait waits in true time.
func (p *process) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.dead:
		return errDead
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sleep is [clock.Clock.Sleep] on this machine: its timers stand still while it
// sleeps; what the wall clock says is seen within a second.
func (p *process) sleep(ctx context.Context, d time.Duration) error {
	w := p.w
	until := p.clock.Now().Add(d)
	w.mu.Lock()
	end := p.clocks(w.now()).Mono + d
	w.mu.Unlock()
	for {
		if stop := w.stoppedUntil(p.n); stop != 0 {
			if err := p.wait(ctx, stop-w.now()); err != nil {
				return err
			}
			continue
		}
		w.mu.Lock()
		now := w.now()
		left := end - p.clocks(now).Mono
		edge := w.nextEdge(p.n, now) - now
		w.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		if p.clock.Now() >= until {
			return p.wait(ctx, min(left, time.Second))
		}
		if err := p.wait(ctx, max(min(time.Duration(float64(left)/p.monoRate)+1, edge), 1)); err != nil {
			return err
		}
	}
}
