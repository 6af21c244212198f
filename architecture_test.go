package lineoauth_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The picture in CONTRIBUTING.md has each package, what it imports of this
// repository, and only below it.
func TestArchitecture(t *testing.T) {
	needCheckout(t)
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, picture, _ := strings.Cut(string(text), "(`TestArchitecture`):\n\n```\n")
	picture, _, _ = strings.Cut(picture, "\n```")
	drawn, order := map[string][]string{}, map[string]int{}
	for i, line := range strings.Split(picture, "\n") {
		if line == "" {
			continue
		}
		names, imports, _ := strings.Cut(line, "▶")
		dir := strings.Trim(strings.Fields(names)[0], "/")
		drawn[dir] = strings.Fields(imports)
		slices.Sort(drawn[dir])
		order[shortName(dir)] = i
	}
	imported := imports(t)
	for dir, names := range imported {
		for _, name := range names {
			if order[name] <= order[shortName(dir)] {
				t.Errorf("CONTRIBUTING.md draws %s above %s, which it imports", name, dir)
			}
		}
	}
	if diff := cmp.Diff(imported, drawn); diff != "" {
		t.Errorf("imports in the picture of CONTRIBUTING.md (-imported +drawn):\n%s", diff)
	}
}

// shortName is a package's name in the picture: without what leads to it, unless
// there is another of that name.
func shortName(dir string) string {
	switch dir {
	case "", ".", "root":
		return "root"
	case "lineoauthtest/internal/api":
		return "internal/api"
	case "cmd/lineoauth", "store/redisstore/internal/fleet":
		return dir
	}
	return filepath.Base(dir)
}

// imports returns what the packages of this repository import of it.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	const module = "github.com/lineoauth/lineoauth"
	apart := regexp.MustCompile(`^(bench|examples|internal/(assets|interop|man|tools))$|(^|/)(\.\w.*|testdata|node_modules|dist)$`)
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		path = filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && apart.MatchString(path):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			dir = "root"
		}
		if found[dir] == nil {
			found[dir] = []string{}
		}
		for _, spec := range file.Imports {
			imported, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if name := shortName(strings.TrimPrefix(imported, "/")); ours && !slices.Contains(found[dir], name) {
				found[dir] = append(found[dir], name)
			}
		}
		slices.Sort(found[dir])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
