//go:build unix

package testproc_test

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/lineoauth/lineoauth/internal/testproc"
)

// endEnv selects how TestHelper exits, in a separate process.
const endEnv = "LINEOAUTH_TESTPROC_END"

// TestHelper starts a shell that starts another, which prints a line and then would
// outlive all others.
func TestHelper(t *testing.T) {
	end := os.Getenv(endEnv)
	if end == "" {
		t.Skip("for TestNothingIsLeft")
	}
	cmd := testproc.Command(t, "sh", "-c", "sh -c 'echo started; sleep 120; echo left >&2' & wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.NewFile(3, "lives")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	switch end {
	case "returned":
	case "failed":
		t.FailNow()
	case "exited":
		os.Exit(1)
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "timed out":
		select {}
	}
}

func TestKilledWithItsTest(t *testing.T) {
	left, lives, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = left.Close() }()
	t.Run("starts", func(t *testing.T) {
		cmd := testproc.Command(t, "sh", "-c", "sh -c 'sleep 120; echo left >&2' &")
		cmd.Stderr = lives
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	_ = lives.Close()
	if text, err := io.ReadAll(left); err != nil || len(text) != 0 {
		t.Errorf("%q, %v", text, err)
	}
}

func TestNothingIsLeft(t *testing.T) {
	for _, end := range []string{"returned", "failed", "exited", "killed", "timed out"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			// All descendants of the command inherit this pipe.
			left, lives, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = left.Close() }()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper$")
			if end == "timed out" {
				cmd.Args = append(cmd.Args, "-test.timeout=1s")
			}
			cmd.Env = append(os.Environ(), endEnv+"="+end)
			cmd.ExtraFiles = []*os.File{lives}
			out, err := cmd.CombinedOutput()
			_ = lives.Close()
			if (end == "returned") != (err == nil) {
				t.Errorf("%v\n%s", err, out)
			}
			if text, err := io.ReadAll(left); err != nil || len(text) != 0 {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
