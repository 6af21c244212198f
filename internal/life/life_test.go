package life_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/internal/keeper"
	"github.com/lineoauth/lineoauth/internal/life"
	"github.com/lineoauth/lineoauth/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const valid = 30 * 24 * time.Hour // of each token

var (
	errDown = errors.New("LINE answers 500")
	errDisk = errors.New("no space left on device")
)

// server is LINE. Its fields are changed between calls.
type server struct {
	mu                  sync.Mutex
	issues, verifies    int
	issueErr, verifyErr error
	slow                time.Duration
	revoked             map[string]bool
}

func (s *server) Issue(ctx context.Context) (*store.Token, error) {
	if err := s.pause(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issueErr != nil {
		return nil, s.issueErr
	}
	s.issues++
	return &store.Token{AccessToken: fmt.Sprintf("token %d", s.issues), Kind: "v2.1", ExpiresIn: int64(valid.Seconds()), Left: valid.Milliseconds()}, nil
}

func (s *server) pause(ctx context.Context) error {
	select {
	case <-time.After(s.slow):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *server) Knock(context.Context) error { return nil }

func (s *server) Verify(ctx context.Context, t *store.Token) (time.Duration, error) {
	s.mu.Lock()
	s.verifies++
	s.mu.Unlock()
	if err := s.pause(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.verifyErr != nil:
		return 0, s.verifyErr
	case s.revoked[t.AccessToken]:
		return 0, fleet.ErrInvalid
	}
	return time.Hour, nil
}

func (s *server) Failure(error) fleet.Failure { return fleet.Failure{} }

func (s *server) revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked == nil {
		s.revoked = map[string]bool{}
	}
	s.revoked[token] = true
}

// shelf is a store that reports changes, and fails when told to.
type shelf struct {
	mu       sync.Mutex
	value    []byte
	revision int
	saved    time.Time
	leased   bool
	err      error // of each call but Watch
	saveErr  error
	watchErr error
	watchers map[*func()]bool
}

func (s *shelf) Load(context.Context, string) (store.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		return store.Entry{}, s.err
	}
	return store.Entry{Value: s.value, Revision: fmt.Sprint(s.revision), Age: time.Since(s.saved)}, s.err
}

func (s *shelf) Save(_ context.Context, _ string, u store.Update) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil || s.saveErr != nil:
		return "", errors.Join(s.err, s.saveErr)
	case u.Replaces != "" && u.Replaces != fmt.Sprint(s.revision), u.Replaces == "" && s.value != nil:
		return "", store.ErrConflict
	}
	s.value, s.saved = u.Value, time.Now()
	s.revision++
	for changed := range s.watchers {
		go (*changed)()
	}
	return fmt.Sprint(s.revision), nil
}

func (s *shelf) Lease(context.Context, string, time.Duration) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.leased {
		return nil, store.ErrLeased
	}
	s.leased = true
	return func() { s.mu.Lock(); s.leased = false; s.mu.Unlock() }, nil
}

func (s *shelf) Watch(ctx context.Context, _ string, changed func()) error {
	s.mu.Lock()
	if s.watchErr != nil {
		defer s.mu.Unlock()
		return s.watchErr
	}
	if s.watchers == nil {
		s.watchers = map[*func()]bool{}
	}
	s.watchers[&changed] = true
	s.mu.Unlock()
	changed()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, &changed)
	return ctx.Err()
}

func (s *shelf) watched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}

// process is one with a life, and its events.
type process struct {
	*life.Life
	t *testing.T

	mu     sync.Mutex
	events []life.Event
}

var names = map[life.EventKind]string{
	life.Issued: "issued", life.Refreshed: "refreshed", life.Adopted: "adopted",
	life.Failed: "failed", life.StoreFailed: "store failed", life.Dropped: "dropped",
}

// told returns the events since the last time.
func (p *process) told() (all []string) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		s := names[e.Kind]
		if e.Token != nil {
			s += " " + e.Token.AccessToken
		}
		all = append(all, s)
	}
	p.events = nil
	return all
}

func (p *process) want(events ...string) {
	p.t.Helper()
	if got := p.told(); !slices.Equal(got, events) {
		p.t.Errorf("told %q, want %q", got, events)
	}
}

