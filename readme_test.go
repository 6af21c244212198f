package lineoauth_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/internal/testproc"
)

// block is a block of code in a document.
type block struct {
	document       string
	line           int
	language, text string
}

func (b block) name() string { return fmt.Sprintf("line %d %s", b.line, b.language) }

// blocks returns the blocks of a document, also those that are indented.
func blocks(t *testing.T, document string) (found []block) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var indent, fence string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		switch start := regexp.MustCompile("^( *)(```+|~~~+) *([^`\n]*)\n?$").FindStringSubmatch(line); {
		case fence != "" && start != nil && strings.HasPrefix(start[2], fence) && start[3] == "":
			fence = ""
		case fence != "":
			found[len(found)-1].text += strings.TrimPrefix(line, indent)
		case start != nil:
			indent, fence = start[1], start[2]
			found = append(found, block{document, n, start[3], ""})
		case regexp.MustCompile("```|~~~|<pre|^(\t|    )").MatchString(line):
			t.Errorf("%s:%d: a block needs a fence, with its language", document, n)
		}
	}
	if fence != "" {
		t.Errorf("%s: a block does not end", document)
	}
	return found
}

// Each block of README.md and docs/ is run, or is an excerpt of a file that other
// tests run. Programs take an emulator for LINE; the commands of a document run in
// one shell that starts in an empty folder.
func TestREADME(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles many programs")
	}
	needCheckout(t)
	t.Parallel()
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	documents = append([]string{"README.md"}, documents...)
	if text, err := os.ReadFile("README.md"); err != nil || len(bytes.Fields(text)) > 900 {
		t.Errorf("README.md has %d words, and should have 900 at most: move something to docs/ (%v)", len(bytes.Fields(text)), err)
	}
	all := map[string][]block{}
	for _, document := range documents {
		all[document] = blocks(t, filepath.ToSlash(document))
	}
	line := newLINE(t)
	bin := t.TempDir()
	t.Run("programs", func(t *testing.T) {
		t.Parallel()
		testPrograms(t, newLINE(t), slices.Concat(collect(all, documents)...))
	})
	snapshot := snapshot(t)
	run(t, ".", nil, "go", "build", "-ldflags=-w", "-o", bin, "./cmd/lineoauth")
	for _, document := range documents {
		t.Run(filepath.Base(document), func(t *testing.T) {
			t.Parallel()
			r := newReader(t, line, bin, snapshot)
			defer r.stop(t)
			for _, b := range all[document] {
				t.Run(b.name(), func(t *testing.T) { r.try(t, b) })
			}
		})
	}
}

func collect(all map[string][]block, documents []string) (found [][]block) {
	for _, document := range documents {
		found = append(found, all[document])
	}
	return found
}

// notRun are the blocks that no test can run, by their beginning, and why.
var notRun = map[string]string{
	"age-keygen -o identity":     "age1… stands for a recipient; examples/age encrypts in its test",
	"softhsm2-util --init-token": "asks for PINs; examples/pkcs11 gives them in its test",
	"[Service]\nLoadCredentialE": "needs systemd",
}

// isRun reports whether a block should be run, or is an excerpt of what is.
func (b block) isRun() bool {
	for beginning := range notRun {
		if b.document == "docs/credentials.md" && strings.HasPrefix(b.text, beginning) {
			return false
		}
	}
	return true
}

// try runs a block that is not Go.
func (r *reader) try(t *testing.T, b block) {
	switch {
	case !b.isRun():
	case b.language == "go": // by testPrograms
	case b.language == "sh" && isExcerpt(t, b.text):
	case b.language == "sh":
		needCurl(t, b)
		r.shell(t, b)
	case b.language == "console" && strings.HasPrefix(b.text, "$ make "):
		if b.document != "docs/openapi.md" {
			t.Error("what make prints is compared in docs/openapi.md only, by the test of internal/tools/targets")
		}
	case b.language == "console":
		needCurl(t, b)
		r.transcript(t, b.text)
	case b.language == "text" && strings.Contains(b.text, "│"): // a picture
	case b.language == "":
		t.Error("a block needs a language")
	case !isExcerpt(t, b.text):
		t.Errorf("nothing runs this block of %q, and no file in examples or internal/interop contains it", b.language)
	}
}

func needCurl(t *testing.T, b block) {
	if _, err := exec.LookPath("curl"); err != nil && strings.Contains(b.text, "curl ") && os.Getenv("LINEOAUTH_NEED_TOOLS") == "" {
		t.Skip("needs curl")
	}
}

