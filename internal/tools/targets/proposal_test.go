package targets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProposal(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := newClone(t)
	// A remote to push to, and a gh that writes down what it is asked.
	remote, bin := filepath.Join(t.TempDir(), "remote.git"), t.TempDir()
	c.git(t, "init", "-q", "--bare", "-b", "main", remote)
	c.git(t, "remote", "add", "origin", remote)
	c.git(t, "push", "-q", "origin", "main")
	gh := "#!/bin/sh\necho \"$*\" >>" + bin + "/asked\n[ \"$1 $2\" != 'pr list' ] || cat " + bin + "/open\n"
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(gh), 0o755); err != nil {
		t.Fatal(err)
	}
	open := func(number string) {
		if err := os.WriteFile(filepath.Join(bin, "open"), []byte(number), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asked := func() string {
		text, err := os.ReadFile(filepath.Join(bin, "asked"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(bin, "asked")); err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	open("")
	c.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "TEST=true"}
	file := func(changes ...func(map[string]any)) string {
		path := filepath.Join(t.TempDir(), "newer.yml")
		if err := os.WriteFile(path, []byte(newer(t, changes...)), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const pullRequest = "internal/tools/spec-pull-request"

	// A caller with work of their own, on a branch of their own.
	c.git(t, "switch", "-q", "-c", "mine")
	c.replace(t, "gen/oauth.gen.go", "package gen", "package mine")
	c.write(t, "gen/mine.gen.go", "package gen\n")
	state := func() string { return c.git(t, "status", "--porcelain", "--branch") + c.git(t, "diff") }
	before := state()

	says(t, c.run(t, pullRequest), 2, "there is no proposal")
	says(t, c.contract(t, "spec-proposal", "nosuch"), 2, "nosuch")
	says(t, c.contract(t, "spec-proposal", file(cosmetic)), 0, "nothing to propose")
	says(t, c.run(t, pullRequest), 2, "there is no proposal")

	says(t, c.run(t, "make", "spec-proposal", "FROM="+file(addOperation)), 0, "explainChannelToken is new", "make spec-pull-request")
	says(t, c.run(t, "make", "spec-pull-request"), 0)
	if got := asked(); !strings.Contains(got, "pr create --head openapi-update") {
		t.Errorf("gh was asked %q", got)
	}
	if got := state(); got != before {
		t.Errorf("it changed the caller's checkout:\n%s\nwas\n%s", got, before)
	}
	pushed := func(what string) string { return c.git(t, "-C", remote, "show", "openapi-update"+what) }
	if got := c.git(t, "-C", remote, "diff", "--name-only", "main", "openapi-update"); got != document+"\ngen/oauth.gen.go\nlineoauthtest/internal/api/api.gen.go\noperation.gen.go\n" {
		t.Errorf("the pull request changes\n%s", got)
	}

	// A maintainer adds a commit to it.
	person := clone{dir: filepath.Join(t.TempDir(), "person")}
	c.git(t, "clone", "-q", "-b", "openapi-update", remote, person.dir)
	person.write(t, "CHANGELOG.md", "# Mine\n")
	person.git(t, "commit", "-q", "-am", "Tell of it")
	person.git(t, "push", "-q", "origin", "openapi-update")

	// A branch that no pull request has may be anybody's.
	kept := c.git(t, "-C", remote, "rev-parse", "openapi-update")
	says(t, c.run(t, pullRequest), 2, "git push origin --delete openapi-update")
	open("7")
	says(t, c.run(t, pullRequest), 0, "has it already")
	if got := c.git(t, "-C", remote, "rev-parse", "openapi-update"); got != kept {
		t.Error("it pushed again")
	}
	if got := asked(); !strings.Contains(got, "pr edit openapi-update --body-file") || strings.Contains(got, "pr create") {
		t.Errorf("gh was asked %q", got)
	}
	c.env[1] = "TEST=false"
	says(t, c.contract(t, "spec-proposal", file(addOperation, addField)), 0, "false fails")
	if got := c.read(t, "proposal/change.md"); !strings.Contains(got, "**The document does not generate, or a test fails") {
		t.Error(got)
	}
	says(t, c.run(t, pullRequest), 0)
	if got := pushed(":CHANGELOG.md"); got != "# Mine\n" {
		t.Errorf("the person's work is lost: %s", got)
	}
	if got := pushed(":gen/oauth.gen.go"); !strings.Contains(got, newName) {
		t.Error("the new document did not get there")
	}
	if got := state(); got != before {
		t.Errorf("it changed the caller's checkout:\n%s", got)
	}

	// Tests run before the patch is written; so it may hold anything.
	add := func(name, mode string) string {
		return "diff --git a/" + name + " b/" + name + "\nnew file mode " + mode + "\n--- /dev/null\n+++ b/" + name + "\n@@ -0,0 +1 @@\n+x\n"
	}
	move := func(how, from, to string) string {
		return "diff --git a/" + from + " b/" + to + "\nsimilarity index 100%\n" + how + " from " + from + "\n" + how + " to " + to + "\n"
	}
	for name, test := range map[string]struct{ patch, want string }{
		"a workflow":             {add(".github/workflows/new.yml", "100644"), "also changes .github/workflows/new.yml"},
		"code":                   {add("new.go", "100644"), "also changes new.go"},
		"generated code by name": {add("new.gen.go", "100644"), "also changes new.gen.go"},
		"a link":                 {add("new.gen.go", "120000"), "also changes new.gen.go"},
		"renamed":                {move("rename", "client.go", "gen/client.gen.go"), "also changes client.go"},
		"copied":                 {move("copy", "client.go", "gen/client.gen.go"), "also changes gen/client.gen.go"},
		"generated code renamed": {move("rename", "gen/oauth.gen.go", "gen/other.gen.go"), "oauth.gen.go"},
		"a program":              {"diff --git a/gen/oauth.gen.go b/gen/oauth.gen.go\nold mode 100644\nnew mode 100755\n", "mode 100755"},
		"outside":                {add("../../outside.gen.go", "100644"), "another state of the main branch"},
		"within git":             {add(".git/hooks/x.gen.go", "100755"), "another state of the main branch"},
	} {
		c.write(t, "proposal/change.patch", test.patch)
		if a := c.run(t, pullRequest); a.code != 2 || !strings.Contains(a.stderr, test.want) {
			t.Errorf("%s: it does not say %q: %s", name, test.want, a)
		}
	}
}
