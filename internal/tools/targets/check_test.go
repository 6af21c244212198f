package targets_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// make test runs it where nothing differs.
func TestCheckTarget(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const emulator, old = "lineoauthtest/internal/api/api.gen.go", "gen/old.gen.go"
	c.edit(t, addField)
	if err := os.Remove(filepath.Join(c.dir, emulator)); err != nil {
		t.Fatal(err)
	}
	c.write(t, old, "package gen\n")
	before := c.git(t, "status", "--porcelain") + c.read(t, "gen/oauth.gen.go")
	a := c.run(t, "make", "check")
	says(t, a, 2, "+	"+newName, "generates:\ngen/oauth.gen.go\n"+emulator+"\n", "\nFix it: make generate",
		"Nothing generates these any more:\n"+old+"\nFix it: rm -- "+old)
	if after := c.git(t, "status", "--porcelain") + c.read(t, "gen/oauth.gen.go"); after != before {
		t.Errorf("make check changed the tree:\n%s", after)
	}

	// What it prints is what make generate would do. Generated code that is not
	// committed yet is right, too, staged or not.
	patch, _, _ := strings.Cut(a.stdout, "\nNot what")
	c.write(t, "patch", patch)
	c.git(t, "apply", "--include=*.gen.go", "patch")
	c.git(t, "add", "gen")
	quick := c.withTools(t)
	says(t, quick.run(t, "make", "--silent", "check"), 0)
	c.reset(t)

	c.edit(t, renamePath)
	says(t, quick.run(t, "internal/tools/check"), 2, "$.paths['/oauth2/v3/token']", "does not generate")
}

func TestNothingIsRun(t *testing.T) {
	t.Parallel()
	c := newClone(t).withTools(t)
	targets := []string{"make", "--keep-going", "spec-diff", "api-diff", "spec-update", "spec-proposal", "release-prepare", "release-notes", "release"}
	// From the environment or the command line, in turn; what make would evaluate, from both.
	const evaluated = "$(shell touch pwned)"
	for i, value := range []string{
		evaluated, evaluated, "$(touch pwned)", `"; touch pwned; "'; touch pwned; '`, "`touch pwned`",
		"--output=pwned", "v1.2.3\ntouch pwned",
	} {
		variables := []string{"BASE=" + value, "FROM=" + value, "VERSION=" + value}
		inherits, args := c, slices.Clone(targets)
		if i%2 == 0 {
			inherits.env = append(slices.Clip(c.env), variables...)
		} else {
			args = append(args, variables...)
		}
		a := inherits.run(t, args...)
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
