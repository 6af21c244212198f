package fleet_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/store"
)

var errDisk = errors.New("no space left on device")

func TestAlone(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Store = nil
		p := w.process()
		o := p.issue()
		p.must(o, "token 1")
		if !o.Issued || o.Stored || o.Look != 0 || o.Store != nil {
			w.Errorf("%+v", o)
		}
		if o := p.look(); o != (fleet.Outcome{}) {
			w.Errorf("a look, at nothing: %+v", o)
		}
		w.want("LINE", w.line.took(), "issue")
	})
}

func TestAdopt(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.process(), w.process()
		o := a.issue()
		a.must(o, "token 1")
		if !o.Issued || !o.Stored {
			w.Errorf("%+v", o)
		}
		w.want("the store", w.shelf.took(), "load", "lease", "load", "save", "save", "release")
		time.Sleep(time.Hour)
		o = b.issue()
		b.must(o, "token 1")
		if o.Issued || !o.Stored || o.Look != time.Minute {
			w.Errorf("%+v", o)
		}
		w.want("the store", w.shelf.took(), "load")
		for range 10 {
			time.Sleep(time.Hour)
			if o := b.look(); o.Token != nil || !o.Stored || o.Err != nil {
				w.Errorf("%+v", o)
			}
		}
		o = b.issue()
		b.must(o, "token 2")
		time.Sleep(time.Minute)
		a.must(a.look(), "token 2")
		w.want("LINE", w.line.took(), "issue", "issue")
	})
}

// What is no such token is not adopted.
func TestUsable(t *testing.T) {
	bubble(t, func(w *world) {
		w.shelf.set(w.T, store.Record{Token: &store.Token{AccessToken: "other", Kind: "other", ExpiresIn: 1e6, Left: 1e9}})
		p := w.process()
		p.must(p.issue(), "token 1")
	})
}

// Processes believe their own clocks for elapsed time, and nobody else's.
func TestClocksApart(t *testing.T) {
	for _, apart := range []time.Duration{-9 * time.Hour, -61 * time.Second, 61 * time.Second, 9 * time.Hour, 24 * 365 * time.Hour} {
		bubble(t, func(w *world) {
			a := w.process()
			w.cfg.Clock = clock.New(func() time.Time { return time.Now().Add(apart) })
			b := w.process()
			a.must(a.issue(), "token 1")
			for range 5 {
				time.Sleep(24 * time.Hour)
				b.have = fleet.Attempt{}
				b.must(b.issue(), "token 1")
				for _, p := range []*process{a, b} {
					if o := p.look(); o.Token != nil || !o.Stored {
						w.Errorf("%v apart: %+v", apart, o)
					}
				}
			}
			w.want("LINE", w.line.took(), "issue")
			if n := count(w.shelf.took(), "save"); n != 2 {
				w.Errorf("%d saves", n)
			}
		})
	}
}

// A stored life is at most what the store's clock leaves of it, also for the one
// in use.
func TestShorterLife(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		p.must(p.issue(), "token 1")
		p.have.Expires = p.have.Expires.Add(time.Hour) // its clock stood still
		p.must(p.look(), "token 1")
		if o := p.look(); o.Token != nil {
			w.Errorf("%+v", o)
		}
	})
}

func TestAgeUnknown(t *testing.T) {
	start := func(w *world) {
		a := w.process()
		a.must(a.issue(), "token 1")
		w.line.took()
		w.shelf.noAge = true
	}
	t.Run("valid", func(t *testing.T) {
		bubble(t, func(w *world) {
			start(w)
			time.Sleep(20 * 24 * time.Hour)
			p := w.process()
			p.must(p.issue(), "token 1")
			w.want("LINE", w.line.took(), "verify")
			for range 5 { // the process knows now
				time.Sleep(time.Hour)
				if o := p.look(); o.Token != nil || !o.Stored || o.Gone {
					w.Errorf("%+v", o)
				}
			}
			w.want("LINE", w.line.took())
		})
	})
	t.Run("invalid", func(t *testing.T) {
		bubble(t, func(w *world) {
			start(w)
			time.Sleep(31 * 24 * time.Hour)
			p := w.process()
			p.must(p.issue(), "token 2")
			w.want("LINE", w.line.took(), "verify", "issue")
		})
	})
	t.Run("cannot tell", func(t *testing.T) {
		bubble(t, func(w *world) {
			start(w)
			w.line.verify = func(context.Context, *store.Token) (time.Duration, error) { return 0, limited }
			o := w.process().issue()
			if o.Token != nil || !errors.Is(o.Err, limited) || o.Hold != limited.RetryAfter {
				w.Errorf("%+v", o)
			}
			w.want("LINE", w.line.took(), "verify")
		})
	})
	t.Run("unlimited", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Limited = false
			start(w)
			p := w.process()
			p.must(p.issue(), "token 1")
			w.want("LINE", w.line.took(), "verify")
		})
	})
	t.Run("of the one in use", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.shelf.noAge = true
			p := w.process()
			p.must(p.issue(), "token 1")
			time.Sleep(time.Hour)
			p.must(p.issue(), "token 2")
			w.want("LINE", w.line.took(), "issue", "issue")
		})
	})
}

