package lineoauth_test

import (
	"bytes"
	"go/ast"
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

// inCheckout reports whether this is the whole repository. The zip of a module
// holds no other module, and none of git's files.
func inCheckout() bool {
	_, err := os.Stat(".git")
	return err == nil
}

func needCheckout(t *testing.T) {
	t.Helper()
	if !inCheckout() {
		t.Skip("needs a git checkout")
	}
}

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
	want := []string{".", "gen", "lineoauthtest", "lineoauthtest/conformance", "oauth2adapt", "store/filestore", "store", "store/redisstore", "store/storetest"}
	if !inCheckout() {
		want = slices.DeleteFunc(want, func(dir string) bool {
			_, err := os.Stat(dir)
			return err != nil
		})
	}
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
	needCheckout(t)
	list, err := os.ReadFile("examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "internal" && !bytes.Contains(list, []byte("| ["+e.Name()+"](")) {
			t.Errorf("examples/README.md has no line for %s", e.Name())
		}
	}
}

// What documents name is there: what they link to, files, tests and targets.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	needCheckout(t)
	var documents, files []string
	functions := map[string]bool{}
	declared, owners := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "dist"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		path = filepath.ToSlash(path)
		files = append(files, path)
		switch {
		case filepath.Ext(path) == ".md":
			documents = append(documents, path)
		case filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go"):
			declare(t, path, func(owner, name string) { declared[owner+"."+name], owners[owner] = true, true })
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, f := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllSubmatch(text, -1) {
				functions[string(f[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	// is reports whether there is such a file or folder, by the end of its path.
	is := func(name string) bool {
		name = strings.Trim(name, "/")
		return slices.ContainsFunc(files, func(path string) bool {
			return strings.HasSuffix("/"+path, "/"+name) || strings.Contains("/"+path, "/"+name+"/")
		})
	}
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		checkLinks(t, document, string(text))
		blocks := regexp.MustCompile("(?ms)^```.*?^```$")
		for _, code := range regexp.MustCompile("`[^`]+`").FindAllString(blocks.ReplaceAllString(string(text), ""), -1) {
			code := strings.Join(strings.Fields(strings.Trim(code, "`")), " ")
			target, isTarget := strings.CutPrefix(code, "make ")
			target, _, _ = strings.Cut(strings.TrimPrefix(target, "--silent "), " ")
			owner, _, _ := strings.Cut(code, ".")
			isMember := regexp.MustCompile(`^\w+\.\w+$`).MatchString(code)
			if owner > "a" && document != "CONTRIBUTING.md" {
				isMember = false // source.Close may be of a variable
			}
			switch {
			case isTarget && !bytes.Contains(makefile, []byte("\n"+target+":")),
				regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`).MatchString(code) && !functions[code],
				document != "CHANGELOG.md" && isMember && owners[owner] && !declared[code] && !is(code),
				regexp.MustCompile(`^[\w./-]+(/|\.(go|md|txtar|mod|sum))$`).MatchString(code) && !is(code):
				t.Errorf("%s names `%s`, which is not there", document, code)
			}
		}
	}
}

// declare calls add with what a file declares: functions, types and values with their
// package, methods and fields with their type.
func declare(t *testing.T, path string, add func(owner, name string)) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	members := func(of string, list *ast.FieldList) {
		for _, member := range list.List {
			for _, name := range member.Names {
				add(of, name.Name)
			}
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			owner := file.Name.Name
			if decl.Recv != nil {
				receiver := decl.Recv.List[0].Type
				if star, ok := receiver.(*ast.StarExpr); ok {
					receiver = star.X
				}
				switch generic := receiver.(type) {
				case *ast.IndexExpr:
					receiver = generic.X
				case *ast.IndexListExpr:
					receiver = generic.X
				}
				owner = receiver.(*ast.Ident).Name
			}
			add(owner, decl.Name.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						add(file.Name.Name, name.Name)
					}
				case *ast.TypeSpec:
					add(file.Name.Name, spec.Name.Name)
					switch of := spec.Type.(type) {
					case *ast.StructType:
						members(spec.Name.Name, of.Fields)
					case *ast.InterfaceType:
						members(spec.Name.Name, of.Methods)
					}
				}
			}
		}
	}
}

// make tests each module, and Dependabot updates it.
func TestModules(t *testing.T) {
	needCheckout(t)
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, modules, _ := strings.Cut(string(makefile), "\nMODULES = ")
	modules, _, _ = strings.Cut(modules, "\n")
	want := strings.Fields(modules)
	var got []string
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "go.mod" {
			got = append(got, filepath.ToSlash(filepath.Dir(path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("MODULES of the Makefile (-it has +there are):\n%s", diff)
	}
	dependabot, err := os.ReadFile(".github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, updated, _ := strings.Cut(string(dependabot), "package-ecosystem: gomod\n")
	updated, _, _ = strings.Cut(updated, "package-ecosystem:")
	var folders []string
	for _, folder := range regexp.MustCompile(`(?m)^ +- (/.*)$`).FindAllStringSubmatch(updated, -1) {
		folders = append(folders, filepath.ToSlash(filepath.Clean("."+folder[1])))
	}
	slices.Sort(folders)
	if diff := cmp.Diff(got, folders); diff != "" {
		t.Errorf("Dependabot updates other modules (-there are +it has):\n%s", diff)
	}
}

// What is published can be: "go install" takes no module that has a replace, and
// each module's zip has the license.
func TestPublished(t *testing.T) {
	needCheckout(t)
	root, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^(replace|exclude)\b`).Match(root) {
		t.Error("go.mod has a replace or exclude, so go install …/cmd/lineoauth@latest refuses it")
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Glob("store/*/go.mod")
	if err != nil || len(modules) == 0 {
		t.Fatal(modules, err)
	}
	for _, name := range modules {
		dir := filepath.Dir(name)
		if text, err := os.ReadFile(filepath.Join(dir, "LICENSE")); !bytes.Equal(text, license) {
			t.Errorf("%s/LICENSE is not LICENSE: %v", dir, err)
		}
	}
}

// docs/benchmarks.md repeats what was measured: each row of it is a column, or a
// row, of a table in bench/README.md.
func TestCompared(t *testing.T) {
	needCheckout(t)
	measured := tables(t, "bench/README.md")
	compared := tables(t, "docs/benchmarks.md")
	compared = slices.DeleteFunc(compared, func(table [][]string) bool {
		return !slices.Contains(table[0], "x/oauth2") && table[len(table)-1][0] != "x/oauth2 clientcredentials"
	})
	if len(compared) != 2 {
		t.Fatalf("%d tables", len(compared))
	}
	for _, table := range compared {
		for _, row := range table[1:] {
			if !slices.ContainsFunc(measured, func(m [][]string) bool { return has(m, row) || hasColumn(m, table[0], row) }) {
				t.Errorf("docs/benchmarks.md has %q, which bench/README.md does not", row)
			}
		}
	}
}

func has(table [][]string, row []string) bool {
	return slices.ContainsFunc(table, func(r []string) bool { return slices.Equal(r, row) })
}

// hasColumn reports whether one column of a table has these values of the peers
// that are named.
func hasColumn(table [][]string, names, values []string) bool {
	for column := 1; column < len(table[0]); column++ {
		found := 0
		for _, row := range table[1:] {
			if i := slices.Index(names, row[0]); i > 0 && values[i] == row[column] {
				found++
			}
		}
		if found == len(names)-1 {
			return true
		}
	}
	return false
}

// tables returns the cells of a file's tables in Markdown, without their rules.
func tables(t *testing.T, name string) (tables [][][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		row, ok := strings.CutPrefix(line, "|")
		switch {
		case !ok:
			inside = false
			continue
		case strings.HasPrefix(row, "---"):
			continue
		case !inside:
			inside = true
			tables = append(tables, nil)
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(row), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		tables[len(tables)-1] = append(tables[len(tables)-1], cells)
	}
	return tables
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
