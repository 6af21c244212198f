package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

// What holds when [SourceConfig] does not say otherwise.
const (
	DefaultRefreshWindow  = 5 * time.Minute
	DefaultRefreshTimeout = time.Minute
)

// ErrClosed: the [Source] was closed and gives no more tokens.
var ErrClosed = errors.New("lineoauth: the token source is closed")

// SourceConfig is what a [Source] is made from. Its zero value is good.
type SourceConfig struct {
	// Kind is the kind of token. Empty means Stateless, which takes none of a
	// channel's 30 places.
	Kind Kind
	// ValidFor is how long V21 tokens live: whole seconds, 1 s to 30 days. 0
	// means 30 days.
	ValidFor time.Duration
	// RefreshWindow bounds how long before its end a token is refreshed; the
	// window is a quarter of the token's life at most. 0 means
	// DefaultRefreshWindow. Each refresh begins at a random time in the first
	// half of the window, so that a fleet does not refresh in step.
	RefreshWindow time.Duration
	// RefreshTimeout bounds one refresh with all its tries, also when a key's
	// signer hangs. 0 means DefaultRefreshTimeout.
	RefreshTimeout time.Duration

	// Store is shared by all processes that are to have one token together. A
	// source takes a live token from there before it issues one, one process at
	// a time issues the next, and the others go on with theirs until it is there.
	// When the store fails, the source goes on with the token that it has, and
	// says so by [EventStoreFailed]. nil means that each source has a token of its
	// own. The clocks of the machines should agree to some seconds.
	Store Store
	// IssueWithoutStore lets a source whose token is about to end issue another
	// although the store fails. By default it does so for Stateless tokens alone,
	// and calls for others fail once the token has ended: each process of a fleet
	// would take one of the channel's 30 places.
	IssueWithoutStore bool
}

// Source hands out a live token to any number of goroutines. It is made by
// [Client.Source] and safe for concurrent use.
//
// The first call for a token issues one, and all callers share that. As the
// token nears its end, a call starts a refresh in the background and, like all
// others, goes on with the token that it has. When LINE fails, nobody notices
// while that token lives; the refresh is tried again, less and less often, until
// one succeeds. Only once there is no live token do callers get an error, and
// then those that come shortly after a failure share it.
//
// For kinds of which a channel has 30 places, a Source is sparing: after the
// third issue in a row whose answer was lost, or whose token was refused before
// its time, the next comes 10 minutes later, then 20, and so on up to a day.
//
// With a Store, many sources have one token in common. What one of them
// invalidates is replaced for all, and what one has to wait for, all do.
//
// A Source has goroutines while it refreshes, and none otherwise; with a
// [StoreWatcher] one more, from its first token until Close.
type Source struct {
	client  *Client
	cfg     SourceConfig
	current atomic.Pointer[liveToken]

	flights sync.WaitGroup // the goroutines of flights

	mu       sync.Mutex
	flight   *flight
	failures int       // since the last success
	failure  error     // the last one
	retryAt  time.Time // until then, failure stands
	lost     int       // answers lost in a row, each of which may have cost a place
	refused  int       // tokens in a row that were refused before their time
	closed   bool
	former   []*Token // that may be alive, but are handed out no more

	// With a store:
	rejected      string    // the token that Invalidate dropped last
	storeFailures int       // in a row
	lookAt        time.Time // until then, a failure stands without a look into the store
	again, look   bool      // the flight may have looked too early; a look is enough
	watched       bool      // the store tells of changes
	unwatch       context.CancelFunc
	saving        atomic.Bool // a token that was issued
	busy          bool        // another process was about to issue
	forgotten     bool        // by its pool, so that it must not watch
}

// liveToken is one token and its schedule, in Unix nanoseconds: time on the
// wall, which goes on while a machine is suspended.
type liveToken struct {
	token     Token
	expiresAt int64
	dueAt     int64        // for a refresh
	checkAt   atomic.Int64 // for a flight; MaxInt64 while one is under way
	shared    bool         // others may have it from the store; under Source.mu
}

