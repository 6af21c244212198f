package tools_test

import (
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wordRules are words that readers of the code would have to learn, each with what
// to write in its place.
var wordRules = []struct{ pattern, write string }{
	{`alive`, "valid"},
	{`dead`, "expired, revoked, or unreachable"},
	{`die[sd]|dying`, "expires, or exits for a process"},
	{`tokens? (?:live|lives|lived)`, "is valid for"},
	{`(?:before|after|until|ahead of|past|at|of|to) (?:its|their) end`, "before it expires"},
	{`zero value is good`, "The zero value is ready to use."},
	{`tak(?:es?|ing) a place|of the 30 places`, "counts toward the limit of 30"},
	{`(?:which|that) there (?:is|are) not`, "unknown, or does not exist"},
	{`what is (?:not )?given`, "omitted values, or the value"},
	{`made[- ]up|mak(?:e|es|ing) up`, "generated, or a placeholder"},
	{`by hand`, "manually"},
	{`mend(?:s|ed|ing)?`, "fix"},
	{`take[ns]? (?:it )?back`, "revert"},
	{`strange|strangers?`, "unexpected, or interop"},
	{`scarce|patience|patient`, "limited, or wait"},
	{`whoever|somebody`, "you, the caller, or another user"},
	{`(?:of|by|to|for) a person`, "you, the caller"},
	{`is no (?:duration|path|jwk|jws|url|file|number|regular|string|token|key|json|host|absolute)`, "is not a"},
	{`anew`, "again, or new"},
	{`as it stands|for ever|in vain`, "unchanged, forever, without effect"},
	{`(?:go|goes|went|going) on`, "continues"},
	{`(?:one|each|per|every|first|second|last|next|single|[0-9]+) (?:try|tries)`, "attempt"},
	{`tells|is told|are told`, "reports, contains, or returns"},
	{`out of reach`, "unreachable"},
}

// allowedWords are the exceptions: ends of paths, each with a text that may contain a
// word of wordRules there.
var allowedWords = []struct{ file, text string }{
	{"", "keep-alive"},
	{"", "kept-alive"},
	{"", "there is no "},
}

// Comments, texts and documents use the words that Go's and OAuth's readers know.
func TestWords(t *testing.T) {
	var patterns []string
	for _, rule := range wordRules {
		patterns = append(patterns, "("+rule.pattern+")")
	}
	words := regexp.MustCompile(`(?i)\b(?:` + strings.Join(patterns, "|") + `)\b`)
	root := filepath.Join("..", "..")
	list, err := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if !hasProse(file) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if os.IsNotExist(err) {
			continue // deleted, but not committed
		} else if err != nil {
			t.Fatal(err)
		}
		for _, finding := range findWords(words, file, string(data)) {
			t.Error(finding)
		}
	}
}

// A word is found in a comment, a string and a document, and only as a word.
func TestFindWords(t *testing.T) {
	words := regexp.MustCompile(`(?i)\b(?:(alive)|(dead))\b`)
	for file, lines := range map[string]string{
		"a.go":     "package a\n\n// It is Alive.\nconst alive = \"alive\" // keep-alive\nvar dead = `\ndead`\n",
		"a.md":     "A token is\nalive.\nA deadline is fine.",
		"Makefile": "test: ## is it dead?\n",
	} {
		want := map[string]string{"a.go": "3 4 6", "a.md": "2", "Makefile": "1"}[file]
		var got []string
		for _, finding := range findWords(words, file, lines) {
			got = append(got, strings.Split(finding, ":")[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: found in the lines %q, want %s", file, got, want)
		}
	}
}

// hasProse reports whether a file has texts written for readers.
func hasProse(file string) bool {
	if strings.HasSuffix(file, ".gen.go") || strings.Contains(file, "/testdata/changes.yml") || path.Base(file) == "words_test.go" {
		return false
	}
	switch path.Ext(file) {
	case ".go", ".md", ".txtar", ".yml", ".yaml", ".sh", ".js", ".ts", ".py":
		return true
	case "":
		return path.Base(file) == "Makefile" || strings.HasPrefix(file, ".ci/") || strings.HasPrefix(file, "internal/tools/")
	}
	return false
}

// findWords returns the findings in a file, one per line of text and word.
func findWords(words *regexp.Regexp, file, text string) (findings []string) {
	line := func(n int, text string) {
		for _, allowed := range allowedWords {
			if strings.HasSuffix(file, allowed.file) {
				text = strings.ReplaceAll(text, allowed.text, "")
			}
		}
		for _, match := range words.FindAllStringSubmatch(text, -1) {
			for i, rule := range wordRules {
				if i+1 < len(match) && match[i+1] != "" {
					findings = append(findings, fmt.Sprintf("%s:%d: %q: write %s", file, n, match[0], rule.write))
					break
				}
			}
		}
	}
	if path.Ext(file) != ".go" {
		for i, text := range strings.Split(text, "\n") {
			line(i+1, text)
		}
		return findings
	}
	files := token.NewFileSet()
	added := files.AddFile(file, -1, len(text))
	var s scanner.Scanner
	s.Init(added, []byte(text), nil, scanner.ScanComments)
	for pos, tok, literal := s.Scan(); tok != token.EOF; pos, tok, literal = s.Scan() {
		if tok == token.COMMENT || tok == token.STRING {
			for i, text := range strings.Split(literal, "\n") {
				line(files.Position(pos).Line+i, text)
			}
		}
	}
	return findings
}
