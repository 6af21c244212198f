package assertion

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"unicode"
)

// maxObjects bounds the work for a text with many braces.
const maxObjects = 50

var (
	member = regexp.MustCompile(`\b(?:kty|[dnpq]|d[pq]|qi)\\*["'’”]?\s*:`) // of a JWK
	kty    = regexp.MustCompile(`\bkty\\*["'’”]?\s*:`)
	// literal matches kty as a dict of Python or an object of JavaScript has it.
	literal = regexp.MustCompile(`(?:^|[^"\w\\])kty'?\s*:`)
)

// addJSON adds what the JSON objects in a text contain, also inside others.
func (f *found) addJSON(text string) {
	rest := text
	for range maxObjects {
		start := strings.IndexByte(rest, '{')
		if start < 0 {
			return
		}
		rest = rest[start:]
		braces := 1
		if object := firstObject(rest); object == nil {
			if err := damagedJSON(rest, len(rest) == len(text)); err != nil {
				f.add(nil, err, "")
			}
		} else if f.addObject(object) {
			braces = bytes.Count(object, []byte("{")) // as many as before its repair
		}
		for range braces {
			_, rest, _ = strings.Cut(rest, "{")
		}
	}
}

// firstObject returns the JSON object at the start of a text, repaired if needed, or nil.
func firstObject(text string) json.RawMessage {
	for _, repair := range []func(string) string{strings.Clone, repairJSON, quoteJSON} {
		var object json.RawMessage
		if json.NewDecoder(strings.NewReader(repair(text))).Decode(&object) == nil {
			return object
		}
	}
	return nil
}

// damagedJSON returns the error for a brace that starts no JSON object, or nil if
// there is no sign of a JWK.
func damagedJSON(text string, whole bool) error {
	own, _, _ := strings.Cut(text[1:], "{")
	switch {
	case literal.MatchString(own):
		return errors.New("the private key is a JWK in the notation of JavaScript or Python; use JSON, as JSON.stringify or json.dumps writes it")
	case member.MatchString(own) && !whole:
		return errors.New("the private key contains a JWK that is not complete JSON; copy all of it")
	case whole:
		const text = "the private key starts like a JWK but is not complete JSON; copy all of it"
		if member.MatchString(own) {
			return errors.New(text)
		}
		return refuse(notKey, text)
	}
	return nil
}

// addObject adds what a JSON object contains, and reports whether that is all of it.
func (f *found) addObject(text json.RawMessage) bool {
	var outer jwk
	if json.Unmarshal(text, &outer) == nil && outer.Keys != nil {
		f.addSet(*outer.Keys)
		return true
	}
	key, err := parseJWK(text)
	f.add(key, err, "text")
	return outer.Kty != "" || bytes.HasPrefix(outer.PrivateKey, []byte("{"))
}

var (
	escapedQuote = regexp.MustCompile(`\\+"`)
	typographic  = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "‘", "'", "’", "'")
	constant     = regexp.MustCompile(`:\s*(?:True|False|None)\b`)
	constants    = strings.NewReplacer("True", "true", "False", "false", "None", "null")
)

// unescape reverts the effects of escaping, word processors and Python's print.
func unescape(text string) string {
	s := typographic.Replace(escapedQuote.ReplaceAllString(text, `"`))
	return constant.ReplaceAllStringFunc(escaped.ReplaceAllString(s, ""), constants.Replace)
}

// repairJSON reverts the effects of escaping, wrapping and word processors on a JWK,
// whose strings contain neither spaces nor backslashes.
func repairJSON(text string) string {
	s := unescape(text)
	if !strings.Contains(s, `"`) {
		s = strings.ReplaceAll(s, "'", `"`)
	}
	var b strings.Builder
	inside := false
	for i, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			continue
		case r == '"':
			inside = !inside
		// A line break that lost its backslash.
		case !inside && r == 'n' && !strings.HasPrefix(s[i:], "null"), !inside && r == 'r' && !strings.HasPrefix(s[max(i-1, 0):], "true"):
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

var (
	word          = regexp.MustCompile(`"[^"]*"|'[^']*'|[\w+/=-]+`)
	trailingComma = regexp.MustCompile(`,(\s*[}\]])`)
)

// quoteJSON turns the notations of JavaScript and Python, and JSON that lost its
// quotes, into JSON.
func quoteJSON(text string) string {
	s := word.ReplaceAllStringFunc(unescape(text), func(s string) string {
		switch s {
		case "true", "false", "null":
			return s
		}
		return `"` + strings.Trim(s, `"'`) + `"`
	})
	return trailingComma.ReplaceAllString(s, "$1")
}
