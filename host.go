package lineoauth

import "strings"

// lower puts the letters of ASCII in lower case. Unicode's other letters whose
// lower case is one of those (the dotted I, the Kelvin sign) and those that fold to
// one (the long s) make another name.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