// get returns the token, which must be had at once.
func (p *process) get() string {
	p.t.Helper()
	begun := time.Now()
	token, err := p.Get(p.t.Context())
	if err != nil {
		p.t.Fatalf("after %v: %v", time.Since(begun), err)
	}
	return token.Value.AccessToken
}

type world struct {
	*testing.T
	line  *server
	shelf *shelf // nil for none
	cfg   func(*life.Config)
}

func (w *world) process() *process {
	p := &process{t: w.T}
	c := clock.New(time.Now)
	cfg := life.Config{
		Fleet: fleet.Config{
			LINE: w.line, Clock: c, Key: "key", Limited: true, LeaseTime: time.Minute,
			Usable: func(*store.Token) bool { return true },
		},
		Keeper: &keeper.Settings{Clock: c, Attempts: 3, Timeout: time.Minute, Window: time.Hour},
		Now:    time.Now,
		OnEvent: func(_ context.Context, e life.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, e)
		},
	}
	if w.shelf != nil {
		cfg.Fleet.Store = w.shelf
	}
	if w.cfg != nil {
		w.cfg(&cfg)
	}
	p.Life = life.New(cfg)
	return p
}

// bubble runs a test in virtual time, alone or with a store.
func bubble(t *testing.T, s *shelf, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(&world{T: t, line: &server{}, shelf: s}) })
}

func TestEvents(t *testing.T) {
	bubble(t, nil, func(w *world) {
		p := w.process()
		defer p.Close()
		if s := p.Snapshot(); s.Token != nil || s.Counts != (life.Counts{}) || p.NextAttempt() != 0 {
			w.Errorf("before the first call: %+v", s)
		}
		p.get()
		p.want("issued token 1")
		s := p.Snapshot()
		if s.Token.AccessToken != "token 1" || s.Expires != valid || s.Due < valid-time.Hour || s.Due > valid-time.Hour/2 || p.NextAttempt() != s.Due {
			w.Errorf("%+v", s)
		}
		time.Sleep(valid - time.Hour/2)
		w.line.issueErr = errDown
		p.get()
		p.want("failed")
		time.Sleep(time.Minute)
		w.line.issueErr = nil
		p.get()
		p.want("refreshed token 2")
		time.Sleep(2 * valid)
		if s := p.Snapshot(); s.Token == nil || s.Expires >= 0 {
			w.Errorf("after it expired: %+v", s)
		}
		p.get()
		p.want("issued token 3")
		w.line.issueErr = errDown
		time.Sleep(2 * valid)
		if _, err := p.Get(w.Context()); !errors.Is(err, errDown) {
			w.Errorf("got %v", err)
		}
		p.want("failed", "failed", "failed")
		if c := p.Snapshot().Counts; c != (life.Counts{Issued: 3, Failures: 4, Waits: 3}) {
			w.Errorf("%+v", c)
		}
		p.Close()
		p.want()
		if _, err := p.Get(w.Context()); !errors.Is(err, life.ErrClosed) {
			w.Errorf("after Close: %v", err)
		}
	})
}

func TestGetFor(t *testing.T) {
	bubble(t, nil, func(w *world) {
		p := w.process()
		defer p.Close()
		p.get()
		time.Sleep(time.Hour)
		token, err := p.GetFor(w.Context(), valid-time.Minute)
		if err != nil || token.Value.AccessToken != "token 2" {
			w.Errorf("%+v, %v", token, err)
		}
		p.Close()
		if _, err := p.GetFor(w.Context(), time.Hour); !errors.Is(err, life.ErrClosed) {
			w.Errorf("after Close: %v", err)
		}
	})
}

func TestEventsOfStores(t *testing.T) {
	bubble(t, &shelf{}, func(w *world) {
		a, b := w.process(), w.process()
		defer a.Close()
		defer b.Close()
		a.get()
		b.get()
		a.want("issued token 1")
		b.want("adopted token 1")
		synctest.Wait()
		// The store fails, and callers have their token.
		w.shelf.err = errDisk
		time.Sleep(valid - time.Minute)
		b.get()
		b.want("store failed")
		w.shelf.err = nil
		time.Sleep(30 * time.Second)
		b.get()
		b.want("refreshed token 2")
		time.Sleep(time.Second)
		a.get() // looks at what the store reported soon after another change
		a.want("adopted token 2")
		if c := b.Snapshot().Counts; c.Adopted != 1 || c.Issued != 1 || c.StoreFailures != 1 || c.Failures != 0 {
			w.Errorf("%+v", c)
		}
	})
}

