package targets_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lineoauth/lineoauth/internal/testproc"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"
)

// root is the folder of the repository.
const root = "../../.."

const (
	document = "api/channel-access-token.yml"
	form     = "application/x-www-form-urlencoded"
)

// all is what make test-contract sets.
var all = flag.Bool("all", false, "run all that make test-contract does")

// takesLong skips a test that is not among those of make test.
func takesLong(t *testing.T) {
	t.Helper()
	if !*all {
		t.Skip("make test-contract runs it")
	}
}

// nested is set for the commands that these tests run, so that a make test among
// them does not run these tests once more.
const nested = "LINEOAUTH_NESTED_TEST"

// skipCopies skips a test that copies the repository where that would test nothing.
func skipCopies(t *testing.T) {
	t.Helper()
	if testing.Short() || os.Getenv(nested) != "" {
		t.Skip("a copy of the repository is not copied again")
	}
}

// checkout copies what git knows of this repository into a new folder.
func checkout(t *testing.T) string {
	t.Helper()
	skipCopies(t)
	dir := t.TempDir()
	copyTree(t, dir)
	return dir
}

// copyTree copies what is under paths, by default all.
func copyTree(t *testing.T, dir string, paths ...string) {
	t.Helper()
	args := append([]string{"-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, paths...)
	files, err := testproc.Command(t, "git", args...).Output()
	if err != nil {
		t.Fatalf("this test needs a git checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, but not yet from the index
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// needed is what the tests of make test need of the repository. Those of make
// test-contract have all of it.
var needed = []string{":(glob)*", "api", "gen", "internal/tools", "lineoauthtest/internal"}

// A clone is a copy of the repository elsewhere, with one commit.
type clone struct {
	dir string
	env []string
}

// first is the clone that others are cloned from.
var first struct {
	sync.Once
	clone
}

func newClone(t *testing.T) clone {
	t.Helper()
	skipCopies(t)
	first.Do(func() {
		dir, err := os.MkdirTemp("", "clone") //nolint:usetesting // for all tests; TestMain removes it
		if err != nil {
			t.Fatal(err)
		}
		first.clone = clone{dir: dir}
		if *all {
			copyTree(t, dir)
		} else {
			copyTree(t, dir, needed...)
		}
		first.git(t, "init", "-q", "-b", "main")
		first.git(t, "add", "-A")
		first.git(t, "-c", "core.looseCompression=0", "commit", "-q", "-m", "base")
	})
	c := clone{dir: filepath.Join(t.TempDir(), "clone")}
	first.git(t, "clone", "-q", "--local", "--origin", "first", first.dir, c.dir)
	c.git(t, "remote", "remove", "first")
	return c
}

func TestMain(m *testing.M) {
	code := m.Run()
	if first.dir != "" {
		_ = os.RemoveAll(first.dir) // a temporary folder
	}
	os.Exit(code)
}

// An answer is what a command prints, and its exit code.
type answer struct {
	command        string
	stdout, stderr string
	code           int
}

func (a answer) String() string {
	return fmt.Sprintf("%s: exit code %d\n%s%s", a.command, a.code, a.stdout, a.stderr)
}

// run runs a command in the clone, in another language and time zone.
func (c clone) run(t *testing.T, args ...string) answer {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := testproc.Command(t, args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=", "BASE=", "FROM=", "VERSION=", "TEST=", "RACE=",
		nested+"=1", "LC_ALL=tr_TR.UTF-8", "TZ=Asia/Tokyo",
		// Other clones, wherever they are, have then compiled the same, but not linked.
		"GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath -ldflags=-w",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	cmd.Env = append(cmd.Env, c.env...)
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return answer{strings.Join(args, " "), stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// contract runs the command behind a target, for its exit code.
func (c clone) contract(t *testing.T, args ...string) answer {
	t.Helper()
	c.dir = filepath.Join(c.dir, "internal", "tools")
	return c.run(t, append([]string{contractTool.path(t)}, args...)...)
}

// A tool is a program that "go tool" runs. Go looks for changes before each run, and
// takes longer for it than most runs.
type tool struct {
	module, name string

	mu    sync.Mutex
	built string
}

var contractTool, codegen = tool{module: "..", name: "contract"}, tool{module: root, name: "oapi-codegen"}

func (p *tool) path(t *testing.T) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.built == "" {
		cmd := testproc.Command(t, "go", "-C", p.module, "tool", "-n", p.name)
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		p.built = strings.TrimSpace(string(out))
	}
	return p.built
}

// withTools has make run those programs, too, in place of go -C internal/tools tool
// contract, which links it in each clone, and of what go generate runs.
func (c clone) withTools(t *testing.T) clone {
	t.Helper()
	fake := filepath.Join(t.TempDir(), "go")
	text := `#!/bin/sh
case "$*" in
"-C internal/tools tool contract "*)
	cd "$2" && shift 4 && exec '` + contractTool.path(t) + `' "$@" ;;
"generate ./...")
	sed -n 's|^//go:generate go tool oapi-codegen ||p' generate.go | while read -r args; do
		'` + codegen.path(t) + `' $args || exit 1
	done
	exit ;;
esac
exec go "$@"
`
	if err := os.WriteFile(fake, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	c.env = append(slices.Clip(c.env), "GO="+fake)
	return c
}

func (c clone) git(t *testing.T, args ...string) string {
	t.Helper()
	a := c.run(t, append([]string{"git"}, args...)...)
	if a.code != 0 {
		t.Fatal(a)
	}
	return a.stdout
}

func (c clone) reset(t *testing.T) {
	t.Helper()
	c.git(t, "reset", "-q", "--hard", "main")
	c.git(t, "clean", "-q", "-d", "-f", "-x")
}

func (c clone) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (c clone) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c clone) replace(t *testing.T, name, old, replacement string) {
	t.Helper()
	if name == document {
		t.Fatal("LINE's own document may be in its place, with other words; edit it")
	}
	text := c.read(t, name)
	if !strings.Contains(text, old) {
		t.Fatalf("%s has no %q", name, old)
	}
	c.write(t, name, strings.Replace(text, old, replacement, 1))
}

// edit changes the document of the clone. As a JSON value it has the same form
// wherever its schemas stand.
func (c clone) edit(t *testing.T, changes ...func(object map[string]any)) {
	t.Helper()
	c.write(t, document, newer(t, changes...))
}

// newer returns our document with changes to its objects.
func newer(t *testing.T, changes ...func(object map[string]any)) string {
	t.Helper()
	doc, err := util.LoadSwagger(filepath.Join(root, document))
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
			for _, change := range changes {
				change(node)
			}
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
	return string(text)
}

func properties(object map[string]any, has string) map[string]any {
	if properties, ok := object["properties"].(map[string]any); ok && properties[has] != nil {
		return properties
	}
	return nil
}

// newField is what no document has already, and newName what it is in Go.
const newField, newName = "added_by_a_test", "AddedByATest"

// addField gives the answer that has kids another field.
func addField(object map[string]any) {
	if properties := properties(object, "kids"); properties != nil {
		properties[newField] = map[string]any{"type": "integer"}
	}
}

// renameField calls the field kids otherwise.
func renameField(object map[string]any) {
	if properties := properties(object, "kids"); properties != nil {
		properties["key_ids"] = properties["kids"]
		delete(properties, "kids")
		object["required"] = []string{"key_ids"}
	}
}

// renameOnWire calls the field kids otherwise, but not in Go.
func renameOnWire(object map[string]any) {
	if properties := properties(object, "kids"); properties != nil {
		properties["kids"].(map[string]any)["x-go-name"] = "Kids"
	}
	renameField(object)
}

// renameParameter calls a query parameter otherwise, but not in Go.
func renameParameter(object map[string]any) {
	if object["name"] == "client_assertion" {
		object["name"], object["x-go-name"] = "assertion", "ClientAssertion"
	}
}

func removeOptional(object map[string]any) {
	if properties := properties(object, "scope"); properties != nil {
		delete(properties, "scope")
	}
}

func addOperation(object map[string]any) {
	if object["/v2/oauth/verify"] != nil {
		object["/v2/oauth/explain"] = map[string]any{"get": map[string]any{
			"operationId": "explainChannelToken", "responses": map[string]any{"200": map[string]any{"description": "ok"}},
		}}
	}
}

func renamePath(object map[string]any) {
	if object["/oauth2/v3/token"] != nil {
		object["/oauth2/v4/token"] = object["/oauth2/v3/token"]
		delete(object, "/oauth2/v3/token")
	}
}

func cosmetic(object map[string]any) {
	if object["content"] == nil && len(object) > 1 { // a response has to have one
		delete(object, "description")
	}
	if object["responses"] != nil {
		object["tags"] = []string{"OAuth"}
	}
}

// servers gives the document these servers.
func servers(urls ...string) func(map[string]any) {
	return func(object map[string]any) {
		if object["openapi"] == nil {
			return
		}
		var list []any
		for _, url := range urls {
			list = append(list, map[string]any{"url": url})
		}
		object["servers"] = list
	}
}

// says fails the test unless a command ended and said so.
func says(t *testing.T, a answer, code int, want ...string) {
	t.Helper()
	if a.code != code {
		t.Errorf("exit code %d, not %d", a.code, code)
	}
	for _, text := range want {
		if !strings.Contains(a.stdout+a.stderr, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if t.Failed() {
		t.Fatal(a)
	}
}

func replaceValue(object map[string]any, name, value string) {
	if _, ok := object[name].(string); ok {
		object[name] = value
	}
}
