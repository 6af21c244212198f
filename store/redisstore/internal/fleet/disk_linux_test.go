package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that is full is noticed before LINE is asked, with and without an
// expired token on it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
		if os.Geteuid() == 0 && os.Getenv("LINEOAUTH_NEED_TOOLS") != "" {
			t.Fatalf("mounting: %v", err)
		}
		t.Skipf("mounting: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	f := newFleet(t, settings{Dir: filepath.Join(disk, "store")})
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	f.wantNothing("no space")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	f.start(1)
	f.agree("with space")
	f.wantIssues(1, "with space")
}
