package lineoauth_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth"
)

// A variant is what runs a function of a document: the quick start's program, with
// a call of it in place of something else.
type variant struct {
	function, instead, call string
	more                    string // what the document leaves to its reader
	env                     []string
	issues                  lineoauth.Operation
	once                    bool // a second run finds the token
}

const (
	insteadOfConfig = "lineoauth.ConfigFromEnv(os.Getenv)"
	insteadOfSource = "client.Source(lineoauth.SourceConfig{})"
)

// variants are asked in this order.
var variants = []variant{
	{function: "signInKMS(", instead: insteadOfConfig, call: "config()", more: kms, issues: lineoauth.OpIssueStatelessChannelToken},
	{function: `"authority.pem"`, instead: insteadOfConfig, call: "config()", env: []string{"SSL_CERT_FILE="}, issues: lineoauth.OpIssueStatelessChannelToken},
	{function: "func config()", instead: insteadOfConfig, call: "config()", issues: lineoauth.OpIssueStatelessChannelToken},
	{function: "func newSource(", instead: insteadOfSource, call: "newSource(client)", issues: lineoauth.OpIssueChannelToken, once: true},
	{function: "func newSharedSource(", instead: insteadOfSource, call: "newSharedSource(client, database())", more: database, issues: lineoauth.OpIssueChannelTokenByJWT,
		env: []string{"LINE_PRIVATE_KEY_FILE=private-key.pem", "LINE_KEY_ID=" + keyID}},
	{function: "func sealed(", instead: insteadOfSource, call: "sealedSource(client)", more: sealing, issues: lineoauth.OpIssueChannelToken},
	{function: "func explain(", instead: "defer source.Close()", call: "defer source.Close(); if explain(lineoauth.ErrNotRevocable) == lineoauth.ErrNotRevocable.Error() { log.Fatal() }", issues: lineoauth.OpIssueStatelessChannelToken},
}

const kms = `
func kmsKey() (*rsa.PrivateKey, error) {
	text, err := os.ReadFile("private-key.pem")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

func publicKeyFromKMS() (*rsa.PublicKey, error) {
	key, err := kmsKey()
	return &key.PublicKey, err
}

func signInKMS(digest []byte) ([]byte, error) {
	key, err := kmsKey()
	if err != nil {
		return nil, err
	}
	return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
}
`

const database = `
func database() redis.UniversalClient {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	return redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
}
`

const sealing = `
func sealedSource(client *lineoauth.Client) (*lineoauth.Source, error) {
	tokens, err := sealed(new(store.Memory), make([]byte, 32))
	if err != nil {
		return nil, err
	}
	return client.Source(lineoauth.SourceConfig{Kind: lineoauth.ShortLived, Store: tokens})
}
`

// A program is one that a document has, or the quick start's with a function of
// a document. Its package has a function Main.
type program struct {
	block
	variant
	pkg    string
	files  []string
	prints string
	runs   bool
}

// testPrograms compiles the Go blocks of all documents into one program and one
// test, and runs them.
func testPrograms(t *testing.T, line *fakeLINE, all []block) {
	all = slices.DeleteFunc(all, func(b block) bool {
		return b.language != "go" || !strings.HasPrefix(b.text, "package ") && isExcerpt(t, b.text)
	})
	quickStart := all[slices.IndexFunc(all, func(b block) bool { return strings.HasPrefix(b.text, "package main\n") })]
	module := newModule(t)
	var programs []program
	for i, b := range all {
		pkg := fmt.Sprintf("%s_line%d", regexp.MustCompile(`\W`).ReplaceAllString(filepath.Base(b.document), "_"), b.line)
		if strings.Contains(b.text, "testing.T") {
			module.write(t, "tests", fmt.Sprintf("block%d_test.go", i), b.text)
			continue
		}
		p := newProgram(t, b, quickStart)
		p.pkg = pkg
		for j, file := range p.files {
			module.write(t, pkg, fmt.Sprintf("file%d.go", j), file)
		}
		programs = append(programs, p)
	}
	module.dispatch(t, programs)
	binary := filepath.Join(module.dir, "program.exe")
	run(t, module.dir, module.env, "go", "build", "-o", binary, "./run")
	run(t, module.dir, module.env, "go", "test", "./tests")
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return // where no variable names the certificates to trust
	}
	for _, p := range programs {
		if p.runs {
			t.Run(p.document+" "+p.name(), func(t *testing.T) { p.run(t, line, binary) })
		}
	}
}

