// testscript does not build on these.

//go:build !plan9 && !wasip1

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// keyPair returns a private key as PEM and its public key as a JWK, which all tests
// share: it takes long to generate one.
func keyPair(t *testing.T) (private, public []byte) {
	t.Helper()
	pair, err := sharedPair()
	if err != nil {
		t.Fatal(err)
	}
	return pair[0], pair[1]
}

var sharedPair = sync.OnceValues(func() (pair [2][]byte, err error) {
	pair[0], pair[1], err = newKeyPair()
	return pair, err
})

// The demo fails if the emulator misbehaves in any single step.
func TestDemoFindsFaults(t *testing.T) {
	t.Parallel()
	private, public := keyPair(t)
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, tt := range map[string]struct {
		path  string
		fault func(http.ResponseWriter, *http.Request) bool
		want  string
	}{
		"no fault":                     {"", nil, ""},
		"stateless refused":            {"/oauth2/v3/token", answer(500, "{}"), "issueStatelessChannelToken"},
		"v2.1 refused":                 {"/oauth2/v2.1/token", answer(500, "{}"), "issueChannelTokenByJWT"},
		"short-lived refused":          {"/v2/oauth/accessToken", answer(500, "{}"), "issueChannelToken"},
		"another channel's token":      {"/oauth2/v2.1/verify", answer(200, `{"client_id":"1","expires_in":900}`), "verify"},
		"opaque of another channel":    {"/v2/oauth/verify", answer(200, `{"client_id":"1","expires_in":900}`), "verify"},
		"key IDs empty":                {"/oauth2/v2.1/tokens/kid", answer(200, `{"kids":[]}`), "key IDs"},
		"v2.1 revoke without effect":   {"/oauth2/v2.1/revoke", answer(200, ""), "cannot be revoked"},
		"opaque revoke without effect": {"/v2/oauth/revoke", answer(200, ""), "short-lived token is still valid"},
		"v2.1 token too short":         {"/oauth2/v2.1/token", answer(200, `{"access_token":"eyJhbGciOiJIUzI1NiJ9.e30.c2ln","token_type":"Bearer","expires_in":60,"key_id":"k"}`), "is valid for 1m0s"},
		"verify without an answer":     {"/oauth2/v2.1/verify", answer(404, `{}`), "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait before they retry
			srv := lineoauthtest.NewServer()
			defer srv.Close()
			target, err := url.Parse(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := httputil.NewSingleHostReverseProxy(target)
			broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != tt.path || !tt.fault(w, r) {
					proxy.ServeHTTP(w, r)
				}
			}))
			defer broken.Close()
			err = (&app{stdout: io.Discard}).demo(t.Context(), srv, broken.URL, private, public)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("demo: %v; want %q in it", err, tt.want)
			}
		})
	}
}

// hangingServer never answers, and reports each request.
func hangingServer(t *testing.T) (url string, asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client is gone
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

// process is lineoauth as a separate process.
func process(args ...string) *exec.Cmd {
	cmd := exec.Command("lineoauth", args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// interrupt stops a command as Ctrl-C does.
func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	exit := new(exec.ExitError)
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("%q: %v; want exit code 130", cmd.Args, err)
	}
}

// The tables of docs/ have each command, and each environment variable.
func TestDocuments(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	commands, variables := read("cli.md"), read("configuration.md")
	for _, cmd := range Command().Commands() {
		if row := "\n| `" + cmd.Name(); cmd.Name() != "help" && !strings.Contains(commands, row+" ") && !strings.Contains(commands, row+"`") {
			t.Errorf("no row for %s", cmd.Name())
		}
	}
	for _, name := range []string{
		"LINE_CHANNEL_ID", "LINE_CHANNEL_SECRET", "LINE_CHANNEL_SECRET_FILE", "LINE_PRIVATE_KEY", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID", "LINE_KEY_ID_FILE", "LINE_OAUTH_BASE_URL",
		"LINE_OAUTH_ALLOW_PLAIN_HTTP",
	} {
		if !strings.Contains(variables, "\n| `"+name+"` |") {
			t.Errorf("no row for %s", name)
		}
	}
}

// Ctrl-C stops a call immediately, also one that waits for standard input.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	url, asked := hangingServer(t)
	for name, arg := range map[string]string{"call": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "standard input": "-"} {
		t.Run(name, func(t *testing.T) {
			cmd := process("verify", "--timeout", "1h", "--base-url", url, arg)
			if arg == "-" {
				// The pipe accepts more than its capacity only once the command reads.
				stdin, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				defer stdin.Close()
				go func() {
					_, _ = stdin.Write(make([]byte, 200_000)) // more than a pipe's capacity
					asked <- struct{}{}
				}()
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			interrupt(t, cmd)
		})
	}
}

// Both signals stop serve with exit code 0, and its private key is removed.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := process("serve")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var ready serving
			if err := json.NewDecoder(out).Decode(&ready); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("serve: %v", err)
			}
			if _, err := os.Stat(filepath.Dir(ready.PrivateKeyFile)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the private key's folder: %v", err)
			}
		})
	}
}

