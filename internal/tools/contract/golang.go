package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/codegen"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"
	"go.yaml.in/yaml/v3"
	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

// configurations are those that generate.go names. The first two make what
// programs import: package gen, and the root's operations.
var configurations = []string{"api/client.yml", "api/operations.yml", "api/server.yml"}

// A source is what code is generated from.
type source struct {
	name string // of the document, for errors
	text []byte
	read func(path string) ([]byte, error) // the files beside it

	// lenient forgives an overlay that is for another document.
	lenient bool
}

// A judge compiles documents in this process, and keeps what it compiled and the
// packages that generated code imports.
type judge struct {
	ctx  context.Context
	root repository

	mu       sync.Mutex                  // also for the generator, which has global variables
	imported map[string]*types.Package   // by path
	compiled map[string][]*types.Package // what programs import, by its source
}

func (r repository) judge(ctx context.Context) *judge {
	return &judge{ctx: ctx, root: r, imported: make(map[string]*types.Package), compiled: make(map[string][]*types.Package)}
}

// errNoCode is returned for a document whose generated code does not compile.
type errNoCode struct{ why string }

func (e *errNoCode) Error() string { return e.why }

// beside are the files that a configuration names.
var beside = regexp.MustCompile(`\bapi/[\w./-]+`)

// all returns everything that code is generated from.
func (s source) all() string {
	all := []string{string(s.text)}
	for _, name := range configurations {
		config, _ := s.read(name) // a missing file is reported when it is needed
		all = append(all, string(config))
		for _, file := range beside.FindAllString(string(config), -1) {
			text, _ := s.read(file)
			all = append(all, string(text))
		}
	}
	return strings.Join(all, "\x00")
}

// compile returns what programs import as a document makes it, after a look at
// whether all that it generates compiles.
func (j *judge) compile(s source) ([]*types.Package, error) {
	all := fmt.Sprint(s.lenient, s.all())
	j.mu.Lock()
	known := j.compiled[all]
	j.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var public []*types.Package
	var codes []*ast.File
	var imports []string
	files := token.NewFileSet()
	for i, name := range configurations {
		code, _, err := j.generate(s, name)
		if err != nil {
			return nil, err
		}
		if i == 1 {
			code += "\ntype Operation string\n" // of a file that is not generated
		}
		file, err := parser.ParseFile(files, "", code, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("%s generates %w", name, &errNoCode{err.Error()})
		}
		codes, imports = append(codes, file), append(imports, used(file)...)
	}
	if err := j.load(imports); err != nil {
		return nil, err
	}
	for i, name := range configurations {
		pkg, err := j.check(files, codes[i])
		if err != nil {
			return nil, fmt.Errorf("%s generates %w", name, err)
		}
		if i < 2 {
			public = append(public, pkg)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.compiled[all] = public
	return public, nil
}

// A configuration is a file of the generator's.
type configuration struct {
	codegen.Configuration `yaml:",inline"`
	Output                string `yaml:"output"`
}

// configure reads a configuration, with the texts of its templates.
func (s source) configure(name string) (config configuration, err error) {
	text, err := s.read(name)
	if err != nil {
		return config, err
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return config, fmt.Errorf("%s: %w", name, err)
	}
	config.OutputOptions.SkipFmt = true
	for name, template := range config.OutputOptions.UserTemplates {
		if strings.Contains(template, "\n") {
			continue // it is the text itself
		}
		text, err := s.read(template)
		if err != nil {
			return config, err
		}
		config.OutputOptions.UserTemplates[name] = string(text) + "\n"
	}
	return config, nil
}

// generate does what go generate does, in this process and without formatting. It
// also returns the document as the overlay leaves it.
func (j *judge) generate(s source, name string) (code string, doc *openapi3.T, err error) {
	config, err := s.configure(name)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "generate")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	document := filepath.Join(dir, "document")
	if err := os.WriteFile(document, s.text, 0o600); err != nil {
		return "", nil, err
	}
	overlay := util.LoadSwaggerWithOverlayOpts{Strict: !s.lenient, AllowRemoteRefsFrom: []string{}}
	if path := config.OutputOptions.Overlay.Path; path != "" {
		text, err := s.read(path)
		if err != nil {
			return "", nil, err
		}
		overlay.Path = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(overlay.Path, text, 0o600); err != nil {
			return "", nil, err
		}
	}
	defer func() {
		if p := recover(); p != nil { // a template of the generator's
			err = &errNoCode{fmt.Sprint(p)}
		}
		if none := new(errNoCode); errors.As(err, &none) {
			none.why = strings.ReplaceAll(strings.ReplaceAll(none.why, dir+"/", ""), `"document"`, s.name)
		}
	}()
	j.mu.Lock()
	defer j.mu.Unlock()
	doc, err = util.LoadSwaggerWithOverlay(document, overlay)
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")                                                    // the rest says it again
		if strings.HasPrefix(why, "failed to load Overlay") || strings.HasPrefix(why, "the Overlay") { // it is none, for any document
			return "", nil, fmt.Errorf("fix %s: %s", config.OutputOptions.Overlay.Path, strings.ReplaceAll(why, dir+"/", ""))
		}
		return "", nil, &errNoCode{"what code is generated from is not there or not valid; fix api/overlay.yml if it is meant: " + why}
	}
	code, err = codegen.Generate(doc, config.UpdateDefaults())
	if err != nil {
		return "", nil, &errNoCode{err.Error()}
	}
	return code, doc, nil
}

