package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
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
// A call's error is an [*Error] when the request was made, and matches
// [ErrInvalid] when it was not.
type Client struct {
	// Behind a pointer, so that printing a struct with a client in it does not
	// walk the transport's live data.
	*shared
	assertion Secret // from WithAssertion
}

type shared struct {
	cfg  Config
	api  *gen.Client
	apis map[Operation]*gen.Client // from OperationURLs
}

// New returns a client for cfg. The error matches [ErrInvalid] and names
// everything that is wrong with cfg.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	hc := &http.Client{
		Transport: cfg.Transport,
		// A followed redirect would hand the secret to whoever it points at.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s := &shared{cfg: cfg, api: newAPI(cfg, hc, cfg.BaseURL), apis: make(map[Operation]*gen.Client)}
	for op, base := range cfg.OperationURLs {
		s.apis[op] = newAPI(cfg, hc, base)
	}
	return &Client{shared: s}, nil
}

func newAPI(cfg Config, hc *http.Client, base string) *gen.Client {
	api := &gen.Client{Server: strings.TrimSuffix(base, "/") + "/", Client: hc}
	if !cfg.Authorization.IsZero() {
		api.RequestEditors = []gen.RequestEditorFn{func(_ context.Context, req *http.Request) error {
			req.Header.Set("Authorization", cfg.Authorization.Reveal())
			return nil
		}}
	}
	return api
}

// WithAssertion returns a copy of the client that sends the given assertion,
// which somebody else signed, where it would sign one itself.
func (c *Client) WithAssertion(assertion string) *Client {
	return &Client{shared: c.shared, assertion: NewSecret(assertion)}
}

// Format prints the client without its secrets, under every verb.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "lineoauth client of channel %q at %s", c.cfg.ChannelID, c.cfg.BaseURL)
}

