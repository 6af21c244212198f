// Package fleet gets the token that all processes which share a store have
// together: it adopts what others issued, and issues the next one itself when no
// other process does. It knows stores, and LINE by four functions; it
// keeps no token itself.
//
// It counts answers that were lost, since each may have been a token that counts
// toward the limit of 30. After a lost answer it issues no other until LINE has
// answered a harmless request.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/store"
)

const (
	// storeTimeout bounds one call of a store.
	storeTimeout = 2 * time.Second
	// lookEvery is how often a process looks for what others did to a store that
	// does not report it.
	lookEvery = time.Minute
	// busyEvery is how often one with a valid token looks whether another process
	// is done.
	busyEvery = time.Second
	// maxConflicts is how often in a row another process may save first.
	maxConflicts = 4
	// maxApart is by how much a process and the store may disagree on when a
	// token expires: a save takes storeTimeout off, and LINE reports whole seconds.
	maxApart = storeTimeout + 3*time.Second
	// keepLoss is how long a lost token may count toward the limit, and a revoked
	// one be in use.
	keepLoss = 30 * 24 * time.Hour
)

// LINE is what a fleet asks of LINE.
type LINE interface {
	// Issue issues a token, in one attempt.
	Issue(ctx context.Context) (*store.Token, error)
	// Knock makes a harmless request, to see whether LINE answers.
	Knock(ctx context.Context) error
	// Verify returns how long a token is still valid. The error matches ErrInvalid
	// if it is not.
	Verify(ctx context.Context, token *store.Token) (time.Duration, error)
	// Failure returns what an error of these means.
	Failure(err error) Failure
}

// Failure is what an error of [LINE] means.
type Failure struct {
	// Sent is whether LINE may have done what it was asked.
	Sent bool
	// RetryAfter is how long LINE asked to wait.
	RetryAfter time.Duration
	// Final is whether the same request would fail again.
	Final bool
}

// Errors.
var (
	// ErrInvalid is returned by [LINE.Verify] for a token that is not valid.
	ErrInvalid = errors.New("the token is not valid")
	// ErrHeld is returned while no process of the fleet may issue.
	ErrHeld = errors.New("LINE asked a process that shares the store to wait, or its answers were lost too often; see its events or log")
	// ErrAbandoned is returned for a call that continues although its context ended.
	ErrAbandoned = errors.New("abandoned")
	// ErrStore is returned when no token is issued because the store fails.
	ErrStore = errors.New("no token is issued while the store fails, unless IssueWithoutStore is set")
)

// Config is what a [Fleet] is made from.
type Config struct {
	LINE  LINE
	Clock *clock.Clock
	// Store is where the token is, under Key. nil means a process alone.
	Store store.Store
	Key   string
	// Limited is whether tokens count toward a limit.
	Limited bool
	// WithoutStore is whether to issue while the store fails.
	WithoutStore bool
	// LeaseTime bounds a lease.
	LeaseTime time.Duration
	// Usable reports whether what a store holds is such a token.
	Usable func(*store.Token) bool
	// Late is called with a token that was issued too late for its attempt.
	Late func(*store.Token)
}

// Fleet gets the token of a fleet. It is safe for concurrent use.
type Fleet struct {
	LINE         LINE
	Clock        *clock.Clock
	Limited      bool
	WithoutStore bool
	Usable       func(*store.Token) bool
	Late         func(*store.Token)
	*place       // nil without a store

	issues    guard
	questions guard // calls of LINE that change nothing

	mu       sync.Mutex
	unissued bool     // see hasFailed
	lost     int      // answers, while the store does not count them
	revoked  []string // IDs of tokens that LINE refused, or that this process replaced
}

// place is where a fleet's token is.
type place struct {
	Store     store.Store
	Key       string
	LeaseTime time.Duration

	changes notice
	calls   guard
	watches guard

	// Under Fleet.mu:
	own     string // see ownMark
	known   string // see outlived
	knownAt clock.Instant
	watched bool // the store reports changes
}

// Attempt is what is asked for.
type Attempt struct {
	Have    *store.Token // the token in use, nil if there is none that is valid
	Expires clock.Instant
	// Expired is the token that was in use until it expired by this process's clock.
	Expired *store.Token
	// Waiting is the context of waits. It ends with the attempt's, and when nothing is to
	// be issued or waited for any more, but for what LINE was already asked. nil means the
	// attempt's.
	Waiting context.Context
	// Issue is false if it is too early for another token.
	Issue bool
	// Wait is whether to wait for another process that is issuing.
	Wait bool
	// Failing is whether the last attempt failed. Then requests that hang, and do
	// no harm, are sent again beside each other.
	Failing bool
	// StoreGrace is how long the store has to recover before a token is issued
	// without it, if that is allowed.
	StoreGrace time.Duration
}

