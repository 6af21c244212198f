package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/filestore"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lineoauth": Main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// No script may reach LINE itself.
			env.Setenv("LINE_OAUTH_BASE_URL", "http://127.0.0.1:1")
			// Else a process under the race detector takes a second to end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"claims": claims,
			"exits":  exits,
			"keep":   keep,
			"mode":   mode,
			"serve":  serve,
		},
	})
}

// exits runs a program and fails unless it ends with the given exit code.
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
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// claims fails unless the JWT that was printed last has these claims; exp is
// relative to iat.
func claims(ts *testscript.TestScript, _ bool, args []string) {
	parts := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), ".")
	if len(parts) != 3 {
		ts.Fatalf("%d parts are no JWT", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	ts.Check(err)
	var got map[string]any
	ts.Check(json.Unmarshal(payload, &got))
	got["exp"] = got["exp"].(float64) - got["iat"].(float64)
	for _, arg := range args {
		name, want, _ := strings.Cut(arg, "=")
		if text := fmt.Sprint(got[name]); text != want && text != fmt.Sprint(float(want)) {
			ts.Fatalf("%s is %v, not %s", name, got[name], want)
		}
	}
}

// keep puts a made-up token of some age into a store: keep DIR TYPE AGE LIFE.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	age, err := time.ParseDuration(args[2])
	ts.Check(err)
	life, err := time.ParseDuration(args[3])
	ts.Check(err)
	issuedAt := time.Now().Add(-age)
	client, err := lineoauth.New(lineoauth.Config{
		ChannelID: ts.Getenv(lineoauth.EnvChannelID),
		BaseURL:   ts.Getenv(lineoauth.EnvBaseURL),
		Now:       func() time.Time { return issuedAt },
	})
	ts.Check(err)
	store, err := filestore.New(filestore.Config{Dir: ts.MkAbs(args[0])})
	ts.Check(err)
	ts.Check(client.StoreToken(context.Background(), store, &lineoauth.Token{
		AccessToken: lineoauth.NewSecret("hunter2"),
		TokenType:   "Bearer",
		Kind:        lineoauth.Kind(args[1]),
		IssuedAt:    issuedAt,
		ExpiresIn:   int64(life / time.Second),
	}))
}

func float(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64) // what is no number is compared as it is
	return f
}

// mode fails unless a file has the given permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, not %s", args[1], got, args[0])
	}
}

// serve runs "lineoauth serve" until the script ends, and sets the environment
// variables with which the other commands reach it.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("lineoauth", append([]string{"serve"}, args...)...)
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
			ts.Fatalf("serve left its private key behind: %v", err)
		}
	})
	ts.Setenv("LINE_OAUTH_BASE_URL", ready.URL)
	ts.Setenv("LINE_CHANNEL_ID", ready.ChannelID)
	ts.Setenv("LINE_CHANNEL_SECRET", ready.ChannelSecret)
	ts.Setenv("LINE_KEY_ID", ready.KeyID)
	ts.Setenv("LINE_PRIVATE_KEY_FILE", ready.PrivateKeyFile)
}
