package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// narrowedSchemas returns where fewer values are valid in a request, or more in a
// header of an answer, by the keywords that oasdiff's checks leave out. As in its
// levels, what some callers may send is enough for a break.
func narrowedSchemas(older, newer *openapi3.T) (changes []change) {
	both(older, newer, func(where string, before, after *openapi3.PathItem, method string) {
		was, is := before.GetOperation(method), after.GetOperation(method)
		add := func(what string) {
			changes = append(changes, change{id: "request-narrowed", where: where, what: what, wire: true})
		}
		open := []string{"not", "additionalProperties"}
		for _, parameter := range was.Parameters {
			now := is.Parameters.GetByInAndName(parameter.Value.In, parameter.Value.Name)
			if now == nil || now.Schema == nil || parameter.Value.Schema == nil {
				continue
			}
			what := fmt.Sprintf("the %s parameter `%s`", now.In, now.Name)
			narrowed(add, what, parameter.Value.Schema, now.Schema, 0, open...)
			narrowed(add, "the items of "+what, parameter.Value.Schema.Value.Items, now.Schema.Value.Items, 1,
				"enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf")
		}
		if was.RequestBody != nil && is.RequestBody != nil {
			for name, media := range was.RequestBody.Value.Content {
				if now := is.RequestBody.Value.Content[name]; now != nil {
					narrowed(add, "the request", media.Schema, now.Schema, 0, open...)
				}
			}
		}
		for status, answer := range was.Responses.Map() {
			now := is.Responses.Value(status)
			for name, header := range answer.Value.Headers {
				if now == nil || now.Value.Headers[name] == nil {
					continue
				}
				a, b := keyword("enum", header.Value.Schema), keyword("enum", now.Value.Headers[name].Value.Schema)
				if narrower("enum", b, a) {
					add(fmt.Sprintf("the response header `%s` of the status `%s`: `enum` is %s, which was %s", name, status, asJSON(b), asJSON(a)))
				}
			}
		}
	})
	return changes
}

// narrowed adds what a schema and those in it no longer accept, by these keywords.
func narrowed(add func(string), what string, before, after *openapi3.SchemaRef, depth int, keywords ...string) {
	if before == nil || after == nil || depth > 8 { // schemas may contain themselves
		return
	}
	for _, name := range keywords {
		if a, b := keyword(name, before), keyword(name, after); narrower(name, a, b) {
			add(fmt.Sprintf("%s: `%s` is %s, which was %s", what, name, asJSON(b), asJSON(a)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Value.Properties)) {
		narrowed(add, what+"'s `"+name+"`", before.Value.Properties[name], after.Value.Properties[name], depth+1, keywords...)
	}
	narrowed(add, what+"'s items", before.Value.Items, after.Value.Items, depth+1, keywords...)
	for _, one := range slices.Concat(before.Value.OneOf, before.Value.AnyOf) {
		for _, same := range slices.Concat(after.Value.OneOf, after.Value.AnyOf) {
			if one.Ref == same.Ref && one.Ref != "" {
				narrowed(add, what, one, same, depth+1, keywords...)
			}
		}
	}
}

// keyword is the value of a schema's keyword, or nil.
func keyword(name string, schema *openapi3.SchemaRef) any {
	if schema == nil {
		return nil
	}
	all, _ := tree(schema.Value).(map[string]any)
	return all[name]
}

// narrower reports whether the second value of a keyword refuses what the first accepts.
func narrower(name string, before, after any) bool {
	if after == nil || after == true || before == false || reflect.DeepEqual(before, after) {
		return false
	}
	list, _ := after.([]any)
	values, isList := before.([]any)
	was, isNumber := before.(float64)
	is, _ := after.(float64)
	switch {
	case isList:
		return slices.ContainsFunc(values, func(value any) bool {
			return !slices.ContainsFunc(list, func(other any) bool { return reflect.DeepEqual(value, other) })
		})
	case isNumber && strings.HasPrefix(name, "max"):
		return is < was
	case isNumber && strings.HasPrefix(name, "min"):
		return is > was
	}
	return true
}

func asJSON(value any) string {
	if value == nil {
		return "none"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
