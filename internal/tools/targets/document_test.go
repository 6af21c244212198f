package targets_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What docs/openapi.md shows is what make prints.
func TestDocuments(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := newClone(t)
	// The outer make test runs all tests, and the variants those of the document.
	c.env = []string{"GOFLAGS=" + os.Getenv("GOFLAGS") + " -trimpath -ldflags=-w -skip=^(Test|Example)"}
	page := c.read(t, "docs/openapi.md")
	left := strings.Count(page, "$ make ")
	defer func() {
		if left != 0 && !t.Failed() {
			t.Errorf("%d transcripts of make were not compared", left)
		}
	}()
	// edit takes what may differ out of a transcript.
	shown := func(t *testing.T, command string, edit func(text string) string) {
		t.Helper()
		_, block, ok := strings.Cut(page, "```console\n$ "+command+"\n")
		block, _, _ = strings.Cut(block, "```")
		if !ok {
			t.Fatalf("docs/openapi.md does not show %s", command)
		}
		left--
		command, _, _ = strings.Cut(command, " #")
		command, _, silent := strings.Cut(command, " 2>")
		a := c.run(t, strings.Fields(command)...)
		// Each comparison reports an operation that the current document adds.
		got := regexp.MustCompile(`(?m)^- \w+ is new: .*\n`).ReplaceAllString(a.stdout, "")
		if !silent {
			for line := range strings.Lines(a.stderr) {
				if strings.HasPrefix(line, "make: ***") || strings.HasPrefix(line, "api-diff: ") {
					got += line
				}
			}
		}
		got, block = edit(got), edit(block)
		// Line numbers change; the text of a finding does not.
		numbers := regexp.MustCompile(`(\.go|Makefile):[0-9]+(:[0-9]+)?`)
		if numbers.ReplaceAllString(got, "$1:0") != numbers.ReplaceAllString(block, "$1:0") {
			t.Errorf("docs/openapi.md shows\n%s\nwhere this prints\n%s", block, a)
		}
	}
	// The document may be LINE's own, or a later one, which has other lines around
	// the new one, or that already.
	const kids = "      required: [kids]\n      properties:\n"
	field, name := "total", "Total"
	old := c.read(t, document)
	if strings.Contains(old, field+":\n") {
		field, name = newField, newName
	}
	text := strings.Replace(old, kids, kids+"        "+field+":\n          type: integer\n", 1)
	asText := text != old
	if !asText {
		field, name, text = newField, newName, newer(t, addField)
	}
	c.write(t, "newer.yml", text)
	named := func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "total", field), "Total", name)
	}
	shown(t, "make --silent spec-update FROM=newer.yml 2>update.log", func(text string) string {
		lines, changes, _ := strings.Cut(text, "# Changes")
		if !asText {
			return named(changes)
		}
		return named(strings.Join(regexp.MustCompile(`(?m)^[+-].*\n`).FindAllString(lines, -1), "") + changes)
	})
	if t.Failed() {
		return
	}
	shown(t, "make --silent api-diff BASE=main", named)
	as := func(text string) string { return text }
	c.reset(t)
	c.edit(t, renameField)
	shown(t, "make --silent spec-diff BASE=main", as)
	says(t, c.run(t, "make", "generate"), 0)
	shown(t, "make --silent api-diff BASE=main # kids renamed", as)
}
