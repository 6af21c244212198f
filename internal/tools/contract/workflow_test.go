package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// asTool makes this test binary the tool.
const asTool = "CONTRACT_TEST_AS_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(asTool) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A workflow is what these tests need of a file in .github/workflows.
type workflow struct {
	Jobs map[string]struct {
		If    string            `yaml:"if"`
		Env   map[string]string `yaml:"env"`
		Steps []step            `yaml:"steps"`
	} `yaml:"jobs"`
}

type step struct {
	Uses string            `yaml:"uses"`
	Run  string            `yaml:"run"`
	If   string            `yaml:"if"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
}

// A runner runs the steps of a job that name a command.
type runner struct {
	dir     repository
	env     []string
	summary string // the file
}

func newRunner(t *testing.T, dir repository) runner {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	r := runner{dir: dir, summary: filepath.Join(bin, "summary")}
	// In place of go -C internal/tools tool contract, which would be built first.
	fake := "#!/bin/sh\nif [ \"$1 $4\" = '-C contract' ]; then cd \"$2\" && shift 4 && " + asTool + "=1 exec '" + self + "' \"$@\"; fi\nexec go \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "fake-go"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	r.env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=", "GO="+filepath.Join(bin, "fake-go"), "GITHUB_STEP_SUMMARY="+r.summary,
		"GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath", "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return r
}

// run runs a step as GitHub does, and returns its output and exit code.
func (r runner) run(t *testing.T, s step, env map[string]string) (string, int) {
	t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", s.Run)
	cmd.Dir, cmd.Env = string(r.dir), r.env
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func readWorkflow(t *testing.T, name string) (w workflow) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, filepath.Join("../../../.github/workflows", name)), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// origin has a commit with what spec-diff and spec-comment read of this repository.
func origin(t *testing.T) repository {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil || testing.Short() {
		t.Skip("this runs a workflow's steps, which need bash and some seconds")
	}
	r := repository(t.TempDir())
	files, err := exec.Command("git", "-C", "../../..", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
		"Makefile", "go.mod", "go.sum", "api", "internal/tools").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("../../..", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, but not yet from the index
		}
		path := filepath.Join(string(r), name)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(string(text), "#!") {
			mode = 0o755
		}
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, mode)); err != nil {
			t.Fatal(err)
		}
	}
	r.run(t, "init", "-q", "-b", "main")
	r.run(t, "config", "core.compression", "0")
	// The corpus has a document that nobody changes; LINE's own may be in place.
	r.commitDocument(t, string(edited(t, read(t, "testdata/base.yml"), edit{})))
	return r
}

// edit commits a change of the document on top of a branch.
func (r repository) edit(t *testing.T, from, branch string, e edit) {
	t.Helper()
	r.run(t, "switch", "-q", "-C", branch, from)
	r.commitDocument(t, string(edited(t, read(t, filepath.Join(string(r), document)), e)))
}

// checkout is what actions/checkout makes of refs/pull/1/merge, by the workflow's
// own settings: the merge of a branch into main.
func (r repository) checkout(t *testing.T, w workflow, branch string) repository {
	t.Helper()
	r.run(t, "switch", "-q", "-C", "merge", "main")
	r.run(t, "merge", "-q", "--no-ff", "-m", "merge", branch)
	r.run(t, "update-ref", "refs/pull/1/merge", "HEAD")
	r.run(t, "switch", "-q", "main")
	depth := "1"
	if s := w.Jobs["judge"].Steps[0]; strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["fetch-depth"] != "" {
		depth = s.With["fetch-depth"]
	}
	clone := repository(t.TempDir())
	clone.run(t, "init", "-q")
	clone.run(t, "fetch", "-q", "--no-tags", "--depth", depth, "file://"+string(r), "refs/pull/1/merge:refs/remotes/pull/1/merge")
	clone.run(t, "checkout", "-q", "--detach", "refs/remotes/pull/1/merge")
	return clone
}

var (
	newOptional = edit{Set: map[string]any{"components schemas VerifyChannelAccessTokenResponse properties bot_id": map[string]any{"type": "string"}}}
	gone        = edit{Remove: []string{"paths /v2/oauth/revoke"}}
)

// The steps of a pull request's workflow, in the checkouts that GitHub makes.
func TestChangesWorkflow(t *testing.T) {
	if !*all {
		t.Skip("takes long; make test-contract runs it")
	}
	w := readWorkflow(t, "changes.yml")
	o := origin(t)
	o.edit(t, "main", "fine", newOptional)
	o.edit(t, "main", "breaks", gone)
	// A fork has branches of its own; GitHub fetches them for the merge.
	fork := repository(t.TempDir())
	fork.run(t, "clone", "-q", string(o), ".")
	fork.edit(t, "origin/main", "theirs", gone)
	o.run(t, "fetch", "-q", string(fork), "theirs:theirs")
	// A pull request that renames the document, whose main has the old name.
	o.run(t, "switch", "-q", "-C", "old-name", "main")
	o.run(t, "mv", document, "api/line.yml")
	o.run(t, "commit", "-q", "-m", "old name")
	o.run(t, "switch", "-q", "-C", "renames")
	o.run(t, "mv", "api/line.yml", document)
	o.edit(t, "renames", "renames", newOptional)

	verdict := func(t *testing.T, branch string, code int, want string) repository {
		t.Helper()
		dir := o.checkout(t, w, branch)
		r := newRunner(t, dir)
		ran := 0
		for _, s := range w.Jobs["judge"].Steps {
			if !strings.Contains(s.Run, "spec-diff") {
				continue // make check and api-diff have tests of their own, in api/
			}
			ran++
			if out, got := r.run(t, s, w.Jobs["judge"].Env); got != code {
				t.Errorf("exit code %d, not %d: %s", got, code, out)
			}
		}
		if ran != 1 {
			t.Errorf("%d steps judge", ran)
		}
		if got := string(read(t, r.summary)); !strings.Contains(got, want) || got != string(read(t, filepath.Join(string(dir), "verdict/verdict.md"))) {
			t.Errorf("the summary has no %q:\n%s", want, got)
		}
		return dir
	}
	const safe, broken = "Verdict: breaks neither callers on the wire nor Go programs.", "Verdict: breaks callers on the wire and Go programs."
	verdict(t, "fine", 0, safe)
	dir := verdict(t, "breaks", 2, broken)
	t.Run("comment", func(t *testing.T) { testComment(t, dir) })
	verdict(t, "theirs", 2, "- **breaks callers on the wire and Go programs:** api path removed without deprecation")
	if job := w.Jobs["comment"]; !strings.Contains(job.If, "head.repo.full_name == github.repository") {
		t.Errorf("a fork's token may write nothing, but the comment is made if %s", job.If)
	}

	o.run(t, "switch", "-q", "main")
	o.run(t, "merge", "-q", "--ff-only", "breaks")
	verdict(t, "fine", 0, safe) // main broke it, not this

	o.run(t, "reset", "-q", "--hard", "old-name")
	verdict(t, "renames", 0, "added the optional property `bot_id`")
}

// testComment comments with the verdict in dir, by a gh that writes down what it
// is asked.
func testComment(t *testing.T, dir repository) {
	bin := t.TempDir()
	gh := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%[1]s/asked\ncase \"$1 $2\" in 'pr view') cat %[1]s/labels;; 'api repos'*) [ \"$4\" = --method ] || cat %[1]s/comments;; esac\n", bin)
	for name, text := range map[string]string{"gh": gh, "labels": "breaks Go\nother\n", "comments": ""} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := newRunner(t, dir)
	r.env = append(r.env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	steps := readWorkflow(t, "changes.yml").Jobs["comment"].Steps
	comment := func(t *testing.T, number string, code int) string {
		t.Helper()
		_ = os.Remove(filepath.Join(bin, "asked"))
		out, got := r.run(t, steps[len(steps)-1], map[string]string{"PULL_REQUEST": number})
		if got != code {
			t.Errorf("exit code %d, not %d: %s", got, code, out)
		}
		asked, _ := os.ReadFile(filepath.Join(bin, "asked"))
		return string(asked)
	}
	asked := comment(t, "7", 0)
	for _, want := range []string{"pr edit 7 --add-label breaks the wire", "pr edit 7 --add-label breaks Go", "pr comment 7 --body-file verdict/comment.md"} {
		if !strings.Contains(asked, want) {
			t.Errorf("gh was not asked to %s:\n%s", want, asked)
		}
	}
	dir.write(t, "verdict/verdict.md", "# Changes\n\nNothing changed that a caller could notice.\n")
	if asked := comment(t, "7", 0); strings.Contains(asked, "comment 7") || !strings.Contains(asked, "pr edit 7 --remove-label breaks Go") || strings.Contains(asked, "other") {
		t.Errorf("of an unchanged document: %s", asked)
	}
	if err := os.WriteFile(filepath.Join(bin, "comments"), []byte("42\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if asked := comment(t, "7", 0); !strings.Contains(asked, "--method PATCH repos/{owner}/{repo}/issues/comments/42") {
		t.Errorf("a comment that is there is not renewed: %s", asked)
	}
	comment(t, "7; touch pwned", 2)
	if err := os.Remove(filepath.Join(string(dir), "verdict/verdict.md")); err != nil {
		t.Fatal(err)
	}
	comment(t, "7", 2)
}
