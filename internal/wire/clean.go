package wire

import (
	"errors"
	"net"
	"net/url"
	"regexp"
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
type Redactor struct{ secrets *strings.Replacer }

// NewRedactor returns a redactor of secrets, plain and as they stand in a query or
// form.
func NewRedactor(secrets ...string) Redactor {
	var pairs []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			for _, text := range []string{form, escapes.ReplaceAllStringFunc(form, strings.ToLower), strings.ToLower(form)} {
				pairs = append(pairs, text, secret.Masked)
			}
		}
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// escapes have letters that may be written small, as in %2f.
var escapes = regexp.MustCompile("%[0-9A-F]{2}")

// Clean makes what others wrote fit for one line of a log: no characters that do
// not print or that turn the line around, no more than a few hundred letters, and
// no secrets.
func (r Redactor) Clean(s string) string {
	if r.secrets != nil {
		s = r.secrets.Replace(s)
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