// What fails is reported once, whichever call of the store it was.
func TestStoreFails(t *testing.T) {
	for name, fail := range map[string]func(*shelf){
		"all":  func(s *shelf) { s.err = errDisk },
		"save": func(s *shelf) { s.saveErr = errDisk },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, &shelf{}, func(w *world) {
				fail(w.shelf)
				p := w.process()
				defer p.Close()
				if _, err := p.Get(w.Context()); !errors.Is(err, errDisk) || !errors.Is(err, fleet.ErrStore) {
					w.Errorf("got %v", err)
				}
				p.want("store failed", "store failed", "store failed")
			})
		})
	}
}

func TestRefused(t *testing.T) {
	refused := func(w *world, p *process, token string, callers int) (replaced int, errs int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				yes, err := p.Refused(w.Context(), token)
				mu.Lock()
				defer mu.Unlock()
				if yes {
					replaced++
				}
				if err != nil {
					errs++
				}
			})
		}
		all.Wait()
		return replaced, errs
	}
	t.Run("valid", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			defer p.Close()
			token := p.get()
			p.told()
			w.line.slow = 100 * time.Millisecond
			begun := time.Now()
			for time.Since(begun) < 10*time.Second {
				if replaced, errs := refused(w, p, token, 10); replaced+errs != 0 {
					w.Fatalf("%d replaced, %d errors", replaced, errs)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if w.line.verifies < 5 || w.line.verifies > 11 {
				w.Errorf("%d verifications in %v", w.line.verifies, time.Since(begun))
			}
			if p.get() != token {
				w.Error("a valid token was replaced")
			}
			p.want()
		})
	})
	t.Run("invalid", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			defer p.Close()
			token := p.get()
			p.told()
			w.line.revoke(token)
			w.line.slow = 100 * time.Millisecond
			if replaced, errs := refused(w, p, token, 100); replaced != 100 || errs != 0 || w.line.verifies != 1 {
				w.Errorf("%d replaced, %d errors, %d verifications", replaced, errs, w.line.verifies)
			}
			if p.get() != "token 2" {
				w.Error("it was not replaced")
			}
			p.want("dropped token 1", "issued token 2")
			if replaced, _ := refused(w, p, token, 1); replaced != 1 || w.line.verifies != 1 {
				w.Error("one that is in use no more was verified")
			}
		})
	})
	t.Run("cannot tell", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			defer p.Close()
			token := p.get()
			w.line.verifyErr = errDown
			if replaced, errs := refused(w, p, token, 100); errs == 0 || replaced+errs != 100 || w.line.verifies != 1 {
				w.Errorf("%d replaced, %d errors, %d verifications", replaced, errs, w.line.verifies)
			}
			synctest.Wait()
			if p.get() != "token 2" {
				w.Error("it was not replaced")
			}
			for begun := time.Now(); time.Since(begun) < 9*time.Minute; time.Sleep(300 * time.Millisecond) {
				if replaced, errs := refused(w, p, p.get(), 1); replaced != 0 || errs != 1 {
					w.Fatalf("%d replaced, %d errors", replaced, errs)
				}
			}
			if w.line.issues != 2 {
				w.Errorf("%d tokens in 10 minutes", w.line.issues)
			}
			if w.line.verifies > 9*60+2 {
				w.Errorf("%d verifications in 9 minutes", w.line.verifies)
			}
		})
	})
	t.Run("verdict of another", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			defer p.Close()
			refused(w, p, p.get(), 1)
			w.line.revoke("token 1")
			time.Sleep(time.Second)
			refused(w, p, "token 1", 1)
			synctest.Wait()
			if p.get() != "token 2" {
				w.Error("it was not replaced")
			}
		})
	})
	t.Run("expired", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			defer p.Close()
			token := p.get()
			time.Sleep(valid)
			if replaced, errs := refused(w, p, token, 1); replaced != 1 || errs != 0 || w.line.verifies != 0 {
				w.Error("an expired token was verified")
			}
			p.want("issued token 1") // and no refusal counts
		})
	})
	t.Run("callers leave, and Close ends it", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			token := p.get()
			w.line.slow = 10 * time.Second
			ctx, cancel := context.WithTimeout(w.Context(), time.Second)
			defer cancel()
			if _, err := p.Refused(ctx, token); !errors.Is(err, context.DeadlineExceeded) {
				w.Errorf("got %v", err)
			}
			go func() { _, _ = p.Refused(w.Context(), token) }()
			synctest.Wait()
			begun := time.Now()
			p.Close()
			if time.Since(begun) != 0 || w.line.verifies != 1 {
				w.Errorf("closed after %v, and %d verifications", time.Since(begun), w.line.verifies)
			}
		})
	})
	t.Run("elsewhere", func(t *testing.T) {
		bubble(t, &shelf{}, func(w *world) {
			a, b := w.process(), w.process()
			defer a.Close()
			defer b.Close()
			token := a.get()
			b.get()
			time.Sleep(time.Minute)
			w.line.revoke(token)
			refused(w, a, token, 10)
			time.Sleep(time.Second)
			b.get() // looks at a change that came soon after another
			synctest.Wait()
			if a.get() != "token 2" || b.get() != "token 2" || w.line.verifies != 1 || w.line.issues != 2 {
				w.Errorf("%s and %s, after %d verifications", a.get(), b.get(), w.line.verifies)
			}
		})
	})
}