// While a token is issued, the store has a mark; and the process has the lease.
func TestMark(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		p.must(p.issue(), "token 1")
		w.line.issue = func(context.Context) (*store.Token, error) {
			r := w.shelf.record(w.T)
			if r.Issuing == "" || r.Token == nil || r.Token.AccessToken != "token 1" || !w.shelf.leased() {
				w.Errorf("while it is issued, the store has %+v", r)
			}
			if w.shelf.lifetime < life {
				w.Errorf("the mark is kept for %v", w.shelf.lifetime)
			}
			return w.line.token(), nil
		}
		p.must(p.issue(), "token 2")
		if r := w.shelf.record(w.T); r.Issuing != "" || r.Lost != 0 || w.shelf.leased() {
			w.Errorf("after it, the store has %+v", r)
		}
	})
}

// failing has calls of a store fail.
func failing(calls ...string) func(string) error {
	return func(call string) error {
		if count(calls, call) > 0 {
			return errDisk
		}
		return nil
	}
}

// A process that cannot save issues nothing, unless that is allowed or does no harm.
func TestStoreFails(t *testing.T) {
	for _, fails := range []string{"load", "lease", "save"} {
		for name, tt := range map[string]struct {
			limited, without, have bool
			grace                  time.Duration
			issues                 bool
		}{
			"limited":                          {limited: true},
			"limited, with a token":            {limited: true, have: true},
			"allowed":                          {limited: true, without: true, issues: true},
			"allowed, with a token":            {limited: true, without: true, have: true, grace: time.Minute},
			"allowed, with one that ends":      {limited: true, without: true, have: true, issues: true},
			"unlimited":                        {issues: true},
			"unlimited, with a token":          {have: true, grace: time.Minute},
			"unlimited, with one that ends":    {have: true, issues: true},
			"unlimited, allowed, with a grace": {without: true, have: true, grace: time.Minute},
		} {
			t.Run(fails+"/"+name, func(t *testing.T) {
				bubble(t, func(w *world) {
					w.cfg.Limited, w.cfg.WithoutStore = tt.limited, tt.without
					p := w.process()
					if tt.have {
						p.must(p.issue(), "token 1")
						w.line.took()
					}
					w.shelf.hook(failing(fails), nil)
					for range 3 {
						o := p.get(w.Context(), fleet.Attempt{Issue: true, Wait: true, StoreGrace: tt.grace})
						if !errors.Is(o.Store, errDisk) || o.Stored || (o.Token != nil) != tt.issues {
							w.Fatalf("%+v", o)
						}
						if tt.issues && (o.Err != nil || !o.Issued) || !tt.issues && !errors.Is(o.Err, errDisk) {
							w.Errorf("%+v", o)
						}
						if !tt.issues && !tt.have && !errors.Is(o.Err, fleet.ErrStore) {
							w.Errorf("the error says not what to set: %v", o.Err)
						}
						if w.shelf.leased() {
							w.Error("the lease was not given back")
						}
					}
					if n := count(w.line.took(), "issue"); n != 0 && !tt.issues {
						w.Errorf("%d tokens issued", n)
					}
				})
			})
		}
	}
}

// A store that fails between the mark and the save costs one token, and the next
// process knows.
func TestStoreFailsAfterIssue(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		w.line.issue = func(context.Context) (*store.Token, error) {
			w.shelf.hook(failing("save"), nil)
			return w.line.token(), nil
		}
		o := p.issue()
		p.must(o, "token 1")
		if !o.Issued || o.Stored || !errors.Is(o.Store, errDisk) || w.shelf.leased() {
			w.Errorf("%+v", o)
		}
		for range 30 { // starts of others
			if o := w.process().issue(); o.Token != nil {
				w.Errorf("%+v", o)
			}
		}
		w.want("LINE", w.line.took(), "issue")
		w.shelf.hook(nil, nil)
		if o := p.look(); o.Token != nil || !o.Stored {
			w.Errorf("%+v", o)
		}
		other := w.process()
		other.must(other.issue(), "token 1")
		w.want("LINE", w.line.took())
	})
}

