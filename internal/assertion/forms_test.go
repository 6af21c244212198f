package assertion_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

// small is a key that is faster to parse than an RSA-2048 key.
const small = 1024

// forms are the formats in which developers get a key, with several lines where possible.
func forms(t testing.TB) map[string]string {
	private := otherKey(t, small)
	b64 := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	pretty := func(text string) string {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
			t.Fatal(err)
		}
		return b.String() + "\n"
	}
	pem8 := pkcs8(t, private)
	pem1 := encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private))
	ned := fmt.Sprintf(`{"kty":"RSA","kid":"k","n":%q,"e":"AQAB","d":%q,"key_ops":["sign"],"ext":true}`, b64(private.N), b64(private.D))
	public := fmt.Sprintf(`{"kty":"RSA","alg":"RS256","n":%q,"e":"AQAB"}`, b64(private.N))
	full := jwk(private, `,"use":"sig"`)
	python := strings.NewReplacer(`"`, `'`, "true", "True").Replace(ned)
	return map[string]string{
		"PKCS #8":         pem8,
		"PKCS #1":         pem1,
		"JWK":             pretty(full),
		"JWK, one line":   full,
		"JWK of n, e, d":  pretty(ned),
		"pair":            pretty(`{"privateKey":` + full + `,"publicKey":` + public + `}`),
		"JWK Set":         pretty(`{"keys":[` + public + `,{"kty":"EC","crv":"P-256"},` + ned + `]}`),
		"Python dict":     strings.ReplaceAll(python, ",", ",\n "),
		"base64 of PEM":   wrap(base64.StdEncoding.EncodeToString([]byte(pem8))),
		"base64 of JWK":   wrap(base64.StdEncoding.EncodeToString([]byte(full))),
		"base64 of UTF16": wrap(base64.StdEncoding.EncodeToString(inUTF16(binary.LittleEndian, pem1)[2:])), // by PowerShell
		"without BEGIN":   strings.SplitAfterN(pem8, "\n", 2)[1],
		"without END":     strings.TrimSuffix(pem1, "-----END RSA PRIVATE KEY-----\n"),
		"body of a PEM":   strings.TrimSuffix(strings.SplitAfterN(pem8, "\n", 2)[1], "-----END PRIVATE KEY-----\n"),
	}
}

func inUTF16(order binary.AppendByteOrder, s string) []byte {
	data := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(s)) {
		data = order.AppendUint16(data, u)
	}
	return data
}

// breaks returns a function that replaces line breaks.
func breaks(as string) func(string) string {
	return func(s string) string { return strings.ReplaceAll(s, "\n", as) }
}

// each returns a function that puts a prefix before each line.
func each(before string) func(string) string {
	return func(s string) string { return regexp.MustCompile(`(?m)^`).ReplaceAllString(s, before) }
}

// damages are the changes that clipboards, shells, YAML, consoles and editors make to
// a key.
var damages = map[string]func(string) string{
	"none":                       func(s string) string { return s },
	"blanks":                     breaks(" "),
	"no line breaks":             breaks(""),
	"n":                          breaks("n"),
	"rn":                         breaks("rn"),
	`\n`:                         breaks(`\n`),
	`\r\n`:                       breaks(`\r\n`),
	`\\n`:                        breaks(`\\n`),
	`\\\\n`:                      breaks(`\\\\n`),
	`\\r\\n`:                     breaks(`\\r\\n`),
	`\ and a line break`:         breaks("\\\n"),
	`\n and a line break`:        breaks("\\n\n"),
	"CR":                         breaks("\r"),
	"CRLF":                       breaks("\r\n"),
	"two line breaks":            breaks("\n\n"),
	"form feed":                  breaks("\f"),
	"line separator":             breaks("\u2028"),
	"indented":                   each("    "),
	"indented by tabs":           each("\t"),
	"indented by NBSP":           each("\u00a0"),
	"trailing blanks":            breaks("  \n"),
	"indented, on one line":      func(s string) string { return breaks("")(each("  ")(s)) },
	"quoted":                     func(s string) string { return `"` + s + `"` },
	"quoted and escaped":         func(s string) string { return fmt.Sprintf("%q", s) },
	"escaped twice":              func(s string) string { return fmt.Sprintf("%q", fmt.Sprintf("%q", s)) },
	"single quotes, on one line": func(s string) string { return "'" + breaks(`\n`)(s) + "'" },
	"byte order mark":            func(s string) string { return "\ufeff" + s },
	"zero-width spaces":          each("\u200b"),
	"UTF-16LE":                   func(s string) string { return string(inUTF16(binary.LittleEndian, s)) },
	"UTF-16BE":                   func(s string) string { return string(inUTF16(binary.BigEndian, s)) },
	"UTF-16LE, CRLF":             func(s string) string { return string(inUTF16(binary.LittleEndian, breaks("\r\n")(s))) },
	"UTF-16LE without its mark":  func(s string) string { return string(inUTF16(binary.LittleEndian, s)[2:]) },
	"long dashes":                func(s string) string { return strings.ReplaceAll(s, "-----", "—") },
	"all white space missing":    func(s string) string { return strings.Join(strings.Fields(s), "") },
}