func TestWatch(t *testing.T) {
	bubble(t, &shelf{}, func(w *world) {
		p := w.process()
		synctest.Wait()
		if w.shelf.watched() != 0 {
			w.Error("watched before there is a token")
		}
		p.get()
		time.Sleep(time.Minute)
		p.get()
		if w.shelf.watched() != 1 {
			w.Errorf("watched %d times", w.shelf.watched())
		}
		p.Close()
		if w.shelf.watched() != 0 {
			w.Error("watched after Close")
		}
	})
	bubble(t, &shelf{watchErr: errDisk}, func(w *world) {
		p := w.process()
		defer p.Close()
		p.get()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		events := p.told()
		slices.Sort(events)
		if n := p.Snapshot().StoreFailures; !slices.Equal(slices.Compact(events), []string{"issued token 1", "store failed"}) || n != 4 {
			w.Errorf("told %q, %d failures", events, n)
		}
		if p.get() != "token 1" {
			w.Error("another token")
		}
	})
}

// A life that was forgotten works, and has no goroutine.
func TestForget(t *testing.T) {
	bubble(t, &shelf{}, func(w *world) {
		p := w.process()
		token := p.get()
		p.Forget()
		w.line.slow = time.Second / 10
		synctest.Wait()
		if w.shelf.watched() != 0 {
			w.Error("it watches")
		}
		if p.get() != token {
			w.Error("another token")
		}
		time.Sleep(time.Minute)
		if replaced, err := p.Refused(w.Context(), token); replaced || err != nil {
			w.Errorf("a valid token: %v, %v", replaced, err)
		}
		time.Sleep(time.Second)
		w.line.revoke(token)
		if replaced, err := p.Refused(w.Context(), token); !replaced || err != nil {
			w.Errorf("a revoked token: %v, %v", replaced, err)
		}
		time.Sleep(time.Second)
		if p.get() != "token 2" || w.shelf.watched() != 0 {
			w.Error("it was not replaced, or it watches again")
		}
	})
	bubble(t, &shelf{}, func(w *world) {
		p := w.process()
		p.Forget()
		p.get()
		synctest.Wait()
		if w.shelf.watched() != 0 {
			w.Error("it watches")
		}
	})
}