// The same with an older token, which the process does not go back to.
func TestNoWayBack(t *testing.T) {
	for _, fails := range []string{"after the issue", "all the time"} {
		t.Run(fails, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cfg.WithoutStore = true
				p := w.process()
				p.must(p.issue(), "token 1")
				time.Sleep(29 * 24 * time.Hour)
				if fails == "all the time" {
					w.shelf.hook(failing("save"), nil)
				}
				w.line.issue = func(context.Context) (*store.Token, error) {
					w.shelf.hook(failing("save"), nil)
					return w.line.token(), nil
				}
				p.must(p.issue(), "token 2")
				w.shelf.hook(nil, nil)
				w.line.issue = nil
				if o := p.look(); o.Token != nil || !o.Stored {
					w.Errorf("the newer token is given up: %+v", o)
				}
				other := w.process()
				other.must(other.issue(), "token 2")
			})
		})
	}
}

// A process that ended while it issued may have left a token: the next one asks
// LINE whether it answers, and issues after that.
func TestOrphanedMark(t *testing.T) {
	bubble(t, func(w *world) {
		w.shelf.set(w.T, store.Record{Issuing: "one that was killed"})
		w.line.knock = func(context.Context) error {
			if r := w.shelf.record(w.T); r.Lost != 1 || r.Issuing != "" || w.shelf.lifetime < life {
				w.Errorf("the store has %+v for %v", r, w.shelf.lifetime)
			}
			return unsent
		}
		for range 5 {
			if o := w.process().issue(); !errors.Is(o.Err, unsent) || o.Hold != 0 || w.shelf.leased() {
				w.Errorf("%+v", o)
			}
		}
		w.want("LINE", w.line.took(), "knock", "knock", "knock", "knock", "knock")
		w.line.knock = nil
		p := w.process()
		p.must(p.issue(), "token 1")
		w.want("LINE", w.line.took(), "knock", "issue")
		if r := w.shelf.record(w.T); r.Lost != 0 || r.Issuing != "" {
			w.Errorf("the store has %+v", r)
		}
	})
}

// Processes that are killed one after another are as bad as answers that are lost.
func TestOrphanedMarks(t *testing.T) {
	for _, limited := range []bool{false, true} {
		bubble(t, func(w *world) {
			w.cfg.Limited = limited
			w.shelf.set(w.T, store.Record{Issuing: "one that was killed", Lost: 2})
			killed := time.Now()
			time.Sleep(time.Minute)
			for _, ago := range []time.Duration{2 * time.Minute, 10*time.Minute - time.Second} {
				if !limited {
					break
				}
				o := w.process().issue() // knocks at first
				if want := 10*time.Minute - time.Since(killed); !errors.Is(o.Err, fleet.ErrHeld) || o.Hold != want || w.shelf.leased() {
					w.Errorf("%+v; want a hold for %v", o, want)
				}
				time.Sleep(ago - time.Since(killed))
			}
			if n := count(w.line.took(), "issue"); n > 0 {
				w.Errorf("%d issues", n)
			}
			time.Sleep(time.Second)
			p := w.process()
			p.must(p.issue(), "token 1")
		})
	}
}

// A mark whose process has the lease is no orphan.
func TestMarkOfOthers(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.process(), w.process()
		w.line.issue = func(context.Context) (*store.Token, error) {
			time.Sleep(10 * time.Second)
			return w.line.token(), nil
		}
		go a.issue()
		synctest.Wait()
		if o := b.get(w.Context(), fleet.Attempt{Issue: true}); !o.Busy || o.Err != nil || o.Token != nil || o.Look != time.Second {
			w.Errorf("with nobody waiting: %+v", o)
		}
		impatient, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if o := b.get(impatient, fleet.Attempt{Issue: true, Wait: true}); !errors.Is(o.Err, context.DeadlineExceeded) || o.Token != nil {
			w.Errorf("with an impatient caller: %+v", o)
		}
		b.must(b.issue(), "token 1")
		if w.shelf.record(w.T).Lost != 0 {
			w.Error("a lost answer is counted")
		}
		w.want("LINE", w.line.took(), "issue")
	})
}

