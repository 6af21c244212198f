package lineoauth

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

const masked = "[redacted]"

// Secret is a string that does not show itself: every verb of package fmt,
// encoding/json, encoding.TextMarshaler and log/slog print "[redacted]", and so
// does a struct that holds one in an unexported field, which a named string
// type would not survive. The zero Secret is empty. Compare what Reveal
// returns: of two secrets with the same string, == holds for copies alone.
type Secret struct {
	value *string
}

// NewSecret hides s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{value: &s}
}

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
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == nil }

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

// UnmarshalText takes the secret from a configuration file or a flag. It
// refuses what MarshalText wrote: the secret is not in there.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == masked {
		return fmt.Errorf("lineoauth: %w: the secret was masked when it was written; write what Reveal returns", ErrInvalid)
	}
	*s = NewSecret(string(text))
	return nil
}
