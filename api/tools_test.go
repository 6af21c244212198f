package api_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"
)

// in runs a command in a folder, with environment variables before it if it
// has some, and returns what it prints, and its exit code.
func in(t *testing.T, dir, command string) (string, int) {
	t.Helper()
	words := strings.Fields(command)
	env := append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "TEST=go vet .")
	for ; strings.Contains(words[0], "="); words = words[1:] {
		env = append(env, words[0])
	}
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// edit changes the objects of a clone's OpenAPI document. As a JSON value it has
// the same form wherever its schemas stand.
func edit(t *testing.T, dir string, change func(object map[string]any)) {
	t.Helper()
	doc, err := util.LoadSwagger(filepath.Join(dir, "api", contract))
	if err != nil {
		t.Fatal(err)
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var visit func(node any)
	visit = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			change(node)
			for _, child := range node {
				visit(child)
			}
		case []any:
			for _, child := range node {
				visit(child)
			}
		}
	}
	visit(root)
	if text, err = json.MarshalIndent(root, "", "  "); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "api", contract), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// addField gives the answer that has kids another field.
func addField(object map[string]any) {
	if properties, ok := object["properties"].(map[string]any); ok && properties["kids"] != nil {
		properties["total"] = map[string]any{"type": "integer"}
	}
}

// renameField calls the field kids otherwise.
func renameField(object map[string]any) {
	if properties, ok := object["properties"].(map[string]any); ok && properties["kids"] != nil {
		properties["key_ids"] = properties["kids"]
		delete(properties, "kids")
		object["required"] = []string{"key_ids"}
	}
}

func addOperation(object map[string]any) {
	if object["/v2/oauth/verify"] != nil {
		object["/v2/oauth/explain"] = map[string]any{"get": map[string]any{
			"operationId": "explainChannelToken", "responses": map[string]any{"200": map[string]any{"description": "ok"}},
		}}
	}
}

