package cli

import (
	"regexp"
	"strings"
	"unicode"
)

// inOurWords has an error name flags and variables where it names fields of Go,
// which say nothing to whoever calls the command.
var inOurWords = strings.NewReplacer(
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

// line makes one line of an error, without what a terminal would obey.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, inOurWords.Replace(text))
	text = strings.ReplaceAll(text, ": lineoauth: ", ": ") // a cause that was an error of its own
	return strings.Join(strings.Fields(strings.TrimPrefix(text, "lineoauth: ")), " ")
}

var longWord = regexp.MustCompile(`[^\s"']{24,}`)

// maskLongWords takes tokens out of an error that repeats the command line.
func maskLongWords(text string) string { return longWord.ReplaceAllString(text, "[redacted]") }