func TestLost(t *testing.T) {
	for _, alone := range []bool{false, true} {
		bubble(t, func(w *world) {
			if alone {
				w.cfg.Store = nil
			}
			p := w.process()
			fail := func(err error) fleet.Outcome {
				t.Helper()
				w.line.took()
				w.line.issue = func(context.Context) (*store.Token, error) { return nil, err }
				o := p.issue()
				if !errors.Is(o.Err, err) || o.Token != nil || w.shelf.leased() {
					w.Fatalf("%+v", o)
				}
				return o
			}
			knocks := func(want int) {
				t.Helper()
				calls := w.line.took()
				if n := count(calls, "knock"); n != want || calls[len(calls)-1] != "issue" {
					w.Errorf("%d knocks, want %d", n, want)
				}
			}
			for i := range 5 { // nothing was sent
				if o := fail(unsent); o.Hold != 0 {
					w.Errorf("%+v", o)
				}
				knocks(min(i, 1)) // after a failure, LINE has to answer first
			}
			for _, want := range []int{1, 1} {
				if o := fail(lost); o.Hold != 0 {
					w.Errorf("%+v", o)
				}
				knocks(want)
			}
			begun := time.Now()
			o := fail(lost)
			knocks(16)
			if took := time.Since(begun); took != 1500*time.Millisecond || o.Hold != 10*time.Minute {
				w.Errorf("knocked for %v: %+v", took, o)
			}
			if !alone {
				other := w.process()
				if o := other.issue(); !errors.Is(o.Err, fleet.ErrHeld) || o.Hold != 10*time.Minute || o.Look != time.Second {
					w.Errorf("another process: %+v", o)
				}
				w.want("LINE", w.line.took())
			}
			time.Sleep(10 * time.Minute)
			if o := fail(lost); o.Hold != 20*time.Minute {
				w.Errorf("%+v", o)
			}
			time.Sleep(20 * time.Minute)
			fail(unsent) // changes nothing
			w.line.issue = nil
			p.must(p.issue(), "token 1")
			fail(lost)
			knocks(0) // counted from zero
		})
	}
}

// While LINE is down, nothing more is lost.
func TestKnockFails(t *testing.T) {
	bubble(t, func(w *world) {
		w.line.issue = func(context.Context) (*store.Token, error) { return nil, lost }
		w.process().issue()
		w.line.took()
		w.line.knock = func(context.Context) error { return lost }
		for range 100 {
			if o := w.process().issue(); !errors.Is(o.Err, lost) || o.Hold != 0 {
				w.Fatalf("%+v", o)
			}
		}
		if calls := w.line.took(); count(calls, "issue") != 0 || len(calls) != 100 || w.shelf.record(w.T).Lost != 1 {
			w.Errorf("%d calls, the store has %+v", len(calls), w.shelf.record(w.T))
		}
		w.line.knock = func(context.Context) error { return limited }
		if o := w.process().issue(); o.Hold != limited.RetryAfter {
			w.Errorf("%+v", o)
		}
	})
}

// Kinds without a limit are issued without a knock.
func TestUnlimitedKnocksNever(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Limited = false
		w.line.issue = func(context.Context) (*store.Token, error) { return nil, lost }
		for range 5 {
			if o := w.process().issue(); o.Hold != 0 || !errors.Is(o.Err, lost) {
				w.Errorf("%+v", o)
			}
		}
		w.want("LINE", w.line.took(), "issue", "issue", "issue", "issue", "issue")
	})
}

// LINE's Retry-After to one process holds for all, and no longer than it says.
func TestHold(t *testing.T) {
	bubble(t, func(w *world) {
		a := w.process()
		w.line.issue = func(context.Context) (*store.Token, error) { return nil, limited }
		if o := a.issue(); o.Hold != limited.RetryAfter || !errors.Is(o.Err, limited) {
			w.Errorf("%+v", o)
		}
		w.line.issue = nil
		begun := time.Now()
		for time.Since(begun) < limited.RetryAfter {
			o := w.process().issue()
			if left := limited.RetryAfter - time.Since(begun); !errors.Is(o.Err, fleet.ErrHeld) || o.Hold > left || o.Hold < left-time.Second {
				w.Fatalf("%v before the hold ends: %+v", left, o)
			}
			if o := w.process().look(); o.Err != nil {
				w.Fatalf("a look: %+v", o)
			}
			time.Sleep(10 * time.Second)
		}
		w.want("LINE", w.line.took(), "issue")
		p := w.process()
		p.must(p.issue(), "token 1")
		if w.shelf.record(w.T).Hold != 0 {
			w.Error("the hold outlives the token")
		}
		w.line.issue = func(context.Context) (*store.Token, error) { return nil, failure{RetryAfter: 1000 * time.Hour} }
		if o := p.issue(); o.Hold != time.Hour {
			w.Errorf("held for %v", o.Hold)
		}
	})
}

// The lease is free again after whatever happens, also if the context ended.
func TestLeaseIsGivenBack(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		ctx, cancel := context.WithCancel(w.Context())
		w.line.issue = func(context.Context) (*store.Token, error) {
			cancel()
			return w.line.token(), nil
		}
		o := p.get(ctx, fleet.Attempt{Issue: true})
		p.must(o, "token 1")
		if !o.Stored || w.shelf.leased() {
			w.Errorf("the token of a caller that left: %+v", o)
		}
		w.line.issue = func(ctx context.Context) (*store.Token, error) { <-ctx.Done(); return nil, lost }
		ctx, cancel = context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if o := p.get(ctx, fleet.Attempt{Issue: true}); o.Err == nil || w.shelf.leased() {
			w.Errorf("%+v", o)
		}
		if r := w.shelf.record(w.T); r.Issuing != "" || r.Lost != 1 {
			w.Errorf("the store has %+v", r)
		}
	})
}

