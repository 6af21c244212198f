package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

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
// A Source has goroutines while it refreshes, and none otherwise.
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
}

var _ oauth2.TokenSource = (*Source)(nil)

// liveToken is one token and its schedule, in Unix nanoseconds: time on the
// wall, which goes on while a machine is suspended.
type liveToken struct {
	token     Token
	oauth2    oauth2.Token
	expiresAt int64
	refreshAt atomic.Int64 // MaxInt64 while a refresh is under way
}

// flight is a refresh that is under way.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	// Set before done is closed.
	live *liveToken
	err  error
}

// Source returns a source of the channel's tokens. The error matches
// [ErrInvalid].
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
	case cfg.Kind != Stateless && cfg.Kind != V21 && cfg.Kind != ShortLived:
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

// TokenContext returns a live token. It waits, no longer than ctx allows, only
// when there is none; the refresh that it then waits for is everybody's, and
// goes on when ctx ends. Do not change the token; others have it, too.
//
// When LINE gives none, the error wraps the [*Error] of the last try.
func (s *Source) TokenContext(ctx context.Context) (*Token, error) {
	live, err := s.get(ctx)
	if err != nil {
		return nil, err
	}
	return &live.token, nil
}

// Token is TokenContext for [oauth2.TokenSource], without a context.
func (s *Source) Token() (*oauth2.Token, error) {
	live, err := s.get(context.Background())
	if err != nil {
		return nil, err
	}
	return &live.oauth2, nil
}

func (s *Source) get(ctx context.Context) (*liveToken, error) {
	if live := s.current.Load(); live != nil {
		now := s.client.cfg.Now().UnixNano()
		if now < live.expiresAt {
			if at := live.refreshAt.Load(); now >= at && live.refreshAt.CompareAndSwap(at, math.MaxInt64) {
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
		s.start(s.client.once())
	}
}

// wait returns the token of the refresh that is under way, and starts one if
// none is.
func (s *Source) wait(ctx context.Context) (*liveToken, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("lineoauth: waiting for a token: %w", err)
	}
	s.mu.Lock()
	f := s.flight
	if f == nil {
		now := s.client.cfg.Now()
		live := s.current.Load()
		switch {
		case s.closed:
			s.mu.Unlock()
			return nil, ErrClosed
		case live != nil && now.UnixNano() < live.expiresAt: // it came meanwhile
			s.mu.Unlock()
			return live, nil
		case now.Before(s.retryAt):
			err := s.failure
			s.mu.Unlock()
			return nil, err
		}
		f = s.start(s.client) //nolint:contextcheck // a refresh is everybody's
	}
	s.mu.Unlock()

	select {
	case <-f.done:
		return f.live, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("lineoauth: waiting for a token: %w", ctx.Err())
	}
}

// start begins a refresh, which runs in nobody's context. s.mu is held.
func (s *Source) start(client *Client) *flight {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.RefreshTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	s.flight = f
	s.flights.Go(func() {
		defer cancel()
		token, err := s.issue(ctx, client)
		var e Event
		if err == nil {
			e, err = s.arrived(f, token)
		}
		if err != nil {
			e = s.failed(f, err)
		}
		close(f.done) // before others are told, who may be slow
		if !errors.Is(e.Err, ErrClosed) {
			s.client.emit(ctx, e)
		}
	})
	return f
}

// issued is what came of an issue.
type issued struct {
	token *Token
	err   error
}

// linger is how long an issue may go on after its context has ended.
const linger = 100 * time.Millisecond

// issue ends with ctx, also when a key's signer or a transport does not.
func (s *Source) issue(ctx context.Context, client *Client) (*Token, error) {
	done := make(chan issued, 1)
	go func() {
		var i issued
		switch s.cfg.Kind {
		case V21:
			i.token, i.err = client.IssueChannelToken(ctx, s.cfg.ValidFor)
		case ShortLived:
			i.token, i.err = client.IssueShortLivedChannelToken(ctx)
		default:
			i.token, i.err = client.IssueStatelessChannelToken(ctx)
		}
		done <- i
	}()
	select {
	case i := <-done:
		return i.token, i.err
	case <-ctx.Done():
	}
	// What heeds the context has an answer at once, and a better one.
	late := time.NewTimer(linger)
	defer late.Stop()
	select {
	case i := <-done:
		return i.token, i.err
	case <-late.C:
		go func() { // Revoke is to know of a token that comes all the same
			if i := <-done; i.err == nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.keep(i.token)
			}
		}()
		return nil, fmt.Errorf("lineoauth: the refresh took longer than %v: %w", s.cfg.RefreshTimeout, ctx.Err())
	}
}

