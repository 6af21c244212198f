// Package life is the life of one channel's token in one process: a keeper whose
// values come from a fleet, and what to do when a server refuses one.
package life

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/internal/keeper"
	"github.com/lineoauth/lineoauth/internal/secret"
	"github.com/lineoauth/lineoauth/store"
)

// ErrClosed is returned after Close.
var ErrClosed = keeper.ErrClosed

// Config is what a [Life] is made from.
type Config struct {
	Fleet  fleet.Config // but for Late
	Keeper *keeper.Settings
	// Now is the wall clock, which sets the tokens' IssuedAt.
	Now func() time.Time
	// OnEvent is called with each event, in their order.
	OnEvent func(context.Context, Event)
}

// EventKind is what happened.
type EventKind int

// What happens in the life of a token.
const (
	Issued    EventKind = iota // this process issued a token
	Refreshed                  // likewise, while another was valid
	Adopted                    // another process issued it
	Failed                     // there is no other token, although one was needed
	StoreFailed
	Dropped // a token is not valid any more
)

// Event is something that happened.
type Event struct {
	Kind  EventKind
	Token *Token
	Err   error
	Wait  time.Duration // until the next attempt
}

// Token is a token in use.
type Token struct {
	store.Token
	Secret secret.Text // its text, for callers
	shared atomic.Bool // others may have it from the store
}

// Held is a token, and until when it is valid.
type Held = keeper.Held[*Token]

// retired is a token, in a form that printing a value does not show.
type retired func() *store.Token

// Counts is how often things happened.
type Counts struct{ Issued, Adopted, Failures, StoreFailures, Dropped, Waits uint64 }

// Life keeps a channel's token valid. It is made by [New]. Its Get and GetFor are
// those of the keeper, which calls its Renew and Settled.
type Life struct {
	*keeper.Keeper[*Token]

	settings *keeper.Settings
	now      func() time.Time
	onEvent  func(context.Context, Event)
	fleet    *fleet.Fleet
	works    sync.WaitGroup // besides those of the keeper

	mu       sync.Mutex
	ending   context.Context // that Close cancels; nil until it is needed
	end      context.CancelFunc
	unwatch  context.CancelFunc // nil until the store is watched
	silent   bool               // after Forget
	closed   bool
	judgment *judgment // nil until a token is refused
	counts   [Dropped + 1]uint32
	retired  []retired // in use nowhere, and perhaps still valid
}

// New returns a life that has not begun: no request is made until a token is
// asked for.
func New(cfg Config) *Life {
	l := &Life{settings: cfg.Keeper, now: cfg.Now, onEvent: cfg.OnEvent}
	if cfg.Fleet.Limited {
		cfg.Fleet.Late = l.retire
	}
	l.fleet = fleet.New(cfg.Fleet)
	l.Keeper = keeper.New(l, cfg.Keeper)
	return l
}

// untilClose returns a context that Close cancels. l.mu is held.
func (l *Life) untilClose() context.Context {
	if l.ending == nil {
		l.ending, l.end = context.WithCancel(context.Background())
		if l.closed {
			l.end()
		}
	}
	return l.ending
}

// Renew implements [keeper.Renewer].
func (l *Life) Renew(ctx context.Context, a keeper.Attempt[*Token]) keeper.Result[*Token] {
	l.watch() //nolint:contextcheck // ends with Close, not with an attempt
	ask := fleet.Attempt{Waiting: a.Waiting, Issue: a.Issue, Wait: a.Wait, Failing: a.Failing}
	if a.Have != nil {
		ask.Have, ask.Expires = &a.Have.Value.Token, a.Have.Expires
		// The store has until midway between the refresh and the token's expiry.
		_, state := l.State()
		ask.StoreGrace = state.Expires.Sub(l.settings.Clock.Now()) - state.Expires.Sub(state.Due)/2
	}
	if h := l.Current(); h != nil && a.Have == nil {
		ask.Expired = &h.Value.Token
	}
	o := l.fleet.Get(ctx, ask)
	if o.Token != nil && l.fleet.Rejected(o.Token) { // a server refused it meanwhile
		if o.Surplus != nil {
			l.retire(o.Surplus)
		}
		ask.Have = nil
		o = l.fleet.Get(ctx, ask)
	}
	r := keeper.Result[*Token]{Gone: o.Gone, Busy: o.Busy, Err: o.Err, Final: o.Final, Hold: o.Hold, Look: o.Look, Note: o}
	if o.Token == nil {
		if o.Stored && a.Have != nil {
			a.Have.Value.shared.Store(true)
		}
		return r
	}
	left := o.Expires.Sub(l.settings.Clock.Now())
	r.New, r.Value, r.Expires = true, &Token{Token: *o.Token, Secret: secret.New(o.Token.AccessToken)}, o.Expires
	r.Value.AccessToken = r.Value.Secret.Reveal() // of which there is one in memory
	if !o.Issued {                                // the process that issued it has another clock
		r.Value.IssuedAt = l.now().Add(left - time.Duration(o.Token.ExpiresIn)*time.Second).Round(0)
	}
	r.Life = time.Duration(o.Token.ExpiresIn) * time.Second
	r.Value.shared.Store(o.Stored)
	return r
}

