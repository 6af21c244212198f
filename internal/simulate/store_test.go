package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// shared is the store that processes share. World.mu guards it.
type shared struct {
	w        *world
	entries  map[string]*entry
	leases   map[string]*lease
	saves    int
	watchers []*watcher
}

// entry is a saved value.
type entry struct {
	value    []byte
	record   store.Record // zero if the value cannot be read
	revision string
	damaged  bool
	at       time.Duration // of the save, in true time
	by       time.Duration // by the store's clock
	until    time.Duration // by the store's clock
}

type lease struct {
	p      *process
	c      *channelLife
	until  time.Duration
	orphan bool // its release was lost
}

type watcher struct {
	p      *process
	key    string
	change chan struct{}
}

func newShared(w *world) *shared {
	return &shared{w: w, entries: make(map[string]*entry), leases: make(map[string]*lease)}
}

// clock is the store's own.
func (s *shared) clock(at time.Duration) time.Duration {
	c := at + at/20000
	for i := range s.w.faults {
		if f := &s.w.faults[i]; f.kind == storeSet && f.at <= at {
			c += f.amount
		}
	}
	return c
}

// wasSet reports whether the clock was set.
func (s *shared) wasSet(at time.Duration) bool {
	return slices.ContainsFunc(s.w.faults, func(f fault) bool { return f.kind == storeSet && f.at <= at })
}

// strike applies an instantaneous fault.
func (s *shared) strike(f *fault) {
	s.w.mu.Lock()
	switch f.kind {
	case storeEmptied:
		clear(s.entries)
		s.leases = make(map[string]*lease)
	case storeDamaged:
		for _, e := range s.entries {
			e.damaged = true
		}
	}
	for _, l := range s.w.line {
		if f.kind == storeSet {
			break
		}
		clear(l.lost) // the store counts them
		clear(l.silent)
		l.sent = 0
	}
	s.w.mu.Unlock()
	if f.kind != storeSet {
		s.tellAll()
	}
}

func (s *shared) tellAll() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.tell("")
}

func (s *shared) tell(key string) {
	for _, x := range s.watchers {
		if key == "" || x.key == key {
			select {
			case x.change <- struct{}{}:
			default:
			}
		}
	}
}

// storeConn is a process's connection to the store.
type storeConn struct{ c *channelLife }

// call calls the store.
func (s *storeConn) call(ctx context.Context, name string, effect func() error) error {
	c, w := s.c, s.c.p.w
	if err := c.p.gate(); err != nil {
		return err
	}
	w.mu.Lock()
	c.called(name)
	c.inFlight++
	if c.inFlight > maxInFlight {
		w.breachLocked("I7", "process %d has %d calls of the store under way", c.p.n, c.inFlight)
	}
	trip := between(c.conn, 100*time.Microsecond, time.Millisecond)
	luck, half := c.conn.Float64(), c.conn.IntN(2) == 0
	slow := between(c.conn, 100*time.Millisecond, 700*time.Millisecond)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		c.inFlight--
		w.mu.Unlock()
	}()
	if w.active(storeSlow, -1) != nil {
		trip = slow
	}
	run := func() error { w.mu.Lock(); defer w.mu.Unlock(); return effect() }
	if err := c.p.wait(ctx, trip); err != nil {
		return err
	}
	flaky := w.active(storeFlaky, -1)
	switch {
	case w.active(storeDown, -1) != nil:
		return errors.New("the store is down")
	case w.active(storeHangs, -1) != nil:
		if half {
			_ = run()
		}
		if err := c.p.wait(ctx, w.active(storeHangs, -1).lasts); err != nil {
			return err
		}
		return errors.New("connection reset")
	case w.active(storeDeaf, -1) != nil:
		f := w.active(storeDeaf, -1)
		_ = c.p.wait(context.Background(), f.end()-w.now())
		if c.p.gate() != nil || half {
			return errors.New("connection reset")
		}
	case w.active(storeReadOnly, -1) != nil && (name == "save" || name == "lease" && w.seed%2 == 0):
		return errors.New("the store is read-only")
	case w.active(storeConflicts, -1) != nil && name == "save":
		return store.ErrConflict
	case flaky != nil && luck < flaky.chance:
		if half {
			_ = run()
		}
		return errors.New("the store is flaky")
	}
	err := run()
	if e := c.p.wait(ctx, trip); e != nil {
		return e
	}
	if e := c.p.gate(); e != nil {
		return e
	}
	return err
}

