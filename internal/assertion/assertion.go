// Package assertion creates JWT client assertions (RFC 7523), with which a LINE
// channel authenticates, and reads the private keys that sign them.
//
// https://developers.line.biz/en/docs/messaging-api/generate-json-web-token/
package assertion

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// LINE's limits for assertions, and the defaults.
const (
	MaxExpiresIn = 30 * time.Minute
	MaxValidFor  = 30 * 24 * time.Hour

	// DefaultExpiresIn allows for a clock that is up to a minute ahead of LINE's.
	DefaultExpiresIn = MaxExpiresIn - time.Minute
	DefaultValidFor  = MaxValidFor
)

// ErrSigner is returned when the claims are valid, but the key's signer failed.
var ErrSigner = errors.New("cannot sign the assertion")

// Claims are the contents of an assertion.
type Claims struct {
	ChannelID string        // iss and sub
	Audience  string        // aud
	KeyID     string        // kid; empty means the key's own
	Now       time.Time     // iat
	ExpiresIn time.Duration // exp, from Now
	ValidFor  time.Duration // token_exp

	// Unchecked also signs claims that LINE would refuse.
	Unchecked bool
}

// Sign returns the signed assertion. Durations are truncated to seconds.
func (k *Key) Sign(c Claims) (string, error) {
	kid, err := k.keyID("one", c.KeyID)
	if err != nil {
		return "", err
	}
	if !c.Unchecked {
		if err := errors.Join(CheckChannelID(c.ChannelID), k.Check(), CheckExpiresIn(c.ExpiresIn), CheckValidFor(c.ValidFor)); err != nil {
			return "", err
		}
	}
	token := jwt.NewWithClaims(rs256{}, jwt.MapClaims{
		"iss":       c.ChannelID,
		"sub":       c.ChannelID,
		"aud":       c.Audience,
		"iat":       c.Now.Unix(),
		"exp":       c.Now.Add(c.ExpiresIn).Unix(),
		"token_exp": int64(c.ValidFor / time.Second),
	})
	token.Header["kid"] = kid
	signed, err := token.SignedString(k.signer)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSigner, err)
	}
	return signed, nil
}

// CheckChannelID returns an error if id is not a channel ID. The error does not
// contain the value: it may be a misplaced channel secret.
func CheckChannelID(id string) error {
	if id == "" {
		return errors.New("the channel ID is empty; copy it from the channel's Basic settings tab in the LINE Developers Console")
	}
	if strings.Trim(id, "0123456789") != "" {
		return errors.New("the channel ID contains something other than digits; copy it from the channel's Basic settings tab in the LINE Developers Console")
	}
	return nil
}

// CheckExpiresIn returns an error for an assertion lifetime that LINE would refuse.
func CheckExpiresIn(d time.Duration) error {
	if d < time.Second || d > MaxExpiresIn {
		return fmt.Errorf("invalid lifetime of the assertion %v; use 1s to %v", d, MaxExpiresIn)
	}
	return nil
}

// CheckValidFor returns an error for a token lifetime that LINE would refuse.
func CheckValidFor(d time.Duration) error {
	if d < time.Second || d > MaxValidFor {
		return fmt.Errorf("invalid lifetime of the token %v; use 1s to %v (30 days)", d, MaxValidFor)
	}
	return nil
}

// rs256 signs with any [crypto.Signer]; golang-jwt's own method needs an
// *rsa.PrivateKey, which a KMS does not export.
type rs256 struct{}

func (rs256) Alg() string { return jwt.SigningMethodRS256.Alg() }

func (rs256) Sign(signingString string, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, jwt.ErrInvalidKeyType
	}
	h := crypto.SHA256.New()
	h.Write([]byte(signingString))
	return signer.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
}

func (rs256) Verify(signingString string, sig []byte, key any) error {
	return jwt.SigningMethodRS256.Verify(signingString, sig, key)
}
