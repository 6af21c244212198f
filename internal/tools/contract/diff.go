package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3conv"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"
)

// A change is one that a caller could notice.
type change struct {
	where  string // METHOD /path, or the part of the document
	what   string
	breaks bool
}

// String is how api/breaking.txt names it.
func (c change) String() string { return c.where + " " + c.what }

// place puts changes in order: paths first, each with its methods.
func (c change) place() string {
	if method, path, ok := strings.Cut(c.where, " /"); ok {
		return "/" + path + " " + method
	}
	return c.where
}

// Oasdiff's own levels suit callers of the wire. A Go program also breaks when a
// name of package gen goes.
var severity = map[string]checker.Level{
	checker.APIOperationIdRemovedId:           checker.ERR,
	checker.ResponseOptionalPropertyRemovedId: checker.ERR,
	checker.APISchemasRemovedId:               checker.NONE, // removedNames tells more
	checker.APITagAddedId:                     checker.NONE,
	checker.APITagRemovedId:                   checker.NONE,
	checker.APIVersionNotBumpedId:             checker.NONE,
	checker.APIMajorVersionNotBumpedId:        checker.NONE,
	checker.APIVersionDecreasedId:             checker.NONE,
}

// parse reads an OpenAPI document, and refuses what is none. Name is for errors.
func parse(ctx context.Context, name string, text []byte) (*openapi3.T, error) {
	loader := openapi3.NewLoader() // follows no reference out of the document
	doc, err := loader.LoadFromData(text)
	if err == nil {
		err = doc.Validate(ctx, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation())
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no valid OpenAPI document: %w", name, err)
	}
	return doc, nil
}

// compare returns what changed from one document to another, in the order of the
// paths, with what is of no path at the end.
func compare(ctx context.Context, oldName string, oldText []byte, newName string, newText []byte) ([]change, error) {
	older, err := parse(ctx, oldName, oldText)
	if err != nil {
		return nil, err
	}
	newer, err := parse(ctx, newName, newText)
	if err != nil {
		return nil, err
	}
	changes := append(serverChanges(older, newer), removedNames(older, newer)...)

	// Versions of OpenAPI say the same in other words.
	openapi3conv.Upgrade(older)
	openapi3conv.Upgrade(newer)
	report, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(),
		&load.SpecInfo{Url: oldName, Spec: older}, &load.SpecInfo{Url: newName, Spec: newer})
	if err != nil {
		return nil, fmt.Errorf("oasdiff cannot compare %s and %s: %w", oldName, newName, err)
	}
	config := checker.NewConfig(checker.GetAllChecks(), checker.WithSeverityLevels(severity))
	words := checker.NewDefaultLocalizer()
	for _, c := range checker.CheckBackwardCompatibilityUntilLevel(config, report, sources, checker.INFO) {
		where := strings.TrimSpace(c.GetOperation() + " " + c.GetPath())
		if where == "" {
			where = c.GetSection()
		}
		changes = append(changes, change{where, c.GetUncolorizedText(words), c.GetLevel() >= checker.WARN})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return strings.Compare(a.place(), b.place()) })
	return slices.Compact(changes), nil
}

// serverChanges tells of changed servers, which oasdiff's changelog leaves out.
// The first of the document is gen.DefaultServerURL.
func serverChanges(older, newer *openapi3.T) []change {
	changes := changedServers("servers", older.Servers, newer.Servers)
	for path, item := range older.Paths.Map() {
		for method, operation := range item.Operations() {
			other := newer.Paths.Value(path)
			if other == nil || other.GetOperation(method) == nil {
				continue
			}
			before, own := operationServers(older, item, operation)
			after, ownNow := operationServers(newer, other, other.GetOperation(method))
			if own || ownNow {
				changes = append(changes, changedServers(method+" "+path, before, after)...)
			}
		}
	}
	return changes
}

// operationServers returns where an operation is, and whether that differs from
// the rest of the document.
func operationServers(doc *openapi3.T, item *openapi3.PathItem, operation *openapi3.Operation) (servers openapi3.Servers, own bool) {
	if operation.Servers != nil && len(*operation.Servers) > 0 {
		return *operation.Servers, true
	}
	if len(item.Servers) > 0 {
		return item.Servers, true
	}
	return doc.Servers, false
}

func changedServers(where string, older, newer openapi3.Servers) []change {
	names := func(servers openapi3.Servers) []string {
		var names []string
		for _, server := range servers {
			name := "`" + server.URL + "`"
			for _, variable := range slices.Sorted(maps.Keys(server.Variables)) {
				name += fmt.Sprintf(" with `%s` %q", variable, server.Variables[variable].Default)
			}
			names = append(names, name)
		}
		return names
	}
	var changes []change
	before, after := names(older), names(newer)
	for _, name := range before {
		if !slices.Contains(after, name) {
			changes = append(changes, change{where, "removed the server " + name, true})
		}
	}
	if len(before) > 0 && len(after) > 0 && before[0] != after[0] {
		changes = append(changes, change{where, "the first server, which callers use by default, is now " + after[0], true})
	}
	for _, name := range after {
		if !slices.Contains(before, name) {
			changes = append(changes, change{where, "added the server " + name, len(before) == 0})
		}
	}
	return changes
}