// What the targets say of a change, on a clone elsewhere, in another language
// and time zone.
func TestTargets(t *testing.T) {
	t.Setenv("LC_ALL", "tr_TR.UTF-8")
	t.Setenv("TZ", "Asia/Tokyo")
	dir := checkout(t)
	git := func(t *testing.T, args ...string) {
		t.Helper()
		args = append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"}, args...)
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	expect := func(t *testing.T, command string, code int, want ...string) string {
		t.Helper()
		out, got := in(t, dir, command)
		if got != code {
			t.Errorf("%s: exit code %d, not %d", command, got, code)
		}
		for _, text := range want {
			if !strings.Contains(out, text) {
				t.Errorf("%s does not say %q", command, text)
			}
		}
		if t.Failed() {
			t.Fatalf("%s\n%s", command, out)
		}
		return out
	}
	newer := func(t *testing.T, change func(map[string]any)) string {
		t.Helper()
		edit(t, dir, change)
		path := filepath.Join(t.TempDir(), "newer.yml")
		if err := os.Rename(filepath.Join(dir, "api", contract), path); err != nil {
			t.Fatal(err)
		}
		git(t, "reset", "-q", "--hard")
		return path
	}
	git(t, "init", "-q", "-b", "main")
	git(t, "add", "-A")
	git(t, "commit", "-q", "-m", "base")

	const (
		specDiff = "internal/tools/spec-diff HEAD"
		apiDiff  = "internal/tools/api-diff HEAD"
	)
	t.Run("no change", func(t *testing.T) {
		expect(t, "make check", 0)
		expect(t, specDiff, 0, "# Changes of the OpenAPI document since HEAD", "Nothing changed", "No change breaks callers.")
		expect(t, "make spec-diff BASE=api/"+contract, 0, "No change breaks callers.")
		expect(t, apiDiff, 0, "**patch**")
	})
	t.Run("README", func(t *testing.T) {
		readme, err := os.ReadFile("../README.md")
		if err != nil {
			t.Fatal(err)
		}
		shown := func(command, from string) {
			t.Helper()
			words := strings.Fields(command)
			cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "TEST=true")
			text, _ := cmd.Output() // a change that breaks is an error, too
			_, out, ok := strings.Cut(string(text), from)
			if !ok {
				t.Fatalf("%s prints no %q:\n%s", command, from, text)
			}
			for line := range strings.Lines(out) {
				if text := strings.TrimSpace(line); text != "" && !strings.Contains(string(readme), text) {
					t.Errorf("README.md does not show %q of\n%s", text, out)
				}
			}
		}
		edit(t, dir, addField)
		expect(t, "go generate ./...", 0)
		shown("make --silent api-diff BASE=main", "")
		git(t, "reset", "-q", "--hard")
		edit(t, dir, renameField)
		shown("make --silent spec-diff BASE=main", "")
		git(t, "reset", "-q", "--hard")
		// From there on; the lines before are those of another file.
		shown("make --silent spec-update FROM="+newer(t, addField), "\n# Changes")
		git(t, "reset", "-q", "--hard")
	})
	t.Run("nothing to compare with", func(t *testing.T) {
		expect(t, "internal/tools/spec-diff", 2, "make spec-diff BASE=")
		expect(t, "internal/tools/spec-diff nosuch", 2, "nosuch is neither a file nor a git revision")
		expect(t, "internal/tools/spec-diff Makefile", 2, "could not compare")
		expect(t, "internal/tools/api-diff nosuch", 2, "nosuch is no git revision")
		expect(t, "internal/tools/spec-update nosuch", 2, "nosuch")
		expect(t, "make spec-diff BASE=nosuch", 2, "Error 2")
	})
	t.Run("a change that breaks nobody", func(t *testing.T) {
		edit(t, dir, addField)
		out := expect(t, "make check", 2, "gen/oauth.gen.go", "make generate")
		if !strings.Contains(out, "Total") {
			t.Errorf("make check does not show the difference:\n%s", out)
		}
		expect(t, specDiff, 0, "GET /oauth2/v2.1/tokens/kid", "added the optional property `total`", "No change breaks callers.")
		expect(t, "make api-diff BASE=HEAD", 0, "Total: added", "**minor**")
		git(t, "add", "-A")
		expect(t, "make check", 0)
		git(t, "reset", "-q", "--hard")
	})
	t.Run("a change that breaks callers", func(t *testing.T) {
		edit(t, dir, renameField)
		out := expect(t, specDiff, 1, "**breaks callers:** removed the required property `kids`", "make api-diff BASE=HEAD")
		expect(t, "make spec-diff BASE=HEAD", 2, "Error 1")
		expect(t, "make generate", 0)
		expect(t, apiDiff, 2, "Kids: removed", "KeyIds: added", "client.go:", "**major**", "make generate, or follow")

		allow := func(text string) {
			if err := os.WriteFile(filepath.Join(dir, "api", "breaking.txt"), []byte("# a comment\n\n"+text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		lines := regexp.MustCompile(`(?m)^ +([A-Z]+ /\S+ .*) # why$`).FindStringSubmatch(out)
		if lines == nil {
			t.Fatalf("no line to copy:\n%s", out)
		}
		allow(lines[1] + " # nobody uses it yet\n")
		expect(t, specDiff, 0, "**breaks callers:**", "No change breaks callers, but for what api/breaking.txt allows.")
		allow(lines[1] + "\n")
		expect(t, specDiff, 2, "has no reason")
		allow("# " + lines[1] + " # a comment allows nothing\n")
		expect(t, specDiff, 1)
		git(t, "reset", "-q", "--hard")
	})
	t.Run("pull request", func(t *testing.T) {
		// A remote to push to, and a gh that writes down what it is asked.
		remote, bin := filepath.Join(t.TempDir(), "remote.git"), t.TempDir()
		git(t, "init", "-q", "--bare", remote)
		git(t, "remote", "add", "origin", remote)
		gh := "#!/bin/sh\necho \"$@\" >>" + filepath.Join(bin, "asked") + "\n"
		if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(gh), 0o755); err != nil {
			t.Fatal(err)
		}
		asked := func() string {
			text, err := os.ReadFile(filepath.Join(bin, "asked"))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			return string(text)
		}
		command := "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH") +
			" GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.com GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.com make spec-pull-request FROM="
		expect(t, command+newer(t, func(object map[string]any) { delete(object, "description") }), 0, "there is no pull request")
		expect(t, command+"nosuch", 2, "nosuch")
		if got := asked(); got != "" {
			t.Errorf("gh was asked %q", got)
		}
		expect(t, command+newer(t, addOperation), 0, "explainChannelToken is new")
		if got := asked(); !strings.Contains(got, "pr create --head openapi-update") {
			t.Errorf("gh was asked %q", got)
		}
		pushed, err := exec.CommandContext(t.Context(), "git", "-C", remote, "show", "--stat", "openapi-update").Output()
		if err != nil || !strings.Contains(string(pushed), "gen/oauth.gen.go") || !strings.Contains(string(pushed), "api/"+contract) {
			t.Errorf("pushed:\n%s\n%v", pushed, err)
		}
		git(t, "switch", "-q", "-")
	})
	t.Run("release notes", func(t *testing.T) {
		changelog := "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Added\n\n- Something.\n\n## [1.2.2] - 2026-11-30\n\n- Old.\n\n[1.2.3]: x\n"
		if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte(changelog), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := expect(t, "make --silent release-notes VERSION=v1.2.3", 0, "- Something."); strings.Contains(out, "Old") || strings.Contains(out, "[1.2.3]") {
			t.Errorf("notes:\n%s", out)
		}
		expect(t, "internal/tools/release-notes 1.2.4", 1, "no section")
		expect(t, "internal/tools/release-notes Unreleased", 1, "or it is empty")
		if err := os.WriteFile(filepath.Join(dir, "api", "breaking.txt"), []byte("GET /x # why\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		expect(t, "internal/tools/release-notes 1.2.3", 1, "empty it")
		git(t, "reset", "-q", "--hard")
	})
	t.Run("update", func(t *testing.T) {
		const update = "internal/tools/spec-update "
		expect(t, update+newer(t, addOperation), 0, "endpoint added", "explainChannelToken is new", "CHANGELOG.md")
		if out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "diff", "--name-only").Output(); err != nil || !strings.Contains(string(out), "gen/oauth.gen.go") {
			t.Errorf("it changed %s, %v", out, err)
		}
		git(t, "reset", "-q", "--hard")
		expect(t, update+newer(t, renameField), 1, "kids", "a test fails", "git checkout")
		git(t, "reset", "-q", "--hard")
		expect(t, update+newer(t, func(object map[string]any) {
			if object["/oauth2/v3/token"] != nil {
				object["/oauth2/v4/token"] = object["/oauth2/v3/token"]
				delete(object, "/oauth2/v3/token")
			}
		}), 1, "$.paths['/oauth2/v3/token']", "mend api/overlay.yml")
	})
}
