package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3conv"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/flatten/allof"
	"github.com/oasdiff/oasdiff/flatten/commonparams"
	"github.com/oasdiff/oasdiff/flatten/headers"
	"github.com/oasdiff/oasdiff/load"
	"golang.org/x/exp/apidiff"
)

// severity differs from oasdiff's own levels where an announcement excuses a
// removal: callers break all the same.
var severity = map[string]checker.Level{
	checker.APIPathRemovedWithDeprecationId:                  checker.ERR,
	checker.APIRemovedWithDeprecationId:                      checker.ERR,
	checker.RequestParameterRemovedWithDeprecationId:         checker.WARN,
	checker.RequestPropertyRemovedWithDeprecationId:          checker.WARN,
	checker.ResponseRequiredPropertyRemovedWithDeprecationId: checker.ERR,

	// A request in the old form still is one of the forms.
	checker.RequestBodyWrappedInOneOfOriginalPreservedId: checker.INFO,

	checker.APITagAddedId:              checker.NONE,
	checker.APITagRemovedId:            checker.NONE,
	checker.APIVersionNotBumpedId:      checker.NONE,
	checker.APIMajorVersionNotBumpedId: checker.NONE,
	checker.APIVersionDecreasedId:      checker.NONE,

	// Names mean something to Go alone, which is asked itself.
	checker.APISchemasRemovedId:     checker.NONE,
	checker.APIOperationIdRemovedId: checker.INFO,
}

// wireChanges returns what changed for callers of the wire.
func wireChanges(ctx context.Context, oldName string, oldText []byte, newName string, newText []byte) ([]change, error) {
	older, err := parse(ctx, oldName, oldText)
	if err != nil {
		return nil, err
	}
	newer, err := parse(ctx, newName, newText)
	if err != nil {
		return nil, err
	}
	older, newer = normalize(older), normalize(newer)
	relax(older, newer)
	changes := slices.Concat(serverChanges(older, newer), encodingChanges(older, newer), narrowedSchemas(older, newer))

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
		what := strings.TrimSuffix(c.GetUncolorizedText(words), " and replaced with ``")
		changes = append(changes, change{id: c.GetId(), where: where, what: what, wire: c.GetLevel() >= checker.WARN})
	}
	return changes, nil
}

// normalize says what a document says in the words of OpenAPI 3.1, without what
// makes no difference on the wire.
func normalize(doc *openapi3.T) *openapi3.T {
	openapi3conv.Upgrade(doc)
	commonparams.Move(doc)
	headers.Lowercase(doc)
	if doc.Components != nil { // what nobody uses may be impossible to merge
		used := components(doc.Paths, tree(doc))
		maps.DeleteFunc(doc.Components.Schemas, func(name string, _ *openapi3.SchemaRef) bool { return !used["#/components/schemas/"+name] })
	}
	if merged, err := allof.MergeSpec(doc); err == nil {
		doc = merged
	}
	// What a removal was announced by is no excuse for it.
	announced := func(extensions map[string]any) {
		delete(extensions, diff.SunsetExtension)
		delete(extensions, diff.XStabilityLevelExtension)
	}
	for _, item := range doc.Paths.Map() {
		announced(item.Extensions)
		for _, operation := range item.Operations() {
			announced(operation.Extensions)
			for _, parameter := range operation.Parameters {
				announced(parameter.Value.Extensions)
			}
		}
	}
	_ = doc.WalkSchemas(func(_ string, ref *openapi3.SchemaRef) error { // the function returns no error
		schema := ref.Value
		announced(schema.Extensions)
		if schema.Const != nil {
			schema.Enum, schema.Const = []any{schema.Const}, nil
		}
		if schema.Format == "password" { // for who draws a form
			schema.Format = ""
		}
		return nil
	})
	return doc
}

