package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/env"
)

const (
	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// The audience is LINE itself, wherever BaseURL points.
	audience = gen.DefaultServerURL + "/"
)

// Client issues, verifies and revokes channel access tokens. It is made by
// [New], never changes, and is safe for concurrent use.
//
// A call's error wraps an [*Error] when a request was made. When none was, it
// matches [ErrInvalid], the context's error, or the error of the key's signer.
type Client struct {
	// Behind a pointer, so that printing a struct with a client in it does not
	// walk the transport's live data.
	*shared
	assertion *Secret // from WithAssertion
	maxTries  int
	current   *Credentials // from Config.Credentials; nil before it was called
}

type shared struct {
	cfg  Config
	api  *gen.Client
	apis map[Operation]*gen.Client // from OperationURLs

	own   origin // of the base URL
	base  atomic.Pointer[judged]
	clock *clock.Clock

	asking chan struct{}               // has an element for each call of Config.Credentials
	last   atomic.Pointer[Credentials] // that Config.Credentials returned
	signed atomic.Pointer[signedAssertion]
	skew   atomic.Int64 // how far LINE's clock is ahead of ours, in nanoseconds
}

// signedAssertion serves all calls until it is old.
type signedAssertion struct {
	text     Secret
	by       Credentials
	validFor time.Duration
	skew     time.Duration // that it was signed with
	reuse    clock.Instant // until then
	expires  clock.Instant
}

// New returns a client for cfg. The error matches [ErrInvalid] and names
// everything that is wrong with cfg.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	base, _ := url.Parse(cfg.BaseURL) // which validate has done, too
	s := &shared{cfg: cfg, api: newAPI(cfg, cfg.BaseURL), clock: clock.New(cfg.Now)}
	if len(cfg.OperationURLs) > 0 {
		s.apis = make(map[Operation]*gen.Client)
	}
	for op, base := range cfg.OperationURLs {
		s.apis[op] = newAPI(cfg, base)
	}
	s.own, _ = originOf(base)
	if cfg.Credentials != nil {
		s.asking = make(chan struct{}, maxAsking)
	}
	if given := (Credentials{cfg.ChannelSecret, cfg.Key, cfg.KeyID}); cfg.Credentials != nil && given != (Credentials{}) {
		s.last.Store(&given)
	}
	return &Client{shared: s, maxTries: cfg.MaxAttempts}, nil
}

func newAPI(cfg Config, base string) *gen.Client {
	server := gen.DefaultServerURL + "/"
	if base != gen.DefaultServerURL { // one string does for all clients of LINE itself
		server = strings.TrimSuffix(base, "/") + "/"
	}
	api := &gen.Client{Server: server, Client: doer{cfg.Transport}}
	if !cfg.Authorization.IsZero() {
		api.RequestEditors = []gen.RequestEditorFn{func(_ context.Context, req *http.Request) error {
			req.Header.Set("Authorization", cfg.Authorization.Reveal())
			return nil
		}}
	}
	return api
}

// WithAssertion returns a copy of the client that sends the given client assertion (RFC
// 7523) instead of signing one itself. It needs no Key.
func (c *Client) WithAssertion(assertion string) *Client {
	given := NewSecret(assertion)
	return &Client{shared: c.shared, assertion: &given, maxTries: c.maxTries, current: c.current}
}

// once returns a client that makes one attempt of a call.
func (c *Client) once() *Client {
	return &Client{shared: c.shared, assertion: c.assertion, maxTries: 1, current: c.current}
}

// Format prints the client without its secrets, under every verb.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "lineoauth client of channel %q at %s", c.cfg.ChannelID, c.cfg.BaseURL)
}

// Assertion returns a client assertion (RFC 7523) whose token_exp asks for a
// v2.1 token that is valid for validFor: whole seconds, 1 s to 30 days; 0 means
// 30 days. It needs a ChannelID, a Key and a key ID, and no network, unless the
// key's signer does.
//
// An assertion expires AssertionLifetime after it was signed. The same one is
// returned until nine tenths of that have passed, or a [Source] of the client has
// issued a token with it.
//
// https://developers.line.biz/en/docs/messaging-api/generate-json-web-token/
func (c *Client) Assertion(ctx context.Context, validFor time.Duration) (Secret, error) {
	return withCredentials(ctx, c, func(c *Client) (Secret, error) {
		a, err := c.sign(ctx, validFor)
		if err != nil {
			return Secret{}, err
		}
		return a.text, nil
	})
}

