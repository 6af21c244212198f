package assertion

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Decode returns text as UTF-8. PowerShell writes UTF-16, with a byte order mark.
func Decode(data []byte) string {
	var order binary.ByteOrder
	switch {
	case len(data) >= 2 && data[0] == 0xff && data[1] == 0xfe:
		order = binary.LittleEndian
	case len(data) >= 2 && data[0] == 0xfe && data[1] == 0xff:
		order = binary.BigEndian
	default:
		return string(data)
	}
	var units []uint16
	for data = data[2:]; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return string(utf16.Decode(units))
}

// quotes are the pairs in which a value is pasted.
var quotes = [...][2]string{{`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"‘", "’"}, {"„", "“"}}

// Trim takes off what stands around a value: white space, invisible characters
// such as a byte order mark, and one pair of quotes.
func Trim(text string) string {
	text = strings.TrimFunc(text, around)
	for _, q := range quotes {
		inner, begins := strings.CutPrefix(text, q[0])
		if inner, ends := strings.CutSuffix(inner, q[1]); begins && ends {
			return strings.TrimFunc(inner, around)
		}
	}
	return text
}

// HalfQuoted reports whether a value that was trimmed has a quotation mark at an end.
func HalfQuoted(value string) bool {
	for _, q := range quotes {
		if strings.HasPrefix(value, q[0]) || strings.HasSuffix(value, q[1]) {
			return true
		}
	}
	return false
}

// around reports whether a character at the end of a value is not part of it.
func around(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }
