package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"

	"github.com/lineoauth/lineoauth/internal/testproc"
)

// others are the modules that clones do without, unless all is set: api-diff would
// compile them, with all that they import.
var others = []string{"bench", "internal/interop", "internal/man", "store/redisstore/internal/fleet"}

// A clone is a copy of the repository elsewhere, with one commit.
type clone struct {
	dir string
	env []string
}

func newClone(t *testing.T) clone {
	t.Helper()
	c := clone{dir: checkout(t)}
	for _, module := range others {
		if *all {
			break
		}
		if err := os.RemoveAll(filepath.Join(c.dir, module)); err != nil {
			t.Fatal(err)
		}
	}
	c.git(t, "init", "-q", "-b", "main")
	c.git(t, "add", "-A")
	c.git(t, "commit", "-q", "-m", "base")
	return c
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
		// Other clones, wherever they are, have then compiled the same.
		"GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath",
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
	return c.run(t, append([]string{contractTool(t)}, args...)...)
}

var builtTool struct {
	sync.Once
	path string
}

// contractTool returns the program that "go tool contract" runs. Go looks for
// changes before each run, and takes longer for it than most runs.
func contractTool(t *testing.T) string {
	t.Helper()
	builtTool.Do(func() {
		cmd := testproc.Command(t, "go", "-C", "../internal/tools", "tool", "-n", "contract")
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		builtTool.path = strings.TrimSpace(string(out))
	})
	return builtTool.path
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
	doc, err := util.LoadSwagger(contract)
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

const document = "api/" + contract

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

func renameSchema(object map[string]any) {
	const old, name = "VerifyChannelAccessTokenResponse", "Verification"
	if object["$ref"] == "#/components/schemas/"+old {
		object["$ref"] = "#/components/schemas/" + name
	}
	if schema, ok := object[old]; ok {
		object[name] = schema
		delete(object, old)
	}
}

func renamePath(object map[string]any) {
	if object["/oauth2/v3/token"] != nil {
		object["/oauth2/v4/token"] = object["/oauth2/v3/token"]
		delete(object, "/oauth2/v3/token")
	}
}

func addUnusedSchema(object map[string]any) {
	if object["VerifyChannelAccessTokenResponse"] != nil {
		object["Unused"] = map[string]any{"type": "object", "properties": map[string]any{"too": map[string]any{"$ref": "#/components/schemas/UnusedToo"}}}
		object["UnusedToo"] = map[string]any{"type": "string"}
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

// moveVerify serves one operation elsewhere.
func moveVerify(object map[string]any) {
	if object["operationId"] == "verifyChannelToken" {
		object["servers"] = []any{map[string]any{"url": "https://other.example"}}
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
	// Generated code that is not committed yet is right, too.
	says(t, c.run(t, "make", "generate"), 0)
	says(t, c.run(t, "make", "--silent", "check"), 0)
	c.git(t, "add", "-A")
	says(t, c.run(t, "make", "--silent", "check"), 0)
	c.reset(t)

	if err := os.Remove(filepath.Join(c.dir, emulator)); err != nil {
		t.Fatal(err)
	}
	c.write(t, "gen/old.gen.go", "package gen\n")
	a := c.run(t, "internal/tools/check")
	says(t, a, 1, "generates:\n"+emulator+"\nMend it: make generate", "Nothing generates these any more:\ngen/old.gen.go\nMend it: rm -- gen/old.gen.go")
	c.reset(t)

	c.edit(t, renamePath)
	says(t, c.run(t, "internal/tools/check"), 2, "$.paths['/oauth2/v3/token']", "does not generate")
}

func TestSpecDiff(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const (
		safe = "\nNo change breaks callers.\n"
		bad  = "- **breaks callers:** "
		line = "https://api.line.me"
	)
	for name, test := range map[string]struct {
		change func(map[string]any)
		code   int
		want   []string
	}{
		"none":               {nil, 0, []string{"# Changes of the OpenAPI document since HEAD\n\nNothing changed that a caller could notice.\n" + safe}},
		"cosmetic":           {cosmetic, 0, []string{"Nothing changed", safe}},
		"OpenAPI 3.1":        {func(o map[string]any) { replaceValue(o, "openapi", "3.1.0") }, 0, []string{"Nothing changed", safe}},
		"version":            {func(o map[string]any) { replaceValue(o, "version", "0.1.0") }, 0, []string{"Nothing changed", safe}},
		"field added":        {addField, 0, []string{"## GET /oauth2/v2.1/tokens/kid\n\n- added the optional property `" + newField + "`", safe}},
		"operation added":    {addOperation, 0, []string{"## GET /v2/oauth/explain\n\n- endpoint added", safe}},
		"unused schema":      {addUnusedSchema, 0, []string{safe}},
		"field renamed":      {renameField, 1, []string{bad + "removed the required property `kids`", "`make api-diff BASE=HEAD`", "`git diff HEAD -- " + document + "`"}},
		"optional removed":   {removeOptional, 1, []string{"## GET /oauth2/v2.1/verify\n\n" + bad + "removed the optional property `scope`", "## POST /v2/oauth/verify"}},
		"parameter renamed":  {renameParameter, 1, []string{bad}},
		"operation renamed":  {renameOperation, 1, []string{bad}},
		"schema renamed":     {renameSchema, 1, []string{"## components\n\n" + bad + "`schemas/VerifyChannelAccessTokenResponse` is gone or renamed"}},
		"server added":       {servers(line, "https://two.example"), 0, []string{"## servers\n\n- added the server `https://two.example`\n", safe}},
		"server changed":     {servers("https://two.example"), 1, []string{bad + "removed the server `https://api.line.me`", bad + "the first server, which callers use by default, is now `https://two.example`"}},
		"server put first":   {servers("https://two.example", line), 1, []string{bad + "the first server, which callers use by default, is now `https://two.example`"}},
		"server of one call": {moveVerify, 1, []string{"## POST /v2/oauth/verify\n\n" + bad + "removed the server `https://api.line.me`"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != nil {
				c.edit(t, test.change)
			}
			says(t, c.contract(t, "spec-diff", "HEAD"), test.code, test.want...)
			c.reset(t)
		})
	}
	t.Run("the same in OpenAPI 3.1", func(t *testing.T) {
		nullable := func(object map[string]any) {
			if properties := properties(object, "scope"); properties != nil {
				properties["scope"] = map[string]any{"type": "string", "nullable": true}
			}
		}
		c.write(t, "base.yml", newer(t, nullable, addUnusedSchema))
		c.edit(t, func(object map[string]any) {
			replaceValue(object, "openapi", "3.1.0")
			if properties := properties(object, "scope"); properties != nil {
				properties["scope"] = map[string]any{"type": []string{"string", "null"}}
			}
		})
		// The schemas that are gone gave no name to what operations use.
		says(t, c.contract(t, "spec-diff", "base.yml"), 0, "Nothing changed", safe)
		c.reset(t)
	})
	t.Run("a later server removed", func(t *testing.T) {
		base := filepath.Join(t.TempDir(), "it's base.yml")
		if err := os.WriteFile(base, []byte(newer(t, servers(line, "https://two.example"))), 0o644); err != nil {
			t.Fatal(err)
		}
		a := c.contract(t, "spec-diff", base)
		says(t, a, 1, bad+"removed the server `https://two.example`",
			"git diff --no-index -- '"+strings.ReplaceAll(base, "'", `'\''`)+"' "+document,
			"make api-diff BASE=<the git revision that has it>")
		if strings.Contains(a.stdout, "the first server") {
			t.Error(a)
		}
	})
	t.Run("targets", func(t *testing.T) {
		says(t, c.run(t, "make", "spec-diff", "BASE="+document), 0, safe)
		c.edit(t, renameField)
		says(t, c.run(t, "make", "spec-diff", "BASE=HEAD"), 2, "Error 1")
		says(t, c.run(t, "make", "spec-diff", "BASE=nosuch"), 2, "Error 2")
		says(t, c.run(t, "go", "-C", "internal/tools", "tool", "contract", "spec-diff", "HEAD"), 1)
		says(t, c.run(t, "go", "-C", "internal/tools", "tool", "contract", "spec-diff", "nosuch"), 2)
		c.reset(t)
	})
	t.Run("nothing to compare", func(t *testing.T) {
		says(t, c.contract(t, "spec-diff"), 2, "make spec-diff BASE=")
		says(t, c.contract(t, "spec-diff", ""), 2, "make spec-diff BASE=")
		says(t, c.contract(t, "nosuch", "x"), 2, "spec-diff, spec-update")
		says(t, c.contract(t, "spec-diff", "nosuch"), 2, "nosuch is neither a file nor a git revision")
		says(t, c.contract(t, "spec-diff", "Makefile"), 2, "Makefile is no valid OpenAPI document")
		says(t, c.contract(t, "spec-diff", ".golangci.yml"), 2, ".golangci.yml is no valid OpenAPI document")
		c.edit(t, func(object map[string]any) { replaceValue(object, "type", "strong") })
		says(t, c.contract(t, "spec-diff", "HEAD"), 2, document+" is no valid OpenAPI document")
		c.git(t, "rm", "-q", "--cached", document)
		c.git(t, "commit", "-q", "-m", "without")
		says(t, c.contract(t, "spec-diff", "HEAD"), 2, "HEAD has no "+document)
		c.git(t, "reset", "-q", "--hard", "HEAD~1")
	})
	t.Run("allowed", func(t *testing.T) {
		c.edit(t, renameField)
		a := c.contract(t, "spec-diff", "HEAD")
		copied := regexp.MustCompile(`(?m)^ +(\S.*) # WHY$`).FindStringSubmatch(a.stdout)
		if copied == nil {
			t.Fatal("no line to copy", a)
		}
		change := copied[1]
		const reason = " # nobody uses it yet\n"
		for _, test := range []struct {
			line string
			code int
			want string
		}{
			{change + reason, 0, "- **breaks callers, as api/breaking.txt allows:** removed the required property `kids`"},
			{change + reason, 0, "No change breaks callers, but for what api/breaking.txt allows."},
			{"# a comment\n\n" + change + reason, 0, "but for what"},
			{change + "\n", 2, "api/breaking.txt:1 gives no reason"},
			{change + " # WHY\n", 2, "api/breaking.txt:1 gives no reason"},
			{change + " # 1 2 3\n", 2, "gives no reason"},
			{"# " + change + reason, 1, "Allow each change"},                                         // a comment
			{strings.TrimSuffix(change, " status") + reason, 1, "api/breaking.txt:1 allows nothing"}, // a part
			{"# one\n" + change + " too" + reason, 1, "api/breaking.txt:2 allows nothing"},           // more
			{"GET /nowhere endpoint removed # for " + change + "\n", 1, "allows nothing"},            // in the reason
		} {
			c.write(t, "api/breaking.txt", test.line)
			says(t, c.contract(t, "spec-diff", "HEAD"), test.code, test.want)
		}
		// What is allowed is one change, not all.
		c.edit(t, renameField, removeOptional)
		c.write(t, "api/breaking.txt", change+reason)
		says(t, c.contract(t, "spec-diff", "HEAD"), 1, "as api/breaking.txt allows:** removed the required property `kids`", bad+"removed the optional property `scope`")
		c.reset(t)
		c.write(t, "api/breaking.txt", change+reason)
		a = c.contract(t, "spec-diff", "HEAD")
		says(t, a, 0, "api/breaking.txt:1 allows nothing", safe)
		if strings.Contains(a.stdout, "allows nothing") {
			t.Error("what is stale goes to standard error", a)
		}
		c.reset(t)
	})
}

func replaceValue(object map[string]any, name, value string) {
	if _, ok := object[name].(string); ok {
		object[name] = value
	}
}

func renameOperation(object map[string]any) {
	if object["operationId"] == "verifyChannelToken" {
		object["operationId"] = "checkChannelToken"
	}
}

func TestAPIDiff(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	apiDiff := func(t *testing.T, change ...func(map[string]any)) answer {
		t.Helper()
		c.edit(t, change...)
		says(t, c.run(t, "make", "generate"), 0)
		return c.contract(t, "api-diff", "HEAD")
	}
	t.Run("no base", func(t *testing.T) {
		says(t, c.contract(t, "api-diff", "nosuch"), 2, "nosuch is no git revision")
		says(t, c.contract(t, "api-diff"), 2, "make api-diff BASE=")
	})
	t.Run("no change", func(t *testing.T) {
		takesLong(t)
		says(t, c.contract(t, "api-diff", "HEAD"), 0, "# Go API changes since HEAD\n\nNothing that Go programs can see", "**patch**")
	})
	t.Run("stale code", func(t *testing.T) {
		c.edit(t, addField)
		a := c.contract(t, "api-diff", "HEAD")
		says(t, a, 2, "make generate first")
		if strings.Contains(a.stdout, "version") {
			t.Error("it tells a version", a)
		}
		c.reset(t)
	})
	t.Run("a renamed field", func(t *testing.T) {
		const use = "var kids = gen.ChannelAccessTokenKeyIdsResponse{}.Kids\n"
		for name, pkg := range map[string]string{"gen/kids_test.go": "gen_test", "lineoauthtest/kids.go": "lineoauthtest", "examples/echobot/kids.go": "main"} {
			c.write(t, name, "package "+pkg+"\n\nimport \"github.com/lineoauth/lineoauth/gen\"\n\n"+use)
		}
		says(t, apiDiff(t, renameField), 2,
			"## On the wire", "GET /oauth2/v2.1/tokens/kid removed the required property `kids`",
			"Incompatible changes:\n- ChannelAccessTokenKeyIdsResponse.Kids: removed", "KeyIds: added",
			"## Places in this repository that no longer compile\n\n- client.go:", "\n- examples/echobot/kids.go:5:", "\n- gen/kids_test.go:5:", "\n- lineoauthtest/kids.go:5:",
			"**major**; while the major is 0, **minor**", "mend the places above")
		c.reset(t)
	})
	t.Run("only the wire", func(t *testing.T) {
		takesLong(t)
		// The overlay alone changes what the code sends, too.
		c.replace(t, "api/overlay.yml", "client_secret: {type: string}", "secret: {type: string, x-go-name: ClientSecret}")
		says(t, apiDiff(t, renameOnWire, renameParameter, servers("https://two.example")), 0,
			"## On the wire", "GET /oauth2/v2.1/tokens/kid removed the required property `kids`", "`client_assertion`",
			"servers removed the server `https://api.line.me`",
			"- ChannelAccessTokenKeyIdsResponse.Kids: tag changed from `json:\"kids\"` to `json:\"key_ids\"`",
			"IssueStatelessChannelTokenFormdataBody.ClientSecret: tag changed", "**major**")
		c.reset(t)
	})
	t.Run("packages", func(t *testing.T) {
		takesLong(t)
		add := func(name, text string) {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(c.dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			c.write(t, name, text)
		}
		add("nested/go.mod", "module github.com/lineoauth/lineoauth/nested\n\ngo 1.26.0\n")
		add("nested/old/old.go", "package old\n")
		c.git(t, "add", "-A")
		c.git(t, "commit", "-q", "-m", "nested")
		c.git(t, "rm", "-q", "nested/old/old.go")
		add("nested/nested.go", "package nested\n")
		add("nested/internal/hidden/hidden.go", "package hidden\n")
		add("internal/hidden/hidden.go", "package hidden\n")
		add("cmd/other/main.go", "package main\n\nfunc main() {}\n")
		a := c.contract(t, "api-diff", "HEAD")
		says(t, a, 0, "## github.com/lineoauth/lineoauth/nested\n\nCompatible changes:\n- the package is new",
			"## github.com/lineoauth/lineoauth/nested/old\n\nIncompatible changes:\n- the package is gone", "**major**")
		if strings.Contains(a.stdout, "hidden") || strings.Contains(a.stdout, "cmd/") {
			t.Error("nobody imports these", a)
		}
	})
}

func TestSpecUpdate(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	quick := c
	quick.env = []string{"TEST=go build ./gen"}
	file := func(t *testing.T, changes ...func(map[string]any)) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "newer.yml")
		if err := os.WriteFile(path, []byte(newer(t, changes...)), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("from a URL", func(t *testing.T) {
		text := newer(t, addOperation)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/newer.yml" {
				http.NotFound(w, r)
				return
			}
			_, _ = io.WriteString(w, text)
		}))
		defer srv.Close()
		says(t, quick.contract(t, "spec-update", srv.URL+"/nosuch"), 2, "404")
		says(t, quick.contract(t, "spec-update", srv.URL+"/newer.yml"), 0, "+  ", "endpoint added", "- explainChannelToken is new", "CHANGELOG.md")
		if got := c.read(t, document); got != text {
			t.Error("the document is another")
		}
		if !strings.Contains(c.read(t, "gen/oauth.gen.go"), "ExplainChannelToken") {
			t.Error("it did not generate")
		}
		c.reset(t)
	})
	t.Run("no document", func(t *testing.T) {
		says(t, quick.contract(t, "spec-update"), 2, "make spec-update FROM=")
		says(t, quick.contract(t, "spec-update", "nosuch"), 2, "nosuch")
		says(t, quick.contract(t, "spec-update", ".golangci.yml"), 2, ".golangci.yml is no valid OpenAPI document")
		says(t, quick.contract(t, "spec-update", document), 0, "the same already")
		if got := c.git(t, "status", "--porcelain"); got != "" {
			t.Error(got)
		}
	})
	t.Run("uncommitted work", func(t *testing.T) {
		for _, name := range []string{document, "gen/oauth.gen.go", "lineoauthtest/internal/api/new.gen.go"} {
			c.write(t, name, "package mine\n")
			if name == document {
				c.write(t, name, newer(t, addField))
			}
			mine := c.read(t, name)
			says(t, quick.contract(t, "spec-update", file(t, addOperation)), 2, name, "not committed", "git stash")
			if c.read(t, name) != mine || strings.Contains(c.read(t, document), "explain") {
				t.Error("it wrote all the same")
			}
			c.reset(t)
		}
	})
	t.Run("a test fails", func(t *testing.T) {
		// The default test: vet finds the places that no longer compile.
		a := c.contract(t, "spec-update", file(t, renameField))
		says(t, a, 1, "- **breaks callers:** removed", "client.go:", "make test fails", "git checkout -- "+document+" gen/oauth.gen.go")
		undo := a.stderr[strings.LastIndex(a.stderr, "git checkout"):]
		c.replace(t, "README.md", "LINE", "LINE's")
		says(t, c.run(t, "sh", "-c", undo), 0)
		if got := c.git(t, "status", "--porcelain"); got != " M README.md\n" {
			t.Errorf("after %q:\n%s", undo, got)
		}
		c.reset(t)
	})
	t.Run("breaks", func(t *testing.T) {
		says(t, quick.contract(t, "spec-update", file(t, removeOptional)), 0, "- The changes above that break callers: allow each in api/breaking.txt")
		c.reset(t)
	})
	t.Run("does not generate", func(t *testing.T) {
		says(t, quick.contract(t, "spec-update", file(t, renamePath)), 1, "$.paths['/oauth2/v3/token']", "mend api/overlay.yml", "git checkout -- "+document)
		c.reset(t)
	})
}

// What the README shows is what the commands print. With -all, the update runs
// make test, as it does unless it is told otherwise, and Go APIs are compared.
func TestREADME(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	if *all {
		// The outer make test runs all tests, and the variants those of the document.
		c.env = []string{"GOFLAGS=" + os.Getenv("GOFLAGS") + " -trimpath -skip=^(Test|Example)"}
	} else {
		c.env = []string{"TEST=go vet ./gen"}
	}
	readme := c.read(t, "README.md")
	left := strings.Count(readme, "```console\n$ make ")
	defer func() {
		if left != 0 && *all && !t.Failed() {
			t.Errorf("%d transcripts of make were not compared", left)
		}
	}()
	// edit takes what may differ out of a transcript.
	shown := func(t *testing.T, command string, edit func(text string) string) {
		t.Helper()
		_, block, ok := strings.Cut(readme, "```console\n$ "+command+"\n")
		block, _, _ = strings.Cut(block, "```")
		if !ok {
			t.Fatalf("README.md does not show %s", command)
		}
		left--
		command, _, _ = strings.Cut(command, " #")
		command, _, silent := strings.Cut(command, " 2>")
		a := c.run(t, strings.Fields(command)...)
		// An operation that the document in place adds is told of each time.
		got := regexp.MustCompile(`(?m)^- \w+ is new: .*\n`).ReplaceAllString(a.stdout, "")
		if !silent {
			for line := range strings.Lines(a.stderr) {
				if strings.HasPrefix(line, "make: ***") || strings.HasPrefix(line, "api-diff: ") {
					got += line
				}
			}
		}
		got, block = edit(got), edit(block)
		// Lines of code move; what is told of them does not.
		numbers := regexp.MustCompile(`(\.go|Makefile):[0-9]+(:[0-9]+)?`)
		if numbers.ReplaceAllString(got, "$1:0") != numbers.ReplaceAllString(block, "$1:0") {
			t.Errorf("README.md shows\n%s\nwhere this prints\n%s", block, a)
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
	if *all {
		shown(t, "make --silent api-diff BASE=main", named)
	}
	as := func(text string) string { return text }
	c.reset(t)
	c.edit(t, renameField)
	shown(t, "make --silent spec-diff BASE=main", as)
	if *all {
		says(t, c.run(t, "make", "generate"), 0)
		shown(t, "make --silent api-diff BASE=main # kids renamed", as)
	}
}

// A revision, a file name or a version may be anything, but is never run.
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

func TestProposal(t *testing.T) {
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
	c.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "TEST=go vet ."}
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
	if got := c.git(t, "-C", remote, "diff", "--name-only", "main", "openapi-update"); got != document+"\ngen/oauth.gen.go\nlineoauthtest/internal/api/api.gen.go\n" {
		t.Errorf("the pull request changes\n%s", got)
	}

	// Somebody goes on with it.
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
	if got := c.git(t, "worktree", "list"); strings.Count(got, "\n") != 1 {
		t.Errorf("it left worktrees:\n%s", got)
	}

	// Tests run before the patch is written; so it may hold anything.
	for _, name := range []string{".github/workflows/ci.yml", "client.go", "a\tgen/oauth.gen.go"} {
		c.write(t, "proposal/change.patch", "--- /dev/null\n+++ b/"+name+"\n@@ -0,0 +1 @@\n+x\n")
		says(t, c.run(t, pullRequest), 2, "but may change")
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.write(t, "CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Added\n\n- Something.\n\n"+
		"## [1.2.2] - 2026-11-30\n\n- Old.\n\n## [1.2.1] - 2026-11-29\n\n[1.2.3]: x\n")
	for file, text := range map[string]string{
		"README.md":    "# lineoauth\n\nThe module is not\npublished yet.\n",
		"transport.go": "package lineoauth\n\n// Client waits; it has not been\n// published.\n",
		"SECURITY.md":  "    go mod edit -replace github.com/lineoauth/lineoauth=../lineoauth\n",
	} {
		c.write(t, "README.md", "# lineoauth\n")
		c.write(t, file, text)
		says(t, c.run(t, "make", "release-notes", "VERSION=1.2.3"), 2, file+" says")
		c.git(t, "checkout", "-q", "README.md", file)
	}
	c.write(t, "README.md", "# lineoauth\n")
	says(t, c.run(t, "internal/tools/release-prepare", "2.0.0"), 1, "make release-prepare VERSION=")
	says(t, c.run(t, "make", "release-prepare", "VERSION=v1.2.3"), 0)
	says(t, c.run(t, "internal/tools/release-notes", "1.2.2"), 1, "make release-prepare VERSION=1.2.2", "store/redisstore/go.mod:")
	a := c.run(t, "make", "--silent", "release-notes", "VERSION=v1.2.3")
	says(t, a, 0, "- Something.")
	if a.stdout != "\n### Added\n\n- Something.\n" {
		t.Error(a)
	}
	says(t, c.run(t, "make", "release-notes", "VERSION=1.2.3 or so"), 2, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes", "1.2.4"), 1, "no section")
	says(t, c.run(t, "internal/tools/release-notes", "1.2"), 1, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes", "Unreleased"), 1, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes"), 1, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes", "1.2.1"), 1, "or it is empty")

	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte("#!/bin/sh\nfor a; do echo \"<$a>\"; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "VERSION=v1.2.3"}
	const last = "dist/lineoauth_windows_arm64.exe"
	const first = "dist/lineoauth_linux_amd64"
	says(t, c.run(t, "go", "build", "-buildvcs=true", "-o", first, "./cmd/lineoauth"), 0)
	for _, system := range []string{"linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64.exe"} {
		c.write(t, "dist/lineoauth_"+system, c.read(t, first)) // the system makes no difference here
	}
	says(t, c.run(t, "make", "release"), 2, last+" is not there, or of another commit; run make release-snapshot")
	says(t, c.run(t, "go", "build", "-buildvcs=false", "-o", last, "./cmd/lineoauth"), 0)
	says(t, c.run(t, "make", "release"), 2, last+" is not there, or of another commit; run make release-snapshot")
	c.write(t, last, c.read(t, first))
	c.write(t, "dist/SHA256SUMS", "")
	a = c.run(t, "make", "--silent", "release")
	says(t, a, 0, "<release>\n<create>\n<v1.2.3>\n<--verify-tag>\n", "- Something.", "<dist/lineoauth_darwin_amd64>\n", "<"+last+">\n<dist/SHA256SUMS>\n")
	c.write(t, "api/breaking.txt", "GET /x # why\n")
	says(t, c.run(t, "make", "release"), 2, "empty it: 1:GET /x")
}

// A job that may write runs nothing that a document or a test could have made.
func TestWorkflowsThatWrite(t *testing.T) {
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	may := map[string]bool{"run: |": true, "make --silent spec-pull-request": true, "run: make --silent release": true,
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
				if action, ok := strings.CutPrefix(line, "uses: "); ok && !regexp.MustCompile(`^actions/(checkout|download-artifact)@`).MatchString(action) {
					t.Errorf("%s: a job that may write uses %s", name, action)
				}
				if command := regexp.MustCompile(`^(run: |make |go |git |gh |\.?/|sh |bash )`); command.MatchString(line) && !may[line] {
					t.Errorf("%s: a job that may write runs %s", name, line)
				}
			}
		}
	}
	if writers != 2 {
		t.Errorf("%d jobs may write", writers)
	}
}
