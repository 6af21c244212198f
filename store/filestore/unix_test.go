//go:build unix

package filestore_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// other is a way to be user 12345.
type other struct {
	program string
	dir     string // which that user can reach
}

// anotherUser copies the program, since another user cannot reach what go test built.
func anotherUser(t *testing.T) other {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	o := other{dir: t.TempDir()}
	for dir := o.dir; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for the other user
			t.Fatal(err)
		}
	}
	self, err := os.ReadFile(role(t, "").Path)
	if err != nil {
		t.Fatal(err)
	}
	o.program = filepath.Join(o.dir, "program")
	if err := os.WriteFile(o.program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return o
}

// run has a process of that user do something.
func (o other) run(t *testing.T, name string, dirs ...string) (output string, err error) {
	t.Helper()
	cmd := role(t, name, dirs...)
	cmd.Path = o.program
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Files of another user, or links to them, in this user's own directory are moved out
// of the way, whether or not this user can open them.
func TestFilesOfAnotherUser(t *testing.T) {
	as := anotherUser(t)
	secret := filepath.Join(as.dir, "secret")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	chown := func(user int, mode os.FileMode) func(string) error {
		return func(path string) error { return errors.Join(os.Chmod(path, mode), os.Chown(path, user, user)) }
	}
	link := func(to string) func(string) error {
		return func(path string) error { return errors.Join(os.Remove(path), os.Symlink(to, path)) }
	}
	const foreign = "belongs to user 54321, and this process runs as user 12345"
	var dirs, wants []string // all are used by one process, since starting it takes longest
	for name, tt := range map[string]struct {
		spoil func(path string) error
		want  string // in the first error of Load; empty if it finds the token
	}{
		"private":         {chown(54321, 0o600), foreign},
		"readable":        {chown(54321, 0o644), foreign},
		"writable":        {chown(54321, 0o666), foreign},
		"root's":          {chown(0, 0o600), "belongs to user 0, and this process runs as user 12345"},
		"root's readable": {chown(0, 0o644), ""},
		"link":            {link(secret), "not a regular file"},
		"broken link":     {link(filepath.Join(as.dir, "missing", "file")), "not a regular file"},
		"circular link":   {link("circular"), "not a regular file"},
	} {
		for _, only := range []string{"", ".json", ".lock", ".lease"} {
			if name == "writable" && (only == "" || only == ".lease") {
				continue // that lease is held, and this user can see it
			}
			dir := filepath.Join(as.dir, strings.ReplaceAll(name+only, "'", ""))
			s := open(t, dir)
			save(t, s, "", "old")
			if _, err := s.Lease(t.Context(), key, time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chown(dir, 12345, 12345), os.Symlink("circular", filepath.Join(dir, "circular"))); err != nil {
				t.Fatal(err)
			}
			for _, path := range files(t, dir, "token-") {
				if err := chown(12345, 0o600)(path); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(path, only) {
					if err := tt.spoil(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			if only != "" && only != ".lease" { // whose holder is this process
				if err := os.Remove(file(t, dir, ".lease")); err != nil {
					t.Fatal(err)
				}
			}
			if only == ".lock" || only == ".lease" {
				tt.want = ""
			}
			dirs, wants = append(dirs, dir), append(wants, tt.want)
		}
	}
	all, err := as.run(t, "use", dirs...)
	outputs := strings.Split(all, "\f")
	if err != nil || len(outputs) != len(dirs)+1 {
		t.Fatalf("%v: %s", err, all)
	}
	for i, want := range wants {
		out := outputs[i]
		first, _, _ := strings.Cut(out, "\n")
		if want == "" {
			if first != `Load: "old", <nil>` {
				t.Errorf("%s: it begins with %s; want the token", dirs[i], first)
			}
		} else if !strings.Contains(first, want) || !strings.Contains(first, "it was renamed to ") {
			t.Errorf("%s: it begins with %s; want %q", dirs[i], first, want)
		}
		if !strings.HasSuffix(out, "\nLoad: \"new\", <nil>\n") || strings.Contains(out, "hunter2") {
			t.Errorf("%s: %s", dirs[i], out)
		}
	}
	if data, err := os.ReadFile(secret); string(data) != "hunter2" || err != nil {
		t.Errorf("a link's file is now %q, %v", data, err)
	}
}

// Of many who find another user's lock file, one replaces it, and it remains known
// that the clock was set back.
func TestLockOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "x")
	lock := file(t, dir, ".lock")
	if err := os.Chtimes(lock, time.Time{}, time.Now().Add(300*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := os.Chown(lock, 12345, -1); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		releases := make(chan func(), 8)
		for range cap(releases) {
			s := open(t, dir)
			wg.Go(func() {
				release, err := s.Lease(t.Context(), key, time.Hour)
				if err == nil {
					releases <- release
				} else if !errors.Is(err, store.ErrLeased) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(releases); n != 1 {
			t.Fatalf("%d of %d have the lease", n, cap(releases))
		}
		(<-releases)()
	}
	if age := loads(t, s, "x").Age; age != store.AgeUnknown {
		t.Errorf("the age is %v; want AgeUnknown", age)
	}
	if left := files(t, dir, ""); len(left) != 2 {
		t.Errorf("there are %q; want the token and its lock", left)
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
