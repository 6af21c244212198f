package lineoauth_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/testproc"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// What the README shows runs here as it stands there: programs against an
// emulator that they take for LINE, and commands in a shell. Transcripts of make
// are compared in api/tools_test.go.
func TestREADME(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles many programs")
	}
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	defer func() {
		if err := r.stop(); err != nil {
			t.Errorf("lineoauth serve: %v", err)
		}
	}()
	for i, block := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		language, block := block[1], block[2]
		first, _, _ := strings.Cut(block, "\n")
		t.Run(fmt.Sprintf("%02d %s %s", i+1, language, first), func(t *testing.T) {
			switch {
			case language == "": // a picture
			case language == "go" && strings.Contains(block, "testing.T"):
				run(t, "", nil, "go", "test", r.write(t, "bot_test.go", block))
			case language == "go":
				r.program(t, block)
			case language == "sh":
				r.shell(t, block)
			case language == "console" && strings.HasPrefix(block, "$ make "):
			case language == "console":
				if _, err := exec.LookPath("curl"); err != nil && strings.Contains(block, "curl ") && os.Getenv("LINEOAUTH_NEED_TOOLS") == "" {
					t.Skip("there is no curl here")
				}
				r.transcript(t, block)
			case language == "js":
				files, err := filepath.Glob("internal/interop/node/*.test.js")
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(files, func(file string) bool {
					tested, err := os.ReadFile(file)
					return err == nil && bytes.Contains(tested, []byte(block))
				}) {
					t.Error("no test in internal/interop/node has these lines")
				}
			default:
				t.Errorf("nothing runs a block of %q", language)
			}
		})
	}
}

const (
	channelID     = "1234567890"
	channelSecret = "0123456789abcdef"
	keyID         = "kid-1"
)

// A reader follows the README in a folder beside the checkout.
type reader struct {
	t    *testing.T
	line *lineoauthtest.Server
	dir  string
	// env is the reader's own; asLINE adds credentials, and has line for LINE.
	env, asLINE []string
	// main is the README's first program.
	main string
	// port is the one of "lineoauth serve", which stop ends.
	port string
	stop func() error
}

