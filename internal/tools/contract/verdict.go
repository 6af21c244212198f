package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/types"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"golang.org/x/exp/apidiff"
)

// A change is one that a caller could notice: on the wire, in Go, or both.
type change struct {
	id     string   // its kind, as oasdiff names it
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
	for i := range before {
		for _, g := range goChanges(before[i], after[i]) {
			changes = places.attach(changes, "package "+before[i].Name(), g)
		}
	}
	for _, g := range places.moved {
		changes = places.attach(changes, "package gen", g)
	}
	return sorted(changes), nil
}

// compileBoth compiles what is compared: before is nil if the older document never
// generated, so that there is no Go program that could break, and none says why
// the newer one does not. An overlay for other documents, such as LINE's of another
// year, is for neither.
func (j *judge) compileBoth(older, newer source) (before, after []*types.Package, none error, err error) {
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
	moved      []apidiff.Change    // operation IDs that now call another endpoint
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
	p := places{operations: make(map[string]string), schemas: make(map[string][]string)}
	for _, s := range sources {
		doc, err := parse(ctx, s.name, s.text)
		if err != nil {
			return p, err
		}
		before, all := maps.Clone(p.operations), tree(doc)
		for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
			for method, operation := range doc.Paths.Value(path).Operations() {
				p.add(all, method+" "+path, operation)
			}
		}
		for id, was := range before {
			now, kept := p.operations[id], operationAt(doc, was)
			// An endpoint that is gone is a change of the wire, which new code follows.
			if now != was && kept != nil && fold(operationID(was, kept)) != id {
				p.moved = append(p.moved, apidiff.Change{Message: fmt.Sprintf("%s: calls %s, which was %s", operationID(now, operationAt(doc, now)), now, was)})
			}
		}
	}
	for name := range p.schemas {
		slices.Sort(p.schemas[name])
		p.schemas[name] = slices.Compact(p.schemas[name])
	}
	return p, nil
}

// operationAt returns the operation of "METHOD /path", or nil.
func operationAt(doc *openapi3.T, where string) *openapi3.Operation {
	method, path, _ := strings.Cut(where, " ")
	item := doc.Paths.Find(path)
	if item == nil {
		return nil
	}
	return item.GetOperation(method)
}

// operationID is that of the generator for an operation without one.
func operationID(where string, operation *openapi3.Operation) string {
	return cmp.Or(operation.OperationID, where)
}

func (p places) add(doc any, where string, operation *openapi3.Operation) {
	p.operations[fold(operationID(where, operation))] = where
	for name := range components(operation, doc) {
		p.schemas[fold(name)] = append(p.schemas[fold(name)], where)
	}
}

// A goName is a name of generated code, by what it comes from.
type goName struct {
	where     []string // the operations
	operation string   // the folded ID, "" of a schema
	field     string   // the folded name of the field or what else it has
}

// of returns where a change of Go comes from.
func (p places) of(message string) (n goName) {
	name, _, _ := strings.Cut(message, ":")
	name = strings.NewReplacer("(*Client).", "", "(*ClientWithResponses).", "",
		"ClientInterface.", "", "ClientWithResponsesInterface.", "").Replace(name)
	typ, field, _ := strings.Cut(name, ".")
	typ, longest := fold(typ), ""
	for schema, operations := range p.schemas {
		if strings.HasPrefix(typ, schema) && len(schema) > len(longest) {
			longest, n.where = schema, operations
		}
	}
	for operation, place := range p.operations {
		if strings.Contains(typ, operation) && len(operation) > len(longest) {
			longest, n.operation, n.where = operation, operation, []string{place}
		}
	}
	n.field = fold(field)
	if field == "" {
		n.field = strings.TrimPrefix(typ, longest)
	}
	return n
}

// Kinds of changes, by their IDs, and what they alter in Go beside the names in them.
var (
	wholeOperations = regexp.MustCompile(`^(api-(path-)?removed|endpoint-added)`)
	requests        = regexp.MustCompile(`^new-.*request-.*parameter|^request-parameter-removed|^request-body-(removed|added|media-type)|^added-.*request-body|^request-.*media-type`)
	answers         = regexp.MustCompile(`^response-(media-type|success-status|body-(type|wrapped|one-of|any-of|list))|response-header-removed`)

	// These alter no Go code.
	inert = regexp.MustCompile(`pattern|default|-(min|max|multiple)|-(not-)?(optional|required|nullable)-?$|-became-(optional|required|(not-)?nullable)|-deprecated|sunset-|stability`)

	ofAnswers = regexp.MustCompile(`(JSON|Headers)\d|\d+Headers`) // names in Go
	goneAlone = regexp.MustCompile("^`(\\w+): removed`$")         // how a change of Go alone is called
)

// explains rates how well a change of the document explains one of Go. One that
// breaks needs its own reason: an exception for a change is for all that it explains.
func (n goName) explains(c change, g apidiff.Change) (score int) {
	names := quoted(c.what)
	if removed := goneAlone.FindStringSubmatch(c.what); removed != nil && slices.Contains(strings.FieldsFunc(g.Message, notInName), removed[1]) {
		return 2
	}
	if strings.HasPrefix(g.Message, "DefaultServerURL") && strings.Contains(c.what, "first server") || strings.Contains(g.Message, "Server") && c.where == "servers" {
		return 2
	}
	if !slices.Contains(n.where, c.where) {
		return 0
	}
	named := n.field != "" && slices.Contains(names, n.field)
	removal := strings.HasSuffix(g.Message, ": removed")
	switch {
	case named && (g.Compatible || !inert.MatchString(c.id) && (!removal || strings.Contains(c.id, "removed") || strings.Contains(c.id, "became-not-enum"))):
		return 3
	case c.id == checker.APIOperationIdRemovedId:
		if n.operation != "" && (slices.Contains(names, n.operation) || fold(c.where) == n.operation) {
			return 2
		}
	case wholeOperations.MatchString(c.id),
		n.operation != "" && !ofAnswers.MatchString(g.Message) && requests.MatchString(c.id) && !inert.MatchString(c.id),
		(n.operation == "" || ofAnswers.MatchString(g.Message)) && answers.MatchString(c.id):
		return 2
	}
	if g.Compatible {
		return 1
	}
	return 0
}

func notInName(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }

// attach puts a change of Go to the change of the document that explains it; else
// it stands by itself.
func (p places) attach(changes []change, pkg string, g apidiff.Change) []change {
	n := p.of(g.Message)
	best, score := -1, 0
	for i, c := range changes {
		if s := n.explains(c, g); s > score {
			best, score = i, s
		}
	}
	if best < 0 {
		own := change{where: pkg, what: "`" + g.Message + "`", golang: []apidiff.Change{g}}
		if len(n.where) > 0 {
			own.where = n.where[0]
		}
		return append(changes, own)
	}
	first := &changes[best]
	first.golang = append(first.golang, g)
	if score < 3 || len(n.where) < 2 {
		return changes
	}
	// A schema that several operations share changed once.
	one := *first
	for _, c := range changes {
		if one.same(c) && slices.Contains(n.where, c.where) {
			first.also = append(first.also, c.where)
		}
	}
	return slices.DeleteFunc(changes, func(c change) bool { return one.same(c) && slices.Contains(n.where, c.where) })
}

// same reports whether the same change happens to another operation.
func (c change) same(other change) bool {
	return c.what == other.what && c.where != other.where && len(other.golang) == 0
}

// quoted are the names in backquotes, and those of which a path there consists, folded.
func quoted(text string) (names []string) {
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			for name := range strings.SplitSeq(part, "/") {
				names = append(names, fold(name))
			}
		}
	}
	return names
}