// removedNames tells of the components that operations no longer use. Each gives
// a Go type of package gen its name.
func removedNames(older, newer *openapi3.T) []change {
	kept := names(newer)
	var changes []change
	for _, name := range slices.Sorted(maps.Keys(names(older))) {
		if !kept[name] {
			changes = append(changes, change{"components", "`" + name + "` is gone or renamed, and with it a Go type of package gen", true})
		}
	}
	return changes
}

// names are the components that the operations of a document lead to.
func names(doc *openapi3.T) map[string]bool {
	found := make(map[string]bool)
	text, err := doc.MarshalJSON()
	var root map[string]any
	if err != nil || json.Unmarshal(text, &root) != nil {
		return found // not after a document was parsed
	}
	var visit func(node any)
	visit = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				visit(child)
			}
		case map[string]any:
			for _, child := range node {
				visit(child)
			}
			ref, _ := node["$ref"].(string)
			name, ok := strings.CutPrefix(ref, "#/components/")
			if !ok || found[name] {
				return
			}
			found[name] = true
			target := root["components"]
			for step := range strings.SplitSeq(name, "/") {
				parent, _ := target.(map[string]any)
				target = parent[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
			}
			visit(target)
		}
	}
	visit(root["paths"])
	return found
}

// specDiff prints what changed in the document since a git revision, or since a
// file, and what to do about what breaks callers.
func (r repository) specDiff(ctx context.Context, base string) error {
	text, isFile, err := r.base(ctx, base)
	if err != nil {
		return err
	}
	now, err := os.ReadFile(filepath.Join(string(r), document))
	if err != nil {
		return err
	}
	changes, err := compare(ctx, base, text, document, now)
	if err != nil {
		return err
	}
	allowed, err := r.allowed(changes)
	if err != nil {
		return err
	}
	printf(os.Stdout, "# Changes of the OpenAPI document since %s\n", base)
	advice := advice{"git diff " + quote(base) + " -- " + document, "make api-diff BASE=" + quote(base)}
	if isFile {
		advice.show = "git diff --no-index -- " + quote(base) + " " + document
		advice.compare = "make api-diff BASE=<the git revision that has it>"
	}
	return report(os.Stdout, changes, allowed, advice)
}

// base returns the document of a file or of a git revision.
func (r repository) base(ctx context.Context, base string) (text []byte, isFile bool, err error) {
	if info, err := os.Stat(base); err == nil && info.Mode().IsRegular() {
		text, err := os.ReadFile(base)
		return text, true, err
	}
	commit, err := r.commit(ctx, base)
	if err != nil {
		return nil, false, fmt.Errorf("%s is neither a file nor a git revision (git fetch may bring it)", base)
	}
	out, err := r.git(ctx, "show", commit+":"+document)
	if err != nil {
		return nil, false, fmt.Errorf("%s has no %s", base, document)
	}
	return []byte(out), false, nil
}

// advice is what to type to see more.
type advice struct{ show, compare string }

// report prints changes, and returns errBroken if one breaks callers and is not
// allowed.
func report(w io.Writer, changes []change, allowed map[string]bool, advice advice) error {
	if len(changes) == 0 {
		printf(w, "\nNothing changed that a caller could notice.\n")
	}
	where := ""
	var broken []change
	for _, c := range changes {
		if c.where != where {
			where = c.where
			printf(w, "\n## %s\n\n", where)
		}
		switch {
		case c.breaks && allowed[c.String()]:
			printf(w, "- **breaks callers, as %s allows:** %s\n", allowlist, c.what)
		case c.breaks:
			printf(w, "- **breaks callers:** %s\n", c.what)
			broken = append(broken, c)
		default:
			printf(w, "- %s\n", c.what)
		}
	}
	if len(broken) == 0 {
		if len(allowed) > 0 {
			printf(w, "\nNo change breaks callers, but for what %s allows.\n", allowlist)
		} else {
			printf(w, "\nNo change breaks callers.\n")
		}
		return nil
	}
	printf(w, `
## What to do

Programs that make these calls, or use these names, break. If that is not meant,
take it back; `+"`%s`"+` shows it. If it is:

1. `+"`make generate`"+`, then `+"`%s`"+`: the Go names that change, the
   places here that no longer compile, and the version that it asks for.
2. Allow each change by a line in %s, with the reason in place of WHY:

`, advice.show, advice.compare, allowlist)
	for _, c := range broken {
		printf(w, "       %s # WHY\n", c)
	}
	return errBroken
}

// allowed reads the changes that may break callers, each with why they can bear
// it: a whole change, " # ", and a reason of three words or more.
func (r repository) allowed(changes []change) (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(string(r), allowlist))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	allowed := make(map[string]bool)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, reason, _ := strings.Cut(line, " # ")
		if len(strings.FieldsFunc(reason, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' })) < 3 {
			return nil, fmt.Errorf("%s:%d gives no reason; after \" # \", say in some words why callers can bear it: %s", allowlist, number, line)
		}
		found := slices.IndexFunc(changes, func(c change) bool {
			return c.breaks && strings.HasPrefix(line, c.String()+" # ")
		})
		if found < 0 {
			printf(os.Stderr, "spec-diff: %s:%d allows nothing that changed here; a release empties the list: %s\n", allowlist, number, line)
			continue
		}
		allowed[changes[found].String()] = true
	}
	return allowed, nil
}