// wrappings are what developers copy together with a key.
var wrappings = map[string]func(string) string{
	"none":           func(s string) string { return s },
	"title":          func(s string) string { return "=== private key ===\n" + s },
	"comma":          func(s string) string { return s + "," },
	"semicolon":      func(s string) string { return s + ";" },
	"array":          func(s string) string { return "[" + s + "]" },
	"code fence":     func(s string) string { return "```\n" + s + "\n```\n" },
	"line of .env":   func(s string) string { return "LINE_PRIVATE_KEY='" + s + "'" },
	"without quotes": func(s string) string { return "LINE_PRIVATE_KEY=" + s },
	"export":         func(s string) string { return "export KEY=" + s },
	"JavaScript":     func(s string) string { return "const key = " + s + ";\n" },
	"template":       func(s string) string { return "const key = `" + s + "`;\n" },
	"YAML":           func(s string) string { return "key: |\n" + each("  ")(s) },
	"twice":          func(s string) string { return s + "\n" + s },
}

var all = flag.Bool("all", false, "try every combination of a key's format, damage and wrapping; without it, each two meet several times")

// Every format of a key survives every damage that preserves its letters, whatever
// was copied with it.
func TestDamagedKeys(t *testing.T) {
	private := otherKey(t, small)
	texts := forms(t)
	for i, form := range slices.Sorted(maps.Keys(texts)) {
		text := texts[form]
		for j, damage := range slices.Sorted(maps.Keys(damages)) {
			do := damages[damage]
			for k, wrapping := range slices.Sorted(maps.Keys(wrappings)) {
				if !*all && (i+j+k)%4 != 0 {
					continue
				}
				around := wrappings[wrapping]
				if wrapping == "twice" && !strings.ContainsAny(text, "{ ") {
					continue // base64 has no visible end
				}
				key, err := assertion.Parse([]byte(do(around(text))))
				if err != nil {
					t.Errorf("%s, %s, %s: %v", form, wrapping, damage, err)
				} else if !key.Public().Equal(&private.PublicKey) {
					t.Errorf("%s, %s, %s: another key", form, wrapping, damage)
				}
			}
			if damage != "none" {
				continue
			}
			key, err := assertion.Parse([]byte(text))
			if err != nil {
				continue
			}
			claims := newClaimsFor(key)
			claims.Unchecked = true
			signed, err := key.Sign(claims)
			if err != nil {
				t.Errorf("%s: %v", form, err)
				continue
			}
			verify(t, signed, &private.PublicKey)
		}
	}
}

