package lineoauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

const masked = "[redacted]"

// Secret is a string that does not show itself: every verb of package fmt,
// encoding/json, encoding/gob, encoding.TextMarshaler and log/slog print
// "[redacted]", and what walks through values by reflection (go-cmp, testify, spew,
// a debugger's dump of a struct) finds it encrypted with a key of this process.
// Secrets are compared by value, with == as well. The zero Secret is empty.
type Secret struct {
	// The same string is the same text here, for == and reflect.DeepEqual.
	sealed string
}

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{processKey().seal(s)} }

// BearerAuthorization returns an Authorization header's value for [Config]
// that carries token (RFC 6750).
func BearerAuthorization(token string) Secret {
	return NewSecret("Bearer " + token)
}

// BasicAuthorization returns an Authorization header's value for [Config] that
// carries a user name and password (RFC 7617).
func BasicAuthorization(username, password string) Secret {
	return NewSecret("Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password)))
}

// Reveal returns the string itself. Hand it to what needs it, not to a log.
func (s Secret) Reveal() string { return processKey().open(s.sealed) }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.sealed == "" }

// Equal reports whether two secrets are the same, for go-cmp.
func (s Secret) Equal(other Secret) bool { return s == other }

// String returns "[redacted]", or "" for an empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return masked
}

// Format masks the secret under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue masks the secret for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the secret for JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// GobEncode masks the secret for encoding/gob.
func (s Secret) GobEncode() ([]byte, error) { return s.MarshalText() }

// GobDecode refuses what GobEncode wrote: the secret is not in there.
func (s *Secret) GobDecode(text []byte) error { return s.UnmarshalText(text) }

// UnmarshalText takes the secret from a configuration file or a flag. It
// refuses what MarshalText wrote: the secret is not in there.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == masked {
		return fmt.Errorf("lineoauth: %w: the secret was masked when it was written; write what Reveal returns", ErrInvalid)
	}
	*s = NewSecret(string(text))
	return nil
}

// sealer encrypts so that what is the same stays the same: the nonce comes from the
// text (as with AES-SIV, RFC 5297), so that two texts share none.
type sealer struct {
	block cipher.Block
	nonce []byte // the key that makes them
}

var processKey = sync.OnceValue(func() *sealer {
	key := make([]byte, 64)
	_, _ = rand.Read(key)                 // never fails
	block, err := aes.NewCipher(key[:32]) // fails for other lengths alone
	if err != nil {
		panic(err)
	}
	return &sealer{block, key[32:]}
})

func (k *sealer) seal(text string) string {
	if text == "" {
		return ""
	}
	mac := hmac.New(sha256.New, k.nonce)
	_, _ = io.WriteString(mac, text)
	sealed := append(mac.Sum(nil)[:aes.BlockSize], text...)
	k.xor(sealed)
	return string(sealed)
}

func (k *sealer) open(sealed string) string {
	if sealed == "" {
		return ""
	}
	text := []byte(sealed)
	k.xor(text)
	return string(text[aes.BlockSize:])
}

// xor turns what follows the nonce into the other form.
func (k *sealer) xor(sealed []byte) {
	nonce, text := sealed[:aes.BlockSize], sealed[aes.BlockSize:]
	cipher.NewCTR(k.block, nonce).XORKeyStream(text, text)
}
