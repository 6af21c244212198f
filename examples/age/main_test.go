package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/examples/internal/rotation"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// operator is who has the console, and writes the file.
type operator struct {
	t         *testing.T
	line      *lineoauthtest.Server
	dir       string
	recipient age.Recipient
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{t: t, line: lineoauthtest.NewServer(), dir: t.TempDir()}
	t.Cleanup(o.line.Close)
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	o.recipient = identity.Recipient()
	o.replace("identity", []byte("# made by a test\n"+identity.String()+"\n"))
	return o
}

// replace writes a file as a whole.
func (o *operator) replace(name string, text []byte) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		o.t.Fatal(err)
	}
}

// encrypt puts variables into the file of credentials.
func (o *operator) encrypt(variables map[string]string) (text []byte) {
	o.t.Helper()
	plain, err := json.Marshal(variables)
	if err != nil {
		o.t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, o.recipient)
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		o.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.replace("credentials.age", out.Bytes())
	return out.Bytes()
}

func (o *operator) getenv(name string) string {
	return map[string]string{
		"LINE_CREDENTIALS_FILE": filepath.Join(o.dir, "credentials.age"),
		"AGE_IDENTITY_FILE":     filepath.Join(o.dir, "identity"),
		"LINE_CHANNEL_ID":       o.line.Channel().ID,
		"LINE_OAUTH_BASE_URL":   o.line.URL,
	}[name]
}

func TestProgram(t *testing.T) {
	o := newOperator(t)
	o.encrypt(map[string]string{"LINE_CHANNEL_SECRET": o.line.Channel().Secret})
	var out bytes.Buffer
	if err := run(t.Context(), o.getenv, &out); err != nil || !strings.HasPrefix(out.String(), "stateless until ") {
		t.Errorf("%q, %v", &out, err)
	}
}

// What is wrong with the file is said, and nothing of what is in it.
func TestRefused(t *testing.T) {
	o := newOperator(t)
	secret := o.line.Channel().Secret
	whole := o.encrypt(map[string]string{"LINE_CHANNEL_SECRET": secret})
	changed := bytes.Clone(whole)
	changed[len(changed)-1] ^= 1
	credentials := config(o.getenv).Credentials
	for name, text := range map[string][]byte{"cut off": whole[:len(whole)-1], "changed": changed, "empty": nil} {
		o.replace("credentials.age", text)
		if _, err := credentials(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials.age") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.encrypt(map[string]string{})
	if _, err := credentials(t.Context()); !errors.Is(err, lineoauth.ErrMissingCredentials) {
		t.Errorf("without credentials: %v", err)
	}
	o.recipient = another(t)
	o.encrypt(nil)
	if _, err := credentials(t.Context()); !errors.As(err, new(*age.NoIdentityMatchError)) {
		t.Errorf("encrypted to another: %v", err)
	}
}

func another(t *testing.T) age.Recipient {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity.Recipient()
}

// The channel secret is re-issued, and the file rewritten, while the program runs.
func TestRotation(t *testing.T) {
	o := newOperator(t)
	o.encrypt(map[string]string{"LINE_CHANNEL_SECRET": o.line.Channel().Secret})
	rotation.Try(t, o.line, config(o.getenv), func() {
		o.encrypt(map[string]string{"LINE_CHANNEL_SECRET": o.line.Channel().ReissueSecret("")})
	})
}
