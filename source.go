package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/env"
	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/internal/keeper"
	"github.com/lineoauth/lineoauth/internal/life"
	"github.com/lineoauth/lineoauth/internal/wire"
	"github.com/lineoauth/lineoauth/store"
)

// Defaults for [SourceConfig].
const (
	DefaultRefreshWindow  = 5 * time.Minute
	DefaultRefreshTimeout = time.Minute
)

// ErrClosed is returned after [Source.Close] and [Pool.Close].
var ErrClosed = life.ErrClosed

// SourceConfig configures a [Source]. The zero value is ready to use.
type SourceConfig struct {
	// Kind is the kind of token. Empty means Stateless, which does not count
	// toward the channel's limit of 30.
	Kind Kind
	// ValidFor is the lifetime of V21 tokens: whole seconds, 1 s to 30 days. 0
	// means 30 days.
	ValidFor time.Duration
	// RefreshWindow bounds how long before it expires a token is refreshed; the
	// window is at most a quarter of the token's lifetime. 0 means
	// DefaultRefreshWindow. Each refresh begins at a random time in the first
	// half of the window, so that a fleet does not refresh in step.
	RefreshWindow time.Duration
	// RefreshTimeout bounds one refresh with all its attempts, also when a key's
	// signer hangs. 0 means DefaultRefreshTimeout.
	RefreshTimeout time.Duration

	// Store is shared by all processes that use one token together: the source
	// adopts the valid token that is there, and issues the next one only while no
	// other process does. When the store fails, the source keeps the token
	// that it has, and reports [EventStoreFailed]. nil means that each source has
	// a token of its own.
	Store store.Store
	// IssueWithoutStore lets a source without a valid token issue one although the
	// store fails. By default it does so only for Stateless tokens: otherwise each
	// process of a fleet could issue a token that counts toward the limit of 30.
	IssueWithoutStore bool
}

// Source returns a valid token to any number of goroutines. It is made by
// [Client.Source] and safe for concurrent use.
//
// The first call for a token issues one, which all callers share. Before the
// token expires, a call starts a refresh in the background; like all others it
// returns at once with the token that is still valid. If the refresh fails, it is
// attempted again, less and less often. Callers get an error only once no token
// is valid; then attempts follow each other within a second, and callers between
// two of them get the error of the last.
//
// Time is measured so that neither a clock that is set back nor a machine that
// sleeps prolongs the life of a token.
//
// For kinds with a limit of 30 per channel, a Source is careful: after an answer
// that was lost, which may have been a token, it first waits until LINE answers a
// request that issues nothing, and after the third such loss in a row it pauses
// for 10 minutes, then 20, up to a day.
//
// A Source has goroutines only while it refreshes; with a [store.Watcher], one
// more from its first token until Close.
type Source struct {
	line     line // with the client
	settings keeper.Settings
	life     *life.Life
}

// Source returns a source of the channel's tokens. It makes no request until it is
// asked for one. The error matches [ErrInvalid], and [ErrMissingCredentials] if
// the client could issue no such token and there is no Store from which to adopt
// one.
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
	if err := c.checkSource(cfg); err != nil {
		return nil, err
	}
	s := &Source{
		line:     line{c, cfg.Kind, cfg.ValidFor},
		settings: keeper.Settings{Clock: c.clock, Attempts: c.cfg.MaxAttempts, Timeout: cfg.RefreshTimeout, Window: cfg.RefreshWindow},
	}
	shared := fleet.Config{
		LINE:         &s.line,
		Clock:        c.clock,
		Store:        cfg.Store,
		Limited:      cfg.Kind != Stateless,
		WithoutStore: cfg.IssueWithoutStore,
		LeaseTime:    cfg.RefreshTimeout,
		Usable:       usableAs(c.issuedFor(cfg.Kind)),
	}
	if cfg.Store != nil {
		shared.Key = c.storeKey(cfg.Kind)
	}
	s.life = life.New(life.Config{Fleet: shared, Keeper: &s.settings, Now: c.cfg.Now, OnEvent: s.onEvent})
	return s, nil
}