// Settled implements [keeper.Renewer]: it counts, and calls OnEvent.
func (l *Life) Settled(ctx context.Context, r keeper.Report[*Token]) {
	o, _ := r.Note.(fleet.Outcome)
	var events []Event
	same := r.New && r.Old != nil && r.Old.Value.AccessToken == r.Value.AccessToken
	switch {
	case r.Used && o.Issued && r.Old != nil:
		events = append(events, Event{Kind: Refreshed, Token: r.Value})
	case r.Used && o.Issued:
		events = append(events, Event{Kind: Issued, Token: r.Value})
	case r.Used && !same:
		events = append(events, Event{Kind: Adopted, Token: r.Value})
	case r.Dropped:
		events = append(events, Event{Kind: Dropped, Token: r.Old.Value, Wait: r.Wait})
	}
	if o.Store != nil && (!l.isClosed() || !errors.Is(o.Store, context.Canceled)) {
		events = append(events, Event{Kind: StoreFailed, Err: o.Store, Wait: r.Wait})
	}
	ended := l.isClosed() && errors.Is(r.Err, context.Canceled)
	if r.Err != nil && !ended && !errors.Is(r.Err, fleet.ErrHeld) && (o.Store == nil || !errors.Is(r.Err, o.Store)) {
		events = append(events, Event{Kind: Failed, Err: r.Err, Wait: r.Wait})
	}
	if o.Surplus != nil {
		l.retire(o.Surplus)
	}
	if o.Issued && !r.Used && !o.Stored {
		l.retire(o.Token)
	}
	if r.Old != nil && !same && !r.Old.Value.shared.Load() {
		l.retire(&r.Old.Value.Token)
	}
	for _, e := range events {
		l.count(e.Kind)
		l.onEvent(ctx, e)
	}
}

func (l *Life) count(kind EventKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[kind]++
}

// maxRetired is how many tokens a channel can have of a kind.
const maxRetired = 30

// retire remembers a token that is in use no more, for Revoke.
func (l *Life) retire(token *store.Token) {
	if !l.fleet.Limited {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.retired) == maxRetired {
		l.retired = l.retired[1:]
	}
	l.retired = append(l.retired, func() *store.Token { return token })
}

// watch begins to watch the store.
func (l *Life) watch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fleet.Watches() || l.unwatch != nil || l.silent || l.closed {
		return
	}
	ctx, cancel := context.WithCancel(l.untilClose())
	l.unwatch = cancel
	l.works.Go(func() {
		defer cancel()
		l.fleet.Watch(ctx, func() { l.Changed(ctx) }, func(err error, wait time.Duration) {
			r := keeper.Report[*Token]{Wait: wait}
			r.Note = fleet.Outcome{Store: err}
			l.Tell(ctx, r)
		})
	})
}

// Forget stops watching the store, so that a life that is never closed keeps no
// goroutine.
func (l *Life) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = true
	if l.unwatch != nil {
		l.unwatch()
	}
}

// Snapshot is the state of a life.
type Snapshot struct {
	Counts
	// Token is the current token, valid or not, or nil.
	Token *Token
	// Expires and Due are how far ahead it expires and is refreshed.
	Expires, Due time.Duration
}

// Snapshot returns the state.
func (l *Life) Snapshot() Snapshot {
	now := l.settings.Clock.Now()
	h, state := l.State()
	l.mu.Lock()
	of := func(kind EventKind) uint64 { return uint64(l.counts[kind]) }
	s := Snapshot{Counts: Counts{
		Issued:        of(Issued) + of(Refreshed),
		Adopted:       of(Adopted),
		Failures:      of(Failed),
		StoreFailures: of(StoreFailed),
		Dropped:       of(Dropped),
		Waits:         l.Waits(),
	}}
	l.mu.Unlock()
	if h != nil {
		s.Token, s.Expires, s.Due = h.Value, h.Expires.Sub(now), state.Due.Sub(now)
	}
	return s
}

// NextAttempt is the time until the next attempt to get a token may begin.
func (l *Life) NextAttempt() time.Duration {
	if l.isClosed() {
		return 0
	}
	now := l.settings.Clock.Now()
	_, state := l.State()
	return max(state.Next(now).Sub(now), 0)
}

func (l *Life) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close ends what is under way and waits for it.
func (l *Life) Close() {
	l.mu.Lock()
	l.closed = true
	if l.end != nil {
		l.end()
	}
	l.mu.Unlock()
	if last := l.Keeper.Close(); last != nil && !last.Value.shared.Load() {
		l.retire(&last.Value.Token)
	}
	l.works.Wait()
}

// Revoke closes the life, and revokes the tokens that no process uses any more.
// It can be called again after an error.
func (l *Life) Revoke(ctx context.Context, revoke func(context.Context, *store.Token) error) error {
	l.Finish(ctx)
	l.Close()
	l.mu.Lock()
	all := slices.Clone(l.retired)
	l.mu.Unlock()
	var failed error
	for _, r := range all {
		token := r()
		// A save may have been done although its answer was lost.
		stored, err := l.fleet.Has(ctx, token)
		if err == nil && !stored {
			err = revoke(ctx, token)
		}
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		l.mu.Lock()
		l.retired = slices.DeleteFunc(l.retired, func(r retired) bool { return r() == token })
		l.mu.Unlock()
	}
	return failed
}