func (s *Source) arrived(f *flight, token *Token) (Event, error) {
	live := &liveToken{
		token:     *token,
		oauth2:    oauth2.Token{AccessToken: token.AccessToken.Reveal(), TokenType: token.TokenType, Expiry: token.ExpiresAt()},
		expiresAt: token.ExpiresAt().UnixNano(),
	}
	live.refreshAt.Store(refreshAt(token.IssuedAt, token.ExpiresAt(), s.cfg.RefreshWindow, rand.Float64()).UnixNano()) //nolint:gosec // spreads load, hides nothing

	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.client.cfg.Now().UnixNano()
	if s.closed {
		s.keep(token)
		return Event{}, ErrClosed
	}
	if now >= live.expiresAt {
		return Event{}, fmt.Errorf("lineoauth: a token came when its life of %v was over", token.Lifetime())
	}
	s.flight, s.failures, s.failure, s.retryAt, s.lost = nil, 0, nil, time.Time{}, 0
	f.live = live
	old := s.current.Swap(live)
	if old == nil || now >= old.expiresAt {
		return Event{Kind: EventIssued, Token: &live.token}, nil
	}
	s.refused = 0
	s.keep(&old.token)
	return Event{Kind: EventRefreshed, Token: &live.token}, nil
}

// keep remembers a token for Revoke. s.mu is held.
func (s *Source) keep(token *Token) {
	now := s.client.cfg.Now()
	s.former = slices.DeleteFunc(s.former, func(t *Token) bool { return !now.Before(t.ExpiresAt()) })
	if token.Kind != Stateless {
		s.former = append(s.former, token)
	}
}

func (s *Source) failed(f *flight, err error) Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	if s.closed {
		f.err = ErrClosed
		return Event{Kind: EventRefreshFailed, Err: ErrClosed}
	}
	s.failures++
	s.failure = err
	if s.failures > 1 {
		s.failure = fmt.Errorf("lineoauth: no live token after %d failed refreshes: %w", s.failures, err)
	}
	f.err = s.failure

	now := s.client.cfg.Now()
	wait := backOff(s.failures, rand.Float64()) //nolint:gosec // spreads load, hides nothing
	live := s.current.Load()
	if live != nil {
		// A token that is soon to end leaves time for some more tries.
		if left := time.Duration(live.expiresAt - now.UnixNano()); left > 0 {
			wait = min(wait, max(left/4, minBackOff/4))
		}
	}
	if refusal := new(Error); errors.As(err, &refusal) {
		wait = max(wait, min(refusal.RetryAfter, maxRetryAfter))
		if s.cfg.Kind != Stateless && refusal.lost() {
			s.lost++
			wait = max(wait, scarce(s.lost))
		}
	}
	s.retryAt = now.Add(wait)
	if live != nil {
		live.refreshAt.Store(s.retryAt.UnixNano())
	}
	return Event{Kind: EventRefreshFailed, Err: err, Wait: wait}
}

const (
	minBackOff = 500 * time.Millisecond
	maxBackOff = time.Minute
	// LINE may ask for more patience than that, within reason.
	maxRetryAfter = time.Hour
)

// backOff is the time after the n-th failure in a row in which nothing is
// tried: twice as long each time, and random between half of that and all.
func backOff(n int, random float64) time.Duration {
	d := min(minBackOff<<min(n-1, 16), maxBackOff)
	return d/2 + time.Duration(random*float64(d/2))
}

// scarce is the time after the n-th token in a row that may have been wasted,
// for a kind of which a channel has 30 places: some come soon, so that a short
// trouble passes, and the others over weeks.
func scarce(n int) time.Duration {
	const free, first, longest = 3, 10 * time.Minute, 24 * time.Hour
	if n < free {
		return 0
	}
	return min(first<<min(n-free, 16), longest)
}

// refreshAt is when a token is to be refreshed: in the first half of a window
// before its end that is a quarter of its life, or longest if that is shorter.
func refreshAt(issuedAt, expiresAt time.Time, longest time.Duration, random float64) time.Time {
	window := min(expiresAt.Sub(issuedAt)/4, longest)
	return expiresAt.Add(-window + time.Duration(random*float64(window)/2))
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
	s.keep(&live.token)
	s.refused++
	now := s.client.cfg.Now()
	var wait time.Duration
	if s.refused > 1 && now.Sub(live.token.IssuedAt) < youngToken {
		wait = backOff(s.refused-1, rand.Float64()) //nolint:gosec // spreads load, hides nothing
	}
	if s.cfg.Kind != Stateless {
		wait = max(wait, scarce(s.refused))
	}
	if wait > 0 {
		s.failure = fmt.Errorf("lineoauth: %d tokens in a row were refused before their time: %w", s.refused, ErrTokenInvalid)
		s.retryAt = now.Add(wait)
	}
	s.mu.Unlock()
	s.client.emit(context.Background(), Event{Kind: EventInvalidated, Token: &live.token, Wait: wait})
}

var _ io.Closer = (*Source)(nil)

// Close ends the source: it cancels a refresh that is under way and waits for
// it. From then on calls for a token end in ErrClosed. It never fails.
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
	if live := s.current.Swap(nil); live != nil {
		s.keep(&live.token)
	}
	return s.flight
}

// Revoke closes the source and revokes its tokens, for a shutdown that leaves
// none of the channel's 30 places taken. It waits for a refresh that is under
// way, as long as ctx allows, since that may have issued one. There is nothing
// to revoke about stateless tokens. If it fails, it can be called again.
func (s *Source) Revoke(ctx context.Context) error {
	if f := s.shut(); f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	_ = s.Close()
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

// Format prints the source without its token, under every verb.
func (s *Source) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, "%s token source of ", s.cfg.Kind)
	s.client.Format(f, verb)
}
