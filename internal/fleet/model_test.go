package fleet_test

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
	"github.com/lineoauth/lineoauth/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key       = "the channel"
	kind      = "v2.1"
	life      = 30 * 24 * time.Hour
	leaseTime = 30 * time.Second
)

// shelf is a store with one key. It does what it should, but for what its hooks
// do before.
type shelf struct {
	before func(call string) error // of "load", "save", or "lease"
	after  func(call string) error
	noAge  bool // the store cannot tell ages

	mu       sync.Mutex
	calls    []string
	value    []byte
	revision int
	saved    time.Time
	lifetime time.Duration
	holder   int // of the lease; 0 for nobody
	leases   int
	until    time.Time
}

var _ store.Store = (*shelf)(nil)

// do makes a call with the hooks around it.
func (s *shelf) do(call string, f func() error) error {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(call); err != nil {
			return err
		}
	}
	s.mu.Lock()
	err := f()
	s.mu.Unlock()
	if err == nil && after != nil {
		err = after(call)
	}
	return err
}

func (s *shelf) Load(context.Context, string) (e store.Entry, err error) {
	err = s.do("load", func() error {
		if s.value == nil {
			return nil
		}
		e = store.Entry{Value: s.value, Revision: fmt.Sprint(s.revision), Age: time.Since(s.saved)}
		if s.noAge {
			e.Age = store.AgeUnknown
		}
		return nil
	})
	return e, err
}

func (s *shelf) Save(_ context.Context, _ string, u store.Update) (revision string, err error) {
	err = s.do("save", func() error {
		if s.value == nil && u.Replaces != "" || s.value != nil && u.Replaces != fmt.Sprint(s.revision) {
			return store.ErrConflict
		}
		s.put(u.Value)
		s.lifetime = u.Lifetime
		revision = fmt.Sprint(s.revision)
		return nil
	})
	return revision, err
}

func (s *shelf) put(value []byte) {
	s.value, s.saved = value, time.Now()
	s.revision++
}

func (s *shelf) Lease(_ context.Context, _ string, ttl time.Duration) (release func(), err error) {
	var mine int
	err = s.do("lease", func() error {
		if s.holder != 0 && time.Now().Before(s.until) {
			return store.ErrLeased
		}
		s.leases++
		s.holder, s.until = s.leases, time.Now().Add(ttl)
		mine = s.holder
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() {
		_ = s.do("release", func() error {
			if s.holder == mine {
				s.holder = 0
			}
			return nil
		})
	}, nil
}

// record is what the shelf has.
func (s *shelf) record(t *testing.T) store.Record {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		return store.Record{}
	}
	r, err := store.DecodeRecord(key, s.value)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// set puts another record onto the shelf.
func (s *shelf) set(t *testing.T, r store.Record) {
	t.Helper()
	r.Key = key
	value, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(value)
}

func (s *shelf) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = nil
}

func (s *shelf) leased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder != 0 && time.Now().Before(s.until)
}

// took returns the calls since the last time.
func (s *shelf) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// hook has the next calls do something before and after.
func (s *shelf) hook(before, after func(call string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// noticed is a shelf that reports saves.
type noticed struct {
	*shelf
	mu   sync.Mutex
	told map[int]func()
	n    int
}

func (n *noticed) Watch(ctx context.Context, _ string, changed func()) error {
	n.mu.Lock()
	if n.told == nil {
		n.told = map[int]func(){}
	}
	n.n++
	mine := n.n
	n.told[mine] = changed
	n.mu.Unlock()
	changed()
	<-ctx.Done()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.told, mine)
	return ctx.Err()
}

func (n *noticed) Save(ctx context.Context, key string, u store.Update) (string, error) {
	revision, err := n.shelf.Save(ctx, key, u)
	if err == nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, changed := range n.told {
			changed()
		}
	}
	return revision, err
}

// failure is an error of LINE.
type failure fleet.Failure

func (f failure) Error() string { return fmt.Sprintf("%+v", fleet.Failure(f)) }

var (
	lost    = failure{Sent: true}
	unsent  = failure{}
	limited = failure{RetryAfter: 10 * time.Minute}
)

