// testscript does not build on these.

//go:build !plan9 && !wasip1

package cli

import (
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/pflag"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// within is run, but fails the test if the command does not end.
func within(t *testing.T, getenv func(string) string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	done := make(chan int, 1)
	go func() { done <- run(args, strings.NewReader(""), &out, &errs, getenv) }()
	select {
	case code = <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%q does not end", args)
	}
	return code, out.String(), errs.String()
}

// A blank value of a flag selects neither a default nor what the environment has.
func TestBlankFlags(t *testing.T) {
	t.Parallel()
	// Nothing can be sent with this channel ID.
	getenv := func(name string) string {
		return map[string]string{"LINE_CHANNEL_ID": "none", "LINE_CHANNEL_SECRET": "s", "LINE_OAUTH_BASE_URL": "http://127.0.0.1:1"}[name]
	}
	flags := 0
	for _, cmd := range Command().Commands() {
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			flags++
			for _, blank := range []string{"", " ", "''", `""`, `" "`, "\n", "\ufeff\r\n", "\u200b"} {
				args := []string{cmd.Name(), "--" + flag.Name + "=" + blank}
				if strings.Contains(cmd.Use, "TOKEN") {
					args = append(args, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln")
				}
				code, stdout, stderr := within(t, getenv, args...)
				if code != 2 || stdout != "" || !strings.Contains(stderr, "--"+flag.Name+" is empty; omit it, or give it a value") || strings.Count(stderr, "\n") != 1 {
					t.Errorf("%q: exit code %d, %s%s", args, code, stdout, stderr)
				}
			}
		})
	}
	for _, args := range [][]string{
		{"serve", "--channel", "1", "--channel", " "}, {"proxy", "--allow-host", "a,"}, {"proxy", "--allow-host", "a, ,b"}, {"serve", "--public-key", "a", "--key-id", "''"},
	} {
		if code, stdout, stderr := within(t, getenv, args...); code != 2 || stdout != "" || !strings.Contains(stderr, args[len(args)-2]+" is empty; ") {
			t.Errorf("%q: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
	if flags < 40 {
		t.Errorf("%d flags", flags)
	}
	if _, err := os.Stat(" "); err == nil {
		t.Error("a directory with a blank name was created")
	}
}

// A secret in the place of another setting is in no output.
func TestMisplacedSecrets(t *testing.T) {
	t.Parallel()
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	private, _ := keyPair(t)
	block, _ := pem.Decode(private)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	variables := []string{"LINE_CHANNEL_ID", "LINE_PRIVATE_KEY", "LINE_PRIVATE_KEY_FILE", "LINE_CHANNEL_SECRET_FILE", "LINE_KEY_ID", "LINE_KEY_ID_FILE", "LINE_OAUTH_BASE_URL", "LINE_OAUTH_ALLOW_PLAIN_HTTP"}
	commands := []string{"issue --type v2.1", "token", "key-ids", "assertion", "verify x", "revoke x", "doctor"}
	flags := []string{"channel-id", "private-key-file", "key-id", "base-url", "type", "output", "timeout", "valid-for"}
	store, file := t.TempDir(), filepath.Join(t.TempDir(), "key.json")
	settings := map[string]string{"LINE_CHANNEL_ID": srv.Channel().ID, "LINE_PRIVATE_KEY_FILE": file, "LINE_OAUTH_BASE_URL": srv.URL}
	noise := sha512.Sum512([]byte("token"))
	for _, kid := range []string{"kid", ""} {
		private, err := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, private, 0o600); err != nil {
			t.Fatal(err)
		}
		for i, secret := range []string{
			srv.Channel().Secret, strings.Repeat("5eC2e7", 6)[:32], "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", base64.StdEncoding.EncodeToString(append(noise[:], noise[:]...)), `{"kty":"RSA","d":"` + strings.Repeat("q9Zt", 80) + `"}`,
		} {
			// Without a key ID, most calls fail before they use another setting.
			skipped := func(setting string) bool {
				return kid == "" && i > 0 && !strings.Contains(setting, "KEY_ID") && setting != "key-id"
			}
			for _, args := range commands {
				args := strings.Fields(args)
				if args[0] != "assertion" {
					args = append(args, "--store", store)
				}
				for _, variable := range variables {
					if skipped(variable) {
						continue
					}
					notShown(t, secret, func(name string) string {
						if name == variable {
							return secret
						}
						return settings[name]
					}, args...)
				}
				for _, flag := range flags {
					if skipped(flag) {
						continue
					}
					notShown(t, secret, func(name string) string { return settings[name] }, append(args, "--"+flag+"="+secret)...)
				}
			}
		}
	}
}

func notShown(t *testing.T, secret string, getenv func(string) string, args ...string) {
	t.Helper()
	code, stdout, stderr := within(t, getenv, args...)
	if strings.Contains(stdout+stderr, secret) || strings.Contains(stdout+stderr, secret[len(secret)-20:]) {
		t.Errorf("%.60q: exit code %d, the secret is shown:\n%s%s", args, code, stdout, stderr)
	}
}
