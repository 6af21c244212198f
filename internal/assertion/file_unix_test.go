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

// A pipe that is not written or not closed does not block a program forever; a
// written one is read.
func TestReadPipe(t *testing.T) {
	t.Run("not written", func(t *testing.T) {
		t.Parallel()
		if _, err := assertion.ReadFile(fifo(t)); err == nil || !strings.Contains(err.Error(), "the pipe was not written") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("not closed", func(t *testing.T) {
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
		if _, err := assertion.ReadFile(path); err == nil || !strings.Contains(err.Error(), "and closed within") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("written", func(t *testing.T) {
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
