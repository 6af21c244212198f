package lineoauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/internal/wire"
)

// Kind is one of LINE's types of channel access token.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
type Kind string

// The kinds of token that LINE issues over its API. (A long-lived token comes from the
// LINE Developers Console only; it can be verified and revoked like a short-lived one.)
const (
	// Stateless tokens are valid for 15 minutes and cannot be revoked; a channel can
	// have any number of them.
	Stateless Kind = "stateless"
	// V21 tokens have a user-specified expiration, up to 30 days, and a key ID. A
	// channel can have 30 valid ones; LINE refuses the next one.
	V21 Kind = "v2.1"
	// ShortLived tokens are valid for 30 days. A channel can have 30 valid ones; LINE
	// revokes the oldest for the next one.
	ShortLived Kind = "short-lived"
)

// issuable reports whether LINE issues such tokens over its API.
func (k Kind) issuable() bool { return k == Stateless || k == V21 || k == ShortLived }

// Token is a channel access token as LINE issued it.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
type Token struct {
	// AccessToken is the token itself; Reveal returns it for the wire, and for
	// keeping: encoding/json masks it.
	AccessToken Secret
	// TokenType is OAuth's token_type, always "Bearer".
	TokenType string
	// Kind is the kind of token.
	Kind Kind
	// KeyID identifies a V21 token in LINE's list of valid ones; keep it with the
	// token. Empty for the other kinds.
	KeyID string
	// ExpiresIn is the lifetime in seconds, from IssuedAt, as LINE sent it.
	ExpiresIn int64
	// IssuedAt is when the token was asked for, by the client's clock. LINE
	// starts to count a little later, so ExpiresAt is never too late.
	IssuedAt time.Time
}

// Lifetime is ExpiresIn as a duration.
func (t Token) Lifetime() time.Duration { return wire.Seconds(t.ExpiresIn) }

// ExpiresAt is when the token expires.
func (t Token) ExpiresAt() time.Time { return t.IssuedAt.Add(t.Lifetime()) }

// Verification is LINE's answer about a valid token.
//
// https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token-v2-1
// https://developers.line.biz/en/reference/messaging-api/#verify-channel-access-token
type Verification struct {
	// ClientID is the channel ID that the token was issued for.
	ClientID string
	// ExpiresIn is how long the token is still valid, in seconds, from VerifiedAt, as
	// LINE sent it.
	ExpiresIn int64
	// Scope contains the token's permissions, separated by spaces. LINE does not always
	// send it.
	Scope string
	// VerifiedAt is when LINE was asked, by the client's clock.
	VerifiedAt time.Time
}

// Remaining is ExpiresIn as a duration.
func (v *Verification) Remaining() time.Duration { return wire.Seconds(v.ExpiresIn) }

// ExpiresAt is when the token expires.
func (v *Verification) ExpiresAt() time.Time { return v.VerifiedAt.Add(v.Remaining()) }

// bearer is OAuth's token_type of all tokens.
const bearer = "Bearer"

const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// isToken reports whether s is what a Bearer token can be (RFC 6750, section
// 2.1), which means nothing to a header, a shell or a terminal.
func isToken(s string) bool {
	letters := strings.TrimRight(s, "=")
	return letters != "" && strings.Trim(letters, tokenLetters) == ""
}

// isJWS reports whether a token is a JWS, as v2.1 and stateless tokens are, and not
// opaque.
func isJWS(token string) bool {
	header, rest, ok := strings.Cut(token, ".")
	if !ok || strings.Count(rest, ".") != 1 {
		return false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	var fields struct {
		Alg string `json:"alg"`
	}
	return err == nil && json.Unmarshal(decoded, &fields) == nil && fields.Alg != ""
}
