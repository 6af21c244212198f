//go:build unix

package filestore_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
)

// A process that is stopped keeps its lease for its time and no longer, and when
// it resumes, it does not affect the next holder.
func TestStoppedHolder(t *testing.T) {
	dir := tempDir(t)
	holder := start(t, "lease 500ms", dir)
	holder.line(t)
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	var release func()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; <-tick.C {
		var err error
		release, err = s.Lease(t.Context(), key, time.Hour)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrLeased) || time.Since(begin) > time.Minute {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
	}
	if err := errors.Join(holder.Process.Signal(syscall.SIGCONT), holder.stdin.Close()); err != nil {
		t.Fatal(err)
	}
	holder.line(t)
	if err := holder.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := s.Lease(t.Context(), key, time.Hour); !errors.Is(err, store.ErrLeased) {
		t.Errorf("after a late release: %v; want ErrLeased", err)
	}
	release()
	if left := files(t, dir, ".lease"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// A token is replaced, and never overwritten: a process that reads it, or is killed,
// has a whole one.
func TestReplaced(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	revision := save(t, s, "", "old")
	path := file(t, dir, ".json")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	save(t, s, revision, "new")
	if during, err := io.ReadAll(reader); string(during) != string(before) || err != nil {
		t.Errorf("who had it open reads %q, %v", during, err)
	}
}

// What does not belong to this user may be anybody's token.
func TestAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "x")
	if err := os.Chown(file(t, dir, ".json"), 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), key); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("Load of a file of another user: %v", err)
	}
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := filestore.New(filestore.Config{Dir: dir}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("New of a directory of another user: %v", err)
	}
}

// A pipe in the place of the token blocks nobody.
func TestPipe(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "x")
	path := file(t, dir, ".json")
	// Package syscall has no Mkfifo on some systems.
	if err := errors.Join(os.Remove(path), exec.CommandContext(t.Context(), "mkfifo", "-m", "600", path).Run()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Load: %v", err)
	}
}
