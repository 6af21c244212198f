// Package secret keeps strings where what prints values does not find them.
package secret

import (
	"unique"
	"unsafe"
)

// Masked is what is printed in the place of a secret.
const Masked = "[redacted]"

// Text is a string that reflection does not lead to: not package fmt, nor what walks
// through unexported fields. Of the same string there is one Text, so that == and
// [reflect.DeepEqual] compare by value. The zero Text is empty.
type Text struct {
	// A unique.Handle[string] with another type: its pointer, which the garbage
	// collector follows, and reflection does not.
	handle unsafe.Pointer
}

type handle = unique.Handle[string]

// A handle is a pointer and no more, or this does not compile.
var (
	_ [unsafe.Sizeof(handle{}) - unsafe.Sizeof(Text{})]struct{}
	_ [unsafe.Sizeof(Text{}) - unsafe.Sizeof(handle{})]struct{}
)

// New hides s.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	h := unique.Make(s)
	return Text{*(*unsafe.Pointer)(unsafe.Pointer(&h))} //nolint:gosec // see Text
}

// Reveal returns the string.
func (t Text) Reveal() string {
	if t.handle == nil {
		return ""
	}
	return (*(*handle)(unsafe.Pointer(&t.handle))).Value() //nolint:gosec // see Text
}