func newReader(t *testing.T) *reader {
	t.Helper()
	dir := t.TempDir()
	r := &reader{t: t, line: lineoauthtest.NewServer(), dir: filepath.Join(dir, "bot"), port: freePort(t), stop: func() error { return nil }}
	t.Cleanup(r.line.Close)
	channel, err := r.line.AddChannel(channelID, channelSecret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk := func(key any) string {
		text, err := jose.JSONWebKey{Key: key, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if _, err := channel.RegisterKey(keyID, []byte(jwk(private.Public()))); err != nil {
		t.Fatal(err)
	}
	r.write(t, "private-key.json", jwk(private))
	r.write(t, "private-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})))
	proxy, certificate := inPlaceOfLINE(t, r.line, private)
	bundle := r.write(t, "certificate.pem", certificate)

	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "go.sum", string(sums)) // so that it needs no network
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(dir, "lineoauth")); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	r.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GOBIN="+bin, "GOFLAGS=-ldflags=-w") // without what a debugger needs, which takes half of the linker's time
	for _, name := range []string{"LINE_OAUTH_BASE_URL", "LINE_CHANNEL_ID", "LINE_CHANNEL_SECRET",
		"LINE_PRIVATE_KEY", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID"} {
		r.env = append(r.env, name+"=")
	}
	r.asLINE = append(slices.Clip(r.env), "LINE_CHANNEL_ID"+"="+channelID, "LINE_CHANNEL_SECRET"+"="+channelSecret,
		"HTTPS_PROXY="+proxy, "SSL_CERT_FILE="+bundle, "HOME="+r.dir, "XDG_CACHE_HOME="+r.dir)
	return r
}

// write writes a file of the reader's, and returns its path.
func (r *reader) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A variant is a function of the README that takes the place of what its first
// program has instead.
type variant struct {
	function, instead, call string
	// more is what the README leaves to its reader, or what uses the function.
	more string
	// prints is what the program then prints, and issues what it asks for.
	prints string
	issues lineoauth.Operation
}

var variants = []variant{
	{"func config()", "lineoauth.ConfigFromEnv(os.Getenv)", "config()", "", statelessUntil, lineoauth.OpIssueStatelessChannelToken},
	{"type signer ", "lineoauth.ConfigFromEnv(os.Getenv)", "config()", kms, statelessUntil, lineoauth.OpIssueStatelessChannelToken},
	{"func newBot(", "context.Background()", "push(newBot(source))", pushing, statelessUntil, lineoauth.OpIssueStatelessChannelToken},
	{"func newSource(", "client.Source(lineoauth.SourceConfig{})", "newSource(client)", "", `short-lived \[redacted\] until 2\d.*\n`, lineoauth.OpIssueChannelToken},
}

const statelessUntil = `stateless \[redacted\] until 2\d.*\n`

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

const pushing = `
func push(bot *messaging_api.MessagingApiAPI, err error) context.Context {
	if err != nil {
		log.Fatal(err)
	}
	_, err = bot.PushMessage(&messaging_api.PushMessageRequest{
		To:       "U1",
		Messages: []messaging_api.MessageInterface{messaging_api.TextMessage{Text: "hello"}},
	}, "")
	if err != nil {
		log.Fatal(err)
	}
	return context.Background()
}
`

// program runs a program of the README's, or its first one with a function.
func (r *reader) program(t *testing.T, text string) {
	prints, issues, files := "Bearer 900\n", lineoauth.OpIssueStatelessChannelToken, []string{text}
	switch {
	case strings.HasPrefix(text, "package main\n") && r.main == "":
		r.main, prints = text, statelessUntil
		r.write(t, "main.go", text)
	case !strings.HasPrefix(text, "package main\n"):
		i := slices.IndexFunc(variants, func(v variant) bool { return strings.HasPrefix(text, v.function) })
		if i < 0 {
			t.Fatal("nothing calls it")
		}
		v := variants[i]
		body := regexp.MustCompile(`(?ms)^import \(.*?^\)\n`).ReplaceAllString(r.main, "")
		if !strings.Contains(body, v.instead) {
			t.Fatalf("the first program has no %s", v.instead)
		}
		prints, issues = v.prints, v.issues
		files = []string{
			imported(t, strings.Replace(body, v.instead, v.call, 1)),
			imported(t, "package main\n\n"+text),
			imported(t, "package main\n"+v.more),
		}
	}
	dir := t.TempDir()
	build := []string{"go", "build", "-ldflags=-w", "-o", filepath.Join(dir, "program.exe")}
	for i, text := range files {
		name := filepath.Join(dir, fmt.Sprintf("file%d.go", i))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		build = append(build, name)
	}
	module := "."
	if strings.Contains(text, "messaging_api") {
		module = "examples"
	}
	run(t, module, nil, build...)
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return // where no variable names the certificates to trust
	}
	before := r.line.State()
	got := run(t, r.dir, r.asLINE, build[4])
	if !regexp.MustCompile("^" + prints + "$").MatchString(got) {
		t.Errorf("it prints %q", got)
	}
	after := r.line.State()
	if n := after.Calls[issues] - before.Calls[issues]; n != 1 {
		t.Errorf("%d calls of %s", n, issues)
	}
	if n := len(after.Messages) - len(before.Messages); strings.Contains(text, "messaging_api") && n != 1 {
		t.Errorf("%d messages", n)
	}
	if strings.Contains(text, "filestore") {
		run(t, r.dir, r.asLINE, build[4])
		if n := r.line.State().Calls[issues] - before.Calls[issues]; n != 1 {
			t.Errorf("%d calls of %s in two runs", n, issues)
		}
	}
}

// imported adds the imports that a file lacks, as goimports does.
func imported(t *testing.T, text string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var imports strings.Builder
	seen := map[string]bool{}
	for _, name := range file.Unresolved {
		for _, path := range []string{
			"context", "crypto", "crypto/rsa", "crypto/x509", "encoding/pem", "fmt", "io", "log", "net/http", "os",
			"github.com/line/line-bot-sdk-go/v8/linebot/messaging_api", "github.com/lineoauth/lineoauth", "github.com/lineoauth/lineoauth/store/filestore",
		} {
			if filepath.Base(path) == name.Name && !seen[path] {
				seen[path] = true
				fmt.Fprintf(&imports, "import %q\n", path)
			}
		}
	}
	return strings.Replace(text, "package main\n", "package main\n\n"+imports.String(), 1)
}

// shell runs commands, those for the checkout there. What "make test" runs is
// this.
func (r *reader) shell(t *testing.T, commands string) {
	dir := r.dir
	commands = strings.ReplaceAll(commands, ":8080", ":"+r.port)
	if strings.Contains(commands, " ./cmd/lineoauth") {
		dir = "."
	}
	run(t, dir, r.env, "bash", "-euo", "pipefail", "-c", regexp.MustCompile(`(?m)^make test\b.*`).ReplaceAllString(commands, ""))
}

// transcript runs the commands of a transcript, and compares what they print;
// "…" stands for anything. An emulator that they end with goes on.
func (r *reader) transcript(t *testing.T, text string) {
	var commands, prints strings.Builder
	continued := false
	for line := range strings.Lines(strings.ReplaceAll(text, ":8080", ":"+r.port)) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok && !continued {
			prints.WriteString(line)
			continue
		}
		commands.WriteString(strings.Replace(command, "lineoauth serve", "exec lineoauth serve", 1))
		continued = strings.HasSuffix(line, "\\\n")
	}
	want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(prints.String()), "…", ".*") + "$")
	script := []string{"bash", "-uo", "pipefail", "-c", commands.String()}
	dir := filepath.Join(r.dir, "shell")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(commands.String(), "exec ") {
		if got := run(t, dir, r.env, script...); !want.MatchString(got) {
			t.Errorf("it prints\n%s\nwhere the README shows\n%s", got, prints.String())
		}
		return
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	cmd := testproc.Command(r.t, script[0], script[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, r.env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.stop = func() error {
		return errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait())
	}
	got, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !want.MatchString(got) {
		t.Errorf("it prints\n%s\nwhere the README shows\n%s\n%v", got, prints.String(), err)
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

// inPlaceOfLINE has a server answer for LINE's host: to programs that have the
// proxy, and trust the certificate.
func inPlaceOfLINE(t *testing.T, line http.Handler, private *rsa.PrivateKey) (proxy, certificate string) {
	t.Helper()
	host, err := url.Parse(gen.DefaultServerURL)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{host.Host},
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(line)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	tunnel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != host.Host+":443" {
			http.Error(w, "this leads to LINE alone", http.StatusForbidden)
			return
		}
		to, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = to.Close() }()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = from.Close() }()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(tunnel.Close)
	return tunnel.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
