// testscript does not build on these.

//go:build !plan9 && !wasip1

package cli

import (
	"bufio"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/store/filestore"
)

func TestMain(m *testing.M) {
	testscript.Main(many{m}, map[string]func(){"lineoauth": Main})
}

// many runs more tests in parallel than there are processors: mostly they wait for
// processes.
type many struct{ *testing.M }

func (m many) Run() int {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	return m.M.Run()
}

func TestScripts(t *testing.T) {
	keys := t.TempDir()
	private, public := keyPair(t)
	if err := errors.Join(os.WriteFile(filepath.Join(keys, "private.pem"), private, 0o600),
		os.WriteFile(filepath.Join(keys, "public.json"), public, 0o600)); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// No script may connect to LINE.
			env.Setenv("LINE_OAUTH_BASE_URL", "http://127.0.0.1:1")
			// Otherwise a process with the race detector takes a second to exit.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("TEST_KEYS", keys)
			return nil
		},
		Condition: tool,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"background": background,
			"claims":     claims,
			"examples":   examples,
			"exits":      exits,
			"fault":      fault,
			"keep":       keep,
			"keyforms":   keyforms,
			"mode":       mode,
			"serve":      serve,
			"stale":      stale,
		},
	})
}

// tool evaluates [tool:NAME]: whether the program is installed, which
// LINEOAUTH_NEED_TOOLS requires.
func tool(condition string) (bool, error) {
	name, ok := strings.CutPrefix(condition, "tool:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", condition)
	}
	_, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("LINEOAUTH_NEED_TOOLS") == "" {
		return false, nil
	}
	return err == nil, err
}

// secret matches what errors must not contain: tokens, assertions, and private keys
// as PEM or JWK.
var secret = regexp.MustCompile(`ey[JK][\w-]{8}|MII[\w+/]{8}|"[dpq]":`)

// goName matches the Go field names of a configuration, except those that are also
// English words.
var goName = func() *regexp.Regexp {
	words := []string{"Key", "Timeout", "Store", "Kind", "Now", "Logger", "Transport", "Authorization"}
	var names []string
	for _, config := range []any{lineoauth.Config{}, lineoauth.SourceConfig{}, lineoauth.Transport{}, filestore.Config{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(config)) {
			if !slices.Contains(words, field.Name) {
				names = append(names, field.Name)
			}
		}
	}
	return regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
}()

// exits runs a program and fails unless it exits with the given code. With 1 and 2 it
// must print one error and no output.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	errs := ts.ReadFile("stderr")
	if found := secret.FindString(errs); found != "" {
		ts.Fatalf("standard error contains %s…", found)
	}
	if secret := ts.Getenv("LINE_CHANNEL_SECRET"); secret != "" && strings.Contains(errs, secret) {
		ts.Fatalf("standard error contains the channel secret")
	}
	if found := goName.FindString(errs); found != "" {
		ts.Fatalf("standard error names the Go field %s; use the flag or variable", found)
	}
	if want != exitFailed && want != exitUsage {
		return
	}
	lines := slices.DeleteFunc(strings.SplitAfter(errs, "\n"), func(line string) bool {
		return line == "" || strings.HasPrefix(line, "lineoauth: warning: ")
	})
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "lineoauth: ") || !strings.HasSuffix(lines[0], "\n") {
		ts.Fatalf("want one error on one line, got %q", lines)
	}
}