// The error for a key that cannot be repaired describes the damage, and contains
// nothing of the key.
func TestUnusablePEM(t *testing.T) {
	private := testKey(t)
	pem8 := pkcs8(t, private)
	lines := strings.SplitAfter(pem8, "\n")
	without := func(i, j int) string { return strings.Join(append(append([]string{}, lines[:i]...), lines[j:]...), "") }
	full := jwk(private, "")
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	for name, tt := range map[string]struct{ text, want string }{
		"line breaks and lines missing":      {breaks("")(without(5, 9)), "the line breaks are missing"},
		"line breaks and more lines missing": {breaks("")(without(5, 9)), "bytes are missing"},
		"blanks, and lines missing":          {breaks(" ")(without(5, 9)), "the line breaks were replaced by blanks"},
		"n, and lines missing":               {breaks(`\n`)(without(5, 9)), `the line breaks are written as \n`},
		"lines missing":                      {without(5, 9), "no usable key"},
		"count of lines missing":             {without(5, 9), "bytes are missing"},
		"lines doubled":                      {strings.Join(append(append([]string{}, lines[:6]...), lines[5:]...), ""), "extra bytes"},
		"no END":                             {pem8[:len(pem8)-60], "no -----END"},
		"no END, on one line":                {breaks("")(pem8[:len(pem8)-40]), "the line breaks are missing"},
		"no BEGIN":                           {without(0, 3), "no -----BEGIN"},
		"no BEGIN, a { first":                {base64.StdEncoding.EncodeToString([]byte("{\xff\xfe\x00 by chance")) + "\n-----END PRIVATE KEY-----\n", "no -----BEGIN"},
		"no dashes":                          {strings.ReplaceAll(pem8, "-----", ""), "dashes"},
		"long dashes":                        {strings.ReplaceAll(without(5, 9), "-----", "—"), "dashes"},
		"only the first line":                {lines[0], "cut off"},
		"an asterisk":                        {pem8[:300] + "*" + pem8[301:], `"*"`},
		"shortened by an editor":             {pem8[:300] + "…" + pem8[600:], `"…"`},
		"+ replaced by a blank":              {strings.ReplaceAll(pem8, "+", ""), "missing"},
		"JWK cut off":                        {full[:500], "not complete JSON"},
		"JWK without d's end":                {strings.Replace(full, `"d":"`, `"d":"BBBB`, 1), "damaged"},
		"JWK of n, e, d of two keys":         {`{"kty":"RSA","n":"` + between(jwk(otherKey(t, 1024), ""), `"n":"`) + `","e":"AQAB","d":"` + between(full, `"d":"`) + `"}`, "do not match"},
		"JWK of n and d":                     {`{"kty":"RSA","n":"` + between(full, `"n":"`) + `","d":"` + between(full, `"d":"`) + `"}`, "damaged"},
		"empty JWK Set":                      {set(), "JWK Set"},
		"JWK Set of two":                     {set(full, jwk(secondKey(t), "")), "the JWK Set has 2 private keys"},
		"JWK Set of a wrong kid":             {set(jwk(private, `,"kid":7`)), `"kid" has the wrong type`},
		"JWK Set of public keys":             {set(`{"kty":"RSA","n":"AQAB","e":"AQAB"}`, `{"kty":"EC"}`), "without a private RSA key"},
		"JWK Set of one damaged":             {set(strings.Replace(full, `"p":"`, `"p":"BBBB`, 1)), "damaged"},
		"UTF-16 that is cut":                 {string(inUTF16(binary.LittleEndian, pem8)[:400]), "cut off"},
	} {
		_, err := assertion.Parse([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
			continue
		}
		for _, secret := range []string{lines[5][:12], between(full, `"d":"`)[:12], between(full, `"p":"`)[:12]} {
			if strings.Contains(err.Error(), secret) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%s: the error shows the key: %v", name, err)
			}
		}
	}
}

// between returns a JSON string's text after a prefix.
func between(text, prefix string) string {
	_, rest, _ := strings.Cut(text, prefix)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// From a JWK Set, the one key that LINE accepts is used.
func TestJWKSet(t *testing.T) {
	private := testKey(t)
	for name, set := range map[string]string{
		"one":           `{"keys":[` + jwk(private, `,"kid":"k"`) + `]}`,
		"with a public": `{"keys":[{"kty":"RSA","kid":"p","n":"AQAB","e":"AQAB"},` + jwk(private, `,"kid":"k"`) + `]}`,
		"with an enc":   `{"keys":[` + jwk(otherKey(t, 1024), `,"use":"enc"`) + `,` + jwk(private, `,"kid":"k"`) + `]}`,
		"with a larger": `{"keys":[` + jwk(otherKey(t, 3072), "") + `,` + jwk(private, `,"kid":"k"`) + `]}`,
	} {
		key, err := assertion.Parse([]byte(set))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if key.ID() != "k" || !key.Public().Equal(&private.PublicKey) {
			t.Errorf("%s: key %q", name, key.ID())
		}
	}
}