// Load implements [store.Store].
func (s *storeConn) Load(ctx context.Context, key string) (store.Entry, error) {
	c, w := s.c, s.c.p.w
	var found store.Entry
	w.mu.Lock()
	behind, ahead := c.p.behind, c.p.ahead
	w.mu.Unlock()
	err := s.call(ctx, "load", func() error {
		e := w.shared.entries[key]
		now := w.now()
		at := w.shared.clock(now)
		if e != nil && at >= e.until {
			delete(w.shared.entries, key)
			e = nil
		}
		if e == nil {
			return nil
		}
		if e.damaged {
			delete(w.shared.entries, key)
			return store.ErrCorrupt
		}
		found = store.Entry{Value: slices.Clone(e.value), Revision: e.revision, Age: at - e.by}
		if w.ageless || found.Age < 0 {
			found.Age = store.AgeUnknown
		}
		if saved := e.record.Token; saved != nil {
			lie := now - e.at - found.Age
			if found.Age < 0 {
				lie = 0
			}
			if t := w.find(saved.AccessToken); w.shared.wasSet(now) && found.Age >= 0 {
				// What it said of an age was saved again.
				claimed := time.Duration(saved.Left)*time.Millisecond - found.Age
				lie = claimed - (t.expires - now)
			}
			c.knows(saved.AccessToken, behind, ahead, lie)
		}
		return nil
	})
	if err != nil {
		return store.Entry{}, err
	}
	return found, nil
}

// Save implements [store.Store].
func (s *storeConn) Save(ctx context.Context, key string, update store.Update) (string, error) {
	c, w := s.c, s.c.p.w
	revision := ""
	value := slices.Clone(update.Value)
	err := s.call(ctx, "save", func() error {
		e := w.shared.entries[key]
		now := w.now()
		at := w.shared.clock(now)
		if e != nil && at >= e.until {
			e = nil
		}
		if have := e; (have == nil && update.Replaces != "") || (have != nil && have.revision != update.Replaces) {
			return store.ErrConflict
		}
		w.shared.saves++
		revision = fmt.Sprint("r", w.shared.saves)
		record, err := store.DecodeRecord(key, value)
		if err != nil {
			w.breachLocked("I5", "process %d saves what cannot be read: %v", c.p.n, err)
		} else {
			w.checkSave(c, key, record)
		}
		w.shared.entries[key] = &entry{value: value, record: record, revision: revision, at: now, by: at, until: at + update.Lifetime}
		w.shared.tell(key)
		return nil
	})
	if err != nil {
		return "", err
	}
	return revision, nil
}

// Lease implements [store.Store].
func (s *storeConn) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	c, w := s.c, s.c.p.w
	mine := &lease{p: c.p, c: c}
	err := s.call(ctx, "lease", func() error {
		if l := w.shared.leases[key]; l != nil && w.now() < l.until && !w.lapsed(l) {
			w.checkLeased(c, l)
			return store.ErrLeased
		}
		mine.until = w.now() + ttl
		w.shared.leases[key] = mine
		return nil
	})
	if errors.Is(err, errDead) || err == nil {
		if err == nil {
			return func() { s.release(key, mine) }, nil
		}
		return nil, err
	}
	w.mu.Lock()
	mine.orphan = true
	w.mu.Unlock()
	return nil, err
}

// lapsed reports whether a lease has ended that its process has to extend, as it
// does in Redis.
func (w *world) lapsed(l *lease) bool {
	return w.leaseEnds && w.store == watchedStore && slices.ContainsFunc(w.faults, func(f fault) bool {
		return f.proc == l.p.n && (f.kind == procFreezes || f.kind == procSleeps) && f.at+leaseEndsAfter < w.now() && w.now() < f.end()
	})
}

func (s *storeConn) release(key string, mine *lease) {
	w := s.c.p.w
	w.mu.Lock()
	mine.orphan = true // until it succeeds
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.call(ctx, "release", func() error {
		if w.shared.leases[key] == mine {
			delete(w.shared.leases, key)
		}
		return nil
	})
}

// releaseAll ends the leases of a process that was killed. w.mu is held.
func (w *world) releaseAll(p *process) {
	for key, l := range w.shared.leases {
		if l.p == p && w.leaseEnds {
			delete(w.shared.leases, key)
		}
	}
}

// watchConn is a store that reports changes.
type watchConn struct{ storeConn }

// Watch implements [store.Watcher].
func (s *watchConn) Watch(ctx context.Context, key string, changed func()) error {
	c, w := s.c, s.c.p.w
	x := &watcher{p: c.p, key: key, change: make(chan struct{}, 1)}
	x.change <- struct{}{}
	w.mu.Lock()
	w.shared.watchers = append(w.shared.watchers, x)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.shared.watchers = slices.DeleteFunc(w.shared.watchers, func(y *watcher) bool { return x == y })
	}()
	for {
		select {
		case <-ctx.Done():
			if f := w.active(storeDeaf, -1); f != nil {
				_ = c.p.wait(context.Background(), f.end()-w.now())
			}
			return ctx.Err()
		case <-c.p.dead:
			return errDead
		case <-x.change:
		}
		if err := c.p.wait(ctx, time.Millisecond); err != nil {
			return err
		}
		if err := c.p.gate(); err != nil {
			return err
		}
		switch {
		case w.active(storeDown, -1) != nil:
			return errors.New("the store is down")
		case w.active(storeHangs, -1) != nil || w.active(storeDeaf, -1) != nil:
			continue // it reports changes when it works again
		}
		w.mu.Lock()
		gone := c.closed
		w.mu.Unlock()
		if !gone {
			changed()
		}
	}
}