// A process that was paused for longer than its lease finds another token when it
// saves its own, which is too much then.
func TestSurplus(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.process(), w.process()
		w.line.issue = func(context.Context) (*store.Token, error) {
			mine := w.line.token()
			w.line.issue = nil
			time.Sleep(leaseTime + time.Second)
			b.must(b.issue(), "token 2") //nolint:contextcheck // another process
			return mine, nil
		}
		o := a.issue()
		a.must(o, "token 2")
		if o.Surplus == nil || o.Surplus.AccessToken != "token 1" || o.Issued || !o.Stored || o.Store != nil {
			w.Errorf("%+v", o)
		}
		w.want("LINE", w.line.took(), "issue", "knock", "issue")
		if w.shelf.leased() {
			w.Error("the lease is held")
		}
	})
}

// A conflict with what is no better is overcome.
func TestConflict(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		w.line.issue = func(context.Context) (*store.Token, error) {
			w.shelf.set(w.T, store.Record{Lost: 2})
			return w.line.token(), nil
		}
		o := p.issue()
		p.must(o, "token 1")
		if !o.Stored || o.Surplus != nil || w.shelf.record(w.T).Token == nil {
			w.Errorf("%+v", o)
		}
	})
	bubble(t, func(w *world) { // the save was done, and said to be not
		p := w.process()
		saves := 0
		w.shelf.hook(nil, func(call string) error {
			if call == "save" {
				if saves++; saves == 2 {
					return store.ErrConflict
				}
			}
			return nil
		})
		o := p.issue()
		p.must(o, "token 1")
		if !o.Stored || o.Surplus != nil || o.Store != nil {
			w.Errorf("%+v", o)
		}
	})
	bubble(t, func(w *world) { // a store that always conflicts
		p := w.process()
		w.line.issue = func(context.Context) (*store.Token, error) {
			w.shelf.hook(func(call string) error {
				if call == "save" {
					return store.ErrConflict
				}
				return nil
			}, nil)
			return w.line.token(), nil
		}
		o := p.issue()
		p.must(o, "token 1")
		if o.Stored || !errors.Is(o.Store, store.ErrConflict) {
			w.Errorf("%+v", o)
		}
	})
}

func TestPutBack(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		p.must(p.issue(), "token 1")
		time.Sleep(24 * time.Hour)
		w.shelf.empty()
		w.shelf.took()
		if o := p.look(); !o.Stored || o.Token != nil || o.Store != nil {
			w.Errorf("%+v", o)
		}
		w.want("the store", w.shelf.took(), "load", "save")
		other := w.process()
		other.must(other.issue(), "token 1")

		w.shelf.set(w.T, store.Record{Issuing: "another"})
		if o := p.look(); o.Stored || o.Token != nil || w.shelf.record(w.T).Token != nil {
			w.Errorf("put back while another process is issuing: %+v", o)
		}
		w.shelf.set(w.T, store.Record{Lost: 2, Hold: time.Hour.Milliseconds()})
		time.Sleep(time.Minute)
		if o := p.look(); !o.Stored {
			w.Errorf("%+v", o)
		}
		if r := w.shelf.record(w.T); r.Lost != 2 || r.Hold != (59*time.Minute).Milliseconds() {
			w.Errorf("what others have to know is lost: %+v", r)
		}
		w.shelf.empty()
		w.shelf.hook(failing("save"), nil)
		if o := p.look(); o.Stored || !errors.Is(o.Store, errDisk) || o.Err != nil || o.Gone {
			w.Errorf("%+v", o)
		}
		w.shelf.hook(func(call string) error {
			if call == "save" {
				return store.ErrConflict
			}
			return nil
		}, nil)
		if o := p.look(); o.Stored || o.Store != nil {
			w.Errorf("%+v", o)
		}
	})
}

// What is damaged is replaced, and reported.
func TestDamaged(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		p.must(p.issue(), "token 1")
		damage := func() {
			w.shelf.mu.Lock()
			defer w.shelf.mu.Unlock()
			w.shelf.put([]byte("{"))
		}
		damage()
		if o := p.look(); !o.Stored || !errors.Is(o.Store, store.ErrCorrupt) || o.Err != nil {
			w.Errorf("%+v", o)
		}
		damage()
		other := w.process()
		o := other.issue()
		other.must(o, "token 2")
		if !o.Stored || !errors.Is(o.Store, store.ErrCorrupt) {
			w.Errorf("%+v", o)
		}
	})
}

