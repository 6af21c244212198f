package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// Client issues, verifies and revokes channel access tokens. It is made by
// [New], never changes, and is safe for concurrent use.
//
// A call's error wraps an [*Error] when a request was made. When none was, it
// matches [ErrInvalid], the context's error, or the error of the key's signer.
type Client struct {
	// Behind a pointer, so that printing a struct with a client in it does not
	// walk the transport's data while it changes.
	*shared
	assertion *Secret // from WithAssertion
	attempts  int     // of a call
}

type shared struct {
	cfg     Config
	server  string
	servers map[Operation]string // from OperationURLs

	own   wire.Origin // of the base URL
	base  atomic.Pointer[judged]
	clock *clock.Clock

	asking chan struct{}               // has an element for each call of Config.Credentials
	last   atomic.Pointer[Credentials] // that Config.Credentials returned
	signed atomic.Pointer[signedAssertion]
	skew   atomic.Int64 // how far LINE's clock is ahead of ours, in nanoseconds
}

// New returns a client for cfg. The error matches [ErrInvalid] and names
// everything that is wrong with cfg.
func New(cfg Config) (*Client, error) {
	now := cfg.Now
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	base, _ := url.Parse(cfg.BaseURL) // which validate has done, too
	s := &shared{cfg: cfg, server: server(cfg.BaseURL), clock: clock.New(now)}
	if len(cfg.OperationURLs) > 0 {
		s.servers = make(map[Operation]string)
	}
	for op, base := range cfg.OperationURLs {
		s.servers[op] = server(base)
	}
	s.own, _ = wire.OriginOf(base)
	if cfg.Credentials != nil {
		s.asking = make(chan struct{}, maxAsking)
	}
	if given := cfg.given(); cfg.Credentials != nil && given != (Credentials{}) {
		s.last.Store(&given)
	}
	return &Client{shared: s, attempts: cfg.MaxAttempts}, nil
}

// server is a base URL as package gen takes it.
func server(base string) string {
	if base == gen.DefaultServerURL { // one string does for all clients of LINE itself
		return audience
	}
	return strings.TrimSuffix(base, "/") + "/"
}

// WithAssertion returns a copy of the client that sends the given client assertion (RFC
// 7523) instead of signing one itself. It needs no Key.
func (c *Client) WithAssertion(assertion string) *Client {
	given := NewSecret(assertion)
	return &Client{shared: c.shared, assertion: &given, attempts: c.attempts}
}

// once returns a client that makes one attempt of a call.
func (c *Client) once() *Client {
	return &Client{shared: c.shared, assertion: c.assertion, attempts: 1}
}

// Format prints the client without its secrets, under every verb.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "lineoauth client of channel %q at %s", c.cfg.ChannelID, c.cfg.BaseURL)
}

// IssueChannelToken issues a v2.1 token, with a user-specified expiration, by JWT
// assertion. It is valid for validFor: whole seconds, 1 s to 30 days; 0 means 30 days.
// A client made by [Client.WithAssertion] leaves that to the assertion, and accepts
// only 0.
//
// A channel can have 30 valid v2.1 tokens; beyond that the error matches
// [ErrTokenLimit]. Reuse the token for its whole life, and store its KeyID.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-channel-access-token-v2-1
func (c *Client) IssueChannelToken(ctx context.Context, validFor time.Duration) (*Token, error) {
	return c.issue(ctx, V21, validFor)
}

// IssueShortLivedChannelToken issues a token that is valid for 30 days: a short-lived
// one by the channel secret or, for a channel that has only a key, a v2.1 one; see the
// Kind of the token.
//
// A channel can have 30 valid short-lived tokens; beyond that LINE revokes the oldest.
// Reuse the token for its whole life.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-shortlived-channel-access-token
func (c *Client) IssueShortLivedChannelToken(ctx context.Context) (*Token, error) {
	return c.issue(ctx, ShortLived, 0)
}

// IssueStatelessChannelToken issues a token that is valid for 15 minutes, by JWT
// assertion if the client has a Key, else by the channel secret. A channel can
// have any number of them; they cannot be revoked.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-stateless-channel-access-token
func (c *Client) IssueStatelessChannelToken(ctx context.Context) (*Token, error) {
	return c.issue(ctx, Stateless, 0)
}