func (s *Source) newLive(token *Token) *liveToken {
	due := refreshAt(token.IssuedAt, token.ExpiresAt(), s.cfg.RefreshWindow, jitter())
	live := &liveToken{
		token:     *token,
		expiresAt: token.ExpiresAt().UnixNano(),
		dueAt:     due.UnixNano(),
	}
	live.checkAt.Store(math.MaxInt64) // until its flight has landed
	return live
}

// flight is a refresh that is under way, or a look into the store.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	// Set before done is closed. Without both, whoever waits has to try again.
	live *liveToken
	err  error
}

// Source returns a source of the channel's tokens, which makes no request before
// it is asked for one. The error matches [ErrInvalid].
func (c *Client) Source(cfg SourceConfig) (*Source, error) {
	if cfg.Kind == "" {
		cfg.Kind = Stateless
	}
	if cfg.RefreshWindow == 0 {
		cfg.RefreshWindow = DefaultRefreshWindow
	}
	if cfg.RefreshTimeout == 0 {
		cfg.RefreshTimeout = DefaultRefreshTimeout
	}
	var err error
	switch {
	case !cfg.Kind.issuable():
		err = fmt.Errorf("there is no kind of token %q to issue", cfg.Kind)
	case cfg.ValidFor != 0 && cfg.Kind != V21:
		err = errors.New("ValidFor is for V21 tokens alone")
	case cfg.ValidFor != 0 && !c.cfg.SkipChecks && assertion.CheckValidFor(cfg.ValidFor) != nil:
		err = assertion.CheckValidFor(cfg.ValidFor)
	case cfg.RefreshWindow < 0 || cfg.RefreshTimeout < 0:
		err = errors.New("RefreshWindow and RefreshTimeout must not be negative")
	}
	if err != nil {
		return nil, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	return &Source{client: c, cfg: cfg}, nil
}

// Token returns a live token. It waits, no longer than ctx allows, only
// when there is none; the refresh that it then waits for is everybody's, and
// goes on when ctx ends.
//
// When LINE gives none, the error wraps the [*Error] of the last try. It matches
// [ErrClosed] after Close, and the context's error when ctx ends first.
func (s *Source) Token(ctx context.Context) (Token, error) {
	live, err := s.get(ctx)
	if err != nil {
		return Token{}, err
	}
	return live.token, nil
}

// FreshToken is Token for whoever passes the token on or ends soon: when
// the token is due for a refresh, it waits for that, no longer than ctx allows,
// and returns the old one if the refresh fails.
func (s *Source) FreshToken(ctx context.Context) (Token, error) {
	live, err := s.get(ctx)
	for err == nil && s.client.cfg.Now().UnixNano() >= live.dueAt {
		if live, err = s.get(ctx); err != nil { // begins the refresh, unless it is too early for another try
			break
		}
		s.mu.Lock()
		f, busy := s.flight, s.busy
		s.mu.Unlock()
		if f == nil && busy { // another process is at it
			if err = pause(ctx, leasePoll); err != nil {
				err = fmt.Errorf("lineoauth: waiting for a token: %w", err)
				break
			}
			live, err = s.get(ctx)
			continue
		}
		if f == nil {
			break
		}
		select {
		case <-f.done:
			live, err = s.get(ctx)
		case <-ctx.Done():
			err = fmt.Errorf("lineoauth: waiting for a token: %w", ctx.Err())
		}
	}
	if err != nil {
		return Token{}, err
	}
	return live.token, nil
}

func (s *Source) get(ctx context.Context) (*liveToken, error) {
	if live := s.current.Load(); live != nil {
		now := s.client.cfg.Now().UnixNano()
		if now < live.expiresAt {
			if at := live.checkAt.Load(); now >= at && live.checkAt.CompareAndSwap(at, math.MaxInt64) {
				s.refreshAhead(live) //nolint:contextcheck // a refresh is everybody's
			}
			return live, nil
		}
	}
	return s.wait(ctx)
}

// refreshAhead starts a refresh of a token that is still alive.
func (s *Source) refreshAhead(live *liveToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && !s.closed && s.current.Load() == live {
		// The pace of the tries is the source's own.
		s.start(s.client.once(), false)
	}
}

// wait returns the token of the refresh that is under way, and starts one if
// none is.
func (s *Source) wait(ctx context.Context) (*liveToken, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("lineoauth: waiting for a token: %w", err)
		}
		live, f, err := s.join() //nolint:contextcheck // a refresh is everybody's
		if f == nil {
			return live, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("lineoauth: waiting for a token: %w", ctx.Err())
		}
		if f.live != nil || f.err != nil {
			return f.live, f.err
		}
	}
}