func TestRevoke(t *testing.T) {
	bubble(t, func(w *world) {
		a, b, c := w.process(), w.process(), w.process()
		for _, p := range []*process{a, b, c} {
			p.must(p.issue(), "token 1")
		}
		if has, err := a.Has(w.Context(), a.have.Have); !has || err != nil {
			w.Error(has, err)
		}
		if err := a.Revoke(w.Context(), a.have.Have); err != nil {
			w.Fatal(err)
		}
		if has, err := a.Has(w.Context(), a.have.Have); has || err != nil {
			w.Error(has, err)
		}
		time.Sleep(time.Hour)
		if o := c.look(); !o.Gone || o.Token != nil || o.Stored || w.shelf.record(w.T).Token != nil {
			w.Errorf("one that looks: %+v", o)
		}
		o := b.issue()
		b.must(o, "token 2")
		if !o.Gone {
			w.Errorf("one that needs another: %+v", o)
		}
		if err := a.Revoke(w.Context(), a.have.Have); err != nil || w.shelf.record(w.T).Token == nil {
			w.Errorf("a token was revoked that is the stored one no more: %v", err)
		}
		c.must(c.look(), "token 2")
		w.shelf.hook(func(call string) error {
			if call == "save" {
				return store.ErrConflict
			}
			return nil
		}, nil)
		if err := b.Revoke(w.Context(), b.have.Have); !errors.Is(err, store.ErrConflict) {
			w.Errorf("a store that always conflicts: %v", err)
		}
		w.shelf.hook(failing("load"), nil)
		if err := b.Revoke(w.Context(), b.have.Have); !errors.Is(err, errDisk) {
			w.Errorf("a store that fails: %v", err)
		}
	})
}

// The store keeps the word on a revoked token for as long as another process may
// believe in it, which would put it back else.
func TestRevokedIsKept(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.process(), w.process()
		a.must(a.issue(), "token 1")
		b.must(b.issue(), "token 1")
		if err := a.Revoke(w.Context(), a.have.Have); err != nil {
			w.Fatal(err)
		}
		if w.shelf.lifetime < life-time.Second {
			w.Errorf("the store may forget after %v", w.shelf.lifetime)
		}
		time.Sleep(20 * 24 * time.Hour)
		if o := b.look(); !o.Gone || o.Stored {
			w.Errorf("a revoked token is in use: %+v", o)
		}
	})
}

func TestReject(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.process(), w.process()
		a.must(a.issue(), "token 1")
		b.Reject(a.have.Have)
		b.Reject(a.have.Have)
		o := b.issue()
		b.must(o, "token 2")
		a.must(a.look(), "token 2")
		if o := b.look(); o.Token != nil || !o.Stored {
			w.Errorf("%+v", o)
		}
	})
}

func TestHedge(t *testing.T) {
	hang := func(w *world, until int) {
		n := 0
		w.line.issue = func(ctx context.Context) (*store.Token, error) {
			w.line.mu.Lock()
			n++
			mine := n
			w.line.mu.Unlock()
			if mine >= until {
				return w.line.token(), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	t.Run("unlimited", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Limited = false
			hang(w, 3)
			begun := time.Now()
			p := w.process()
			p.must(p.insist(), "token 1")
			if took := time.Since(begun); took != 4*time.Second {
				w.Errorf("took %v", took)
			}
			w.want("LINE", w.line.took(), "issue", "issue", "issue")
		})
	})
	t.Run("not at first", func(t *testing.T) { // LINE may only be slow
		bubble(t, func(w *world) {
			w.cfg.Limited = false
			hang(w, 2)
			ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
			defer cancel()
			w.process().get(ctx, fleet.Attempt{Issue: true, Wait: true})
			w.want("LINE", w.line.took(), "issue")
		})
	})
	t.Run("at most five", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Limited = false
			hang(w, 100)
			ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
			defer cancel()
			if o := w.process().get(ctx, fleet.Attempt{Issue: true, Wait: true, Failing: true}); o.Err == nil {
				w.Errorf("%+v", o)
			}
			if n := len(w.line.took()); n != 5 {
				w.Errorf("%d requests", n)
			}
		})
	})
	t.Run("not while a token is valid", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Limited = false
			p := w.process()
			p.must(p.issue(), "token 1")
			time.Sleep(life - 10*time.Second)
			w.line.took()
			hang(w, 2)
			begun := time.Now()
			p.must(p.insist(), "token 2")
			if took := time.Since(begun); took != 10*time.Second {
				w.Errorf("the second request began after %v", took)
			}
		})
	})
	t.Run("not what counts", func(t *testing.T) {
		bubble(t, func(w *world) {
			hang(w, 2)
			ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
			defer cancel()
			w.process().get(ctx, fleet.Attempt{Issue: true, Wait: true})
			w.want("LINE", w.line.took(), "issue")
		})
	})
	t.Run("knocks", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.shelf.set(w.T, store.Record{Lost: 1})
			var knocks atomic.Int32
			w.line.knock = func(ctx context.Context) error {
				if knocks.Add(1) == 1 {
					<-ctx.Done()
				}
				return ctx.Err()
			}
			begun := time.Now()
			p := w.process()
			p.must(p.issue(), "token 1")
			if took := time.Since(begun); took != 2*time.Second {
				w.Errorf("took %v", took)
			}
		})
	})
	t.Run("Verify", func(t *testing.T) {
		bubble(t, func(w *world) {
			var asked atomic.Int32
			w.line.verify = func(ctx context.Context, _ *store.Token) (time.Duration, error) {
				if asked.Add(1) == 1 {
					<-ctx.Done()
				}
				return life, ctx.Err()
			}
			begun := time.Now()
			left, err := w.process().Verify(w.Context(), w.line.token())
			if took := time.Since(begun); left != life || err != nil || took != 2*time.Second {
				w.Errorf("%v, %v after %v", left, err, took)
			}
		})
	})
	t.Run("errors", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Limited = false
			w.line.issue = func(context.Context) (*store.Token, error) { return nil, unsent }
			begun := time.Now()
			if o := w.process().issue(); !errors.Is(o.Err, unsent) || time.Since(begun) != 0 {
				w.Errorf("after %v: %+v", time.Since(begun), o)
			}
		})
	})
}

