//go:build !unix

package testproc

import (
	"os/exec"
	"testing"
)

func killAtEnd(t testing.TB, cmd *exec.Cmd) {
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
}
