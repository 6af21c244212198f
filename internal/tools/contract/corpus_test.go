package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An edit changes a document. A path is keys and indices with spaces between.
type edit struct {
	Set    map[string]any    `yaml:"set"`
	Remove []string          `yaml:"remove"`
	Move   map[string]string `yaml:"move"`
}

// testdata/changes.yml has a list of these.
type corpusChange struct {
	Name   string `yaml:"name"`
	Before edit   `yaml:"before"` // what the base has other than the document
	edit   `yaml:",inline"`
	Breaks []string `yaml:"breaks"` // wire, go, or both
	Says   []string `yaml:"says"`
}

// all is what make test-contract sets.
var all = flag.Bool("all", false, "judge all changes of the corpus, not one in sixteen, and run the workflow")

// TestCorpus judges each change of the corpus, for the wire and for Go.
func TestCorpus(t *testing.T) {
	var changes []corpusChange
	decoder := yaml.NewDecoder(strings.NewReader(string(read(t, "testdata/changes.yml"))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&changes); err != nil {
		t.Fatal(err)
	}
	if len(changes) < 120 {
		t.Errorf("the corpus has %d changes", len(changes))
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	r := repository(root)
	j := r.judge(t.Context())
	base := read(t, "testdata/base.yml")
	seen := make(map[string]bool)
	for i, c := range changes {
		if seen[c.Name] {
			t.Errorf("two changes are called %s", c.Name)
		}
		seen[c.Name] = true
		if !*all && i%16 != 0 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			older := edited(t, base, c.Before)
			newer := edited(t, older, c.edit)
			if len(c.Set)+len(c.Remove)+len(c.Move) == 0 {
				t.Error("it changes nothing")
			}
			changes, err := j.compare(source{name: "older", text: older, read: r.readHere}, source{name: "newer", text: newer, read: r.readHere})
			if err != nil {
				t.Fatal(err)
			}
			wire, golang := false, false
			for _, change := range changes {
				wire, golang = wire || change.wire, golang || change.breaksGo()
			}
			wantWire, wantGo := false, false
			for _, side := range c.Breaks {
				wantWire, wantGo = wantWire || side == "wire", wantGo || side == "go"
			}
			var out strings.Builder
			_ = report(&out, changes, nil, "")
			if wire != wantWire || golang != wantGo {
				t.Errorf("wire %t, go %t; want %t, %t\n%s", wire, golang, wantWire, wantGo, out.String())
			}
			for _, text := range c.Says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("it does not say %q:\n%s", text, out.String())
				}
			}
			if testing.Verbose() {
				t.Log(out.String())
			}
		})
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func edited(t *testing.T, text []byte, e edit) []byte {
	t.Helper()
	var root any
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range e.Move {
		value, err := take(root, strings.Fields(from))
		must(err)
		root, err = put(root, strings.Fields(to), value)
		must(err)
	}
	for _, path := range e.Remove {
		_, err := take(root, strings.Fields(path))
		must(err)
	}
	for path, value := range e.Set {
		var err error
		root, err = put(root, strings.Fields(path), value)
		must(err)
	}
	text, err := yaml.Marshal(root)
	must(err)
	return text
}

// put sets a value, in a copy of each list on the way if it has to grow.
func put(node any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch node := node.(type) {
	case nil:
		child, err := put(nil, path[1:], value)
		return map[string]any{path[0]: child}, err
	case map[string]any:
		child, err := put(node[path[0]], path[1:], value)
		node[path[0]] = child
		return node, err
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i > len(node) {
			return nil, fmt.Errorf("no %s in a list of %d", path[0], len(node))
		}
		if i == len(node) {
			node = append(node, nil)
		}
		node[i], err = put(node[i], path[1:], value)
		return node, err
	}
	return nil, fmt.Errorf("%v has no fields", node)
}

// take removes a value and returns it.
func take(node any, path []string) (any, error) {
	for ; len(path) > 1; path = path[1:] {
		switch parent := node.(type) {
		case map[string]any:
			node = parent[path[0]]
		case []any:
			i, err := strconv.Atoi(path[0])
			if err != nil || i >= len(parent) {
				return nil, fmt.Errorf("no %s in a list of %d", path[0], len(parent))
			}
			node = parent[i]
		}
	}
	parent, ok := node.(map[string]any)
	if !ok || parent[path[0]] == nil {
		return nil, errors.New("there is nothing at " + path[0])
	}
	value := parent[path[0]]
	delete(parent, path[0])
	return value, nil
}