// join returns the flight to wait for, unless there is an answer already.
func (s *Source) join() (*liveToken, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return nil, s.flight, nil
	}
	now := s.client.cfg.Now()
	live := s.current.Load()
	failing := s.retryAt
	if s.cfg.Store != nil {
		failing = s.lookAt
	}
	switch {
	case s.closed:
		return nil, nil, ErrClosed
	case live != nil && now.UnixNano() < live.expiresAt: // it came meanwhile
		return live, nil, nil
	case s.failure != nil && now.Before(failing):
		return nil, nil, s.failure
	}
	return nil, s.start(s.client, false), nil
}

// start begins a flight, which runs in nobody's context. A look issues nothing.
// s.mu is held.
func (s *Source) start(client *Client, look bool) *flight {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.RefreshTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	s.flight = f
	s.watch()
	s.flights.Go(func() {
		defer cancel()
		events := s.land(f, s.bounded(ctx, client, look)) //nolint:contextcheck // the next flight has a context of its own
		close(f.done)                                     // before others are told, who may be slow
		for _, e := range events {
			s.client.emit(ctx, e)
		}
	})
	return f
}

// outcome is what a flight comes to.
type outcome struct {
	live     *liveToken // to go on with, be it the one that was there before
	issued   bool       // live is new
	shared   bool       // live is in the store
	spare    *Token     // was issued, but another process was faster
	busy     bool       // another process is about to issue the next
	err      error      // why there is none, or no new one
	storeErr error      // why the store is of no use
}

// linger is how long an issue may go on after its context has ended.
const linger = 100 * time.Millisecond

// bounded ends with ctx, also when a key's signer, a transport or a store does
// not.
func (s *Source) bounded(ctx context.Context, client *Client, look bool) outcome {
	done := make(chan outcome, 1)
	go func() {
		if s.cfg.Store != nil {
			done <- s.share(ctx, client, look)
		} else {
			done <- s.issue(ctx, client)
		}
	}()
	select {
	case o := <-done:
		return o
	case <-ctx.Done():
	}
	// What heeds the context has an answer at once, and a better one; and a token
	// that is just being saved took a place.
	for _, grace := range []time.Duration{linger, storeTimeout} {
		select {
		case o := <-done:
			return o
		case <-time.After(grace):
		}
		if !s.saving.Load() {
			break
		}
	}
	go func() { // Revoke is to know of a token that comes all the same
		o := <-done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keepOf(o)
	}()
	return outcome{err: fmt.Errorf("lineoauth: the refresh took longer than %v: %w", s.cfg.RefreshTimeout, ctx.Err())}
}

func (s *Source) issue(ctx context.Context, client *Client) outcome {
	var token *Token
	var err error
	switch s.cfg.Kind {
	case V21:
		token, err = client.IssueChannelToken(ctx, s.cfg.ValidFor)
	case ShortLived:
		token, err = client.IssueShortLivedChannelToken(ctx)
	default:
		token, err = client.IssueStatelessChannelToken(ctx)
	}
	if err != nil {
		return outcome{err: err}
	}
	return outcome{live: s.newLive(token), issued: true}
}