func newProgram(t *testing.T, b, quickStart block) program {
	t.Helper()
	if strings.HasPrefix(b.text, "package main\n") {
		_, prints, _ := strings.Cut(b.text, "// Output: ")
		prints, _, _ = strings.Cut(prints, "\n")
		return program{block: b, files: []string{b.text}, prints: prints, runs: true, variant: variant{issues: lineoauth.OpIssueStatelessChannelToken}}
	}
	p := program{block: b, files: []string{imported(t, "package main\n\n"+b.text)}}
	i := slices.IndexFunc(variants, func(v variant) bool { return strings.Contains(b.text, v.function) })
	if i < 0 {
		p.files = append(p.files, "package main\n\nfunc main() {}\n")
		return p
	}
	base := newProgram(t, quickStart, quickStart)
	p.variant, p.prints, p.runs = variants[i], base.prints, true
	body := regexp.MustCompile(`(?ms)^import \(.*?^\)\n`).ReplaceAllString(quickStart.text, "")
	if !strings.Contains(body, p.instead) {
		t.Fatalf("the quick start has no %s", p.instead)
	}
	p.files = append(p.files, imported(t, strings.Replace(body, p.instead, p.call, 1)), imported(t, "package main\n"+p.more))
	return p
}

func (p program) run(t *testing.T, line *fakeLINE, binary string) {
	env := slices.Concat(os.Environ(), line.env(), p.env, []string{"XDG_CACHE_HOME=" + t.TempDir()})
	for i := range 2 {
		before := line.State().Calls[p.issues]
		got := run(t, line.dir, env, binary, p.pkg)
		if !regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p.prints), "…", ".*") + "\n$").MatchString(got) {
			t.Errorf("it prints %q, not %q", got, p.prints)
		}
		want := 1
		if i == 1 && p.once {
			want = 0
		}
		if n := line.State().Calls[p.issues] - before; n != want {
			t.Errorf("%d calls of %s, want %d", n, p.issues, want)
		}
		if !p.once {
			return
		}
	}
}

// A module has what the examples may import.
type module struct {
	dir string
	env []string
}

func newModule(t *testing.T) module {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	m := module{t.TempDir(), append(os.Environ(), "GOFLAGS=-mod=mod -trimpath -ldflags=-w", "GOWORK=off")}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("examples", name))
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.ReplaceAll(string(text), " => ..", " => "+filepath.ToSlash(root)))
		if name == "go.sum" { // of what the documents import and the examples do not
			more, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, more...)
		}
		if err := os.WriteFile(filepath.Join(m.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// write writes a file of a package. Its function main is Main, so that one program
// has those of all packages.
func (m module) write(t *testing.T, pkg, name, text string) {
	t.Helper()
	text = regexp.MustCompile(`(?m)^package \w+$`).ReplaceAllString(text, "package "+pkg)
	text = strings.Replace(text, "\nfunc main() {", "\nfunc Main() {", 1)
	dir := filepath.Join(m.dir, pkg)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dispatch writes the program that runs the one that its argument names.
func (m module) dispatch(t *testing.T, programs []program) {
	t.Helper()
	var imports, cases strings.Builder
	for _, p := range programs {
		fmt.Fprintf(&imports, "import %q\n", "github.com/lineoauth/lineoauth/examples/"+p.pkg)
		fmt.Fprintf(&cases, "case %q: %s.Main()\n", p.pkg, p.pkg)
	}
	dir := filepath.Join(m.dir, "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "package main\nimport \"os\"\n" + imports.String() + "func main() {\nswitch os.Args[1] {\n" + cases.String() + "}\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// imported adds the imports that a file lacks, as goimports does.
func imported(t *testing.T, text string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", text, 0)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var imports strings.Builder
	seen := map[string]bool{}
	for _, name := range file.Unresolved {
		for _, path := range []string{
			"context", "crypto", "crypto/aes", "crypto/cipher", "crypto/rsa", "crypto/tls", "crypto/x509", "encoding/pem", "errors", "fmt",
			"io", "log", "log/slog", "net/http", "os", "strings", "time",
			"github.com/alicebob/miniredis/v2", "github.com/line/line-bot-sdk-go/v8/linebot/messaging_api", "github.com/redis/go-redis/v9",
			"github.com/lineoauth/lineoauth", "github.com/lineoauth/lineoauth/store", "github.com/lineoauth/lineoauth/store/filestore",
			"github.com/lineoauth/lineoauth/store/redisstore",
		} {
			base := strings.TrimPrefix(filepath.Base(regexp.MustCompile(`/v\d+$`).ReplaceAllString(path, "")), "go-")
			if base == name.Name && !seen[path] {
				seen[path] = true
				fmt.Fprintf(&imports, "import %q\n", path)
			}
		}
	}
	return strings.Replace(text, "package main\n", "package main\n\n"+imports.String(), 1)
}