// relax writes a oneOf of the older document as the anyOf that took its place:
// what was one of several is any of them. A schema renamed is the same one, and so
// is a security scheme.
func relax(older, newer *openapi3.T) {
	if newer.Components == nil {
		newer.Components = &openapi3.Components{}
	}
	if older.Components != nil {
		for name, scheme := range older.Components.SecuritySchemes {
			for other, same := range newer.Components.SecuritySchemes {
				if newer.Components.SecuritySchemes[name] == nil && older.Components.SecuritySchemes[other] == nil && reflect.DeepEqual(tree(scheme), tree(same)) {
					renameScheme(newer, other, name)
				}
			}
		}
	}
	now := make(map[string]*openapi3.Schema)
	_ = newer.WalkSchemas(func(pointer string, ref *openapi3.SchemaRef) error {
		now[pointer] = ref.Value
		return nil
	})
	_ = older.WalkSchemas(func(pointer string, ref *openapi3.SchemaRef) error {
		before, after := ref.Value, now[pointer]
		for _, one := range append(slices.Clip(before.OneOf), before.AnyOf...) {
			if name, ok := strings.CutPrefix(one.Ref, "#/components/schemas/"); ok && newer.Components.Schemas[name] == nil {
				one.Ref = "" // it is another by its content only
			}
		}
		if after != nil && len(before.OneOf) > 0 && len(before.AnyOf) == 0 && len(after.OneOf) == 0 && len(after.AnyOf) >= len(before.OneOf) {
			before.OneOf, before.AnyOf = nil, before.OneOf
		}
		return nil
	})
}

func renameScheme(doc *openapi3.T, from, to string) {
	rename := func(all openapi3.SecurityRequirements) {
		for _, one := range all {
			if scopes, ok := one[from]; ok {
				delete(one, from)
				one[to] = scopes
			}
		}
	}
	rename(doc.Security)
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.Security != nil {
				rename(*operation.Security)
			}
		}
	}
	doc.Components.SecuritySchemes[to] = doc.Components.SecuritySchemes[from]
	delete(doc.Components.SecuritySchemes, from)
}

// both calls a function for each operation that both documents have, whatever its
// path's parameters are called.
func both(older, newer *openapi3.T, do func(where string, before, after *openapi3.PathItem, method string)) {
	for path, before := range older.Paths.Map() {
		after := newer.Paths.Find(path)
		for method := range before.Operations() {
			if after != nil && after.GetOperation(method) != nil {
				do(method+" "+path, before, after, method)
			}
		}
	}
}

// encodingChanges returns the values that are written in another way, which
// oasdiff's changelog leaves out.
func encodingChanges(older, newer *openapi3.T) (changes []change) {
	for path := range older.Paths.Map() {
		for now, item := range newer.Paths.Map() {
			if item == newer.Paths.Find(path) && swapped(path, now) {
				changes = append(changes, change{where: now, wire: true, what: "the path parameters changed places; the path was " + path,
					golang: []apidiff.Change{{Message: "the arguments of the functions changed places"}}})
			}
		}
	}
	both(older, newer, func(where string, before, after *openapi3.PathItem, method string) {
		was, is := before.GetOperation(method), after.GetOperation(method)
		for _, parameter := range was.Parameters {
			now := is.Parameters.GetByInAndName(parameter.Value.In, parameter.Value.Name)
			if now == nil {
				continue
			}
			if a, b := parameterEncoding(parameter.Value), parameterEncoding(now); a != b {
				changes = append(changes, change{where: where, wire: true,
					what: fmt.Sprintf("the %s parameter `%s` is written as %s, which was %s", now.In, now.Name, b, a)})
			}
		}
		if was.RequestBody == nil || is.RequestBody == nil {
			return
		}
		for name, media := range was.RequestBody.Value.Content {
			if now := is.RequestBody.Value.Content[name]; now != nil {
				changes = append(changes, bodyEncodings(where, media, now)...)
				continue
			}
			for other := range is.RequestBody.Value.Content { // oasdiff takes both for the same
				if essence(other) == essence(name) && was.RequestBody.Value.Content[other] == nil {
					changes = append(changes, change{id: "request-body-media-type-changed", where: where,
						what: fmt.Sprintf("the media type of the request is now `%s`, which was `%s`", other, name)})
				}
			}
		}
	})
	return changes
}

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// swapped reports whether a parameter of a path is now in the place of another.
func swapped(before, after string) bool {
	was, is := pathParameter.FindAllString(before, -1), pathParameter.FindAllString(after, -1)
	for i, name := range was {
		if at := slices.Index(is, name); at >= 0 && at != i {
			return true
		}
	}
	return false
}