// land takes note of what a flight came to, and returns what is to be told.
func (s *Source) land(f *flight, o outcome) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.busy = nil, o.busy
	if s.closed {
		s.keepOf(o)
		f.err = ErrClosed
		return nil
	}
	now := s.client.cfg.Now()
	if o.issued && now.UnixNano() >= o.live.expiresAt {
		o.err = fmt.Errorf("lineoauth: a token came when its life of %v was over", o.live.token.Lifetime())
	}
	var events []Event
	if e := s.arrived(o, now); e.Kind != "" {
		events = append(events, e)
	}
	live := s.current.Load()
	if live != nil && now.UnixNano() >= live.expiresAt {
		live = nil
	}
	var wait time.Duration
	if o.storeErr != nil {
		s.storeFailures++
		wait = patience(backOff(s.storeFailures, jitter()), live, now)
		events = append(events, Event{Kind: EventStoreFailed, Err: o.storeErr, Wait: wait})
	} else {
		s.storeFailures = 0
	}
	if o.err != nil && !errors.Is(o.err, errHeldBack) {
		e := s.failed(o.err, live, now)
		wait = max(wait, e.Wait)
		events = append(events, e)
		if o.storeErr != nil && errors.Is(o.err, o.storeErr) {
			s.retryAt = time.Time{} // it is the store that is to come back, not LINE
		}
	}
	if s.lookAt = now.Add(lookEvery); o.storeErr != nil {
		s.lookAt = now.Add(wait)
	}
	if live == nil {
		if o.err != nil && s.failure == nil {
			s.failure = o.err
		}
		if o.err != nil {
			f.err = s.failure
		}
	} else {
		f.live = live
		live.checkAt.Store(s.nextCheck(live, o, wait, now))
	}
	if s.again || s.look {
		look := !s.again
		s.again, s.look = false, false
		s.start(s.client.once(), look)
	}
	return events
}

// nextCheck is when a call for a token starts the next flight. s.mu is held.
func (s *Source) nextCheck(live *liveToken, o outcome, wait time.Duration, now time.Time) int64 {
	look := now.Add(patience(lookEvery, live, now)).UnixNano()
	switch {
	case o.err != nil && !now.Before(s.retryAt): // another process is to wait
		return look
	case o.err != nil && s.cfg.Store != nil && !s.watched:
		return min(look, s.retryAt.UnixNano())
	case o.err != nil:
		return s.retryAt.UnixNano()
	case o.storeErr != nil:
		return now.Add(wait).UnixNano()
	case o.busy:
		return look
	case s.cfg.Store == nil || s.watched:
		return live.dueAt
	}
	return min(look, live.dueAt)
}

// arrived makes a flight's token the current one, if it is alive and not the
// one that was refused meanwhile.
func (s *Source) arrived(o outcome, now time.Time) Event {
	if o.spare != nil {
		s.keep(o.spare)
	}
	live := o.live
	if live == nil || now.UnixNano() >= live.expiresAt || !o.issued && live.token.AccessToken.Reveal() == s.rejected {
		return Event{}
	}
	live.shared = live.shared || o.shared
	old := s.current.Swap(live)
	if old == live {
		return Event{}
	}
	s.failures, s.failure, s.retryAt = 0, nil, time.Time{}
	if o.issued {
		s.lost = 0
	}
	kind := EventIssued
	if old != nil && now.UnixNano() < old.expiresAt {
		kind = EventRefreshed
		s.refused = 0
		s.retire(old)
	}
	if !o.issued {
		kind = EventShared
	}
	return Event{Kind: kind, Token: &live.token}
}

// keepOf remembers what nobody else knows of a flight's tokens. s.mu is held.
func (s *Source) keepOf(o outcome) {
	if o.spare != nil {
		s.keep(o.spare)
	}
	if o.issued && !o.shared {
		s.keep(&o.live.token)
	}
}

// retire lets go of a token that is handed out no more. Others may go on with
// a shared one. s.mu is held.
func (s *Source) retire(live *liveToken) {
	if !live.shared {
		s.keep(&live.token)
	}
}

// keep remembers a token for Revoke. s.mu is held.
func (s *Source) keep(token *Token) {
	now := s.client.cfg.Now()
	s.former = slices.DeleteFunc(s.former, func(t *Token) bool { return !now.Before(t.ExpiresAt()) })
	if token.Kind != Stateless {
		s.former = append(s.former, token)
	}
}

// failed takes note of a refresh that brought nothing. s.mu is held.
func (s *Source) failed(err error, live *liveToken, now time.Time) Event {
	s.failures++
	s.failure = err
	if s.failures > 1 {
		s.failure = fmt.Errorf("lineoauth: no live token after %d failed refreshes: %w", s.failures, err)
	}
	wait := patience(backOff(s.failures, jitter()), live, now)
	if refusal := new(Error); errors.As(err, &refusal) {
		wait = max(wait, min(refusal.RetryAfter, maxRetryAfter))
		if s.cfg.Kind != Stateless && refusal.lost() {
			s.lost++
			wait = max(wait, scarce(s.lost))
		}
	}
	s.retryAt = now.Add(wait)
	return Event{Kind: EventRefreshFailed, Err: err, Wait: wait}
}

