//go:build unix

package env

import (
	"os"
	"path/filepath"
	"testing"
)

func TestExposed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	for _, test := range []struct {
		mode os.FileMode
		user int
		want bool
	}{
		{0o600, owner, false},
		{0o640, owner, true},
		{0o604, owner, true},
		{0o440, owner + 1, false}, // Kubernetes with an fsGroup, systemd
		{0o444, owner + 1, true},
		{0o460, owner + 1, true},
		{0o640, 0, true},
	} {
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := exposed(info, test.user); got != test.want {
			t.Errorf("mode %04o, read by user %d where the owner is %d: %v", test.mode, test.user, owner, got)
		}
	}
}