// anyLife asks for an assertion whose token_exp does not matter.
const anyLife time.Duration = math.MinInt64

func (c *Client) sign(ctx context.Context, validFor time.Duration) (*signedAssertion, error) {
	if validFor == 0 {
		validFor = assertion.DefaultValidFor
	}
	skew, by := time.Duration(c.skew.Load()), c.credentials()
	if a := c.signed.Load(); a != nil && a.skew == skew && a.by.same(by) && (a.validFor == validFor || validFor == anyLife) && c.clock.Now() < a.reuse {
		return a, nil
	}
	if validFor == anyLife {
		validFor = assertion.DefaultValidFor
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("lineoauth: assertion: %w", err)
	}
	if err := c.require("assertion", needChannelID, needKey, needKeyID); err != nil {
		return nil, err
	}
	// A KMS signs once for all callers.
	signing, begun := by.Key.in(), c.clock.Now()
	call := fmt.Sprintf("%p %d %d %s", c.shared, validFor, skew, by.KeyID)
	signed := signing.group.DoChan(call, func() (any, error) {
		signing.running.Add(1)
		defer signing.running.Add(-1)
		return c.signAnew(by, validFor, skew)
	})
	select {
	case s := <-signed:
		a, _ := s.Val.(*signedAssertion)
		return a, s.Err
	case <-ctx.Done():
		// A signer takes no context. One that hangs must not hold up the next call.
		if c.clock.Now().Sub(begun) >= hungSigner && signing.running.Load() < maxHungSigners {
			signing.group.Forget(call)
		}
		return nil, fmt.Errorf("lineoauth: assertion: %w", ctx.Err())
	}
}

const (
	// hungSigner is how long a signature takes until another is begun beside it.
	hungSigner = 2 * time.Second
	// maxHungSigners bounds the goroutines that hang in one key.
	maxHungSigners = 64
)

// forgetAssertion frees the memory of an assertion that will be of use again in
// minutes at the earliest.
func (c *Client) forgetAssertion() { c.signed.Store(nil) }

