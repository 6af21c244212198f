package lineoauth_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What "go mod tidy" may write for a module that imports the root and the file store.
const (
	maxIndirect = 9
	maxSums     = 70
)

// The modules that an importer of the packages compiles. CONTRIBUTING.md explains each.
var consumerModules = []string{
	"github.com/apapsch/go-jsonmerge/v2", // with runtime
	"github.com/cenkalti/backoff/v5",
	"github.com/go-jose/go-jose/v4",
	"github.com/golang-jwt/jwt/v5",
	"github.com/google/uuid", // with runtime
	"github.com/lineoauth/lineoauth",
	"github.com/oapi-codegen/runtime",
	"golang.org/x/sync",
}

func TestConsumer(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles another module")
	}
	t.Parallel()
	dir := t.TempDir()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod": "module consumer.example\n\ngo 1.26.0\n\nrequire github.com/lineoauth/lineoauth v0.0.0\n\nreplace github.com/lineoauth/lineoauth => " + root + "\n",
		"go.sum": string(sums),
		"main.go": `package main

import (
	"context"
	"fmt"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func main() {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		panic(err)
	}
	token, err := client.IssueStatelessChannelToken(context.Background())
	if err != nil {
		panic(err)
	}
	var _ *gen.Client
	fmt.Println(token.Kind, gen.DefaultServerURL)
}
`,
		"kept/kept.go": "package kept\n\nimport _ \"github.com/lineoauth/lineoauth/store/filestore\"\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %q: %v\n%s", args, err, stderr.String())
		}
		return string(out)
	}
	if got := run("run", "-mod=mod", "."); got != "stateless https://api.line.me\n" {
		t.Errorf("the consumer prints %q", got)
	}
	for pkg, want := range map[string][]string{
		".": consumerModules,
		"github.com/lineoauth/lineoauth/store/filestore": {"github.com/gofrs/flock", "github.com/lineoauth/lineoauth", "golang.org/x/sys"},
	} {
		got := strings.Fields(run("list", "-mod=mod", "-deps", "-f", "{{with .Module}}{{if ne .Path \"consumer.example\"}}{{.Path}}{{end}}{{end}}", pkg))
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("modules that a consumer of %s compiles (-want +got):\n%s", pkg, diff)
		}
	}
	run("mod", "tidy")
	for _, limit := range []struct {
		file, lines string
		most        int
	}{{"go.mod", "// indirect\n", maxIndirect}, {"go.sum", "\n", maxSums}} {
		text, err := os.ReadFile(filepath.Join(dir, limit.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), limit.lines); n == 0 || n > limit.most {
			t.Errorf("%d lines with %q in a consumer's %s; want at most %d:\n%s", n, limit.lines, limit.file, limit.most, text)
		}
	}
}
