package assertion_test

import (
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

const audience = "https://line.example/"

var now = time.Unix(1_800_000_000, 999_999_999)

func newClaims() assertion.Claims {
	return assertion.Claims{ChannelID: "1234567890", Audience: audience, KeyID: "kid-1", Now: now,
		ExpiresIn: assertion.DefaultExpiresIn, ValidFor: assertion.DefaultValidFor}
}

// verify checks the signature with an independent library, and returns header and claims.
func verify(t *testing.T, signed string, public *rsa.PublicKey) (map[string]any, map[string]any) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatalf("go-jose cannot parse the assertion: %v", err)
	}
	payload, err := jws.Verify(public)
	if err != nil {
		t.Fatalf("go-jose does not verify the assertion: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	h := jws.Signatures[0].Protected
	return map[string]any{"alg": h.Algorithm, "kid": h.KeyID, "typ": h.ExtraHeaders[jose.HeaderType]}, claims
}

func TestSignClaims(t *testing.T) {
	private := testKey(t)
	key, err := assertion.NewKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change        func(*assertion.Claims)
		exp, tokenExp float64
	}{
		"defaults": {func(*assertion.Claims) {}, 1_800_000_000 + 29*60, 2_592_000},
		"longest": {func(c *assertion.Claims) {
			c.ExpiresIn, c.ValidFor = 30*time.Minute, 30*24*time.Hour
		}, 1_800_000_000 + 30*60, 2_592_000},
		"shortest":             {func(c *assertion.Claims) { c.ExpiresIn, c.ValidFor = time.Second, time.Second }, 1_800_000_001, 1},
		"part of a second cut": {func(c *assertion.Claims) { c.ValidFor = 1900 * time.Millisecond }, 1_800_000_000 + 29*60, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClaims()
			tt.change(&c)
			signed, err := key.Sign(c)
			if err != nil {
				t.Fatal(err)
			}
			header, claims := verify(t, signed, &private.PublicKey)
			if diff := cmp.Diff(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "kid-1"}, header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			want := map[string]any{
				"iss": "1234567890", "sub": "1234567890", "aud": audience,
				"iat": float64(1_800_000_000), "exp": tt.exp, "token_exp": tt.tokenExp,
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	key := newKey(t, testKey(t), "")
	small := newKey(t, otherKey(t, 1024), "")
	for name, tt := range map[string]struct {
		key    *assertion.Key
		change func(*assertion.Claims)
		want   string
	}{
		"exp over 30 minutes":    {key, func(c *assertion.Claims) { c.ExpiresIn = 30*time.Minute + 1 }, "use 1s to 30m0s"},
		"exp now":                {key, func(c *assertion.Claims) { c.ExpiresIn = 0 }, "use 1s to 30m0s"},
		"exp in the past":        {key, func(c *assertion.Claims) { c.ExpiresIn = -time.Second }, "use 1s to 30m0s"},
		"token_exp over 30 days": {key, func(c *assertion.Claims) { c.ValidFor = 30*24*time.Hour + 1 }, "(30 days)"},
		"token_exp under 1 s":    {key, func(c *assertion.Claims) { c.ValidFor = time.Second - 1 }, "1s to"},
		"channel ID empty":       {key, func(c *assertion.Claims) { c.ChannelID = "" }, "channel ID is empty"},
		"channel ID not digits":  {key, func(c *assertion.Claims) { c.ChannelID = "12345x" }, "other than digits"},
		"kid missing":            {key, func(c *assertion.Claims) { c.KeyID = "" }, "no key ID"},
		"two kids":               {newKey(t, testKey(t), "kid-2"), func(*assertion.Claims) {}, `two key IDs: one is set, but the key contains "kid-2"`},
		"RSA-1024":               {small, func(*assertion.Claims) {}, "the key is RSA-1024; use an RSA-2048"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClaims()
			tt.change(&c)
			signed, err := tt.key.Sign(c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Sign = %d bytes, %v; want an error that contains %q", len(signed), err, tt.want)
			}
		})
	}
}

func TestSignUnchecked(t *testing.T) {
	private := otherKey(t, 1024)
	c := newClaims()
	c.ChannelID, c.ValidFor, c.Unchecked = "abc", 60*24*time.Hour, true
	signed, err := newKey(t, private, "").Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, claims := verify(t, signed, &private.PublicKey); claims["token_exp"] != float64(5_184_000) {
		t.Errorf("token_exp = %v", claims["token_exp"])
	}
}

// kms signs like a device that does not export its key.
type kms struct{ key *rsa.PrivateKey }

func (k kms) Public() crypto.PublicKey { return k.key.Public() }
func (k kms) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.key.Sign(rand, digest, opts)
}

func TestSignBySigner(t *testing.T) {
	private := testKey(t)
	signed, err := newKey(t, kms{private}, "").Sign(newClaims())
	if err != nil {
		t.Fatal(err)
	}
	verify(t, signed, &private.PublicKey)
}
