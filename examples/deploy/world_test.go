//go:build unix

// Package deploy tests the deployments in its folders: each is decoded strictly, and
// what it runs is run, with its own arguments, environment, probes and ports.
package deploy

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/testproc"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// bin is where the binaries are that the deployments run.
var bin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if bin, err = os.MkdirTemp("", "lineoauth-deploy-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)                      //nolint:errcheck // a temporary folder
	if err := os.Chmod(bin, 0o755); err != nil { //nolint:gosec // whom the tests run as reads it
		return 1, err
	}
	for folder, packages := range map[string][]string{"../..": {"./cmd/lineoauth"}, ".": {"./fleet", "./lambda"}} {
		cmd := exec.Command("go", append([]string{"-C", folder, "build", "-ldflags=-w", "-o", bin + "/"}, packages...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the image has it
		if out, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

// A world is where a deployment runs here: its ports are others, and its mounts are
// folders of the test.
type world struct {
	*testing.T
	line    *lineoauthtest.Server
	channel *lineoauthtest.Channel
	ports   map[string]string // here, by the deployment's
	mounts  map[string]string // folders, likewise
}

const channelID = "1234567890"

// newWorld has an emulator with the channel that all deployments name.
func newWorld(t *testing.T, secret string, ports ...string) *world {
	t.Helper()
	w := &world{T: t, line: lineoauthtest.NewServer(), ports: map[string]string{}, mounts: map[string]string{}}
	t.Cleanup(w.line.Close)
	var err error
	if w.channel, err = w.line.AddChannel(channelID, secret); err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		w.ports[port] = freePort(t)
	}
	return w
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

var portNumber = regexp.MustCompile(`(^|:)[0-9]{4}$`)

// here is a word of a deployment with the ports and folders that it has here.
func (w *world) here(word string) string {
	for path, folder := range w.mounts {
		word = strings.ReplaceAll(word, path, folder)
	}
	return portNumber.ReplaceAllStringFunc(word, func(found string) string {
		colon := strings.Count(found, ":")
		if port := w.ports[found[colon:]]; port != "" {
			return found[:colon] + port
		}
		return found
	})
}

// mount puts files into a folder in place of a path, as the kubelet does: they are
// links to those of a version, which is swapped at once.
func (w *world) mount(path string, files map[string]string) {
	w.Helper()
	folder := w.mounts[path]
	if folder == "" {
		folder = w.TempDir()
		w.mounts[path] = folder
	}
	version, err := os.MkdirTemp(folder, "..")
	if err != nil {
		w.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(version, name), []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)); err != nil && !errors.Is(err, os.ErrExist) {
			w.Fatal(err)
		}
	}
	next := filepath.Join(folder, "..data_tmp")
	if err := errors.Join(os.Symlink(filepath.Base(version), next), os.Rename(next, filepath.Join(folder, "..data"))); err != nil {
		w.Fatal(err)
	}
}

// A process is one that a deployment runs.
type process struct {
	*testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	first  []byte // line of standard output
}

// start runs a program with nothing but this environment. It waits until the program
// prints a line, or for one that prints nothing, until it listens at an address.
func (w *world) start(argv []string, env map[string]string, listens string) *process {
	w.Helper()
	var words []string
	for _, word := range argv {
		words = append(words, w.here(word))
	}
	cmd := testproc.Command(w, words[0], words[1:]...)
	cmd.Env = []string{"HOME=/nonexistent"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+w.here(value))
	}
	return await(w.T, cmd, listens)
}

func await(t *testing.T, cmd *exec.Cmd, listens string) *process {
	t.Helper()
	p := &process{T: t, cmd: cmd}
	cmd.Stderr = &p.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if listens == "" {
		if p.first, err = bufio.NewReader(out).ReadBytes('\n'); err != nil {
			_ = cmd.Wait()
			t.Fatalf("%q: %v\n%s", cmd.Args, err, p.stderr.String())
		}
		return p
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if conn, err := net.Dial("tcp", listens); err == nil {
			_ = conn.Close()
			return p
		}
	}
	p.signal(syscall.SIGKILL)
	_ = cmd.Wait()
	t.Fatalf("%q does not listen at %s\n%s", cmd.Args, listens, p.stderr.String())
	return nil
}

func (p *process) signal(s syscall.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Fatal(err)
	}
}

// stop ends it as its supervisor does.
func (p *process) stop() {
	p.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("%q: %v\n%s", p.cmd.Args, err, p.stderr.String())
	}
}

func status(t *testing.T, r *http.Request) int {
	t.Helper()
	rsp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	_, _ = io.Copy(io.Discard, rsp.Body)
	return rsp.StatusCode
}

// push sends a message through a proxy, as a bot without a token does.
func (w *world) push(url, host string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, url+"/v2/bot/message/push", strings.NewReader(`{"to":"U1","messages":[{"type":"text","text":"hello"}]}`))
	if err != nil {
		w.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	return status(w.T, r)
}

const webhookText = `{"destination":"U0","events":[{"type":"message","mode":"active","timestamp":1,"webhookEventId":"E1","deliveryContext":{"isRedelivery":false},` +
	`"source":{"type":"user","userId":"U1"},"replyToken":"r1","message":{"type":"text","id":"1","quoteToken":"q","text":"hello"}}]}`

func signature(secret string) string {
	sign := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(sign, webhookText)
	return base64.StdEncoding.EncodeToString(sign.Sum(nil))
}

// webhook has a bot be told something, as LINE does.
func (w *world) webhook(url, secret string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, url, strings.NewReader(webhookText))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("X-Line-Signature", signature(secret))
	return status(w.T, r)
}

// sent compares how many messages there are, and tokens of a kind that were issued.
func (w *world) sent(messages int, issues lineoauth.Operation, tokens int) {
	w.Helper()
	state := w.line.State()
	if len(state.Messages) != messages || state.Calls[issues] != tokens {
		w.Errorf("%d messages and %d tokens, want %d and %d", len(state.Messages), state.Calls[issues], messages, tokens)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// needTool skips a test where a program is missing, and fails it where
// LINEOAUTH_NEED_TOOLS is set.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("LINEOAUTH_NEED_TOOLS") == "" {
		t.Skip("there is no " + name + " here")
	} else if err != nil {
		t.Fatal(err)
	}
	return path
}
