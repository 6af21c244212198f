package tools_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The workflow of the example in TypeScript runs what "make test-examples" runs, with a
// Node that LINE's SDK supports, and the emulator by action.yml.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	read := func(path string) []byte {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var workflow struct {
		On          []string
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn string `yaml:"runs-on"`
			Steps  []struct {
				Uses, Run string
				With      map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(read("../../examples/typescript/workflow.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&workflow); err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Engines struct{ Node string } }
	}
	if err := json.Unmarshal(read("../../examples/typescript/package-lock.json"), &lock); err != nil {
		t.Fatal(err)
	}
	needs := regexp.MustCompile(`\d+`).FindString(lock.Packages["node_modules/@line/bot-sdk"].Engines.Node)
	least, err := strconv.Atoi(needs)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, step := range workflow.Jobs["test"].Steps {
		name, _, _ := strings.Cut(step.Uses, "@")
		steps = append(steps, name+step.Run)
		if version, err := strconv.Atoi(step.With["node-version"]); name == "actions/setup-node" && (err != nil || version < least) {
			t.Errorf("Node %s; LINE's SDK needs %d", step.With["node-version"], least)
		}
	}
	const want = "actions/checkout actions/setup-node lineoauth/lineoauth npm ci npm test"
	if got := strings.Join(steps, " "); got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
}
