package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func here(t *testing.T) repository {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return repository(root)
}

// The generator in this process makes what the one of go generate makes.
func TestGenerateIsGoGenerates(t *testing.T) {
	r := here(t)
	s, err := r.here()
	if err != nil {
		t.Fatal(err)
	}
	for configuration, name := range map[string]string{"api/client.yml": "gen/oauth.gen.go", "api/operations.yml": "operation.gen.go", "api/server.yml": "lineoauthtest/internal/api/api.gen.go"} {
		code, _, err := r.judge(t.Context()).generate(s, configuration)
		if err != nil {
			t.Fatal(err)
		}
		committed := read(t, filepath.Join(string(r), name))
		if got, want := declarations(t, code), declarations(t, string(committed)); got != want {
			t.Errorf("%s has %s, and is generated here with %s", name, want, got)
		}
	}
}

// declarations are the words of a file behind its imports, without comments and
// spaces, which formatting changes.
func declarations(t *testing.T, code string) string {
	t.Helper()
	code = regexp.MustCompile(`(?s)^.*?\npackage \w+\n(\s*import \(.*?\n\)\n)?`).ReplaceAllString(code, "")
	code = regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(code, "")
	return strings.Join(strings.FieldsFunc(code, func(r rune) bool { return strings.ContainsRune(" \t\n,;", r) }), "")
}

// Tools see that an operation is deprecated by a paragraph of each comment.
func TestDeprecated(t *testing.T) {
	r := here(t)
	text := edited(t, read(t, "testdata/base.yml"), edit{Set: map[string]any{
		"paths /v2/oauth/revoke post deprecated": true, "paths /oauth2/v2.1/verify get deprecated": true,
		"paths /v2/oauth/revoke post x-deprecated-reason": "use another",
	}})
	code, _, err := r.judge(t.Context()).generate(source{name: "it", text: text, read: r.readHere}, "api/client.yml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	about := regexp.MustCompile(`(RevokeChannelToken|VerifyChannelTokenByJWT)(With|Request|Response|$)`)
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || !function.Name.IsExported() || strings.HasPrefix(function.Name.Name, "Get") {
			continue
		}
		deprecated := strings.Contains("\n"+function.Doc.Text(), "\n\nDeprecated: ")
		if deprecated != about.MatchString(function.Name.Name) {
			t.Errorf("%s: deprecated is %t:\n%s", function.Name.Name, deprecated, function.Doc.Text())
		}
		if deprecated {
			found++
		}
		if first, _, _ := strings.Cut(function.Doc.Text(), " "); first != function.Name.Name {
			t.Errorf("the comment of %s begins with %q", function.Name.Name, first)
		}
	}
	if found < 10 || !bytes.Contains([]byte(code), []byte("// Deprecated: use another")) {
		t.Errorf("%d functions are deprecated", found)
	}
}

// What cannot be judged is no verdict on a document: without it, neither 0 nor 1 is right.
func TestOverlayNotReadable(t *testing.T) {
	base := read(t, "testdata/base.yml")
	for name, overlay := range map[string]string{"no YAML": "actions: [\n", "no overlay": "info: {}\n", "nothing": ""} {
		r := here(t)
		newer := source{name: "newer", text: base, read: func(path string) ([]byte, error) {
			if path == "api/overlay.yml" {
				return []byte(overlay), nil
			}
			return r.readHere(path)
		}}
		if changes, err := r.judge(t.Context()).compare(source{name: "older", text: base, read: r.readHere}, newer); err == nil || !strings.Contains(err.Error(), "api/overlay.yml") {
			t.Errorf("%s: %v, %v", name, changes, err)
		}
	}
}

// A name of the root that a template gives counts as one of package gen does.
func TestRootTemplate(t *testing.T) {
	base, r := read(t, "testdata/base.yml"), here(t)
	newer := source{name: "newer", text: base, read: func(path string) ([]byte, error) {
		text, err := r.readHere(path)
		if path == "api/templates/operations.tmpl" {
			text = bytes.ReplaceAll(text, []byte("func Operations()"), []byte("func AllOperations()"))
		}
		return text, err
	}}
	changes, err := r.judge(t.Context()).compare(source{name: "older", text: base, read: r.readHere}, newer)
	if err != nil || !slices.ContainsFunc(changes, func(c change) bool { return c.breaksGo() && c.String() == "package lineoauth `Operations: removed`" }) {
		t.Errorf("%v, %v", changes, err)
	}
}
