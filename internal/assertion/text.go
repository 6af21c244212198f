package assertion

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Decode returns text as UTF-8. PowerShell writes UTF-16, with or without a byte
// order mark; every other byte of such text is 0.
func Decode(data []byte) string {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		order, data = binary.LittleEndian, data[2:]
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		order, data = binary.BigEndian, data[2:]
	case everyOther(data, 1):
		order = binary.LittleEndian
	case everyOther(data, 0):
		order = binary.BigEndian
	default:
		return string(data)
	}
	var units []uint16
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return string(utf16.Decode(units))
}

// everyOther reports whether every other byte is 0, and no byte between.
func everyOther(data []byte, from int) bool {
	for i, b := range data {
		if (b == 0) != (i%2 == from) {
			return false
		}
	}
	return len(data) > 1
}

// quotes are the pairs of quotes to trim.
var quotes = [...][2]string{{`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"‘", "’"}, {"„", "“"}}

// Trim removes white space, invisible characters such as a byte order mark, and one
// pair of quotes around a value.
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

// HalfQuoted reports whether a trimmed value has a quotation mark at one end.
func HalfQuoted(value string) bool {
	for _, q := range quotes {
		if strings.HasPrefix(value, q[0]) || strings.HasSuffix(value, q[1]) {
			return true
		}
	}
	return false
}

// around reports whether a character at the start or end of a value should be trimmed.
func around(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }
