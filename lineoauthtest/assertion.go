package lineoauthtest

import (
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

// claims are the claims of an assertion.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	Expiry   *float64 `json:"exp"`
	TokenExp *int64   `json:"token_exp"`
}

// LINE's rules differ from those of golang-jwt, which therefore checks none.
func (claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (claims) GetIssuer() (string, error)                   { return "", nil }
func (claims) GetSubject() (string, error)                  { return "", nil }
func (claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

var errUnknownKey = errors.New("unknown key")

// checkAssertion returns the channel of an assertion and, for a v2.1 token, the
// requested lifetime.
func (s *Server) checkAssertion(kind, text string, forV21 bool) (*Channel, time.Duration, *refusal) {
	if kind != assertionType || text == "" {
		return nil, 0, oauthRefusal(invalidRequest, missing)
	}
	var said claims
	var key registeredKey
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(text, &said, func(t *jwt.Token) (any, error) {
		kid, ok := t.Header["kid"].(string)
		if !ok {
			return nil, errors.New("no kid")
		}
		if key, ok = s.keys[kid]; !ok {
			return nil, errUnknownKey
		}
		return key.public, nil
	})
	switch {
	case errors.Is(err, errUnknownKey):
		return nil, 0, messageRefusal(http.StatusNotFound, "Cannot find channel key that satisfies the conditions")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, 0, chosenRefusal(invalidClient, "Invalid signature")
	case err != nil:
		return nil, 0, chosenRefusal(invalidClient, "Malformed client_assertion")
	}
	if bad := said.refusal(key.channel.ID, s.now()); bad != nil {
		return nil, 0, bad
	}
	validFor, bad := said.validFor(forV21)
	return key.channel, validFor, bad
}

// refusal returns LINE's error for an assertion with a valid signature, or "".
func (c *claims) refusal(channelID string, now time.Time) *refusal {
	switch {
	case c.Issuer != channelID:
		return oauthRefusal(invalidClient, "iss and clientId of key do not match")
	case c.Subject != c.Issuer:
		return chosenRefusal(invalidClient, "Invalid sub")
	case c.Audience != gen.DefaultServerURL+"/":
		return chosenRefusal(invalidClient, "Invalid aud")
	case c.Expiry == nil:
		return chosenRefusal(invalidClient, "Invalid exp")
	case *c.Expiry <= float64(now.Unix()) || *c.Expiry > float64(now.Add(assertion.MaxExpiresIn).Unix()):
		return oauthRefusal(invalidClient, "Invalid exp")
	}
	return nil
}

// validFor returns the requested lifetime, which only v2.1 tokens need.
func (c *claims) validFor(forV21 bool) (time.Duration, *refusal) {
	switch {
	case c.TokenExp == nil && forV21:
		// rust-alc-api, 2026-04, without the code.
		return 0, chosenRefusal(invalidClient, "JWT payload must contain token_exp")
	case c.TokenExp == nil:
		return 0, nil
	case *c.TokenExp < 0 || *c.TokenExp == 0 && forV21 || !forV21 && *c.TokenExp > maxTokenExp:
		return 0, chosenRefusal(invalidClient, "Invalid token_exp")
	case *c.TokenExp > maxTokenExp:
		return 0, oauthRefusal(invalidClient, "Invalid token_exp") // rust-alc-api, 2026-04
	}
	return time.Duration(*c.TokenExp) * time.Second, nil
}

const maxTokenExp = int64(assertion.MaxValidFor / time.Second)