func (c *Client) signAnew(by Credentials, validFor, skew time.Duration) (*signedAssertion, error) {
	now, at := c.cfg.Now(), c.clock.Now()
	text, err := by.Key.in().Sign(assertion.Claims{
		ChannelID: c.cfg.ChannelID,
		Audience:  audience,
		KeyID:     by.KeyID,
		Now:       now.Add(skew),
		ExpiresIn: c.cfg.AssertionLifetime,
		ValidFor:  validFor,
		Unchecked: c.cfg.SkipChecks,
	})
	if errors.Is(err, assertion.ErrSigner) {
		return nil, fmt.Errorf("lineoauth: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	a := &signedAssertion{
		text:     NewSecret(text),
		by:       by,
		validFor: validFor,
		skew:     skew,
		reuse:    at.Add(c.cfg.AssertionLifetime * 9 / 10),
		expires:  at.Add(c.cfg.AssertionLifetime),
	}
	c.signed.Store(a)
	return a, nil
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
	return withCredentials(ctx, c, func(c *Client) (*Token, error) { return c.issueV21(ctx, validFor) })
}

func (c *Client) issueV21(ctx context.Context, validFor time.Duration) (*Token, error) {
	return withAssertion(ctx, c, validFor, func(a string) (*Token, error) {
		body := gen.IssueChannelTokenByJWTFormdataRequestBody{
			GrantType:           grantType,
			ClientAssertionType: assertionType,
			ClientAssertion:     a,
		}
		rsp, ans, err := fetch(ctx, c, call{op: OpIssueChannelTokenByJWT, byAssertion: true, secrets: []string{a}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.IssueChannelTokenByJWTWithFormdataBody(ctx, body)
			}, gen.ParseIssueChannelTokenByJWTResponse)
		if err != nil {
			return nil, err
		}
		return ans.token(V21, rsp.AccessToken, rsp.TokenType, rsp.KeyID, int64(rsp.ExpiresIn))
	})
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
	if c.issuedFor(ShortLived) == V21 {
		return c.IssueChannelToken(ctx, 0)
	}
	return withCredentials(ctx, c, func(c *Client) (*Token, error) { return c.issueShortLived(ctx) })
}

func (c *Client) issueShortLived(ctx context.Context) (*Token, error) {
	if err := c.require(string(OpIssueChannelToken), needChannelID, needSecret); err != nil {
		return nil, err
	}
	body := gen.IssueChannelTokenFormdataRequestBody{
		GrantType:    grantType,
		ClientID:     c.cfg.ChannelID,
		ClientSecret: c.credentials().ChannelSecret.Reveal(),
	}
	rsp, ans, err := fetch(ctx, c, call{op: OpIssueChannelToken, secrets: []string{body.ClientSecret}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.IssueChannelTokenWithFormdataBody(ctx, body)
		}, gen.ParseIssueChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.token(ShortLived, rsp.AccessToken, rsp.TokenType, "", int64(rsp.ExpiresIn))
}

// issuedFor is the kind of token that the client issues where one is asked for.
func (c *Client) issuedFor(kind Kind) Kind {
	if kind == ShortLived && c.cfg.Credentials == nil && c.cfg.ChannelSecret.IsZero() && (c.cfg.Key != nil || c.assertion != nil) {
		return V21
	}
	return kind
}

// IssueStatelessChannelToken issues a token that is valid for 15 minutes, by JWT
// assertion if the client has a Key, else by the channel secret. A channel can have any
// number of them; they cannot be revoked.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-stateless-channel-access-token
func (c *Client) IssueStatelessChannelToken(ctx context.Context) (*Token, error) {
	return withCredentials(ctx, c, func(c *Client) (*Token, error) { return c.issueStateless(ctx) })
}

func (c *Client) issueStateless(ctx context.Context) (*Token, error) {
	// The two credentials exclude each other.
	body := gen.IssueStatelessChannelTokenFormdataRequestBody{GrantType: grantType}
	if c.credentials().Key != nil || c.assertion != nil {
		return withAssertion(ctx, c, anyLife, func(a string) (*Token, error) {
			body.ClientAssertionType, body.ClientAssertion = assertionType, a
			return c.sendStateless(ctx, body)
		})
	}
	if err := c.require(string(OpIssueStatelessChannelToken), needChannelID, needSecretOrKey); err != nil {
		return nil, err
	}
	body.ClientID, body.ClientSecret = c.cfg.ChannelID, c.credentials().ChannelSecret.Reveal()
	return c.sendStateless(ctx, body)
}

func (c *Client) sendStateless(ctx context.Context, body gen.IssueStatelessChannelTokenFormdataRequestBody) (*Token, error) {
	rsp, ans, err := fetch(ctx, c, call{
		op:          OpIssueStatelessChannelToken,
		byAssertion: body.ClientAssertion != "",
		secrets:     []string{body.ClientAssertion, body.ClientSecret},
	}, func(ctx context.Context, api *gen.Client) (*http.Response, error) {
		return api.IssueStatelessChannelTokenWithFormdataBody(ctx, body)
	}, gen.ParseIssueStatelessChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.token(Stateless, rsp.AccessToken, rsp.TokenType, "", int64(rsp.ExpiresIn))
}

// ValidChannelAccessTokenKeyIDs returns the key IDs of the channel's valid v2.1 tokens,
// and so which of the stored tokens are still valid.
//
// https://developers.line.biz/en/reference/messaging-api/#get-all-valid-channel-access-token-key-ids-v2-1
func (c *Client) ValidChannelAccessTokenKeyIDs(ctx context.Context) ([]string, error) {
	return withCredentials(ctx, c, func(c *Client) ([]string, error) { return c.keyIDs(ctx) })
}

func (c *Client) keyIDs(ctx context.Context) ([]string, error) {
	return withAssertion(ctx, c, anyLife, func(a string) ([]string, error) {
		params := gen.GetsAllValidChannelAccessTokenKeyIDsParams{ClientAssertionType: assertionType, ClientAssertion: a}
		rsp, ans, err := fetch(ctx, c, call{op: OpGetsAllValidChannelAccessTokenKeyIds, byAssertion: true, secrets: []string{a}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.GetsAllValidChannelAccessTokenKeyIDs(ctx, &params)
			}, gen.ParseGetsAllValidChannelAccessTokenKeyIDsResponse)
		if err != nil {
			return nil, err
		}
		if rsp.Kids == nil {
			return nil, ans.strange(errors.New("the answer holds no kids"))
		}
		return rsp.Kids, nil
	})
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
		rsp, ans, err := fetch(ctx, c, call{op: OpVerifyChannelTokenByJWT, secrets: []string{accessToken}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.VerifyChannelTokenByJWT(ctx, &gen.VerifyChannelTokenByJWTParams{AccessToken: accessToken})
			}, gen.ParseVerifyChannelTokenByJWTResponse)
		if err != nil {
			return nil, err
		}
		return ans.verification(rsp.ClientID, rsp.Scope, int64(rsp.ExpiresIn))
	}
	rsp, ans, err := fetch(ctx, c, call{op: OpVerifyChannelToken, secrets: []string{accessToken}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.VerifyChannelTokenWithFormdataBody(ctx, gen.VerifyChannelTokenFormdataRequestBody{AccessToken: accessToken})
		}, gen.ParseVerifyChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.verification(rsp.ClientID, rsp.Scope, int64(rsp.ExpiresIn))
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
// It succeeds for a token that has already expired or been revoked.
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
	if !isJWS(accessToken) {
		_, err := c.finish(ctx, call{op: OpRevokeChannelToken, secrets: []string{accessToken}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.RevokeChannelTokenWithFormdataBody(ctx, gen.RevokeChannelTokenFormdataRequestBody{AccessToken: accessToken})
			})
		return err
	}
	_, err := withCredentials(ctx, c, func(c *Client) (struct{}, error) { return struct{}{}, c.revokeV21(ctx, accessToken) })
	return err
}

func (c *Client) revokeV21(ctx context.Context, accessToken string) error {
	if err := c.require(string(OpRevokeChannelTokenByJWT), needChannelID, needSecret); err != nil {
		return err
	}
	body := gen.RevokeChannelTokenByJWTFormdataRequestBody{
		ClientID:     c.cfg.ChannelID,
		ClientSecret: c.credentials().ChannelSecret.Reveal(),
		AccessToken:  accessToken,
	}
	ans, err := c.finish(ctx, call{op: OpRevokeChannelTokenByJWT, secrets: []string{accessToken, body.ClientSecret}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.RevokeChannelTokenByJWTWithFormdataBody(ctx, body)
		})
	if err != nil {
		return err
	}
	v, err := c.VerifyChannelToken(ctx, accessToken)
	switch {
	case errors.Is(err, ErrInvalidToken):
		return nil
	case err != nil:
		return fmt.Errorf("lineoauth: LINE accepted the revocation, but could not be asked whether it took effect: %w", err)
	}
	return ans.bad(fmt.Errorf("%w: it still lives for %v, as a stateless token or one of another channel does; let it expire",
		ErrNotRevocable, v.Remaining()))
}

// withAssertion makes a call that carries an assertion, and once more with
// another if that one was outdated.
func withAssertion[T any](ctx context.Context, c *Client, validFor time.Duration, call func(assertion string) (T, error)) (T, error) {
	var none T
	if c.assertion != nil {
		if c.assertion.IsZero() && !c.cfg.SkipChecks {
			return none, fmt.Errorf("lineoauth: %w: the given assertion is empty", ErrInvalid)
		}
		if validFor != 0 && validFor != anyLife {
			return none, fmt.Errorf("lineoauth: %w: the given assertion already says how long the token is valid; pass 0", ErrInvalid)
		}
		return call(c.assertion.Reveal())
	}
	a, err := c.sign(ctx, validFor)
	if err != nil {
		return none, err
	}
	result, err := call(a.text.Reveal())
	if err == nil || !c.outdated(ctx, a, err) {
		return result, err
	}
	if a, err = c.sign(ctx, validFor); err != nil {
		return none, err
	}
	return call(a.text.Reveal())
}

// minSkew is more than a Date header and the way of an answer can be off.
const minSkew = 5 * time.Second

// outdated reports whether LINE refused an assertion for its exp because it
// expired on the way, or because the clock that it was signed by is off; then
// it takes note of by how much.
func (c *Client) outdated(ctx context.Context, a *signedAssertion, err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	refused := e.known()
	if refused == nil || refused.is != ErrInvalidAssertion { //nolint:errorlint // facts hold the sentinels themselves
		return false
	}
	aboutExp := refused.advice == adviceOnExp
	now := c.cfg.Now().Round(0)
	skew := e.serverTime.Sub(now)
	off := !e.serverTime.IsZero() && (skew-a.skew).Abs() >= minSkew
	if aboutExp && off {
		off = c.follow(ctx, skew)
	}
	c.signed.CompareAndSwap(a, nil) // it will not become better
	return aboutExp && (off || c.clock.Now() >= a.expires)
}

// follow has assertions signed by LINE's clock from now on, unless that is further
// ahead or behind than the configuration allows.
func (c *Client) follow(ctx context.Context, skew time.Duration) bool {
	event := Event{Kind: EventClockSkew, Skew: skew}
	if skew.Abs()-minSkew > c.cfg.MaxClockSkew {
		event.Err = fmt.Errorf("lineoauth: the Date of LINE's answer is %v off this machine's clock, which is more than MaxClockSkew allows (%v); set the clock right",
			skew, max(c.cfg.MaxClockSkew, 0))
	} else {
		c.skew.Store(int64(skew))
	}
	c.emit(ctx, event)
	return event.Err == nil
}

func (c *Client) checkToken(accessToken string) error {
	if accessToken == "" && !c.cfg.SkipChecks {
		return fmt.Errorf("lineoauth: %w: the access token is empty", ErrInvalid)
	}
	return nil
}

type need func(Config) string

// credential describes one that is missing, by the names of its field and of its
// variables.
func (cfg Config) credential(what, field, variables string) string {
	if cfg.fromEnv {
		return what + " (" + variables + ")"
	}
	return what + " (" + field + ", " + variables + ")"
}

func needChannelID(cfg Config) string {
	if cfg.ChannelID == "" {
		return cfg.credential("the channel ID", "ChannelID", env.ChannelID)
	}
	return ""
}

func needSecret(cfg Config) string {
	if cfg.ChannelSecret.IsZero() {
		return cfg.credential("the channel secret", "ChannelSecret", env.ChannelSecret+" or "+env.ChannelSecretFile)
	}
	return ""
}

func needKey(cfg Config) string {
	if cfg.Key == nil {
		return cfg.credential("the private key", "Key", env.PrivateKey+" or "+env.PrivateKeyFile)
	}
	return ""
}

func needSecretOrKey(cfg Config) string {
	if secret, key := needSecret(cfg), needKey(cfg); secret != "" && key != "" {
		return secret + " or " + key
	}
	return ""
}

func needKeyID(cfg Config) string {
	if cfg.KeyID == "" && (cfg.Key == nil || cfg.Key.ID() == "") {
		return cfg.credential("the key ID", "KeyID", env.KeyID+" or "+env.KeyIDFile)
	}
	return ""
}

// require names all that is missing for a call, at once.
func (c *Client) require(what string, needs ...need) error {
	var missing []string
	cfg, cr := c.cfg, c.credentials()
	cfg.ChannelSecret, cfg.Key, cfg.KeyID = cr.ChannelSecret, cr.Key, cr.KeyID
	for _, n := range needs {
		if m := n(cfg); m != "" {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("lineoauth: %s: %w: %w: give %s", what, ErrInvalid, ErrMissingCredentials, strings.Join(missing, ", and "))
}