// A token that is issued after its attempt ended is not lost.
func TestLate(t *testing.T) {
	bubble(t, func(w *world) {
		var late []*store.Token
		w.cfg.Late = func(t *store.Token) { late = append(late, t) }
		w.line.issue = func(context.Context) (*store.Token, error) {
			time.Sleep(10 * time.Second) // heeds no context
			return w.line.token(), nil
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		o := w.process().get(ctx, fleet.Attempt{Issue: true})
		if o.Token != nil || o.Err == nil || time.Since(begun) > 2*time.Second {
			w.Errorf("after %v: %+v", time.Since(begun), o)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(late) != 1 || late[0].AccessToken != "token 1" {
			w.Errorf("late: %v", late)
		}
	})
}

// Whatever hangs, and whether or not it heeds contexts, Get returns.
func TestHangs(t *testing.T) {
	for _, hangs := range []string{"load", "lease", "save", "release", "issue", "knock", "verify"} {
		t.Run(hangs, func(t *testing.T) {
			bubble(t, func(w *world) {
				a := w.process()
				a.must(a.issue(), "token 1")
				w.shelf.set(w.T, store.Record{Lost: 1, Token: a.have.Have})
				time.Sleep(life + time.Second)
				over := make(chan struct{})
				defer close(over)
				hang := func(call string) error {
					if call == hangs {
						<-over
						return errDisk
					}
					return nil
				}
				w.shelf.hook(hang, nil)
				w.line.issue = func(context.Context) (*store.Token, error) { _ = hang("issue"); return w.line.token(), nil }
				w.line.knock = func(context.Context) error { return hang("knock") }
				w.line.verify = func(context.Context, *store.Token) (time.Duration, error) {
					return 0, errors.Join(hang("verify"), fleet.ErrInvalid)
				}
				w.line.took()
				w.shelf.took()
				p := w.process()
				returned := make(chan struct{})
				go func() {
					defer close(returned)
					for range 30 {
						ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
						p.have = fleet.Attempt{}
						p.get(ctx, fleet.Attempt{Issue: true, Wait: true})
						cancel()
					}
				}()
				select {
				case <-returned:
				case <-time.After(30 * 20 * time.Second):
					w.Fatal("it does not return")
				}
				stuck := 0
				switch hangs {
				case "issue", "knock", "verify":
					stuck = count(w.line.took(), hangs)
				default:
					stuck = count(w.shelf.took(), hangs)
				}
				if stuck < 1 || stuck > 8 {
					w.Errorf("%d calls hang", stuck)
				}
			})
		})
	}
}

// What it costs to wait for another process.
func TestWaiting(t *testing.T) {
	wait := func(w *world, others ...*process) (calls int) {
		w.line.issue = func(context.Context) (*store.Token, error) {
			w.shelf.took()
			time.Sleep(5 * time.Second)
			calls = len(w.shelf.took())
			return w.line.token(), nil
		}
		issuer := w.process()
		var all sync.WaitGroup
		all.Go(func() { issuer.must(issuer.issue(), "token 1") })
		synctest.Wait()
		begun := time.Now()
		for _, p := range others {
			all.Go(func() {
				p.must(p.issue(), "token 1")
				if took := time.Since(begun); took > 5*time.Second+300*time.Millisecond {
					w.Errorf("has it %v after it was issued", took-5*time.Second)
				}
			})
		}
		all.Wait()
		w.want("LINE", w.line.took(), "issue")
		return calls
	}
	t.Run("polled", func(t *testing.T) {
		bubble(t, func(w *world) {
			if calls := wait(w, w.process()); calls < 10 || calls > 50 {
				w.Errorf("%d calls of the store in 5 s", calls)
			}
		})
	})
	t.Run("watched", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Store = &noticed{shelf: w.shelf}
			ctx, cancel := context.WithCancel(w.Context())
			defer cancel()
			p := w.process()
			go p.Watch(ctx, func() {}, func(err error, _ time.Duration) { w.Error(err) })
			synctest.Wait()
			if calls := wait(w, p); calls < 2 || calls > 10 {
				w.Errorf("%d calls of the store in 5 s", calls)
			}
			if o := p.look(); o.Look != 0 {
				w.Errorf("looks again in %v", o.Look)
			}
		})
	})
	t.Run("many", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.cfg.Store = &noticed{shelf: w.shelf}
			ctx, cancel := context.WithCancel(w.Context())
			defer cancel()
			var others []*process
			for range 200 {
				p := w.process()
				go p.Watch(ctx, func() {}, func(err error, _ time.Duration) { w.Error(err) })
				others = append(others, p)
			}
			synctest.Wait()
			if calls := wait(w, others...); calls > 2000 {
				w.Errorf("%d calls of the store in 5 s", calls)
			}
		})
	})
}