// server is LINE as these tests need it.
type server struct {
	issue  func(context.Context) (*store.Token, error) // nil issues
	knock  func(context.Context) error                 // nil answers
	verify func(context.Context, *store.Token) (time.Duration, error)

	mu     sync.Mutex
	calls  []string
	issued map[string]time.Time // when each token expires
}

func (s *server) called(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, what)
}

// took returns the calls since the last time.
func (s *server) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func (s *server) token() *store.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issued == nil {
		s.issued = map[string]time.Time{}
	}
	name := fmt.Sprintf("token %d", len(s.issued)+1)
	s.issued[name] = time.Now().Add(life)
	return &store.Token{AccessToken: name, Kind: kind, ExpiresIn: int64(life.Seconds()), Left: life.Milliseconds()}
}

func (s *server) Issue(ctx context.Context) (*store.Token, error) {
	s.called("issue")
	if s.issue != nil {
		return s.issue(ctx)
	}
	return s.token(), nil
}

func (s *server) Knock(ctx context.Context) error {
	s.called("knock")
	if s.knock != nil {
		return s.knock(ctx)
	}
	return nil
}

func (s *server) Verify(ctx context.Context, t *store.Token) (time.Duration, error) {
	s.called("verify")
	if s.verify != nil {
		return s.verify(ctx, t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := time.Until(s.issued[t.AccessToken]); left > 0 {
		return left, nil
	}
	return 0, fleet.ErrInvalid
}

func (s *server) Failure(err error) fleet.Failure {
	var f failure
	errors.As(err, &f)
	return fleet.Failure(f)
}

// world is a store, LINE, and what each process of a fleet is configured with.
type world struct {
	*testing.T
	shelf *shelf
	line  *server
	cfg   fleet.Config
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, shelf: &shelf{}, line: &server{}}
		w.cfg = fleet.Config{
			LINE: w.line, Store: w.shelf, Key: key, Limited: true, LeaseTime: leaseTime,
			Usable: func(t *store.Token) bool { return t.Kind == kind },
		}
		test(w)
	})
}

// process is one of a fleet, with the token that it uses.
type process struct {
	*fleet.Fleet
	w    *world
	have fleet.Attempt
}

func (w *world) process() *process {
	cfg := w.cfg
	if cfg.Clock == nil {
		cfg.Clock = clock.New(time.Now)
	}
	return &process{Fleet: fleet.New(cfg), w: w}
}

// get asks for a token, and uses it.
func (p *process) get(ctx context.Context, a fleet.Attempt) fleet.Outcome {
	a.Have, a.Expires = p.have.Have, p.have.Expires
	o := p.Get(ctx, a)
	switch {
	case o.Token != nil:
		p.have.Have, p.have.Expires = o.Token, o.Expires
	case o.Gone:
		p.have = fleet.Attempt{}
	}
	return o
}

// issue asks for another token as a caller that waits.
func (p *process) issue() fleet.Outcome {
	return p.get(p.w.Context(), fleet.Attempt{Issue: true, Wait: true})
}

// insist is issue after an attempt that failed.
func (p *process) insist() fleet.Outcome {
	return p.get(p.w.Context(), fleet.Attempt{Issue: true, Wait: true, Failing: true})
}

// look sees what the others did.
func (p *process) look() fleet.Outcome { return p.get(p.w.Context(), fleet.Attempt{}) }

// must fails the test unless the outcome is a token, which is not believed to be
// valid for longer than it is.
func (p *process) must(o fleet.Outcome, token string) {
	p.w.Helper()
	if o.Token == nil || o.Token.AccessToken != token || o.Err != nil {
		p.w.Fatalf("%+v, want %s", o, token)
	}
	p.w.line.mu.Lock()
	end := p.w.line.issued[token]
	p.w.line.mu.Unlock()
	left := o.Expires.Sub(p.Clock.Now())
	if truth := time.Until(end); left > truth || left < truth-time.Minute {
		p.w.Errorf("%s is valid for %v, the process believes %v", token, truth, left)
	}
}

func (w *world) want(what string, got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("calls of %s: %q, want %q", what, got, want)
	}
}

func count(calls []string, what string) (n int) {
	for _, c := range calls {
		if c == what {
			n++
		}
	}
	return n
}
