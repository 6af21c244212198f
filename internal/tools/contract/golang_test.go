package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
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
	for configuration, name := range map[string]string{"api/client.yml": "gen/oauth.gen.go", "api/server.yml": "lineoauthtest/internal/api/api.gen.go"} {
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
	_, code, ok := strings.Cut(code, "\n)\n")
	if !ok {
		t.Fatal("there are no imports")
	}
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
