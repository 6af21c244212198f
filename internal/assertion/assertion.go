// Package assertion builds the JWT client assertion (RFC 7523) with which a
// LINE channel proves who it is, and reads the private keys that sign it.
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

// LINE's limits on an assertion, and what callers take by default.
const (
	MaxExpiresIn = 30 * time.Minute
	MaxValidFor  = 30 * 24 * time.Hour

	// DefaultExpiresIn leaves a minute for a clock that runs ahead of LINE's.
	DefaultExpiresIn = MaxExpiresIn - time.Minute
	DefaultValidFor  = MaxValidFor
)

// ErrSigner: the claims are fine, but the key's signer failed.
var ErrSigner = errors.New("cannot sign the assertion")

// Claims is what one assertion says.
type Claims struct {
	ChannelID string        // iss and sub
	Audience  string        // aud
	KeyID     string        // kid; empty means the key's own
	Now       time.Time     // iat
	ExpiresIn time.Duration // exp, from Now
	ValidFor  time.Duration // token_exp

	// Unchecked signs what LINE would refuse, too.
	Unchecked bool
}

// Sign returns the signed assertion. Durations count in whole seconds; the
// rest is cut off.
func (k *Key) Sign(c Claims) (string, error) {
	kid, err := k.keyID(c.KeyID)
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

// CheckChannelID refuses what is not a channel ID. Its error does not show
// the value: a channel secret may have been put in its place.
func CheckChannelID(id string) error {
	if id == "" {
		return errors.New("the channel ID is empty; copy it from the channel's Basic settings tab in the LINE Developers Console")
	}
	if strings.Trim(id, "0123456789") != "" {
		return errors.New("the channel ID holds something other than digits; copy it from the channel's Basic settings tab in the LINE Developers Console")
	}
	return nil
}

// CheckExpiresIn refuses an assertion lifetime that LINE would.
func CheckExpiresIn(d time.Duration) error {
	if d < time.Second || d > MaxExpiresIn {
		return fmt.Errorf("the assertion is to expire in %v; LINE takes 1s to %v", d, MaxExpiresIn)
	}
	return nil
}

// CheckValidFor refuses a token lifetime that LINE would.
func CheckValidFor(d time.Duration) error {
	if d < time.Second || d > MaxValidFor {
		return fmt.Errorf("the token is to be valid for %v; LINE takes 1s to %v (30 days)", d, MaxValidFor)
	}
	return nil
}

// rs256 signs with any [crypto.Signer]; golang-jwt's own takes only an
// *rsa.PrivateKey, which a KMS never hands out.
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
