//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package assertion_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A pipe that nobody writes to, or nobody closes, does not hold up a program
// forever; one that somebody writes to is read.
func TestReadPipe(t *testing.T) {
	t.Run("nobody writes", func(t *testing.T) {
		t.Parallel()
		if _, err := assertion.ReadFile(fifo(t)); err == nil || !strings.Contains(err.Error(), "nobody wrote to the pipe") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("nobody closes", func(t *testing.T) {
		t.Parallel()
		path := fifo(t)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if _, err := f.WriteString("a part"); err != nil {
			t.Fatal(err)
		}
		if _, err := assertion.ReadFile(path); err == nil || !strings.Contains(err.Error(), "or closed it") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("somebody writes", func(t *testing.T) {
		t.Parallel()
		path := fifo(t)
		wrote := make(chan error, 1)
		go func() { wrote <- os.WriteFile(path, []byte("a key"), 0o600) }()
		got, err := assertion.ReadFile(path)
		if string(got) != "a key" || err != nil {
			t.Errorf("ReadFile = %q, %v", got, err)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	})
}
