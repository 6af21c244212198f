package lineoauth_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every exported name of a public package has a comment, and so has every
// package: functions, methods, types, their exported fields and methods,
// variables and constants, of which a group may share one.
func TestDocs(t *testing.T) {
	var packages []string
	described := map[string]bool{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "bench" || path == "examples" || d.Name() == "internal" || d.Name() == "testdata" || len(path) > 1 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil || file.Name.Name == "main" {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if !slices.Contains(packages, dir) {
			packages = append(packages, dir)
		}
		described[dir] = described[dir] || file.Doc.Text() != ""
		for _, name := range undocumented(file) {
			t.Errorf("%s: %s has no comment", fset.Position(name.Pos()), name.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".", "filestore", "gen", "lineoauthtest", "redisstore", "storetest"}
	if diff := cmp.Diff(want, packages); diff != "" {
		t.Errorf("public packages (-want +got):\n%s", diff)
	}
	for _, dir := range packages {
		if !described[dir] {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// Every example has its line in the list of examples.
func TestExamplesListed(t *testing.T) {
	list, err := os.ReadFile("examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !bytes.Contains(list, []byte("| ["+e.Name()+"](")) {
			t.Errorf("examples/README.md has no line for %s", e.Name())
		}
	}
}

// undocumented returns the exported names of a file that have no comment. In
// generated code these are functions and methods alone: what describes the rest
// is LINE's document, which does not do so everywhere.
func undocumented(file *ast.File) (names []*ast.Ident) {
	check := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		documented := slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c.Text() != "" })
		if name.IsExported() && !documented {
			names = append(names, name)
		}
	}
	fields := func(expr ast.Expr) {
		ast.Inspect(expr, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok {
				for _, name := range field.Names {
					check(name, field.Doc, field.Comment)
				}
			}
			return true
		})
	}
	for _, decl := range file.Decls {
		if _, ok := decl.(*ast.GenDecl); ok && ast.IsGenerated(file) {
			continue
		}
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if receiver(decl).IsExported() {
				check(decl.Name, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						check(name, decl.Doc, spec.Doc, spec.Comment)
					}
				case *ast.TypeSpec:
					check(spec.Name, decl.Doc, spec.Doc, spec.Comment)
					if spec.Name.IsExported() {
						fields(spec.Type)
					}
				}
			}
		}
	}
	return names
}

// receiver names the type of a method, or a function itself.
func receiver(decl *ast.FuncDecl) *ast.Ident {
	name := decl.Name
	if decl.Recv != nil {
		ast.Inspect(decl.Recv.List[0].Type, func(n ast.Node) bool {
			if ident, ok := n.(*ast.Ident); ok {
				name = ident
				return false
			}
			return true
		})
	}
	return name
}