func (c *Client) checkSource(cfg SourceConfig) error {
	bare := c.cfg.Credentials == nil && c.assertion == nil && c.cfg.Key == nil && c.cfg.ChannelSecret.IsZero()
	var err error
	switch {
	case !cfg.Kind.issuable():
		err = fmt.Errorf("LINE issues no tokens of kind %q; use %s, %s or %s", cfg.Kind, Stateless, V21, ShortLived)
	case cfg.ValidFor != 0 && cfg.Kind != V21:
		err = errors.New("ValidFor is for V21 tokens only; leave it 0")
	case cfg.ValidFor != 0 && c.assertion != nil:
		err = errors.New("the given assertion contains the lifetime of the token; leave ValidFor 0")
	case cfg.ValidFor != 0 && !c.cfg.SkipChecks && assertion.CheckValidFor(cfg.ValidFor) != nil:
		err = assertion.CheckValidFor(cfg.ValidFor)
	case cfg.RefreshWindow < 0 || cfg.RefreshTimeout < 0:
		err = errors.New("RefreshWindow and RefreshTimeout must not be negative")
	case cfg.Store != nil && c.cfg.ChannelID == "" && !bare: // else all that is missing is named below
		err = errors.New(c.cfg.name("a Store needs a ChannelID, under which the token is stored", "the token is stored under the channel ID; set "+env.ChannelID))
	}
	if err != nil {
		return fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	what := string(issues(c.issuedFor(cfg.Kind)))
	switch {
	case c.cfg.Credentials != nil: // which is called when there is need
		return nil
	case cfg.Store != nil && c.cfg.ChannelID != "": // which may have tokens that others issue
		return nil
	case c.assertion != nil && c.issuedFor(cfg.Kind) != ShortLived:
		return nil
	case c.issuedFor(cfg.Kind) == V21 || cfg.Kind == Stateless && c.cfg.Key != nil:
		return c.require(what, c.cfg.given(), needChannelID, needKey, needKeyID)
	case cfg.Kind == ShortLived:
		return c.require(what, c.cfg.given(), needChannelID, needSecret)
	}
	return c.require(what, c.cfg.given(), needChannelID, needSecretOrKey)
}

// Token returns a valid token. It waits, no longer than ctx allows, only when
// there is none; the refresh that it then waits for belongs to all callers, and
// continues when ctx ends.
//
// When there is no token, the error wraps the [*Error] of the last attempt. It
// matches [ErrClosed] after Close, and the context's error if ctx ends first.
func (s *Source) Token(ctx context.Context) (t Token, err error) {
	have, err := s.life.Get(ctx)
	if err != nil {
		return t, s.failure(ctx, err)
	}
	t.set(&have.Value.Token, Secret{have.Value.Secret})
	return t, nil
}

// accessToken is Token for a Transport, which needs no more than the text.
func (s *Source) accessToken(ctx context.Context) (string, error) {
	have, err := s.life.Get(ctx)
	if err != nil {
		return "", s.failure(ctx, err)
	}
	return have.Value.AccessToken, nil
}

// FreshToken returns a token that is valid for at least d, for a caller that
// passes it on or keeps it for a while. If there is none, it waits for a refresh,
// no longer than ctx allows; if that fails, it returns the token that is still
// valid, if one is. So check [Token.ExpiresAt] where less than d is of no use.
//
// d can be up to half of the lifetime of such tokens; a longer one matches
// [ErrInvalid], since each call would issue a token.
func (s *Source) FreshToken(ctx context.Context, d time.Duration) (Token, error) {
	if longest := s.lifetime() / 2; d > longest {
		return Token{}, fmt.Errorf("lineoauth: %w: a token for at least %v: %s tokens allow %v at most, half of their lifetime", ErrInvalid, d, s.line.kind, longest)
	}
	have, err := s.life.GetFor(ctx, d)
	if err != nil {
		return Token{}, s.failure(ctx, err)
	}
	var t Token
	t.set(&have.Value.Token, Secret{have.Value.Secret})
	return t, nil
}

// lifetime is how long a new token is valid.
func (s *Source) lifetime() time.Duration {
	if t := s.life.Snapshot().Token; t != nil {
		return wire.Seconds(t.ExpiresIn)
	}
	switch {
	case s.line.kind == Stateless:
		return statelessLifetime
	case s.line.validFor > 0:
		return s.line.validFor
	}
	return assertion.DefaultValidFor
}

// statelessLifetime is as LINE documents it.
const statelessLifetime = 15 * time.Minute

// failure returns an error with the package's name in front, and that a token was waited
// for if ctx ended.
func (s *Source) failure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return fmt.Errorf("lineoauth: waiting for a token: %w", err)
	case strings.HasPrefix(err.Error(), "lineoauth: "):
		return err
	}
	return fmt.Errorf("lineoauth: %w", err)
}

