// Package testproc runs the programs that tests need.
package testproc

import (
	"os/exec"
	"testing"
)

// Command is exec.Command for a test. What it starts, and whatever that starts,
// is killed when the test ends, and on Unix also when the process of the test is
// killed or ends without cleaning up, as it does after go test's -timeout.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...) //nolint:gosec // tests choose what they run
	killAtEnd(t, cmd)
	return cmd
}
