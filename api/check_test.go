package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCheckTarget(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const emulator = "lineoauthtest/internal/api/api.gen.go"
	says(t, c.run(t, "make", "--silent", "check"), 0)

	c.edit(t, addField)
	before := c.git(t, "status", "--porcelain") + c.read(t, "gen/oauth.gen.go")
	says(t, c.run(t, "make", "check"), 2, "+	"+newName, "\ngen/oauth.gen.go\n"+emulator+"\n", "make generate")
	if after := c.git(t, "status", "--porcelain") + c.read(t, "gen/oauth.gen.go"); after != before {
		t.Errorf("make check changed the tree:\n%s", after)
	}
	// Generated code that is not committed yet is right, too, staged or not.
	says(t, c.run(t, "make", "generate"), 0)
	c.git(t, "add", "gen")
	says(t, c.run(t, "make", "--silent", "check"), 0)
	c.reset(t)

	if err := os.Remove(filepath.Join(c.dir, emulator)); err != nil {
		t.Fatal(err)
	}
	c.write(t, "gen/old.gen.go", "package gen\n")
	a := c.run(t, "internal/tools/check")
	says(t, a, 1, "generates:\n"+emulator+"\nFix it: make generate", "Nothing generates these any more:\ngen/old.gen.go\nFix it: rm -- gen/old.gen.go")
	c.reset(t)

	c.edit(t, renamePath)
	says(t, c.run(t, "internal/tools/check"), 2, "$.paths['/oauth2/v3/token']", "does not generate")
}

func TestNothingIsRun(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	// In place of go -C internal/tools tool contract.
	fake := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\ncd \"$2\" && shift 4 && exec '"+contractTool(t)+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.env = []string{"GO=" + fake}
	targets := []string{"make", "--keep-going", "spec-diff", "api-diff", "spec-update", "spec-proposal", "release-prepare", "release-notes", "release"}
	for i, value := range []string{
		"$(shell touch pwned)", "$(touch pwned)", `"; touch pwned; "'; touch pwned; '`, "`touch pwned`",
		"--output=pwned", "v1.2.3\ntouch pwned",
	} {
		variables := []string{"BASE=" + value, "FROM=" + value, "VERSION=" + value}
		inherits := c
		inherits.env = append(slices.Clip(c.env), variables...)
		a := inherits.run(t, targets...)
		if i%2 == 0 {
			a = c.run(t, append(slices.Clone(targets), variables...)...)
		}
		for _, target := range targets[2:] {
			if !strings.Contains(a.stderr, ": "+target+"] Error") {
				t.Errorf("%s did not fail: %s", target, a)
			}
		}
	}
	if got := c.git(t, "status", "--porcelain"); got != "" {
		t.Errorf("it ran:\n%s", got)
	}
}

func TestWorkflowsThatWrite(t *testing.T) {
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	may := map[string]bool{"run: |": true, "make --silent spec-pull-request": true, "run: make --silent spec-comment": true, "run: make --silent release": true, "run: make --silent release-image": true,
		"gh auth setup-git": true, `git config user.name "github-actions[bot]"`: true,
		`git config user.email "41898282+github-actions[bot]@users.noreply.github.com"`: true}
	writers := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, jobs, _ := strings.Cut(string(text), "\njobs:\n")
		for _, job := range regexp.MustCompile(`(?m)^  [a-z-]+:$`).Split(jobs, -1) {
			// A job that may write CodeQL's alerts alone changes nothing of the repository.
			if !strings.Contains(strings.ReplaceAll(job, "security-events: write", ""), ": write") {
				continue
			}
			writers++
			for line := range strings.Lines(job) {
				line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
				if action, ok := strings.CutPrefix(line, "uses: "); ok && !regexp.MustCompile(`^actions/(checkout|setup-go|download-artifact|attest-build-provenance)@`).MatchString(action) {
					t.Errorf("%s: a job that may write uses %s", name, action)
				}
				if command := regexp.MustCompile(`^(run: |make |go |git |gh |\.?/|sh |bash )`); command.MatchString(line) && !may[line] {
					t.Errorf("%s: a job that may write runs %s", name, line)
				}
			}
		}
	}
	if writers != 5 {
		t.Errorf("%d jobs may write", writers)
	}
}
