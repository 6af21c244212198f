package lineoauth_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// What docs/credentials.md shows is in an example, where it runs; the variables that
// it names are read by one, or here.
func TestCredentialsDocument(t *testing.T) {
	needCheckout(t)
	document, err := os.ReadFile("docs/credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("examples/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources [][]byte
	for _, name := range append(files, "internal/env/env.go") {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source)
	}
	has := func(text []byte) bool {
		return slices.ContainsFunc(sources, func(source []byte) bool { return bytes.Contains(source, text) })
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(document, -1)
	if len(blocks) < 3 {
		t.Errorf("%d blocks of Go", len(blocks))
	}
	for _, block := range blocks {
		if !has(block[1]) {
			t.Errorf("no example has these lines:\n%s", block[1])
		}
	}
	for _, variable := range regexp.MustCompile(`\b(LINE|AGE|PKCS11)_[A-Z_]+\b`).FindAll(document, -1) {
		if !has(append(variable, ' ')) && !has(append(append([]byte{'"'}, variable...), '"')) {
			t.Errorf("nothing reads %s", variable)
		}
	}
}
