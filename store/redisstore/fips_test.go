package redisstore_test

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/lineoauth/lineoauth/store/redisstore"
)

// TestFIPS uses a store in a child where what FIPS 140-3 does not approve panics.
// miniredis stays in the parent, since it computes SHA-1.
func TestFIPS(t *testing.T) {
	const variable = "LINEOAUTH_TEST_FIPS"
	addr := os.Getenv(variable)
	if addr == "" {
		server := miniredis.RunT(t)
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPS$", "-test.v") //nolint:gosec // this test itself
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", variable+"="+server.Addr())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if !fips140.Enforced() {
		t.Fatal("FIPS 140-3 is not enforced")
	}
	store := newStore(t, redisstore.Config{Client: newClient(t, addr)})
	release, err := store.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	save(t, store, "", "x")
	if value, _, err := store.Load(t.Context(), key); string(value) != "x" || err != nil {
		t.Errorf("Load: %q, %v", value, err)
	}
}
