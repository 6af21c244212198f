package wire

import (
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/lineoauth/lineoauth/internal/secret"
)

const (
	// minSecret is the length of a secret that does not stand in too many words.
	minSecret = 6
	// maxText is how many letters of one text an error repeats.
	maxText = 300
)

// Redactor takes what a request carries out of texts. The zero Redactor knows no
// secrets.
type Redactor struct{ secrets []hidden }

// hidden is a text to hide, and the longest part of it that no escape changes.
type hidden struct{ text, part string }

// NewRedactor returns a redactor of secrets, plain, in Base64, and as they stand in a
// query, a form, JSON or HTML, in letters of any case.
func NewRedactor(secrets ...string) (r Redactor) {
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, base64.RawStdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s))} {
			parts := strings.FieldsFunc(strings.ToLower(form), isEscaped)
			slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
			r.secrets = append(r.secrets, hidden{form, strings.Join(parts[:min(len(parts), 1)], "")})
		}
	}
	return r
}

func isEscaped(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// mask replaces the text in s, whichever way its characters are escaped: %2F, %252F,
// \u002f, \/, &#47; or &sol;, or + as a space.
func (h hidden) mask(s string) string {
	if !strings.Contains(strings.ToLower(s), h.part) {
		return s
	}
	const escapes = `|%(?:25)*[0-9a-f]{2}|\\+u[0-9a-f]{4}|&(?:#\d+|#x[0-9a-f]+|[a-z]+);|\\+`
	pattern := "(?i)"
	for _, r := range h.text {
		switch literal := regexp.QuoteMeta(string(r)); {
		case !isEscaped(r):
			pattern += literal
		case r == '+':
			pattern += `(?:\+| ` + escapes + `\+)`
		default:
			pattern += `(?:` + literal + escapes + literal + `)`
		}
	}
	found, err := regexp.Compile(pattern)
	if err != nil { // too long for a regular expression
		return secret.Masked
	}
	return found.ReplaceAllLiteralString(s, secret.Masked)
}

// Clean makes what others wrote fit for one line of a log: no characters that do
// not print or that turn the line around, no more than a few hundred letters, and
// no secrets.
func (r Redactor) Clean(s string) string {
	for _, h := range r.secrets {
		s = h.mask(s)
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxText {
		s = string(runes[:maxText]) + "…"
	}
	return s
}

// Error frees a cause from the URL, which may carry a secret, and from whatever
// else the request must not show.
func (r Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	text := r.Clean(err.Error())
	for ue := new(url.Error); errors.As(err, &ue); { // from a transport of the caller's
		err = ue.Err
		text = r.Clean(err.Error())
	}
	return &cleanError{text, func() error { return err }}
}

// cleanError is a cause whose text is safe to show. It has no Unwrap: the text
// of what it hides is not.
type cleanError struct {
	text string
	err  func() error // a function, for what prints values to find nothing in there
}

func (e *cleanError) Error() string        { return e.text }
func (e *cleanError) GoString() string     { return e.text }
func (e *cleanError) Is(target error) bool { return errors.Is(e.err(), target) }
func (e *cleanError) As(target any) bool {
	// Callers ask for this one to look at it, and it may be any type, with any text.
	if t, ok := target.(*net.Error); ok {
		var found net.Error
		if !errors.As(e.err(), &found) {
			return false
		}
		*t = &cleanNetError{e, found.Timeout()}
		return true
	}
	return errors.As(e.err(), target)
}

type cleanNetError struct {
	*cleanError
	timeout bool
}

func (e *cleanNetError) Timeout() bool { return e.timeout }

// Temporary is part of net.Error, and deprecated there.
func (e *cleanNetError) Temporary() bool { return e.timeout }