// claims fails unless the last printed JWT has these claims; exp is relative to iat.
func claims(ts *testscript.TestScript, _ bool, args []string) {
	parts := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), ".")
	if len(parts) != 3 {
		ts.Fatalf("not a JWT: %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	ts.Check(err)
	var got map[string]any
	ts.Check(json.Unmarshal(payload, &got))
	got["exp"] = got["exp"].(float64) - got["iat"].(float64)
	for _, arg := range args {
		name, want, _ := strings.Cut(arg, "=")
		if text := fmt.Sprint(got[name]); text != want && text != fmt.Sprint(float(want)) {
			ts.Fatalf("%s is %v, want %s", name, got[name], want)
		}
	}
}

// examples runs the example of each command, with the script's own server in place of
// LINE and of fixed ports.
func examples(ts *testscript.TestScript, _ bool, _ []string) {
	commands := Command().Commands()
	for _, cmd := range append(commands, Command()) {
		if cmd.Example == "" || cmd.Short == "" || cmd.Long == "" {
			ts.Fatalf("the help of %s is not complete", cmd.Name())
		}
		ts.Check(ts.Exec("lineoauth", append(strings.Fields(cmd.CommandPath())[1:], "--help")...))
		if help := ts.ReadFile("stdout"); !strings.Contains(help, cmd.Example) || !strings.Contains(help, cmd.Long) {
			ts.Fatalf("%s --help lacks its text or example", cmd.CommandPath())
		}
		serve(ts, false, nil) // a new one: some examples change it
		for line := range strings.Lines(cmd.Example) {
			line = strings.TrimSpace(line)
			if args, ok := strings.CutPrefix(line, "lineoauth serve "); ok {
				serve(ts, false, strings.Fields(strings.Replace(args, ":8080", ":0", 1)))
				continue
			}
			if args, ok := strings.CutPrefix(line, "lineoauth proxy "); ok {
				background(ts, false, strings.Fields("proxy "+strings.Replace(args, ":8081", ":0", 1)))
				continue
			}
			if _, err := exec.LookPath("curl"); err != nil && strings.Contains(line, "curl ") {
				continue
			}
			line = strings.Replace(line, gen.DefaultServerURL, ts.Getenv("LINE_OAUTH_BASE_URL"), 1)
			line = strings.Replace(line, "/var/lib/bot/", ts.MkAbs(".")+"/", 1)
			line = strings.Replace(line, "curl ", "curl --silent --show-error --fail ", 1)
			ts.Logf("$ %s", line)
			ts.Check(ts.Exec("bash", "-euo", "pipefail", "-c", line))
			if strings.Contains(line, "-H @-") && strings.Contains(ts.ReadFile("stdout"), "Authorization:") {
				ts.Fatalf("the header is printed, not piped into curl: %s", line)
			}
			if errs := ts.ReadFile("stderr"); errs != "" {
				ts.Fatalf("standard error: %s", errs)
			}
		}
	}
}

// keyforms sets environment variables to the forms of a private key in PEM.
func keyforms(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	block, _ := pem.Decode([]byte(text))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	ts.Check(err)
	for name, jwk := range map[string]jose.JSONWebKey{
		"jwk":        {Key: key, Algorithm: "RS256", Use: "sig"},
		"jwkwithkid": {Key: key, Algorithm: "RS256", Use: "sig", KeyID: ts.Getenv("LINE_KEY_ID")},
	} {
		form, err := jwk.MarshalJSON()
		ts.Check(err)
		ts.Setenv(name, string(form))
	}
	public, err := (&jose.JSONWebKey{Key: key, Algorithm: "RS256", Use: "sig"}).Public().MarshalJSON()
	ts.Check(err)
	ts.Setenv("printed", fmt.Sprintf("=== private key ===\n%s\n\n=== public key ===\n%s\n", ts.Getenv("jwk"), public))
	ts.Setenv("pem", text)
	ts.Setenv("escaped", strings.ReplaceAll(text, "\n", `\n`))
	ts.Setenv("pembase64", base64.StdEncoding.EncodeToString([]byte(text)))
	ts.Setenv("jwkbase64", base64.StdEncoding.EncodeToString([]byte(ts.Getenv("jwk"))))
}

// keep stores a test token of some age: keep DIR TYPE AGE LIFE.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	age, err := time.ParseDuration(args[2])
	ts.Check(err)
	life, err := time.ParseDuration(args[3])
	ts.Check(err)
	issuedAt := time.Now().Add(-age)
	client, err := lineoauth.New(lineoauth.Config{
		ChannelID: ts.Getenv("LINE_CHANNEL_ID"),
		BaseURL:   ts.Getenv("LINE_OAUTH_BASE_URL"),
		Now:       func() time.Time { return issuedAt },
	})
	ts.Check(err)
	kept, err := filestore.New(filestore.Config{Dir: ts.MkAbs(args[0])})
	ts.Check(err)
	ts.Check(client.StoreToken(context.Background(), kept, &lineoauth.Token{
		AccessToken: lineoauth.NewSecret("hunter2"),
		TokenType:   "Bearer",
		Kind:        lineoauth.Kind(args[1]),
		IssuedAt:    issuedAt,
		ExpiresIn:   int64(life / time.Second),
	}))
	// The age of a token is that of its file.
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "token-*-"+args[1]+"-*.json"))
	ts.Check(err)
	for _, file := range files {
		ts.Check(os.Chtimes(file, issuedAt, issuedAt))
	}
}

