package assertion

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parse reads a private key: a JWK (also one exported by a browser, one with only n,
// e and d, a pair wrapped as {"privateKey": …, "publicKey": …}, and a JWK Set with
// one suitable key) or PEM (PKCS #8 or PKCS #1). Either may be base64-encoded as a
// whole, or in UTF-16, and its line breaks may be missing or replaced. Its errors
// contain nothing of the key.
func Parse(data []byte) (*Key, error) {
	if len(data) > maxKeySize {
		return nil, fmt.Errorf("the private key is too large (%d bytes); %s", len(data), wanted)
	}
	if key, err := parseDER(data); err == nil {
		return key, nil
	}
	text := normalize(data)
	key, err := parseText(text)
	if err == nil || looksLikeKey(text) {
		return key, err
	}
	body, _, _ := strings.Cut(text, "-----END") // the body of a PEM without its first line
	for decoded := range decodings(body) {
		if key, err := parseDER(decoded); err == nil {
			return key, nil
		}
		// A damaged key may also start with a brace.
		if inner := normalize(decoded); looksLikeKey(inner) && utf8.ValidString(inner) {
			if key, err = parseText(inner); err == nil {
				return key, nil
			}
		}
	}
	return nil, err
}

func parseText(text string) (*Key, error) {
	switch {
	case text == "":
		return nil, errors.New("the private key is empty; " + wanted)
	case text[0] == '{':
		return parseJWK([]byte(text))
	case strings.Contains(text, begin):
		return parsePEM(text)
	case strings.Contains(text, "-----END"):
		return nil, errors.New("the PEM is damaged or cut off: it has no -----BEGIN line; " + copyPEM)
	case strings.Contains(text, "PRIVATE KEY"):
		return nil, errors.New("the PEM is damaged: the five dashes around BEGIN and END are missing or other characters; " + copyPEM)
	}
	return nil, errors.New("the private key is neither a JWK nor PEM; " + wanted)
}

const (
	begin   = "-----BEGIN"
	copyPEM = "copy it from -----BEGIN to -----END, both lines included"
)

// edges are escaped line breaks and quotes around a text.
var edges = regexp.MustCompile(`^(?:\\+["nrt]|["'\s])+|(?:\\+["nrt]|["'\s])+$`)

func normalize(data []byte) string { return edges.ReplaceAllString(Trim(Decode(data)), "") }

func looksLikeKey(text string) bool {
	return strings.HasPrefix(text, "{") || strings.Contains(text, begin)
}

// escaped matches line breaks as escaped by programming languages, also twice, and
// the backslashes of shells before real ones.
var escaped = regexp.MustCompile(`\\+[nrt]?`)

// compact removes white space and line breaks from base64, also escaped ones.
func compact(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, escaped.ReplaceAllString(text, ""))
}

// decodings returns the possible meanings of base64 in several lines: a shell that
// removes the backslash of \n leaves a letter of base64.
func decodings(text string) iter.Seq[[]byte] {
	text = compact(text)
	return func(yield func([]byte) bool) {
		try := func(text string) bool {
			decoded, ok := decodeBase64(text)
			return !ok || yield(decoded)
		}
		if !try(text) {
			return
		}
		for _, lineBreak := range []string{"n", "rn"} {
			for _, width := range []int{64, 70, 72, 76} { // the line widths of openssl, GnuPG and base64
				joined, ok := rejoin(strings.TrimPrefix(text, lineBreak), lineBreak, width)
				// The last line may end in a line break, too.
				if ok && (!try(joined) || !try(strings.TrimSuffix(joined, lineBreak))) {
					return
				}
			}
		}
	}
}

// rejoin joins lines of a given width that have letters in place of line breaks.
func rejoin(text, lineBreak string, width int) (string, bool) {
	var b strings.Builder
	for len(text) > width {
		line, rest := text[:width], text[width:]
		b.WriteString(line)
		if text = strings.TrimPrefix(rest, lineBreak); text == rest {
			return "", false
		}
	}
	return b.String() + text, true
}

func decodeBase64(text string) ([]byte, bool) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return bytes.Clone(decoded), err == nil
}
