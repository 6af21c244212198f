package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// contained is a command in a file system of its own, by a user who is not root, if
// the tests run as root; else its binary is run as it is.
func contained(t *testing.T, folder string, args, env []string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		cmd := exec.Command(filepath.Join(folder, args[0]), args[1:]...)
		cmd.Env = []string{"HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir()}
		return cmd
	}
	// The modes that unpacking does not set: the user of the test needs access.
	for name, mode := range map[string]os.FileMode{"": 0o755, "tmp": 0o777 | os.ModeSticky, "home/nonroot": 0o777} {
		if err := os.Chmod(filepath.Join(folder, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := &exec.Cmd{Path: args[0], Args: args, Env: env, Dir: "/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: folder, Credential: &syscall.Credential{Uid: nonroot, Gid: nonroot}}
	return cmd
}