// Any user can see arguments in the process list, so no flag takes a secret except
// serve's test secret.
func TestNoFlagTakesASecret(t *testing.T) {
	allowed := map[string]bool{
		"private-key-file": true, "private-key": true, "public-key": true, // files
		"key-id":         true,
		"channel-secret": true,
	}
	root := Command()
	for _, cmd := range append(root.Commands(), root) {
		usages := cmd.Flags().FlagUsages() + cmd.PersistentFlags().FlagUsages() + cmd.InheritedFlags().FlagUsages()
		for name := range strings.FieldsSeq(usages) {
			name, ok := strings.CutPrefix(name, "--")
			secret := ok && regexp.MustCompile("secret|key|token|assertion|password").MatchString(name)
			if secret && (!allowed[name] || name == "channel-secret" && cmd.Name() != "serve") {
				t.Errorf("%s has the flag --%s", cmd.Name(), name)
			}
		}
	}
}

// While a call is waiting, the process list shows only the command and its flags.
func TestProcessList(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("no /proc on this system")
	}
	url, asked := hangingServer(t)
	private, _ := keyPair(t)
	for name, tt := range map[string]struct{ args, stdin string }{
		"secret": {args: "issue --timeout 1h --type short-lived"},
		"key":    {args: "issue --timeout 1h --type v2.1"},
		"token":  {"verify --timeout 1h -", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := process(strings.Fields(tt.args)...)
			cmd.Env = append(cmd.Env, "LINE_OAUTH_BASE_URL="+url,
				"LINE_CHANNEL_ID=1234567890", "LINE_CHANNEL_SECRET=the-test-secret", "LINE_PRIVATE_KEY="+string(private), "LINE_KEY_ID=kid")
			cmd.Stdin = strings.NewReader(tt.stdin)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			// Other shells' arguments are not ours.
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
			if err != nil {
				t.Error(err)
			}
			if line := strings.TrimSuffix(strings.ReplaceAll(string(data), "\x00", " "), " "); line != "lineoauth "+tt.args {
				t.Errorf("the process list shows %q", line)
			}
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range threads {
				if children, _ := os.ReadFile(file); len(children) > 0 { // a thread may have ended
					t.Errorf("it has started other processes: %s", children)
				}
			}
			interrupt(t, cmd)
		})
	}
}

func TestTimeoutFlag(t *testing.T) {
	t.Parallel()
	url, _ := hangingServer(t)
	var stdout, stderr strings.Builder
	code := run([]string{"verify", "--base-url", url, "--timeout", "30ms", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}, nil, &stdout, &stderr, func(string) string { return "" })
	if code != 1 || !strings.Contains(stderr.String(), "no answer within 30ms") || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

// expires_at and expires_in agree.
func TestExpiresAt(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	env := map[string]string{"LINE_CHANNEL_ID": srv.Channel().ID, "LINE_CHANNEL_SECRET": srv.Channel().Secret, "LINE_OAUTH_BASE_URL": srv.URL}
	var token string
	for _, args := range [][]string{{"issue", "--type", "short-lived"}, {"verify", "-"}} {
		var stdout, stderr strings.Builder
		if code := run(args, strings.NewReader(token), &stdout, &stderr, func(name string) string { return env[name] }); code != 0 {
			t.Fatalf("%s: exit code %d, %s", args, code, stderr.String())
		}
		var got struct {
			AccessToken string    `json:"access_token"`
			ExpiresIn   int64     `json:"expires_in"`
			ExpiresAt   time.Time `json:"expires_at"`
		}
		if err := json.Unmarshal([]byte(stdout.String()), &got); err != nil {
			t.Fatal(err)
		}
		want := time.Now().Add(time.Duration(got.ExpiresIn) * time.Second)
		if off := got.ExpiresAt.Sub(want).Abs(); got.ExpiresIn < 2_500_000 || off > time.Minute {
			t.Errorf("%s: expires_in %d, expires_at %v", args, got.ExpiresIn, got.ExpiresAt)
		}
		token = got.AccessToken
	}
}

// "valid":false means that LINE rejected the token, not that it rejected the request.
func TestVerifyIsCautious(t *testing.T) {
	t.Parallel()
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, body)
	}))
	defer srv.Close()
	for text, want := range map[string]int{
		`{"error":"invalid_request","error_description":"The access token expired"}`: 3,
		`{"error":"invalid_request","error_description":"access_token invalid"}`:     3,
		`{"error":"invalid_request"}`: 3,
		`{"error":"invalid_request","error_description":"client_id is required."}`:              1,
		`{"error":"invalid_request","error_description":"some parameters in the wrong format"}`: 1,
		`{"error":"invalid_request","error_description":"some parameters missed or invalid"}`:   1,
		`{"error":"invalid_request","error_description":"the access token expired"}`:            1,
		`{"error":"invalid_client","error_description":"invalid client_secret"}`:                1,
		`{"message":"failed to parse"}`:          1,
		`{"message":"The access token expired"}`: 1,
		`{"error":"invalid_request","error_description":{"message":"some other shape of an error"}}`: 1,
	} {
		for _, token := range []string{"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "opaque"} {
			body = text
			var stdout, stderr strings.Builder
			code := run([]string{"verify", "--base-url", srv.URL, token}, nil, &stdout, &stderr, func(string) string { return "" })
			if code != want || strings.Contains(stdout.String(), `"valid":false`) != (want == 3) {
				t.Errorf("%s: exit code %d, want %d, %s%s", text, code, want, stdout.String(), stderr.String())
			}
		}
	}
}