// A fleet that starts cold issues one token.
func TestColdFleet(t *testing.T) {
	bubble(t, func(w *world) {
		w.line.issue = func(context.Context) (*store.Token, error) {
			time.Sleep(100 * time.Millisecond)
			return w.line.token(), nil
		}
		var all sync.WaitGroup
		for range 50 {
			p := w.process()
			all.Go(func() { p.must(p.issue(), "token 1") })
		}
		all.Wait()
		w.want("LINE", w.line.took(), "issue")
	})
}

func TestWatch(t *testing.T) {
	bubble(t, func(w *world) {
		var told, failed int
		w.process().Watch(w.Context(), func() { told++ }, func(error, time.Duration) { failed++ })
		if told+failed != 0 {
			w.Error("a store that reports nothing was watched")
		}
	})
	bubble(t, func(w *world) {
		s := &broken{shelf: w.shelf}
		w.cfg.Store = s
		p := w.process()
		ctx, cancel := context.WithCancel(w.Context())
		var waits []time.Duration
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.Watch(ctx, func() {}, func(err error, wait time.Duration) {
				if !errors.Is(err, errDisk) {
					w.Error(err)
				}
				waits = append(waits, wait)
			})
		}()
		time.Sleep(time.Hour)
		cancel()
		<-ended
		if len(waits) < 55 || len(waits) > 80 || waits[0] != time.Second || waits[1] != 2*time.Second || waits[len(waits)-1] != time.Minute {
			w.Errorf("waits %v", waits)
		}
		if o := p.look(); o.Look == 0 {
			w.Errorf("does not look by itself")
		}
	})
	bubble(t, func(w *world) {
		s := &broken{shelf: w.shelf, hang: make(chan struct{})}
		w.cfg.Store = s
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.process().Watch(ctx, func() {}, func(error, time.Duration) {})
		}()
		time.Sleep(2 * time.Minute)
		select {
		case <-ended:
		default:
			w.Error("a watch that does not heed its context is waited for")
		}
		close(s.hang)
	})
}

// broken is a shelf that cannot report changes.
type broken struct {
	*shelf
	hang chan struct{}
}

func (b *broken) Watch(context.Context, string, func()) error {
	if b.hang != nil {
		<-b.hang
	}
	return errDisk
}

// A check loses no token whose age the store cannot tell.
func TestCheckKeepsATokenOfUnknownAge(t *testing.T) {
	bubble(t, func(w *world) {
		p := w.process()
		p.must(p.issue(), "token 1")
		w.shelf.noAge = true
		before := w.shelf.record(w.T)
		if err := w.process().Check(w.Context()); err != nil {
			w.Error(err)
		}
		if after := w.shelf.record(w.T); after.Token == nil || after.Token.Left != before.Token.Left {
			w.Errorf("%+v became %+v", before.Token, after.Token)
		}
		if w.shelf.leased() {
			w.Error("the lease was not given back")
		}
	})
}