func TestRevoke(t *testing.T) {
	// revoke returns what is revoked; it fails at first.
	revoke := func(w *world, p *process) []string {
		w.Helper()
		var revoked []string
		failed := false
		f := func(_ context.Context, t *store.Token) error {
			if !failed {
				failed = true
				return errDown
			}
			revoked = append(revoked, t.AccessToken)
			return nil
		}
		if err := p.Revoke(w.Context(), f); failed && !errors.Is(err, errDown) {
			w.Errorf("got %v", err)
		}
		if err := p.Revoke(w.Context(), f); err != nil {
			w.Errorf("the second time: %v", err)
		}
		if _, err := p.Get(w.Context()); !errors.Is(err, life.ErrClosed) {
			w.Errorf("after Revoke: %v", err)
		}
		return revoked
	}
	want := func(w *world, p *process, tokens ...string) {
		w.Helper()
		if got := revoke(w, p); !slices.Equal(got, tokens) {
			w.Errorf("revoked %q, want %q", got, tokens)
		}
	}
	t.Run("nothing", func(t *testing.T) {
		bubble(t, nil, func(w *world) { want(w, w.process()) })
	})
	t.Run("alone", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			p := w.process()
			for range 3 {
				p.get()
				time.Sleep(valid - time.Minute)
			}
			p.get()
			synctest.Wait()
			want(w, p, "token 2", "token 3", "token 4", "token 1") // the first failed, and keeps no other
		})
	})
	t.Run("unlimited", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.cfg = func(c *life.Config) { c.Fleet.Limited = false }
			p := w.process()
			p.get()
			want(w, p)
		})
	})
	t.Run("shared", func(t *testing.T) {
		bubble(t, &shelf{}, func(w *world) {
			p := w.process()
			p.get()
			want(w, p)
		})
	})
	t.Run("under way", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.line.slow = 5 * time.Second
			p := w.process()
			go func() { _, _ = p.Get(w.Context()) }()
			synctest.Wait()
			want(w, p, "token 1")
		})
	})
	t.Run("surplus", func(t *testing.T) {
		bubble(t, &shelf{}, func(w *world) {
			w.line.slow = 10 * time.Second
			a, b := w.process(), w.process()
			defer b.Close()
			go func() { _, _ = a.Get(w.Context()) }()
			synctest.Wait()
			w.shelf.leased = false // a was paused for longer
			w.line.slow = time.Second
			b.get()
			time.Sleep(10 * time.Second)
			if a.get() != "token 1" {
				w.Error("a has a token of its own")
			}
			a.want("adopted token 1")
			want(w, a, "token 2")
		})
	})
	t.Run("not saved", func(t *testing.T) {
		bubble(t, &shelf{}, func(w *world) {
			w.cfg = func(c *life.Config) { c.Fleet.WithoutStore = true }
			w.shelf.saveErr = errDisk
			p := w.process()
			p.get()
			if told := slices.Compact(p.told()); !slices.Equal(told, []string{"issued token 1", "store failed"}) {
				w.Errorf("told %q", told)
			}
			want(w, p, "token 1")
		})
	})
	t.Run("saved later", func(t *testing.T) {
		bubble(t, &shelf{}, func(w *world) {
			w.cfg = func(c *life.Config) { c.Fleet.WithoutStore = true }
			w.shelf.saveErr = errDisk
			p := w.process()
			p.get()
			synctest.Wait()
			w.shelf.saveErr = nil
			time.Sleep(time.Hour)
			p.get()
			synctest.Wait()
			want(w, p)
		})
	})
}

// Close waits for what is under way, and no event follows it.
func TestClose(t *testing.T) {
	bubble(t, &shelf{}, func(w *world) {
		w.line.slow = time.Second
		p := w.process()
		go func() {
			if _, err := p.Get(w.Context()); !errors.Is(err, life.ErrClosed) {
				w.Errorf("a caller that waited: %v", err)
			}
		}()
		synctest.Wait()
		p.Close()
		w.shelf.mu.Lock()
		if w.shelf.leased {
			w.Error("the lease was not given back")
		}
		w.shelf.mu.Unlock()
		told := p.told()
		p.Close()
		time.Sleep(time.Hour)
		p.want()
		if len(told) != 0 {
			w.Errorf("told %q", told)
		}
	})
}

// Events come one after another, from wherever they are.
func TestEventsInTurn(t *testing.T) {
	bubble(t, &shelf{watchErr: errDisk}, func(w *world) {
		var at, most int
		var mu sync.Mutex
		w.cfg = func(c *life.Config) {
			c.OnEvent = func(context.Context, life.Event) {
				mu.Lock()
				at++
				most = max(most, at)
				mu.Unlock()
				time.Sleep(3 * time.Second)
				mu.Lock()
				at--
				mu.Unlock()
			}
		}
		p := w.process()
		defer p.Close()
		p.get()
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if most != 1 {
			w.Errorf("%d events at a time", most)
		}
	})
}