// Assertion signs a client assertion (RFC 7523) that expires in
// AssertionLifetime. Its token_exp asks for a v2.1 token that is valid for
// validFor: whole seconds, 1 s to 30 days; 0 means 30 days. It needs a
// ChannelID, a Key and a key ID, and no network, unless the key's signer does.
//
// https://developers.line.biz/en/docs/messaging-api/generate-json-web-token/
func (c *Client) Assertion(ctx context.Context, validFor time.Duration) (Secret, error) {
	if err := ctx.Err(); err != nil {
		return Secret{}, fmt.Errorf("lineoauth: assertion: %w", err)
	}
	if err := c.require("assertion", needChannelID, needKey, needKeyID); err != nil {
		return Secret{}, err
	}
	signed, err := c.cfg.Key.key.Sign(assertion.Claims{
		ChannelID: c.cfg.ChannelID,
		Audience:  audience,
		KeyID:     c.cfg.KeyID,
		Now:       c.cfg.Now(),
		ExpiresIn: c.cfg.AssertionLifetime,
		ValidFor:  validFor,
		Unchecked: c.cfg.SkipChecks,
	})
	if err != nil {
		return Secret{}, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	return NewSecret(signed), nil
}

// IssueChannelToken issues a v2.1 token, with a user-specified expiration, by
// JWT assertion. It is valid for validFor: whole seconds, 1 s to 30 days; 0
// means 30 days. A client made by [Client.WithAssertion] leaves that to the
// assertion, and takes 0 alone.
//
// A channel may have 30 such tokens alive; past that the error matches
// [ErrTokenLimit]. Reuse the token for its whole life, and store its KeyID.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-channel-access-token-v2-1
func (c *Client) IssueChannelToken(ctx context.Context, validFor time.Duration) (*Token, error) {
	a, err := c.assert(ctx, validFor)
	if err != nil {
		return nil, err
	}
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
	return ans.token(V21, rsp.AccessToken, rsp.TokenType, rsp.KeyID, rsp.ExpiresIn)
}

// IssueShortLivedChannelToken issues a token that lives 30 days: a short-lived
// one by the channel secret or, for a channel that has only a key, a v2.1 one;
// the Kind of the token tells.
//
// A channel may have 30 short-lived tokens alive; past that LINE revokes the
// oldest. Reuse the token for its whole life.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-shortlived-channel-access-token
func (c *Client) IssueShortLivedChannelToken(ctx context.Context) (*Token, error) {
	if c.cfg.ChannelSecret.IsZero() && (c.cfg.Key != nil || !c.assertion.IsZero()) {
		return c.IssueChannelToken(ctx, 0)
	}
	if err := c.require(string(OpIssueChannelToken), needChannelID, needSecret); err != nil {
		return nil, err
	}
	body := gen.IssueChannelTokenFormdataRequestBody{
		GrantType:    grantType,
		ClientID:     c.cfg.ChannelID,
		ClientSecret: c.cfg.ChannelSecret.Reveal(),
	}
	rsp, ans, err := fetch(ctx, c, call{op: OpIssueChannelToken, secrets: []string{body.ClientSecret}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.IssueChannelTokenWithFormdataBody(ctx, body)
		}, gen.ParseIssueChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.token(ShortLived, rsp.AccessToken, rsp.TokenType, "", rsp.ExpiresIn)
}

// IssueStatelessChannelToken issues a token that lives 15 minutes, by JWT
// assertion if the client has a Key, else by the channel secret. A channel may
// have any number of them; they cannot be revoked.
//
// https://developers.line.biz/en/reference/messaging-api/#issue-stateless-channel-access-token
func (c *Client) IssueStatelessChannelToken(ctx context.Context) (*Token, error) {
	// The two credentials exclude each other; LINE takes no empty fields either.
	body := gen.IssueStatelessChannelTokenFormdataRequestBody{GrantType: grantType}
	byAssertion := c.cfg.Key != nil || !c.assertion.IsZero()
	if byAssertion {
		a, err := c.assert(ctx, 0)
		if err != nil {
			return nil, err
		}
		body.ClientAssertionType, body.ClientAssertion = assertionType, a
	} else {
		if err := c.require(string(OpIssueStatelessChannelToken), needChannelID, needSecretOrKey); err != nil {
			return nil, err
		}
		body.ClientID, body.ClientSecret = c.cfg.ChannelID, c.cfg.ChannelSecret.Reveal()
	}
	rsp, ans, err := fetch(ctx, c,
		call{op: OpIssueStatelessChannelToken, byAssertion: byAssertion, secrets: []string{body.ClientAssertion, body.ClientSecret}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.IssueStatelessChannelTokenWithFormdataBody(ctx, body)
		}, gen.ParseIssueStatelessChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.token(Stateless, rsp.AccessToken, rsp.TokenType, "", rsp.ExpiresIn)
}

// ValidChannelAccessTokenKeyIDs lists the key IDs of the channel's live v2.1
// tokens. They tell which of the stored tokens are still alive.
//
// https://developers.line.biz/en/reference/messaging-api/#get-all-valid-channel-access-token-key-ids-v2-1
func (c *Client) ValidChannelAccessTokenKeyIDs(ctx context.Context) ([]string, error) {
	a, err := c.assert(ctx, 0)
	if err != nil {
		return nil, err
	}
	params := gen.GetsAllValidChannelAccessTokenKeyIdsParams{ClientAssertionType: assertionType, ClientAssertion: a}
	rsp, ans, err := fetch(ctx, c, call{op: OpGetsAllValidChannelAccessTokenKeyIds, byAssertion: true, secrets: []string{a}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.GetsAllValidChannelAccessTokenKeyIds(ctx, &params)
		}, gen.ParseGetsAllValidChannelAccessTokenKeyIdsResponse)
	if err != nil {
		return nil, err
	}
	if rsp.Kids == nil {
		return nil, ans.bad(errors.New("the answer holds no kids"))
	}
	return rsp.Kids, nil
}

// VerifyChannelToken asks LINE about a token of any kind, at the endpoint that
// fits its form. It needs no credentials. For a token that has expired, was
// revoked, or never was one, the error matches [ErrTokenInvalid].
//
// https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token-v2-1
func (c *Client) VerifyChannelToken(ctx context.Context, accessToken string) (*Verification, error) {
	if err := c.checkToken(accessToken); err != nil {
		return nil, err
	}
	var rsp *gen.VerifyChannelAccessTokenResponse
	var ans *answer
	var err error
	if isJWS(accessToken) {
		rsp, ans, err = fetch(ctx, c, call{op: OpVerifyChannelTokenByJWT, secrets: []string{accessToken}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.VerifyChannelTokenByJWT(ctx, &gen.VerifyChannelTokenByJWTParams{AccessToken: accessToken})
			}, gen.ParseVerifyChannelTokenByJWTResponse)
	} else {
		rsp, ans, err = fetch(ctx, c, call{op: OpVerifyChannelToken, secrets: []string{accessToken}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.VerifyChannelTokenWithFormdataBody(ctx, gen.VerifyChannelTokenFormdataRequestBody{AccessToken: accessToken})
			}, gen.ParseVerifyChannelTokenResponse)
	}
	if err != nil {
		return nil, err
	}
	if rsp.ClientID == "" || rsp.ExpiresIn < 0 {
		return nil, ans.bad(errors.New("the answer holds no client_id, or an expires_in in the past"))
	}
	return &Verification{ClientID: rsp.ClientID, ExpiresIn: rsp.ExpiresIn, Scope: rsp.Scope, VerifiedAt: ans.askedAt}, nil
}

// TokenValidFor reports whether a token is good for at least d more. The
// answer "no" has no error; an error means that LINE could not be asked.
func (c *Client) TokenValidFor(ctx context.Context, accessToken string, d time.Duration) (bool, error) {
	v, err := c.VerifyChannelToken(ctx, accessToken)
	switch {
	case errors.Is(err, ErrTokenInvalid):
		return false, nil
	case err != nil:
		return false, err
	}
	return v.Remaining() >= d, nil
}

// RevokeChannelToken ends a token at once, at the endpoint that fits its form.
// An opaque token needs no credentials; a v2.1 token needs the ChannelID and
// the ChannelSecret. It is no error when LINE does not know the token any more.
//
// LINE answers a revocation with success even where it has no effect. So the
// client then verifies a token that is a JWS; if it still lives, as a
// stateless token or one of another channel does, the error matches
// [ErrNotRevocable].
//
// https://developers.line.biz/en/reference/messaging-api/#revoke-channel-access-token-v2-1
func (c *Client) RevokeChannelToken(ctx context.Context, accessToken string) error {
	if err := c.checkToken(accessToken); err != nil {
		return err
	}
	if !isJWS(accessToken) {
		_, err := c.exchange(ctx, call{op: OpRevokeChannelToken, secrets: []string{accessToken}},
			func(ctx context.Context, api *gen.Client) (*http.Response, error) {
				return api.RevokeChannelTokenWithFormdataBody(ctx, gen.RevokeChannelTokenFormdataRequestBody{AccessToken: accessToken})
			})
		return err
	}
	if err := c.require(string(OpRevokeChannelTokenByJWT), needChannelID, needSecret); err != nil {
		return err
	}
	body := gen.RevokeChannelTokenByJWTFormdataRequestBody{
		ClientID:     c.cfg.ChannelID,
		ClientSecret: c.cfg.ChannelSecret.Reveal(),
		AccessToken:  accessToken,
	}
	ans, err := c.exchange(ctx, call{op: OpRevokeChannelTokenByJWT, secrets: []string{accessToken, body.ClientSecret}},
		func(ctx context.Context, api *gen.Client) (*http.Response, error) {
			return api.RevokeChannelTokenByJWTWithFormdataBody(ctx, body)
		})
	if err != nil {
		return err
	}
	v, err := c.VerifyChannelToken(ctx, accessToken)
	if err != nil {
		return nil // LINE did confirm the revocation
	}
	return ans.bad(fmt.Errorf("%w: it still lives for %v, as a stateless token or one of another channel does; let it expire",
		ErrNotRevocable, v.Remaining()))
}

// assert returns the assertion that the next call sends.
func (c *Client) assert(ctx context.Context, validFor time.Duration) (string, error) {
	if c.assertion.IsZero() {
		a, err := c.Assertion(ctx, validFor)
		return a.Reveal(), err
	}
	if validFor != 0 {
		return "", fmt.Errorf("lineoauth: %w: the given assertion already says how long the token is valid; pass 0", ErrInvalid)
	}
	return c.assertion.Reveal(), nil
}

func (c *Client) checkToken(accessToken string) error {
	if accessToken == "" && !c.cfg.SkipChecks {
		return fmt.Errorf("lineoauth: %w: the access token is empty", ErrInvalid)
	}
	return nil
}

type need func(Config) string

func needChannelID(cfg Config) string {
	if cfg.ChannelID == "" {
		return "the channel ID (ChannelID, " + EnvChannelID + ")"
	}
	return ""
}

func needSecret(cfg Config) string {
	if cfg.ChannelSecret.IsZero() {
		return "the channel secret (ChannelSecret, " + EnvChannelSecret + ")"
	}
	return ""
}

func needKey(cfg Config) string {
	if cfg.Key == nil {
		return "the private key (Key, " + EnvPrivateKey + " or " + EnvPrivateKeyFile + ")"
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
		return "the key ID (KeyID, " + EnvKeyID + ")"
	}
	return ""
}

// require names all that is missing for a call, at once.
func (c *Client) require(what string, needs ...need) error {
	var missing []string
	for _, n := range needs {
		if m := n(c.cfg); m != "" {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("lineoauth: %s: %w: %w: give %s", what, ErrInvalid, ErrMissingCredentials, strings.Join(missing, ", and "))
}