// Outcome is what an attempt came to.
type Outcome struct {
	Token   *store.Token // another one than Have, nil if there is none
	Expires clock.Instant
	Issued  bool         // by this process
	Stored  bool         // the token, or Have, is in the store
	Surplus *store.Token // was issued, and is not used
	Gone    bool         // Have is not valid any more
	Busy    bool         // another process is issuing
	Err     error        // why there is no other token
	Final   bool         // the next attempt would fail likewise
	Hold    time.Duration
	Store   error // why the store was of no use
	Look    time.Duration
}

// New returns a fleet.
func New(cfg Config) *Fleet {
	f := &Fleet{LINE: cfg.LINE, Clock: cfg.Clock, Limited: cfg.Limited, WithoutStore: cfg.WithoutStore, Usable: cfg.Usable, Late: cfg.Late}
	if cfg.Store != nil {
		f.place = &place{Store: cfg.Store, Key: cfg.Key, LeaseTime: cfg.LeaseTime}
	}
	return f
}

// Watches reports whether the fleet's store reports changes.
func (f *Fleet) Watches() bool {
	if f.place == nil {
		return false
	}
	_, ok := f.Store.(store.Watcher)
	return ok
}

// Get makes one attempt to get another token than the one in use, or to see that
// it is still the right one.
func (f *Fleet) Get(ctx context.Context, a Attempt) (o Outcome) {
	if f.place == nil {
		return f.alone(ctx, a, Outcome{})
	}
	if a.Waiting == nil {
		a.Waiting = ctx
	}
	defer func() { o.Look = f.nextLook(a, o) }()
	conflicts := 0
	for wait := (waiter{Fleet: f}); ; {
		changed := f.changes.next()
		held, err := f.load(ctx)
		if err != nil {
			return f.withoutStore(ctx, a, err)
		}
		o = f.adopt(ctx, &a, &held)
		o.Store = held.damaged
		switch hold := held.holds(f.Clock.Now()); {
		case o.Token != nil || o.Err != nil || o.Gone && !a.Wait:
			return o
		case !a.Issue && !o.Gone:
			f.putBack(ctx, a, held, &o)
			o.Hold = max(hold, 0)
			return o
		case hold > 0:
			o.Err, o.Hold = ErrHeld, hold
			return o
		case a.Waiting.Err() != nil:
			o.Err = fmt.Errorf("no token is issued any more: %w", a.Waiting.Err())
			return o
		}
		// In an outage no process takes the lease, nor writes to the store.
		if f.Limited && held.Lost > 0 || f.hasFailed() {
			if err := f.knock(ctx, held.Lost); err != nil {
				return f.failed(o, err)
			}
		}
		// A notice that arrives while there is a mark is not of a free lease.
		issued, err := Outcome{}, store.ErrLeased
		if !wait.woken || held.Issuing == "" {
			issued, err = f.issueLeased(ctx, a, held.revision)
		}
		switch {
		case err == nil:
			issued.Gone, issued.Store = o.Gone, cmp.Or(issued.Store, o.Store)
			return issued
		case errors.Is(err, store.ErrConflict):
			if conflicts++; conflicts == maxConflicts-1 || conflicts > 1 && f.Clock.Sleep(ctx, firstStep) != nil {
				return f.withoutStore(ctx, a, store.ErrConflict)
			}
		case !errors.Is(err, store.ErrLeased):
			return f.withoutStore(ctx, a, err)
		case !a.Wait:
			o.Busy = true
			return o
		default:
			if o.Err = wait.pause(a.Waiting, changed); o.Err != nil { //nolint:contextcheck // ends with ctx
				return o
			}
		}
	}
}

// nextLook is how soon to look at the store again; 0 for never.
func (f *Fleet) nextLook(a Attempt, o Outcome) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case o.Busy, o.Issued && !o.Stored: // which others would take for a lost one
		return busyEvery
	case o.Hold > 0: // another process may have it sooner
		return busyEvery
	case f.watched && o.Store == nil:
		return 0
	case a.Have == nil && o.Token == nil:
		return busyEvery
	}
	return lookEvery
}
