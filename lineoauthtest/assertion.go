package lineoauthtest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

// claims are the claims of an assertion.
type claims struct {
	Issuer, Subject, Audience string
	Expiry                    *float64
	TokenExp                  json.RawMessage
}

// UnmarshalJSON takes names as they are written: encoding/json takes "SUB" for "sub".
func (c *claims) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	for name, to := range map[string]any{"iss": &c.Issuer, "sub": &c.Subject, "aud": &c.Audience, "exp": &c.Expiry, "token_exp": &c.TokenExp} {
		if value, ok := fields[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// LINE's rules differ from those of golang-jwt, which therefore checks none.
func (claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (claims) GetIssuer() (string, error)                   { return "", nil }
func (claims) GetSubject() (string, error)                  { return "", nil }
func (claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

const malformedAssertion = "Malformed client_assertion"

var errUnknownKey = errors.New("unknown key")

// checkAssertion returns the channel of an assertion and, for a v2.1 token, the
// requested lifetime.
func (s *Server) checkAssertion(kind, text string, forV21 bool) (*Channel, time.Duration, *refusal) {
	if kind != assertionType || text == "" {
		return nil, 0, oauthRefusal(invalidRequest, missing)
	}
	if strings.ContainsAny(text, "\r\n") { // encoding/base64 skips these
		return nil, 0, chosenRefusal(invalidClient, malformedAssertion)
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
		return nil, 0, chosenRefusal(invalidClient, malformedAssertion)
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
	text := string(c.TokenExp)
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		seconds = -1
		if f, _ := strconv.ParseFloat(text, 64); f > float64(maxTokenExp) { // a date with a fraction, or beyond 64 bits
			seconds = maxTokenExp + 1
		}
	}
	switch {
	case (text == "" || text == "null") && forV21:
		// rust-alc-api, 2026-04, without the code.
		return 0, chosenRefusal(invalidClient, "JWT payload must contain token_exp")
	case text == "" || text == "null":
		return 0, nil
	case seconds < 0 || seconds == 0 && forV21 || !forV21 && seconds > maxTokenExp:
		return 0, chosenRefusal(invalidClient, "Invalid token_exp")
	case seconds > maxTokenExp:
		return 0, oauthRefusal(invalidClient, "Invalid token_exp") // rust-alc-api, 2026-04
	}
	return time.Duration(seconds) * time.Second, nil
}

const maxTokenExp = int64(assertion.MaxValidFor / time.Second)
