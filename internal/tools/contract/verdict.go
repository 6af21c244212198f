package main

import (
	"context"
	"errors"
	"go/types"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"golang.org/x/exp/apidiff"
)

// A change is one that a caller could notice: on the wire, in Go, or both.
type change struct {
	where  string   // METHOD /path, or the part of the document
	also   []string // more operations, which share the schema that changed
	what   string
	wire   bool // it breaks callers of the wire
	golang []apidiff.Change
}

// String is how api/breaking.txt names it.
func (c change) String() string { return c.where + " " + c.what }

// breaksGo reports whether it breaks Go programs.
func (c change) breaksGo() bool {
	return slices.ContainsFunc(c.golang, func(g apidiff.Change) bool { return !g.Compatible })
}

func (c change) breaks() bool { return c.wire || c.breaksGo() }

// verdict reports whom it breaks.
func (c change) verdict() string { return verdict(c.wire, c.breaksGo()) }

func verdict(wire, golang bool) string {
	switch {
	case wire && golang:
		return "breaks callers on the wire and Go programs"
	case wire:
		return "breaks callers on the wire"
	case golang:
		return "breaks Go programs"
	}
	return ""
}

// place puts changes in order: paths first, each with its methods.
func (c change) place() string {
	if method, path, ok := strings.Cut(c.where, " /"); ok {
		return "/" + path + " " + method
	}
	return c.where
}

// compare returns what changed from one document to another for callers of the
// wire and for Go programs, each change once: in the order of the paths, with
// what is of no path at the end.
func (j *judge) compare(older, newer source) ([]change, error) {
	if older.all() == newer.all() {
		return nil, nil
	}
	changes, err := wireChanges(j.ctx, older.name, older.text, newer.name, newer.text)
	if err != nil {
		return nil, err
	}
	before, after, none, err := j.compileBoth(older, newer)
	if err != nil {
		return nil, err
	}
	if none != nil && before != nil {
		changes = append(changes, change{where: "package gen", what: "no longer generates", golang: []apidiff.Change{{Message: none.Error()}}})
	}
	if before == nil || after == nil {
		return sorted(changes), nil
	}
	places, err := newPlaces(j.ctx, older, newer)
	if err != nil {
		return nil, err
	}
	for _, g := range goChanges(before, after) {
		changes = places.attach(changes, g)
	}
	return sorted(changes), nil
}

// compileBoth compiles what is compared: before is nil if the older document never
// generated, so that there is no Go program that could break, and none says why
// the newer one does not. An overlay for other documents, such as LINE's of another
// year, is for neither.
func (j *judge) compileBoth(older, newer source) (before, after *types.Package, none error, err error) {
	before, err = j.compile(older)
	noCode := new(errNoCode)
	if errors.As(err, &noCode) {
		older.lenient, newer.lenient = true, true
		before, err = j.compile(older)
	}
	if err != nil && !errors.As(err, &noCode) {
		return nil, nil, nil, err
	}
	after, err = j.compile(newer)
	if errors.As(err, &noCode) {
		return before, nil, err, nil
	}
	return before, after, nil, err
}

func sorted(changes []change) []change {
	slices.SortStableFunc(changes, func(a, b change) int { return strings.Compare(a.place(), b.place()) })
	return slices.CompactFunc(changes, func(a, b change) bool {
		return a.String() == b.String() && len(b.golang) == 0
	})
}

// places tell where in the documents the Go names come from.
type places struct {
	operations map[string]string   // "METHOD /path" by the folded operation ID
	schemas    map[string][]string // the operations that use it, by the folded name
}

// fold makes a name of the document and the Go name that is made of it the same.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

func newPlaces(ctx context.Context, sources ...source) (places, error) {
	p := places{make(map[string]string), make(map[string][]string)}
	for _, s := range sources {
		doc, err := parse(ctx, s.name, s.text)
		if err != nil {
			return p, err
		}
		for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
			for method, operation := range doc.Paths.Value(path).Operations() {
				p.add(doc, method+" "+path, operation)
			}
		}
	}
	for name := range p.schemas {
		slices.Sort(p.schemas[name])
		p.schemas[name] = slices.Compact(p.schemas[name])
	}
	return p, nil
}

func (p places) add(doc *openapi3.T, where string, operation *openapi3.Operation) {
	if operation.OperationID != "" {
		p.operations[fold(operation.OperationID)] = where
	}
	for name := range components(operation, doc) {
		p.schemas[fold(name)] = append(p.schemas[fold(name)], where)
	}
}

// of returns the operations that a Go name belongs to, and what the document may
// call the field that it names.
func (p places) of(message string) (where []string, field string) {
	name, _, _ := strings.Cut(message, ":")
	name = strings.NewReplacer("(*Client).", "", "(*ClientWithResponses).", "",
		"ClientInterface.", "", "ClientWithResponsesInterface.", "").Replace(name)
	typ, field, _ := strings.Cut(name, ".")
	typ, longest := fold(typ), ""
	for schema, operations := range p.schemas {
		if strings.HasPrefix(typ, schema) && len(schema) > len(longest) {
			longest, where = schema, operations
		}
	}
	for operation, place := range p.operations {
		if strings.Contains(typ, operation) && len(operation) > len(longest) {
			longest, where = operation, []string{place}
		}
	}
	if field == "" {
		field = strings.TrimPrefix(typ, longest)
	}
	return where, fold(field)
}

// attach puts a change of Go to the change of the document that it comes from, or
// to those of the operation; else it stands by itself.
func (p places) attach(changes []change, g apidiff.Change) []change {
	where, field := p.of(g.Message)
	best, score := -1, 0
	for i, c := range changes {
		s := 0
		if slices.Contains(where, c.where) {
			s = 1
		}
		if s > 0 && field != "" && slices.ContainsFunc(quoted(c.what), func(name string) bool { return fold(name) == field }) {
			s = 3
		}
		if strings.HasPrefix(g.Message, "DefaultServerURL") && strings.Contains(c.what, "first server") || strings.Contains(g.Message, "Server") && c.where == "servers" {
			s = max(s, 2)
		}
		if s > score {
			best, score = i, s
		}
	}
	if best < 0 {
		own := change{where: "package gen", what: "`" + g.Message + "`", golang: []apidiff.Change{g}}
		if len(where) > 0 {
			own.where = where[0]
		}
		return append(changes, own)
	}
	first := &changes[best]
	first.golang = append(first.golang, g)
	if score < 3 || len(where) < 2 {
		return changes
	}
	// A schema that several operations share changed once.
	one := *first
	for _, c := range changes {
		if one.same(c) && slices.Contains(where, c.where) {
			first.also = append(first.also, c.where)
		}
	}
	return slices.DeleteFunc(changes, func(c change) bool { return one.same(c) && slices.Contains(where, c.where) })
}

// same reports whether the same change happens to another operation.
func (c change) same(other change) bool {
	return c.what == other.what && c.where != other.where && len(other.golang) == 0
}

// quoted are the names in backquotes.
func quoted(text string) (names []string) {
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			names = append(names, part[strings.LastIndex(part, "/")+1:])
		}
	}
	return names
}
