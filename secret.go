package lineoauth

import (
	"fmt"
	"io"

	"github.com/lineoauth/lineoauth/internal/secret"
)

// Secret is a string that does not show itself: every verb of package fmt,
// encoding/json, encoding/gob, encoding.TextMarshaler and log/slog print
// "[redacted]", and what walks through values by reflection (go-cmp, testify, spew,
// kr/pretty) does not find it. Secrets are compared by value, with == as well. The
// zero Secret is empty.
type Secret struct{ text secret.Text }

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{secret.New(s)} }

// Reveal returns the string itself. Hand it to what needs it, not to a log.
func (s Secret) Reveal() string { return s.text.Reveal() }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// Equal reports whether two secrets are the same, for go-cmp.
func (s Secret) Equal(other Secret) bool { return s == other }

// String returns "[redacted]", or "" for an empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return secret.Masked
}

// Format masks the secret under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText masks the secret for JSON, log/slog and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// GobEncode masks the secret for encoding/gob.
func (s Secret) GobEncode() ([]byte, error) { return s.MarshalText() }

// GobDecode refuses what GobEncode wrote: it does not contain the secret.
func (s *Secret) GobDecode(text []byte) error { return s.UnmarshalText(text) }

// UnmarshalText takes the secret from a configuration file or a flag. It
// refuses what MarshalText wrote: it does not contain the secret.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == secret.Masked {
		return fmt.Errorf("lineoauth: %w: the secret was masked when it was written; write what Reveal returns", ErrInvalid)
	}
	*s = NewSecret(string(text))
	return nil
}
