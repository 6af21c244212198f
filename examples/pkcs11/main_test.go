//go:build cgo

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/examples/internal/rotation"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// operator is who has the token, the console and the machine.
type operator struct {
	t      *testing.T
	line   *lineoauthtest.Server
	dir    string
	module string
	env    map[string]string
}

const pin = "12345678"

// newOperator sets up SoftHSM with a token in a folder of the test's.
func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{t: t, line: lineoauthtest.NewServer(), dir: t.TempDir(), module: softHSM(t)}
	t.Cleanup(o.line.Close)
	if err := os.Mkdir(filepath.Join(o.dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", o.write("softhsm2.conf", "log.level = ERROR\nobjectstore.backend = file\ndirectories.tokendir = "+filepath.Join(o.dir, "tokens")+"\n"))
	out, err := exec.CommandContext(t.Context(), "softhsm2-util", "--init-token", "--free", "--label", "line", "--so-pin", pin, "--pin", pin).CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
	o.env = map[string]string{
		"PKCS11_MODULE":       o.module,
		"PKCS11_TOKEN":        "line",
		"PKCS11_PIN_FILE":     o.write("pin", pin+"\n"),
		"PKCS11_KEY_FILE":     filepath.Join(o.dir, "key.json"),
		"LINE_CHANNEL_ID":     o.line.Channel().ID,
		"LINE_OAUTH_BASE_URL": o.line.URL,
		"LINE_CHANNEL_SECRET": "",
	}
	return o
}

// softHSM returns the path of the module, and skips the test where there is none.
func softHSM(t *testing.T) string {
	t.Helper()
	modules := []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"}
	i := slices.IndexFunc(modules, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	})
	_, err := exec.LookPath("softhsm2-util")
	switch {
	case (err != nil || i < 0) && os.Getenv("LINEOAUTH_NEED_TOOLS") == "":
		t.Skip("SoftHSM is not installed (softhsm2)")
	case err != nil || i < 0:
		t.Fatalf("SoftHSM is not installed (softhsm2): %v", err)
	}
	return modules[i]
}

func (o *operator) write(name, text string) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path+".next", []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		o.t.Fatal(err)
	}
	return path
}

func (o *operator) getenv(name string) string { return o.env[name] }

// run runs the program.
func (o *operator) run(args ...string) (string, error) {
	var out bytes.Buffer
	err := run(o.t.Context(), args, o.getenv, &out)
	return out.String(), err
}

// use makes a key in the token, registers it, and has the program use it.
func (o *operator) use(label string) (keyID string) {
	o.t.Helper()
	public, err := o.run("-keygen", label)
	if err != nil {
		o.t.Fatal(err)
	}
	if keyID, err = o.line.Channel().RegisterKey("", []byte(public)); err != nil {
		o.t.Fatal(err)
	}
	o.write("key.json", fmt.Sprintf(`{"label": %q, "key_id": %q}`, label, keyID))
	return keyID
}

func TestProgram(t *testing.T) {
	o := newOperator(t)
	o.use("line-1")
	if out, err := o.run(); err != nil || !strings.HasPrefix(out, "stateless until ") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := o.run("-keygen", "line-1"); err == nil || !strings.Contains(err.Error(), "a key of that label already") {
		t.Errorf("a second key of the label: %v", err)
	}

	hsm := newToken(o.getenv)
	defer hsm.close()
	o.write("key.json", `{"label": "another", "key_id": "x"}`)
	if _, err := hsm.credentials(t.Context()); !errors.Is(err, errNoKey) {
		t.Errorf("a label that no key has: %v", err)
	}
	o.env["PKCS11_KEY_FILE"] = filepath.Join(o.dir, "nothing")
	if _, err := newToken(o.getenv).credentials(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a key file: %v", err)
	}
}

// The key is replaced while the program runs.
func TestRotation(t *testing.T) {
	o := newOperator(t)
	old := o.use("line-1")
	hsm := newToken(o.getenv)
	defer hsm.close()
	rotation.Try(t, o.line, config(o.getenv, hsm), func() {
		o.use("line-2")
		if err := o.line.Channel().DeleteKey(old); err != nil {
			t.Error(err)
		}
	})
}

// A session that is lost is reopened, whether the key is being looked for or is
// about to sign.
func TestLostSession(t *testing.T) {
	o := newOperator(t)
	o.use("line-1")
	hsm := newToken(o.getenv)
	defer hsm.close()
	lose := false
	issue := func() error {
		cfg := config(o.getenv, hsm)
		cfg.Credentials = func(ctx context.Context) (lineoauth.Credentials, error) {
			cr, err := hsm.credentials(ctx)
			if lose {
				lose = false
				closeSessions(t, o.module)
			}
			return cr, err
		}
		client, err := lineoauth.New(cfg) // another each time, which has signed nothing yet
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.IssueStatelessChannelToken(t.Context())
		return err
	}
	if err := issue(); err != nil {
		t.Fatal(err)
	}
	closeSessions(t, o.module)
	if err := issue(); err != nil {
		t.Errorf("lost before the key is found: %v", err)
	}
	lose = true
	if err := issue(); err != nil || lose {
		t.Errorf("lost before the key signs: %v", err)
	}
}

// A PIN that the token refused is not tried until the token is locked, and another
// one in the file is.
func TestWrongPIN(t *testing.T) {
	o := newOperator(t)
	o.use("line-1")
	hsm := newToken(o.getenv)
	defer hsm.close()
	o.write("pin", "87654321\n")
	for _, want := range []string{"CKR_PIN_INCORRECT", "is not asked again", "is not asked again"} {
		if _, err := hsm.credentials(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "87654321") {
			t.Errorf("%v; want %q", err, want)
		}
	}
	o.write("pin", pin)
	if _, err := hsm.credentials(t.Context()); err != nil {
		t.Error(err)
	}
}

// closeSessions ends all sessions of this process, as a token does that is pulled
// out or restarts.
func closeSessions(t *testing.T, module string) {
	t.Helper()
	ctx := pkcs11.New(module)
	defer ctx.Destroy()
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if err := ctx.CloseAllSessions(slot); err != nil {
			t.Fatal(err)
		}
	}
}
