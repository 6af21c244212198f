package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/internal/wire"
	"github.com/lineoauth/lineoauth/store"
)

// line is the client, as package fleet needs it.
type line struct {
	client   *Client
	kind     Kind
	validFor time.Duration
}

var _ fleet.LINE = (*line)(nil)

// Issue implements [fleet.LINE].
func (l *line) Issue(ctx context.Context) (*store.Token, error) {
	token, err := l.client.once().issue(ctx, l.kind, l.validFor) // attempts follow each other at the pace of the source
	if err != nil {
		return nil, err
	}
	l.client.forgetAssertion()
	return toStore(token, token.Lifetime()), nil
}

// Knock implements [fleet.LINE]. That LINE refuses is an answer, too.
func (l *line) Knock(ctx context.Context) error {
	var err error
	if l.client.issuedFor(l.kind) == V21 {
		_, err = l.client.once().ValidChannelAccessTokenKeyIDs(ctx)
	} else {
		_, err = l.client.once().VerifyChannelToken(ctx, "knock")
	}
	if e := new(Error); errors.As(err, &e) && e.Err == nil && e.StatusCode/100 == 4 && e.StatusCode != http.StatusTooManyRequests {
		return nil
	}
	return err
}

// Verify implements [fleet.LINE].
func (l *line) Verify(ctx context.Context, token *store.Token) (time.Duration, error) {
	v, err := l.client.once().VerifyChannelToken(ctx, token.AccessToken)
	if errors.Is(err, ErrInvalidToken) {
		return 0, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	if err != nil {
		return 0, err
	}
	return v.Remaining(), nil
}

// Failure implements [fleet.LINE].
func (l *line) Failure(err error) fleet.Failure {
	e := new(Error)
	if !errors.As(err, &e) {
		// A call that was abandoned may continue.
		return fleet.Failure{Sent: errors.Is(err, fleet.ErrAbandoned), Final: errors.Is(err, ErrInvalid)}
	}
	return fleet.Failure{Sent: e.lost(), RetryAfter: e.RetryAfter, Final: !e.temporary() && !e.cut && !e.unproved}
}

// toStore returns a token as stores keep it, which is valid for left.
func toStore(t *Token, left time.Duration) *store.Token {
	return &store.Token{
		AccessToken: t.AccessToken.Reveal(),
		TokenType:   t.TokenType,
		Kind:        string(t.Kind),
		KeyID:       t.KeyID,
		ExpiresIn:   t.ExpiresIn,
		IssuedAt:    t.IssuedAt,
		Left:        left.Milliseconds(),
	}
}

// fromStore returns a token of a store as callers see it.
func fromStore(s *store.Token) (t Token) {
	t.set(s, NewSecret(s.AccessToken))
	return t
}

// set copies a token of a store, whose text is a Secret already. It allocates
// nothing, since every call for a token ends in it.
func (t *Token) set(s *store.Token, text Secret) {
	t.AccessToken = text
	t.TokenType = s.TokenType
	t.Kind = Kind(s.Kind)
	t.KeyID = s.KeyID
	t.ExpiresIn = s.ExpiresIn
	t.IssuedAt = s.IssuedAt
}

// usableAs returns a function that reports whether what a store holds is what LINE
// gives for a token of a kind.
func usableAs(kind Kind) func(*store.Token) bool {
	switch kind { // functions that refer to no variable cost no memory
	case V21:
		return func(t *store.Token) bool { return usable(t, V21) }
	case ShortLived:
		return func(t *store.Token) bool { return usable(t, ShortLived) }
	}
	return func(t *store.Token) bool { return usable(t, Stateless) }
}

func usable(t *store.Token, kind Kind) bool {
	return Kind(t.Kind) == kind && isToken(t.AccessToken) && (t.KeyID == "" || isToken(t.KeyID)) && wire.Lower(t.TokenType) == "bearer"
}

// sharing returns what processes share of a token in a store.
func (c *Client) sharing(st store.Store, kind Kind) (*fleet.Fleet, error) {
	if !kind.issuable() || c.issuedFor(kind) != kind && kind != ShortLived {
		return nil, c.errKind(kind)
	}
	if st == nil {
		return nil, fmt.Errorf("%w: the store is nil", ErrInvalid)
	}
	kind = c.issuedFor(kind)
	return fleet.New(fleet.Config{
		LINE:      &line{client: c, kind: kind},
		Clock:     c.clock,
		Store:     st,
		Key:       c.storeKey(kind),
		Limited:   kind != Stateless,
		LeaseTime: DefaultRefreshTimeout,
		Usable:    usableAs(kind),
	}), nil
}

// errKind is the error of a kind of which the client issues no tokens.
func (c *Client) errKind(kind Kind) error {
	if !kind.issuable() {
		return fmt.Errorf("%w: unknown kind of token %q; use %s, %s or %s", ErrInvalid, kind, Stateless, V21, ShortLived)
	}
	return fmt.Errorf("%w: without a ChannelSecret this client issues no tokens of kind %q; use %s or %s", ErrInvalid, kind, Stateless, V21)
}

// StoredToken returns the channel's token of a kind from a store, or nil if there is
// none. If the store does not know how old the token is, LINE is asked. The error wraps
// the store's; it matches [ErrInvalid] if LINE issues no such kind.
func (c *Client) StoredToken(ctx context.Context, st store.Store, kind Kind) (*Token, error) {
	f, err := c.sharing(st, kind)
	if err != nil {
		return nil, fmt.Errorf("lineoauth: loading the stored token: %w", err)
	}
	found, left, err := f.Stored(ctx)
	if found == nil || err != nil {
		return nil, wrapped(err)
	}
	token := fromStore(found)
	token.IssuedAt = c.cfg.Now().Add(left - token.Lifetime()).Round(0)
	return &token, nil
}

// CheckStore fails unless the channel's token of a kind can be loaded from a store
// and saved there. It makes no request. The error wraps the store's; it matches
// [store.ErrCorrupt] when the store can be used, but a damaged token was there.
func (c *Client) CheckStore(ctx context.Context, st store.Store, kind Kind) error {
	f, err := c.sharing(st, kind)
	if err != nil {
		return fmt.Errorf("lineoauth: checking the store: %w", err)
	}
	return wrapped(f.Check(ctx))
}

// StoreToken puts a token into a store in place of the one that is there, so that
// sources which share the store adopt it. It is for tokens that did not come from
// such a [Source]. A token that is not valid is refused with [ErrInvalid], and so
// is one of a kind that sources of this client do not have: ShortLived for a
// client that has only a key.
func (c *Client) StoreToken(ctx context.Context, st store.Store, token *Token) error {
	if token == nil {
		return fmt.Errorf("lineoauth: storing the token: %w: the token is nil", ErrInvalid)
	}
	left := token.ExpiresAt().Sub(c.cfg.Now())
	t := toStore(token, left)
	if left <= 0 || left > token.Lifetime()+time.Minute || !usable(t, token.Kind) {
		return fmt.Errorf("lineoauth: storing the token: %w: it has expired, or is not a token; issue another", ErrInvalid)
	}
	f, err := c.sharing(st, token.Kind)
	if err == nil && c.issuedFor(token.Kind) != token.Kind {
		err = c.errKind(token.Kind)
	}
	if err != nil {
		return fmt.Errorf("lineoauth: storing the token: %w", err)
	}
	return wrapped(f.Put(ctx, t))
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lineoauth: %w", err)
}

// storeKey is the key of a channel's token of a kind.
func (c *Client) storeKey(kind Kind) string {
	kind = c.issuedFor(kind)
	base := c.cfg.BaseURL
	if url, ok := c.cfg.OperationURLs[issues(kind)]; ok {
		base = url
	}
	return fmt.Sprintf("%s/%s/%s", c.cfg.ChannelID, kind, strings.TrimSuffix(base, "/"))
}

// issues is the operation that issues tokens of a kind.
func issues(kind Kind) Operation {
	switch kind {
	case V21:
		return OpIssueChannelTokenByJWT
	case ShortLived:
		return OpIssueChannelToken
	}
	return OpIssueStatelessChannelToken
}
