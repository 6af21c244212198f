package targets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPIDiff(t *testing.T) {
	takesLong(t) // it is for releases
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
		says(t, c.contract(t, "api-diff", "HEAD"), 0, "# Go API changes since HEAD\n\nNothing that Go programs can see", "**patch**")
	})
	t.Run("stale code", func(t *testing.T) {
		c.edit(t, addField)
		a := c.contract(t, "api-diff", "HEAD")
		says(t, a, 2, "make generate first")
		if strings.Contains(a.stdout, "version") {
			t.Error("it names a version", a)
		}
		c.reset(t)
	})
	t.Run("a renamed field", func(t *testing.T) {
		const use = "var kids = gen.ChannelAccessTokenKeyIDsResponse{}.Kids\n"
		for name, pkg := range map[string]string{"gen/kids_test.go": "gen_test", "lineoauthtest/kids.go": "lineoauthtest", "examples/echobot/kids.go": "main"} {
			c.write(t, name, "package "+pkg+"\n\nimport \"github.com/lineoauth/lineoauth/gen\"\n\n"+use)
		}
		says(t, apiDiff(t, renameField), 2,
			"## On the wire", "GET /oauth2/v2.1/tokens/kid removed the required property `kids`",
			"Incompatible changes:\n- ChannelAccessTokenKeyIDsResponse.Kids: removed", "KeyIDs: added",
			"## Places in this repository that no longer compile\n\n- client.go:", "\n- examples/echobot/kids.go:5:", "\n- gen/kids_test.go:5:", "\n- lineoauthtest/kids.go:5:",
			"**major**; while the major is 0, **minor**", "fix the places above")
		c.reset(t)
	})
	t.Run("only the wire", func(t *testing.T) {
		// The overlay alone changes what the code sends, too.
		c.replace(t, "api/overlay.yml", "client_secret: {type: string}", "secret: {type: string, x-go-name: ClientSecret}")
		says(t, apiDiff(t, renameOnWire, renameParameter, servers("https://two.example")), 0,
			"## On the wire", "GET /oauth2/v2.1/tokens/kid removed the required property `kids`", "`client_assertion`",
			"is now `https://two.example` in place of `https://api.line.me`",
			"- ChannelAccessTokenKeyIDsResponse.Kids: the tag json is \"key_ids\", which was \"kids\"",
			"IssueStatelessChannelTokenFormdataBody.ClientSecret: the tag form is \"secret\"", "**major**")
		c.reset(t)
	})
	t.Run("packages", func(t *testing.T) {
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