// Invalidate is for a token that a server refused with status 401, named by its
// text. It asks LINE whether the token is still valid, once for all callers. If
// it is, the refusal concerned this request only, replaced is false, and the
// source keeps the token. If not, or if the source has another token
// already, replaced is true: the next call for a token returns another.
//
// The error, which wraps an [*Error], is why LINE could not be asked. The token
// then stays in use until there is another.
func (s *Source) Invalidate(ctx context.Context, accessToken string) (replaced bool, err error) {
	replaced, err = s.life.Refused(ctx, accessToken)
	if err != nil {
		err = s.failure(ctx, err)
	}
	return replaced, err
}

var _ io.Closer = (*Source)(nil)

// Close ends a refresh that is under way and waits until its lease is given back
// and what was issued is saved, for seconds at most. Later calls for a token
// return [ErrClosed]. It never fails.
func (s *Source) Close() error {
	s.life.Close()
	return nil
}

// Revoke closes the source and revokes its tokens, so that none of them counts
// toward the channel's limit any more. It waits for a token that is being issued, as
// long as ctx allows. Stateless tokens cannot be revoked, and a token that was in a
// Store is left to the other processes, also one that was replaced there. The error is
// that of [Client.RevokeChannelToken], which needs the ChannelSecret for V21
// tokens, or the store's; Revoke can then be called again.
func (s *Source) Revoke(ctx context.Context) error {
	return s.life.Revoke(ctx, func(ctx context.Context, t *store.Token) error {
		err := s.line.client.RevokeChannelToken(ctx, t.AccessToken)
		if errors.Is(err, ErrInvalidToken) { // it does not count any more
			return nil
		}
		return err
	})
}

// Format prints the source without its token, under every verb.
func (s *Source) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, "%s token source of ", s.line.kind)
	s.line.client.Format(f, verb)
}

// SourceStats is a snapshot of a [Source].
type SourceStats struct {
	// IssuedAt, ExpiresAt and RefreshAt are when the current token was issued,
	// expires, and is due for a refresh. They are zero before the first token, and
	// after LINE refused one until there is another.
	IssuedAt, ExpiresAt, RefreshAt time.Time
	// Issued counts the tokens that this source issued, and Adopted those that it
	// adopted from its Store.
	Issued, Adopted uint64
	// Failed counts failed attempts to get a token, StoreFailed failures of the
	// Store, and Invalidated tokens that LINE did not accept before they expired.
	Failed, StoreFailed, Invalidated uint64
	// Waited counts the calls for a token that had to wait.
	Waited uint64
}

// Stats returns the state of the source, for metrics and health checks. It makes
// no request.
func (s *Source) Stats() SourceStats {
	now, snapshot := s.line.client.cfg.Now(), s.life.Snapshot()
	stats := SourceStats{
		Issued:      snapshot.Issued,
		Adopted:     snapshot.Adopted,
		Failed:      snapshot.Failures,
		StoreFailed: snapshot.StoreFailures,
		Invalidated: snapshot.Dropped,
		Waited:      snapshot.Waits,
	}
	if t := snapshot.Token; t != nil {
		stats.IssuedAt = t.IssuedAt
		stats.ExpiresAt = now.Add(snapshot.Expires).Round(0)
		stats.RefreshAt = now.Add(snapshot.Due).Round(0)
	}
	return stats
}
