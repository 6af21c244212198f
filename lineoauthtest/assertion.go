package lineoauthtest

import (
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

// claims is what an assertion says.
type claims struct {
	Issuer   string  `json:"iss"`
	Subject  string  `json:"sub"`
	Audience string  `json:"aud"`
	Expiry   float64 `json:"exp"`
	TokenExp int64   `json:"token_exp"`
}

// LINE's rules are not those of golang-jwt, so it gets nothing to check.
func (claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (claims) GetIssuer() (string, error)                   { return "", nil }
func (claims) GetSubject() (string, error)                  { return "", nil }
func (claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

var errUnknownKey = errors.New("unknown key")

// checkAssertion returns the channel that an assertion speaks for.
func (s *Server) checkAssertion(kind, text string) (*Channel, *claims, *refusal) {
	if kind != assertionType || text == "" {
		return nil, nil, oauthRefusal(invalidRequest, missing)
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
	now := s.now()
	switch {
	case errors.Is(err, errUnknownKey):
		return nil, nil, messageRefusal(http.StatusNotFound, "Cannot find channel key that satisfies the conditions")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, nil, oauthRefusal(invalidClient, "Invalid signature")
	case err != nil:
		return nil, nil, oauthRefusal(invalidClient, "Malformed client_assertion")
	case said.Issuer != key.channel.ID:
		return nil, nil, oauthRefusal(invalidClient, "iss and clientId of key do not match")
	case said.Subject != said.Issuer:
		return nil, nil, oauthRefusal(invalidClient, "Invalid sub")
	case said.Audience != gen.DefaultServerURL+"/":
		return nil, nil, oauthRefusal(invalidClient, "Invalid aud")
	case said.Expiry <= float64(now.Unix()) || said.Expiry > float64(now.Add(assertion.MaxExpiresIn).Unix()):
		return nil, nil, oauthRefusal(invalidClient, "Invalid exp")
	case said.TokenExp < 0 || said.TokenExp > int64(assertion.MaxValidFor/time.Second):
		return nil, nil, oauthRefusal(invalidClient, "Invalid token_exp")
	}
	return key.channel, &said, nil
}
