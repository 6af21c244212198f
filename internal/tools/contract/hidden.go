package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// hidden lists what a document has and the overlay hides from Go, each with the
// line that api/overlay.yml lacks.
func (j *judge) hidden(s source) ([]string, error) {
	doc, err := parse(j.ctx, s.name, s.text)
	if err != nil {
		return nil, err
	}
	_, seen, err := j.generate(s, configurations[0])
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		operations := doc.Paths.Value(path).Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			where, target := method+" "+path, fmt.Sprintf("$.paths['%s'].%s", path, strings.ToLower(method))
			item := seen.Paths.Value(path)
			if item == nil || item.GetOperation(method) == nil {
				lines = append(lines, fmt.Sprintf("%s is taken out by the overlay", where))
				continue
			}
			before, after := operations[method], item.GetOperation(method)
			lines = append(lines, lost(where+": the field %s of the request", "target "+target, requestFields(before), requestFields(after))...)
			for status, answer := range before.Responses.Map() {
				now := after.Responses.Value(status)
				if now == nil || strings.ContainsAny(status[:1], "45") { // gen has one field for all errors
					now = after.Responses.Default()
				}
				name := fmt.Sprintf("%s: the field %%s of the answer %s", where, status)
				lines = append(lines, lost(name, "schema that takes its place", contentFields(answer.Value.Content), answerFields(now))...)
			}
		}
	}
	return lines, nil
}

// lost compares the fields of a document with those that Go sees. In what,
// %s is the name of a field.
func lost(what, place string, before, after map[string]*openapi3.Schema) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		was, is := before[name], after[name]
		if is != nil && (is.Type == nil || was.Type == nil || slices.Equal(is.Type.Slice(), was.Type.Slice())) {
			continue
		}
		text := fmt.Sprintf(what, "`"+name+"`") + " does not reach Go"
		if is != nil {
			text = fmt.Sprintf(what, "`"+name+"`") + " reaches Go with another type"
		}
		lines = append(lines, fmt.Sprintf("%s; in api/overlay.yml, add to the properties of the %s:\n\n      %s: %s\n", text, place, name, flow(was)))
	}
	return lines
}

// flow is a schema on one line, without its words.
func flow(schema *openapi3.Schema) string {
	short := *schema
	short.Description, short.Example, short.ExternalDocs, short.Title = "", nil, nil, ""
	text, err := json.Marshal(&short)
	if err != nil {
		return "{}"
	}
	return strings.NewReplacer(`"`, "", `:`, ": ", `,`, ", ").Replace(string(text))
}

func requestFields(operation *openapi3.Operation) map[string]*openapi3.Schema {
	if operation.RequestBody == nil {
		return nil
	}
	return contentFields(operation.RequestBody.Value.Content)
}

func answerFields(answer *openapi3.ResponseRef) map[string]*openapi3.Schema {
	if answer == nil {
		return nil
	}
	return contentFields(answer.Value.Content)
}

// contentFields are the fields of all media types, with those of any form that
// they may have, and of what is in them, behind a dot.
func contentFields(content openapi3.Content) map[string]*openapi3.Schema {
	fields := make(map[string]*openapi3.Schema)
	var visit func(prefix string, ref *openapi3.SchemaRef, depth int)
	visit = func(prefix string, ref *openapi3.SchemaRef, depth int) {
		if ref == nil || ref.Value == nil || depth > 8 { // schemas may contain themselves
			return
		}
		for _, list := range []openapi3.SchemaRefs{ref.Value.OneOf, ref.Value.AnyOf, ref.Value.AllOf} {
			for _, one := range list {
				visit(prefix, one, depth+1)
			}
		}
		visit(prefix, ref.Value.Items, depth+1)
		for name, field := range ref.Value.Properties {
			fields[prefix+name] = field.Value
			visit(prefix+name+".", field, depth+1)
		}
	}
	for _, media := range content {
		visit("", media.Schema, 0)
	}
	return fields
}

// printHidden prints what the overlay keeps from Go, if anything.
func printHidden(w io.Writer, lines []string) {
	if len(lines) > 0 {
		printf(w, "\n## Hidden from Go by api/overlay.yml\n\n- %s\n", strings.Join(lines, "\n- "))
	}
}
