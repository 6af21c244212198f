package lineoauth_test

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth"
)

// TestFIPS issues tokens in a child where what FIPS 140-3 does not approve panics
// or fails.
func TestFIPS(t *testing.T) {
	const variable = "LINEOAUTH_TEST_FIPS"
	if os.Getenv(variable) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPS$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", variable+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if !fips140.Enforced() {
		t.Fatal("FIPS 140-3 is not enforced")
	}
	_, client := emulator(t)
	for _, kind := range []lineoauth.Kind{lineoauth.V21, lineoauth.Stateless, lineoauth.ShortLived} {
		source, err := client.Source(lineoauth.SourceConfig{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		token, err := source.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if _, err := client.VerifyChannelToken(t.Context(), token.AccessToken.Reveal()); err != nil {
			t.Errorf("%s: VerifyChannelToken: %v", kind, err)
		}
		if err := source.Close(); err != nil {
			t.Errorf("%s: Close: %v", kind, err)
		}
	}
}
