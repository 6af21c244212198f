package cli

import (
	"regexp"
	"strings"
	"unicode"
)

// cliNames replaces Go field names in errors with flags and environment variables.
var cliNames = strings.NewReplacer(
	"(ChannelID, ", "(--channel-id or ",
	"(ChannelSecret, ", "(",
	"(Key, ", "(--private-key-file, ",
	"(KeyID, ", "(--key-id, ",
	"BaseURL", "the base URL",
	" (Authorization is for a gateway's credentials)", "",
	"AllowPlainHTTP", "LINE_OAUTH_ALLOW_PLAIN_HTTP",
	", or set AnyMode and seal the store with store.Sealed", "",
	"set Dir", "set --store",
	", unless IssueWithoutStore is set", "; repair it, or name another --store",
)

// prefixes removes those of wrapped errors of packages.
var prefixes = strings.NewReplacer(": lineoauth: ", ": ", ": lineoauthtest: ", ": ")

// line converts an error to one line without terminal escapes.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, cliNames.Replace(text))
	text = prefixes.Replace(text)
	return strings.Join(strings.Fields(strings.TrimPrefix(text, "lineoauth: ")), " ")
}

var longWord = regexp.MustCompile(`[^\s"']{24,}`)

// maskLongWords redacts tokens in an error that repeats the command line.
func maskLongWords(text string) string { return longWord.ReplaceAllString(text, "[redacted]") }