// issue issues a token of the kind that LINE issues where this one is asked for.
func (c *Client) issue(ctx context.Context, kind Kind, validFor time.Duration) (*Token, error) {
	switch kind = c.issuedFor(kind); kind {
	case V21:
		ans, err := c.do(ctx, &call{op: OpIssueChannelTokenByJWT, request: v21Request, by: byAssertion, validFor: validFor})
		t, err := read(ans, err, gen.ParseIssueChannelTokenByJWTResponse)
		if err != nil {
			return nil, err
		}
		return ans.token(kind, t.AccessToken, t.TokenType, t.KeyID, int64(t.ExpiresIn))
	case ShortLived:
		ans, err := c.do(ctx, &call{op: OpIssueChannelToken, request: shortLivedRequest, by: bySecret})
		t, err := read(ans, err, gen.ParseIssueChannelTokenResponse)
		if err != nil {
			return nil, err
		}
		return ans.token(kind, t.AccessToken, t.TokenType, "", int64(t.ExpiresIn))
	}
	ans, err := c.do(ctx, &call{op: OpIssueStatelessChannelToken, request: statelessRequest, by: byEither, validFor: anyLife})
	t, err := read(ans, err, gen.ParseIssueStatelessChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.token(kind, t.AccessToken, t.TokenType, "", int64(t.ExpiresIn))
}

// issuedFor is the kind of token that the client issues where one is asked for.
func (c *Client) issuedFor(kind Kind) Kind {
	if kind == ShortLived && c.cfg.Credentials == nil && c.cfg.ChannelSecret.IsZero() && (c.cfg.Key != nil || c.assertion != nil) {
		return V21
	}
	return kind
}

// ValidChannelAccessTokenKeyIDs returns the key IDs of the channel's valid v2.1 tokens,
// and so which of the stored tokens are still valid.
//
// https://developers.line.biz/en/reference/messaging-api/#get-all-valid-channel-access-token-key-ids-v2-1
func (c *Client) ValidChannelAccessTokenKeyIDs(ctx context.Context) ([]string, error) {
	ans, err := c.do(ctx, &call{op: OpGetsAllValidChannelAccessTokenKeyIds, request: keyIDsRequest, by: byAssertion, validFor: anyLife})
	ids, err := read(ans, err, gen.ParseGetsAllValidChannelAccessTokenKeyIDsResponse)
	if err != nil {
		return nil, err
	}
	if ids.Kids == nil {
		return nil, ans.unexpected(errors.New("the answer has no kids"))
	}
	return ids.Kids, nil
}

// VerifyChannelToken asks LINE about a token of any kind, at the endpoint that fits its
// form. It needs no credentials. For a token that has expired, was revoked, or is not a
// token, the error matches [ErrInvalidToken].
//
// https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token-v2-1
// https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token
func (c *Client) VerifyChannelToken(ctx context.Context, accessToken string) (*Verification, error) {
	if err := c.checkToken(accessToken); err != nil {
		return nil, err
	}
	if isJWS(accessToken) {
		ans, err := c.do(ctx, &call{op: OpVerifyChannelTokenByJWT, request: v21VerifyRequest, token: accessToken})
		v, err := read(ans, err, gen.ParseVerifyChannelTokenByJWTResponse)
		if err != nil {
			return nil, err
		}
		return ans.verification(v.ClientID, v.Scope, int64(v.ExpiresIn))
	}
	ans, err := c.do(ctx, &call{op: OpVerifyChannelToken, request: verifyRequest, token: accessToken})
	v, err := read(ans, err, gen.ParseVerifyChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.verification(v.ClientID, v.Scope, int64(v.ExpiresIn))
}

// TokenValidFor reports whether a token is valid for at least d more, by
// [Client.VerifyChannelToken]. An error means that LINE could not be asked, or that its
// answer was not about the token.
func (c *Client) TokenValidFor(ctx context.Context, accessToken string, d time.Duration) (bool, error) {
	v, err := c.VerifyChannelToken(ctx, accessToken)
	switch {
	case errors.Is(err, ErrInvalidToken):
		return false, nil
	case err != nil:
		return false, err
	}
	return v.Remaining() >= d, nil
}

// RevokeChannelToken revokes a token, at the endpoint that fits its form. An opaque
// token needs no credentials; a v2.1 token needs the ChannelID and the ChannelSecret.
// It succeeds for a token that has already expired or been revoked, as LINE does; should
// LINE refuse one, the error matches [ErrInvalidToken].
//
// LINE answers a revocation with success even where it has no effect. So the client
// then verifies a token that is a JWS; if it is still valid, as a stateless token or
// one of another channel is, the error matches [ErrNotRevocable].
//
// https://developers.line.biz/en/reference/messaging-api/#revoke-channel-access-token-v2-1
// https://developers.line.biz/en/reference/messaging-api/#revoke-longlived-or-shortlived-channel-access-token
func (c *Client) RevokeChannelToken(ctx context.Context, accessToken string) error {
	if err := c.checkToken(accessToken); err != nil {
		return err
	}
	cl := &call{op: OpRevokeChannelToken, request: revokeRequest, token: accessToken}
	if isJWS(accessToken) {
		cl.op, cl.by, cl.request = OpRevokeChannelTokenByJWT, bySecret, v21RevokeRequest
	}
	ans, err := c.do(ctx, cl)
	if err == nil {
		err = ans.empty()
	}
	if err != nil || cl.op == OpRevokeChannelToken {
		return err
	}
	v, err := c.VerifyChannelToken(ctx, accessToken)
	switch {
	case errors.Is(err, ErrInvalidToken):
		return nil
	case err != nil:
		return fmt.Errorf("lineoauth: LINE accepted the revocation, but could not be asked whether it took effect: %w", err)
	}
	return ans.failure(fmt.Errorf("%w: it is still valid for %v, as a stateless token or one of another channel is; let it expire",
		ErrNotRevocable, v.Remaining()))
}

func (c *Client) checkToken(accessToken string) error {
	if accessToken == "" && !c.cfg.SkipChecks {
		return fmt.Errorf("lineoauth: %w: the access token is empty", ErrInvalid)
	}
	return nil
}
