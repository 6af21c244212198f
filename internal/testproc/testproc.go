// Package testproc runs the programs that tests need.
package testproc

import (
	"os/exec"
	"testing"
)

// Command is exec.Command for a test. The process and its descendants are killed when
// the test ends, and on Unix also when the test's process is killed or exits without
// cleaning up, as after go test's -timeout.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...) //nolint:gosec // tests choose what they run
	killAtEnd(t, cmd)
	return cmd
}
