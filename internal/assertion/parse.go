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
// e and d, a pair wrapped as {"privateKey": …, "publicKey": …}, and a JWK Set) or PEM
// (PKCS #8 or PKCS #1), also with other text around it. Of several private keys, it
// returns the one that fits LINE, and refuses two. The text may be base64-encoded as
// a whole, or in UTF-16, and its line breaks may be missing or replaced. Its errors
// contain nothing of the key.
func Parse(data []byte) (*Key, error) {
	if len(data) > maxKeySize {
		return nil, fmt.Errorf("the private key is too large (%d bytes); %s", len(data), wanted)
	}
	var f found
	f.addDER(data, "DER")
	text := normalize(data)
	if f.none() {
		f.addText(text)
	}
	// JSON that is not a key may contain one in base64.
	if len(f.keys) == 0 && (f.err == nil || rankOf(f.err) == notKey) {
		f.addBase64(text)
	}
	if f.none() {
		return nil, unreadable(text)
	}
	return f.key()
}

func (f *found) addText(text string) {
	f.addPEM(text)
	f.addJSON(text)
}

// base64s matches base64, and what looks like it; a dot makes it a JWT.
var base64s = regexp.MustCompile(`[\w+/.-]+={0,2}`)

// longestBase64 leaves out what was copied with base64.
func longestBase64(text string) string {
	longest := ""
	for _, s := range base64s.FindAllString(compact(text), -1) {
		if len(s) > len(longest) {
			longest = s
		}
	}
	return longest
}

// addBase64 adds what base64 contains, such as the body of a PEM without its first line.
func (f *found) addBase64(text string) {
	body, _, _ := strings.Cut(text, "-----END")
	for decoded := range decodings(longestBase64(body)) {
		f.addDER(decoded, "base64")
		// A damaged key may also contain a brace.
		if inner := normalize(decoded); utf8.ValidString(inner) {
			f.addText(inner)
		}
		if len(f.keys) > 0 {
			return
		}
	}
}

// unreadable returns the error for a text in which nothing was found.
func unreadable(text string) error {
	switch {
	case text == "":
		return errors.New("the private key is empty; " + wanted)
	case strings.Contains(text, "-----END"):
		return errors.New("the PEM is damaged or cut off: it has no -----BEGIN line; " + copyPEM)
	case strings.Contains(text, "PRIVATE KEY"):
		return errors.New("the PEM is damaged: the five dashes around BEGIN and END are missing or other characters; " + copyPEM)
	case kty.MatchString(text):
		return errors.New("the JWK is damaged or cut off: it has no {; copy all of it")
	}
	return errors.New("the private key is neither a JWK nor PEM; " + wanted)
}

const (
	begin   = "-----BEGIN"
	copyPEM = "copy it from -----BEGIN to -----END, both lines included"
)

// edges are escaped line breaks and quotes around a text.
var edges = regexp.MustCompile(`^(?:\\+["nrt]|["'\s])+|(?:\\+["nrt]|["'\s])+$`)

func normalize(data []byte) string { return edges.ReplaceAllString(Trim(Decode(data)), "") }

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
				for range 3 { // the last line may end in line breaks, too
					if ok && !try(joined) {
						return
					}
					joined = strings.TrimSuffix(joined, lineBreak)
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