// check compiles generated code, as far as its types. What it imports is loaded.
func (j *judge) check(files *token.FileSet, file *ast.File) (*types.Package, error) {
	var faults []string
	config := types.Config{
		Importer: j,
		Error: func(err error) {
			if e := new(types.Error); errors.As(err, e) && !strings.HasPrefix(e.Msg, "\t") && len(faults) < 3 {
				faults = append(faults, e.Msg) // what begins with a tab continues another
			}
		},
	}
	pkg, err := config.Check(file.Name.Name, files, []*ast.File{file}, nil)
	if err != nil {
		return nil, &errNoCode{"code that does not compile (x-go-name in api/overlay.yml gives another name): " + strings.Join(faults, "; ")}
	}
	return pkg, nil
}

// used takes the imports out of a file that it does not use, as formatting does,
// and returns the others.
func used(file *ast.File) (paths []string) {
	names := make(map[string]bool)
	ast.Inspect(file, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			if name, ok := selector.X.(*ast.Ident); ok {
				names[name.Name] = true
			}
		}
		return true
	})
	keep := func(spec ast.Spec) bool {
		imported, ok := spec.(*ast.ImportSpec)
		if !ok {
			return true
		}
		path, _ := strconv.Unquote(imported.Path.Value)
		name := regexp.MustCompile(`([^/]+?)(/v\d+)?$`).FindStringSubmatch(path)[1]
		if imported.Name != nil {
			name = imported.Name.Name
		}
		if names[name] {
			paths = append(paths, path)
		}
		return names[name]
	}
	for _, declaration := range file.Decls {
		if general, ok := declaration.(*ast.GenDecl); ok && general.Tok == token.IMPORT {
			general.Specs = slices.DeleteFunc(general.Specs, func(spec ast.Spec) bool { return !keep(spec) })
		}
	}
	return paths
}

// load reads the packages that generated code imports, of the module here.
func (j *judge) load(paths []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	missing := slices.DeleteFunc(paths, func(path string) bool { return path == "unsafe" || j.imported[path] != nil })
	if len(missing) == 0 {
		return nil
	}
	loaded, err := packages.Load(&packages.Config{
		Context: j.ctx, Dir: string(j.root), Env: append(j.root.command(j.ctx, "go").Env, "GOWORK=off"),
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedExportFile,
	}, missing...)
	if err != nil {
		return err
	}
	for _, pkg := range loaded {
		if len(pkg.Errors) > 0 {
			return fmt.Errorf("generated code imports %s: %w", pkg.PkgPath, pkg.Errors[0])
		}
		j.imported[pkg.PkgPath] = pkg.Types
	}
	return nil
}

// Import is for the type checker.
func (j *judge) Import(path string) (*types.Package, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if pkg := j.imported[path]; pkg != nil {
		return pkg, nil
	}
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	return nil, fmt.Errorf("%s was not loaded", path)
}

// growing are the interfaces of package gen that get a method with each new
// operation. Their comments tell so: nobody else implements them.
var growing = regexp.MustCompile(`^Client(WithResponses)?Interface\.\w+: added$`)

// goChanges returns what changed between two packages for Go programs.
func goChanges(older, newer *types.Package) (changes []apidiff.Change) {
	for _, c := range apidiff.Changes(older, newer).Changes {
		c.Compatible = c.Compatible || older.Name() == "gen" && growing.MatchString(c.Message)
		if !slices.ContainsFunc(changes, func(other apidiff.Change) bool { return other.Message == c.Message }) {
			changes = append(changes, c)
		}
	}
	return append(changes, tagChanges(older, newer)...)
}

// tagChanges returns the fields that keep their Go name and are others on the wire,
// or have a tag less, which apidiff leaves out. That an empty one is left out is no
// break.
func tagChanges(older, newer *types.Package) (changes []apidiff.Change) {
	for _, name := range older.Scope().Names() {
		before, after := tags(older, name), tags(newer, name)
		for _, field := range slices.Sorted(maps.Keys(before)) {
			is, ok := after[field]
			for _, format := range []string{"form", "json"} {
				was, now := wireName(before[field], format), wireName(is, format)
				if format == "json" && (wireName(before[field], "form") != "" || strings.HasSuffix(name, "Params")) {
					continue // nothing reads it
				}
				if ok && was != "" && was != now {
					changes = append(changes, apidiff.Change{Message: fmt.Sprintf("%s.%s: the tag %s is %q, which was %q", name, field, format, now, was)})
				}
			}
		}
	}
	return changes
}

// tags are those of a struct's fields.
func tags(pkg *types.Package, name string) map[string]reflect.StructTag {
	found := make(map[string]reflect.StructTag)
	if object, ok := pkg.Scope().Lookup(name).(*types.TypeName); ok && object.Exported() {
		if structure, ok := object.Type().Underlying().(*types.Struct); ok {
			for i := range structure.NumFields() {
				found[structure.Field(i).Name()] = reflect.StructTag(structure.Tag(i))
			}
		}
	}
	return found
}

// wireName is what a tag calls its field in a format.
func wireName(tag reflect.StructTag, format string) string {
	name, _, _ := strings.Cut(tag.Get(format), ",")
	return name
}