// fault injects faults into the emulator: fault KIND OPERATION TIMES. Without
// arguments, it removes them.
func fault(ts *testscript.TestScript, _ bool, args []string) {
	method, body := http.MethodDelete, ""
	if len(args) > 0 {
		method, body = http.MethodPost, fmt.Sprintf(`{"fault":%q,"operation":%q,"times":%s}`, args[0], args[1], args[2])
	}
	req, err := http.NewRequest(method, ts.Getenv("LINE_OAUTH_BASE_URL")+"/_emulator/faults", strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	rsp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	_ = rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		ts.Fatalf("the emulator answers %s", rsp.Status)
	}
}

func float(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64) // not a number: compared as text
	return f
}

// mode fails unless a file has the given permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// serve runs "lineoauth serve" until the script ends, and sets the environment
// variables with which the other commands reach it. Without arguments, the channel
// has the key that all scripts share, as it takes long to make one.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	shared := ""
	if len(args) == 0 {
		shared = filepath.Join(ts.Getenv("TEST_KEYS"), "private.pem")
		args = []string{"--key-id", "shared", "--public-key", filepath.Join(ts.Getenv("TEST_KEYS"), "public.json")}
	}
	cmd := process(append([]string{"serve"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	ts.Check(err)
	var ready serving
	ts.Check(json.Unmarshal(line, &ready))
	ts.Defer(func() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("serve: %v", err)
		}
		if ready.PrivateKeyFile == "" {
			return
		}
		if _, err := os.Stat(ready.PrivateKeyFile); !errors.Is(err, os.ErrNotExist) {
			ts.Fatalf("serve did not remove its private key: %v", err)
		}
	})
	ts.Setenv("LINE_OAUTH_BASE_URL", ready.URL)
	ts.Setenv("LINE_CHANNEL_ID", ready.ChannelID)
	ts.Setenv("LINE_CHANNEL_SECRET", ready.ChannelSecret)
	ts.Setenv("LINE_KEY_ID", ready.KeyID)
	ts.Setenv("LINE_PRIVATE_KEY_FILE", cmp.Or(shared, ready.PrivateKeyFile))
}

// background runs a command that prints its address until the script ends, and sets
// the environment variable PROXY. Its output becomes the script's standard output.
func background(ts *testscript.TestScript, _ bool, args []string) {
	cmd := process(args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = nil
	for _, name := range []string{"PATH", "HOME", "XDG_CACHE_HOME", "LINE_OAUTH_BASE_URL", "LINE_CHANNEL_ID", "LINE_CHANNEL_SECRET", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	ts.Check(err)
	_, err = ts.Stdout().Write(line)
	ts.Check(err)
	var ready struct{ URL string }
	ts.Check(json.Unmarshal(line, &ready))
	ts.Setenv("PROXY", ready.URL)
	ts.Defer(func() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("%q: %v\n%s", args, err, log.String())
		}
		if found := secret.FindString(log.String()); found != "" {
			ts.Fatalf("%q: standard error contains %s…", args, found)
		}
		if strings.Contains(log.String(), `"msg":"request"`) && !slices.Contains(args, "--log") {
			ts.Fatalf("%q: standard error is %s", args, log.String())
		}
	})
}

// stale creates a socket that no process listens on.
func stale(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	ts.Check(l.Close())
}
