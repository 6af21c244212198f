//go:build unix

package testproc

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// killAtEnd runs a command in its own process group, led by a shell. The shell reads
// from a pipe that only this process can write to, so it notices when this process
// ends, in whatever way, and kills the group. While the shell runs, no other group
// can have the same number.
func killAtEnd(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	end, running, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	leader := exec.Command("sh", "-c", "read -r _; kill -s KILL 0")
	leader.Stdin = end
	leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
	group := leader.Process.Pid
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
	t.Cleanup(func() {
		_ = syscall.Kill(-group, syscall.SIGKILL)
		_ = leader.Wait()
		_ = running.Close()
	})
}
