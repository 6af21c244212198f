package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// maxFields is more than an answer has; each is compared with all before it.
const maxFields = 100

// Field is one of a JSON object.
type Field struct {
	Name []byte
	Null bool
}

// Fields returns the fields of a JSON object, none of other JSON; text that is not
// JSON has any. It refuses a name that comes twice in whatever letters, of which
// encoding/json takes the last and others the first. A [json.Decoder] would take 40
// allocations for that.
func Fields(text []byte) ([]Field, error) {
	fields := make([]Field, 0, 4)
	var last []byte // string
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			begin := i
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			last = text[begin:min(i+1, len(text))]
		case ':':
			if depth != 1 {
				continue
			}
			name := bytes.Trim(last, `"`)
			if bytes.IndexByte(name, '\\') >= 0 {
				var s string
				if err := json.Unmarshal(last, &s); err != nil {
					return nil, err
				}
				name = []byte(s)
			}
			switch {
			case len(fields) == maxFields:
				return nil, fmt.Errorf("the answer has more than %d fields", maxFields)
			case slices.ContainsFunc(fields, func(f Field) bool { return bytes.EqualFold(f.Name, name) }):
				return nil, fmt.Errorf("the answer has the field %q twice", name)
			}
			fields = append(fields, Field{name, bytes.HasPrefix(bytes.TrimLeft(text[i+1:], " \t\r\n"), []byte("null"))})
		}
	}
	return fields, nil
}