// isExcerpt reports whether a file that is tested elsewhere contains the text.
func isExcerpt(t *testing.T, text string) (found bool) {
	t.Helper()
	for _, dir := range []string{"examples", "internal/interop"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.Name() == "node_modules":
				return fs.SkipDir
			case d.IsDir() || filepath.Ext(path) == ".md":
				return nil
			}
			file, err := os.ReadFile(path)
			if bytes.Contains(file, []byte(text)) && strings.TrimSpace(text) != "" {
				found = true
				return fs.SkipAll
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// snapshot returns a repository whose only commit is what is in this one, with
// changes that are not committed.
func snapshot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files := run(t, ".", nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(files, "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // deleted, but still in the index
		}
		info, statErr := os.Stat(name)
		path := filepath.Join(dir, name)
		if err := errors.Join(err, statErr, os.MkdirAll(filepath.Dir(path), 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	git := []string{"git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.looseCompression=0"}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "snapshot"}} {
		run(t, dir, nil, slices.Concat(git, args)...)
	}
	return dir
}

// A reader follows one document in a shell.
type reader struct {
	t       *testing.T
	dir     string
	env     []string          // of the shell
	asLINE  []string          // what sends requests for LINE to the emulator
	ports   map[string]string // that the document names, and which these are here
	servers []*exec.Cmd
}

func newReader(t *testing.T, line *fakeLINE, bin, snapshot string) *reader {
	t.Helper()
	own := t.TempDir() // what the reader installs comes first
	r := &reader{t: t, dir: t.TempDir(), ports: map[string]string{}}
	path := strings.Join([]string{own, bin, os.Getenv("PATH")}, string(os.PathListSeparator))
	modules := strings.TrimSpace(run(t, ".", nil, "go", "env", "GOMODCACHE"))
	proxy := "file://" + filepath.ToSlash(filepath.Join(modules, "cache", "download")) + "," + strings.TrimSpace(run(t, ".", nil, "go", "env", "GOPROXY"))
	r.env = append(os.Environ(), "PATH="+path, "GOBIN="+own,
		// -trimpath compiles once for all folders, and -w leaves out what only a
		// debugger needs.
		"GOFLAGS=-trimpath -ldflags=-w",
		// What this module needs has been downloaded and checked.
		"GOPROXY="+proxy, "GOSUMDB=off", "GOMODCACHE="+modules, "GOWORK=off",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+filepath.ToSlash(snapshot)+".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/lineoauth/lineoauth",
		"XDG_CACHE_HOME="+t.TempDir(), "GOCACHE="+strings.TrimSpace(run(t, ".", nil, "go", "env", "GOCACHE")))
	for _, name := range []string{
		"LINE_OAUTH_BASE_URL", "LINE_CHANNEL_ID", "LINE_CHANNEL_SECRET", "LINE_CHANNEL_SECRET_FILE",
		"LINE_PRIVATE_KEY", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID", "LINE_KEY_ID_FILE", "LINE_OAUTH_ALLOW_PLAIN_HTTP",
		"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "MAKEFLAGS", "MAKELEVEL",
	} {
		r.env = append(r.env, name+"=")
	}
	r.asLINE = line.env()
	return r
}

// bash runs commands in the folder and with the variables that those before left.
func (r *reader) bash(script string, env []string) *exec.Cmd {
	ports := regexp.MustCompile(`127\.0\.0\.1:([1-9]\d*)`)
	script = ports.ReplaceAllStringFunc(script, func(address string) string {
		if r.ports[address] == "" {
			r.ports[address] = "127.0.0.1:" + freePort(r.t)
		}
		return r.ports[address]
	})
	state := filepath.Join(filepath.Dir(r.dir), "state")
	const saved = `trap 'export -p | grep "^declare -x LINE_[A-Z_]*=\"..*\"" >"$STATE"; printf "cd %q\n" "$PWD" >>"$STATE"' EXIT
[ ! -e "$STATE" ] || . "$STATE"
`
	cmd := testproc.Command(r.t, "bash", "-c", saved+script)
	cmd.Dir, cmd.Env = r.dir, append(slices.Concat(r.env, env), "STATE="+state)
	return cmd
}

// shell runs commands, the first of which that fails ends them. What "make test"
// runs is this.
func (r *reader) shell(t *testing.T, b block) {
	script := regexp.MustCompile(`(?m)^make test\b.*`).ReplaceAllString(b.text, "")
	if b.document == "README.md" && strings.Contains(script, "go run .\n") {
		r.save(t, b.document)
	}
	if out, err := r.bash("set -euo pipefail\n"+script, r.asLINE).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// save writes the files that the README has its reader save.
func (r *reader) save(t *testing.T, document string) {
	t.Helper()
	for _, b := range blocks(t, document) {
		name := "main.go"
		if strings.Contains(b.text, "testing.T") {
			name = "bot_test.go"
		}
		if b.language != "go" {
			continue
		}
		if err := os.WriteFile(filepath.Join(r.dir, "bot", name), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// transcript runs the commands of a transcript, and compares what they print;
// "…" stands for anything. A server that they end with keeps running.
func (r *reader) transcript(t *testing.T, text string) {
	var commands, prints strings.Builder
	continued := false
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok && !continued {
			prints.WriteString(line)
			continue
		}
		commands.WriteString(strings.Replace(command, "lineoauth serve", "exec lineoauth serve", 1))
		continued = strings.HasSuffix(line, "\\\n")
	}
	cmd := r.bash("set -u\n"+commands.String(), nil)
	shown := prints.String()
	for address, here := range r.ports {
		shown = strings.ReplaceAll(shown, address, here)
	}
	want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(shown), "…", ".*") + "$")
	if !strings.Contains(commands.String(), "exec ") {
		if got, err := cmd.CombinedOutput(); err != nil || !want.Match(got) {
			t.Errorf("it prints\n%s\nwhere the document shows\n%s\n%v", got, shown, err)
		}
		return
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.servers = append(r.servers, cmd)
	got, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !want.MatchString(got) {
		t.Errorf("it prints\n%s\nwhere the document shows\n%s\n%v", got, shown, err)
	}
}

// stop ends the servers that were started.
func (r *reader) stop(t *testing.T) {
	for _, cmd := range r.servers {
		if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
			t.Errorf("lineoauth serve: %v", err)
		}
	}
}

// run runs a command and returns what it prints, on either output.
func run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := testproc.Command(t, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}