// essence is a media type without its parameters.
func essence(mediaType string) string {
	name, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// parameterEncoding returns how a parameter's value is written. Of a single value,
// only the label and matrix styles matter.
func parameterEncoding(parameter *openapi3.Parameter) string {
	if len(parameter.Content) > 0 {
		return strings.Join(slices.Sorted(maps.Keys(parameter.Content)), ", ")
	}
	method, err := parameter.SerializationMethod()
	if err != nil {
		return "style: " + parameter.Style
	}
	if structured(parameter.Schema) {
		return fmt.Sprintf("style: %s, explode: %t", method.Style, method.Explode)
	}
	if method.Style == "label" || method.Style == "matrix" {
		return "style: " + method.Style
	}
	return "a single value"
}

func structured(ref *openapi3.SchemaRef) bool {
	if ref == nil || ref.Value == nil {
		return false
	}
	return ref.Value.Type.Includes("array") || ref.Value.Type.Includes("object") || len(ref.Value.Properties) > 0
}

// bodyEncodings compares how the fields of a form are written.
func bodyEncodings(where string, before, after *openapi3.MediaType) (changes []change) {
	encoding := func(media *openapi3.MediaType, name string) string {
		own := media.Encoding[name]
		if own == nil {
			own = new(openapi3.Encoding)
		}
		text, style, explode := own.ContentType, own.Style, true
		if text == "text/plain" { // the default of all but objects
			text = ""
		}
		if own.Explode != nil {
			explode = *own.Explode
		}
		if media.Schema != nil && media.Schema.Value != nil && structured(media.Schema.Value.Properties[name]) {
			if style == "" {
				style = "form"
			}
			text += fmt.Sprintf(" style: %s, explode: %t", style, explode)
		}
		return strings.TrimSpace(text)
	}
	fields := make(map[string]bool)
	for _, media := range []*openapi3.MediaType{before, after} {
		for name := range media.Encoding {
			fields[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if a, b := encoding(before, name), encoding(after, name); a != b {
			changes = append(changes, change{where: where, wire: true,
				what: fmt.Sprintf("the field `%s` of the request is written as %q, which was %q", name, b, a)})
		}
	}
	return changes
}

// serverChanges returns changed servers, which oasdiff's changelog leaves out.
// The first of the document is gen.DefaultServerURL.
func serverChanges(older, newer *openapi3.T) []change {
	changes := changedServers("servers", older.Servers, newer.Servers)
	both(older, newer, func(where string, before, after *openapi3.PathItem, method string) {
		was, own := operationServers(older, before, before.GetOperation(method))
		is, ownNow := operationServers(newer, after, after.GetOperation(method))
		if own || ownNow {
			changes = append(changes, changedServers(where, was, is)...)
		}
	})
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

func changedServers(where string, older, newer openapi3.Servers) (changes []change) {
	add := func(breaks bool, format string, args ...any) {
		changes = append(changes, change{where: where, what: fmt.Sprintf(format, args...), wire: breaks})
	}
	before, after := serverNames(older), serverNames(newer)
	moved := len(before) > 0 && len(after) > 0 && before[0] != after[0]
	if moved {
		add(true, "the first server, which callers use by default, is now %s in place of %s", after[0], before[0])
	}
	for i, name := range before {
		kept := slices.Index(after, name)
		if kept < 0 {
			if i > 0 || !moved {
				add(true, "removed the server %s", name)
			}
			continue
		}
		for variable, was := range older[i].Variables {
			for _, value := range was.Enum {
				if is := newer[kept].Variables[variable]; len(is.Enum) > 0 && !slices.Contains(is.Enum, value) {
					add(true, "removed the value %q of `%s` in the server %s", value, variable, name)
				}
			}
		}
	}
	for i, name := range after {
		if !slices.Contains(before, name) && (i > 0 || !moved) {
			add(len(before) == 0, "added the server %s", name)
		}
	}
	return changes
}

func serverNames(servers openapi3.Servers) (names []string) {
	for _, server := range servers {
		name := "`" + strings.TrimSuffix(server.URL, "/") + "`"
		for _, variable := range slices.Sorted(maps.Keys(server.Variables)) {
			name += fmt.Sprintf(" with `%s` %q", variable, server.Variables[variable].Default)
		}
		names = append(names, name)
	}
	return names
}

// components are what a part of a document leads to, by references and names. Doc
// is the tree of the document.
func components(value, doc any) map[string]bool {
	found := make(map[string]bool)
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
			name := ref[strings.LastIndex(ref, "/")+1:]
			if ref == "" || found[ref] {
				return
			}
			found[ref], found[name] = true, true
			target := doc
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				parent, _ := target.(map[string]any)
				target = parent[part]
			}
			visit(target)
		}
	}
	visit(tree(value))
	return found
}

// tree is a part of a document as JSON has it.
func tree(value any) (root any) {
	if value == nil || reflect.ValueOf(value).Kind() == reflect.Pointer && reflect.ValueOf(value).IsNil() {
		return nil
	}
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &root) != nil {
		return nil
	}
	return root
}