// youngToken is the age under which a token should not be refused.
const youngToken = time.Minute

// Invalidate drops the token that a server refused, named by its text, so that
// the next call for a token issues another. It does nothing when the source
// has a newer one already. A source whose tokens are refused again and again
// before their time gives them ever more slowly, since LINE counts them.
func (s *Source) Invalidate(accessToken string) {
	s.mu.Lock()
	live := s.current.Load()
	if live == nil || live.token.AccessToken.Reveal() != accessToken {
		s.mu.Unlock()
		return
	}
	s.current.Store(nil)
	s.retire(live)
	s.rejected = accessToken
	s.refused++
	now := s.client.cfg.Now()
	var wait time.Duration
	if s.refused > 1 && now.Sub(live.token.IssuedAt) < youngToken {
		wait = backOff(s.refused-1, jitter())
	}
	if s.cfg.Kind != Stateless {
		wait = max(wait, scarce(s.refused))
	}
	if wait > 0 {
		s.failure = fmt.Errorf("lineoauth: %d tokens in a row were refused before their time: %w", s.refused, ErrTokenInvalid)
		s.retryAt = now.Add(wait)
	}
	if s.cfg.Store != nil && !s.closed {
		s.fly() // others are to have the next token, even if nobody asks for it here
	}
	s.mu.Unlock()
	s.client.emit(context.Background(), Event{Kind: EventInvalidated, Token: &live.token, Wait: wait})
}

var _ io.Closer = (*Source)(nil)

// Close ends the source: it cancels a refresh that is under way and waits for
// it. From then on calls for a token end in [ErrClosed]. It never fails.
func (s *Source) Close() error {
	if f := s.shut(); f != nil {
		f.cancel()
	}
	s.flights.Wait()
	return nil
}

// shut lets nothing new begin, and returns the refresh that is under way.
func (s *Source) shut() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.unwatch != nil {
		s.unwatch()
	}
	if live := s.current.Swap(nil); live != nil {
		s.retire(live)
	}
	return s.flight
}

// Revoke closes the source and revokes its tokens, for a shutdown that leaves
// none of the channel's 30 places taken. It waits for a refresh that is under
// way, as long as ctx allows, since that may have issued one. There is nothing
// to revoke about stateless tokens, and what is in a Store is left to the other
// processes. The error is that of [Client.RevokeChannelToken], which needs the
// ChannelSecret for V21 tokens, or the store's; Revoke can then be called again.
func (s *Source) Revoke(ctx context.Context) error {
	if f := s.shut(); f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	_ = s.Close()
	if err := s.spareStored(ctx); err != nil {
		return err
	}
	for {
		s.mu.Lock()
		if len(s.former) == 0 {
			s.mu.Unlock()
			return nil
		}
		token := s.former[0]
		s.mu.Unlock()
		if err := s.client.RevokeChannelToken(ctx, token.AccessToken.Reveal()); err != nil {
			return err
		}
		s.mu.Lock()
		s.former = slices.DeleteFunc(s.former, func(t *Token) bool { return t == token })
		s.mu.Unlock()
	}
}

// spareStored leaves out what is in the store after all: a save may have been
// done although its answer was lost.
func (s *Source) spareStored(ctx context.Context) error {
	s.mu.Lock()
	n := len(s.former)
	s.mu.Unlock()
	if s.cfg.Store == nil || n == 0 {
		return nil
	}
	found, err := s.client.stored(ctx, s.cfg.Store, s.cfg.Kind)
	if err != nil && !errors.Is(err, ErrStoreCorrupt) {
		return err
	}
	if found.token != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.former = slices.DeleteFunc(s.former, func(t *Token) bool { return t.AccessToken.Reveal() == found.token.AccessToken.Reveal() })
	}
	return nil
}

// Format prints the source without its token, under every verb.
func (s *Source) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, "%s token source of ", s.cfg.Kind)
	s.client.Format(f, verb)
}
