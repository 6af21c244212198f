package targets_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSpecUpdate(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	quick := c.withTools(t)
	built := quick
	built.env = append(slices.Clip(quick.env), "TEST=go build ./gen")
	quick.env = append(slices.Clip(quick.env), "TEST=true")
	file := func(t *testing.T, changes ...func(map[string]any)) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "newer.yml")
		if err := os.WriteFile(path, []byte(newer(t, changes...)), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("from a URL", func(t *testing.T) {
		text := newer(t, addOperation, removeOptional)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/newer.yml" {
				http.NotFound(w, r)
				return
			}
			_, _ = io.WriteString(w, text)
		}))
		defer srv.Close()
		says(t, quick.contract(t, "spec-update", srv.URL+"/nosuch"), 2, "404")
		says(t, built.contract(t, "spec-update", srv.URL+"/newer.yml"), 0, "+  ", "endpoint added", "- explainChannelToken is new", "CHANGELOG.md",
			"- The changes above that break callers: allow each in api/breaking.txt")
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
		says(t, quick.contract(t, "spec-update", ".golangci.yml"), 2, ".golangci.yml is not a valid OpenAPI document")
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
		takesLong(t)
		// The default test: vet finds the places that no longer compile.
		a := c.contract(t, "spec-update", file(t, renameField))
		says(t, a, 1, "- **breaks callers on the wire and Go programs:** removed", "client.go:", "make test fails", "git checkout -- "+document+" gen/oauth.gen.go")
		undo := a.stderr[strings.LastIndex(a.stderr, "git checkout"):]
		c.replace(t, "README.md", "LINE", "LINE's")
		says(t, c.run(t, "sh", "-c", undo), 0)
		if got := c.git(t, "status", "--porcelain"); got != " M README.md\n" {
			t.Errorf("after %q:\n%s", undo, got)
		}
		c.reset(t)
	})
	t.Run("does not generate", func(t *testing.T) {
		says(t, quick.contract(t, "spec-update", file(t, renamePath)), 1, "$.paths['/oauth2/v3/token'].post.requestBody", "fix api/overlay.yml", "git checkout -- "+document)
		c.reset(t)
	})
}
