package tools_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var publish = flag.Bool("publish", false, "run TestPublish, which compiles for minutes")

const (
	module  = "github.com/lineoauth/lineoauth"
	version = "v1.2.3"
)

// The modules that others import, and what their folder puts before a tag.
var published = map[string]string{module: "", module + "/store/redisstore": "store/redisstore/"}

// What CONTRIBUTING.md says of a release gives modules that others can use. The
// go command makes their zips from the tags of a clone, as a module proxy does,
// and a consumer gets them from there.
func TestPublish(t *testing.T) {
	if !*publish {
		t.Skip("make test-publish runs this")
	}
	proxy := release(t)

	cache, dir, bin := t.TempDir(), t.TempDir(), t.TempDir()
	c := commands{dir: dir, env: []string{
		"GOMODCACHE=" + cache, "GOBIN=" + bin, "GOWORK=off", "GOPRIVATE=", "GONOPROXY=none", "GONOSUMDB=" + module,
		// What the machine has already is not downloaded again, nor compiled in the
		// next run, which has other folders.
		"GOPROXY=" + fileURL(proxy) + "," + fileURL(filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")) + "," + goEnv(t, "GOPROXY"),
		"GOFLAGS=" + os.Getenv("GOFLAGS") + " -mod=mod -trimpath",
	}}
	t.Cleanup(func() { c.run(t, "go", "clean", "-modcache") }) // it is read-only

	c.run(t, "go", "mod", "init", "consumer.example")
	c.run(t, append([]string{"go", "get"}, slices.Sorted(maps.Keys(published))...)...)
	write(t, dir, "main.go", `package main

import (
	"context"
	"fmt"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store/filestore"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

var _, _ = filestore.New, redisstore.New

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
	fmt.Println(token.Kind)
}
`)
	c.run(t, "go", "mod", "tidy")
	c.run(t, "go", "build", ".")
	c.run(t, "go", "vet", "./...")
	if got := c.run(t, "go", "run", "."); got != "stateless\n" {
		t.Errorf("the consumer prints %q", got)
	}
	for path := range published {
		if got := c.run(t, "go", "list", "-m", path); got != path+" "+version+"\n" {
			t.Errorf("the consumer has %s", got)
		}
	}
	for _, query := range []string{version, "latest"} {
		c.run(t, "go", "install", module+"/cmd/lineoauth@"+query)
		for _, ask := range []string{"version", "--version"} {
			if got := c.run(t, filepath.Join(bin, "lineoauth"), ask); !strings.HasPrefix(got, "lineoauth "+version+", ") {
				t.Errorf("lineoauth %s prints %q", ask, got)
			}
		}
	}
	// Its tests, from the zips: this is no checkout, and has no other module.
	t.Log(c.run(t, "go", "test", "-short", "-timeout", "20m", module+"/..."))
}

// release prepares and tags a release in a clone, with what is not committed yet,
// and returns the folder of a module proxy that has it.
func release(t *testing.T) string {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	clone := commands{dir: t.TempDir(), env: []string{
		"MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
	}}
	clone.run(t, "git", "init", "-q", ".")
	clone.run(t, "git", "--git-dir", filepath.Join(clone.dir, ".git"), "--work-tree", root, "add", "--all")
	clone.run(t, "git", "commit", "-q", "-m", "Base")
	clone.run(t, "git", "reset", "-q", "--hard")

	clone.run(t, "make", "release-prepare", "VERSION="+version)
	own := regexp.MustCompile(`(?m)^(?:require |\s+)` + module + `(?:/\S+)? (v\S+)`)
	folders := strings.Fields(clone.run(t, "git", "ls-files", "go.mod", "*/go.mod"))
	requires := 0
	for i, file := range folders {
		text, err := os.ReadFile(filepath.Join(clone.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		before := clone.run(t, "git", "show", "HEAD:"+file)
		for _, require := range own.FindAllSubmatch(text, -1) {
			requires++
			if string(require[1]) != version {
				t.Errorf("%s has %s", file, require[0])
			}
		}
		// Nothing else is changed: each replace is still there.
		if own.ReplaceAllString(string(text), "") != own.ReplaceAllString(before, "") {
			t.Errorf("make release-prepare makes of\n%s\nthis %s:\n%s", before, file, text)
		}
		folders[i] = filepath.Dir(file)
	}
	if requires == 0 {
		t.Error("no module requires another")
	}
	for _, folder := range folders {
		clone.run(t, "go", "-C", folder, "mod", "tidy", "-diff")
	}
	for file := range strings.FieldsSeq(clone.run(t, "git", "status", "--porcelain", "--no-renames")) {
		if file != "M" && filepath.Base(file) != "go.mod" {
			t.Errorf("make release-prepare changes %s", file)
		}
	}
	clone.run(t, "git", "commit", "-q", "-a", "-m", "Release")
	for _, folder := range published {
		clone.run(t, "git", "tag", folder+version)
	}

	// Where the go command looks for the repository, git finds the clone.
	proxy := commands{dir: t.TempDir(), env: []string{
		"GOMODCACHE=" + filepath.Join(clone.dir, ".git", "published"), "GOPRIVATE=" + module, "GOFLAGS=-modcacherw", "GOWORK=off",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + fileURL(clone.dir) + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + module,
	}}
	license, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	for path := range published {
		var download struct{ Zip string }
		if err := json.Unmarshal([]byte(proxy.run(t, "go", "mod", "download", "-json", path+"@"+version)), &download); err != nil {
			t.Fatal(err)
		}
		zipped, err := zip.OpenReader(download.Zip)
		if err != nil {
			t.Fatal(err)
		}
		text, err := fs.ReadFile(zipped, path+"@"+version+"/LICENSE")
		if err != nil || !bytes.Equal(text, license) {
			t.Errorf("the zip of %s has no LICENSE, or another: %v", path, err)
		}
		if err := zipped.Close(); err != nil {
			t.Error(err)
		}
	}
	return filepath.Join(clone.dir, ".git", "published", "cache", "download")
}

// commands run in a folder, with an environment.
type commands struct {
	dir string
	env []string
}

// run returns what a command prints on standard output.
func (c commands) run(t *testing.T, args ...string) string {
	t.Helper()
	t.Logf("+ %s", strings.Join(args, " "))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = c.dir, slices.Concat(os.Environ(), c.env)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return string(out)
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(commands{}.run(t, "go", "env", name))
}

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}).String()
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
