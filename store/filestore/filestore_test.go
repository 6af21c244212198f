//go:build unix || windows

package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
	"github.com/lineoauth/lineoauth/store/storetest"
)

const key = "2173512004/v2.1/https://api.line.me"

func open(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.New(filestore.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tempDir is a directory that only its owner can write to, as umasks may not say.
func tempDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "store")
}

func update(replaces, value string) store.Update {
	return store.Update{Value: []byte(value), Replaces: replaces, Lifetime: time.Hour}
}

func save(t *testing.T, s store.Store, replaces, value string) (revision string) {
	t.Helper()
	revision, err := s.Save(t.Context(), key, update(replaces, value))
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return revision
}

// loads checks what Load returns.
func loads(t *testing.T, s store.Store, want string) store.Entry {
	t.Helper()
	entry, err := s.Load(t.Context(), key)
	if string(entry.Value) != want || (entry.Revision == "") != (want == "") || err != nil {
		t.Errorf("Load = %q in revision %q, %v; want %q", entry.Value, entry.Revision, err, want)
	}
	return entry
}

// files are those of a directory whose names hold a part.
func files(t *testing.T, dir, part string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+part+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// file is the only one of its sort.
func file(t *testing.T, dir, part string) string {
	t.Helper()
	paths := files(t, dir, part)
	if len(paths) != 1 {
		t.Fatalf("%d files are named *%s*: %q", len(paths), part, paths)
	}
	return paths[0]
}

func TestConformance(t *testing.T) {
	t.Parallel() // it waits most of the time
	storetest.Run(t, func(t *testing.T) func() store.Store {
		dir := tempDir(t)
		return func() store.Store { return open(t, dir) }
	})
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, func(t *testing.T) (func() store.Store, func(string)) {
		dir := tempDir(t)
		damage := func(string) {
			if err := os.Truncate(file(t, dir, ".json"), 50); err != nil {
				t.Fatal(err)
			}
		}
		return func() store.Store { return open(t, dir) }, damage
	})
}

func TestFormat(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, s); got != "file store in "+dir {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestDefaultDir(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other variables say it there")
	}
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	save(t, open(t, ""), "", "x")
	file(t, filepath.Join(cache, "lineoauth"), ".json")

	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := filestore.New(filestore.Config{}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "set Dir") {
		t.Errorf("New without a home: %v", err)
	}
}

// A relative directory stays what it was.
func TestRelativeDir(t *testing.T) {
	parent := t.TempDir()
	t.Chdir(parent)
	s := open(t, "store")
	t.Chdir(t.TempDir())
	save(t, s, "", "x")
	file(t, filepath.Join(parent, "store"), ".json")
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "x")
	release, err := s.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	paths := append(files(t, dir, "token-"), dir)
	if len(paths) != 4 { // the token, its lock, the lease, and the directory
		t.Errorf("there are %q", paths)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, mode)
		}
	}
}

// A directory of this user that others can write to is given its mode back, and
// so is a file, as they come from a Kubernetes volume with an fsGroup.
func TestRepaired(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	for _, tt := range []struct{ dir, file, wantDir os.FileMode }{
		{0o770 | os.ModeSetgid, 0o660, 0o700},
		{0o775 | os.ModeSetgid, 0o664, 0o700},
		{0o777, 0o640, 0o700},
		{0o702, 0o604, 0o700},
		{0o755, 0o600, 0o755}, // others may list it
	} {
		dir := tempDir(t)
		s := open(t, dir)
		revision := save(t, s, "", "x")
		path := file(t, dir, ".json")
		for name, use := range map[string]func() store.Store{
			"a store in use": func() store.Store { return s },
			"a new store":    func() store.Store { return open(t, dir) },
		} {
			if err := errors.Join(os.Chmod(path, tt.file), os.Chmod(dir, tt.dir)); err != nil {
				t.Fatal(err)
			}
			if got := loads(t, use(), "x").Revision; got != revision {
				t.Errorf("%s: Load returns another revision", name)
			}
			if mode := stat(t, dir).Mode().Perm(); mode != tt.wantDir {
				t.Errorf("%s: a directory with mode %04o has %04o now", name, tt.dir.Perm(), mode)
			}
			if mode := stat(t, path).Mode().Perm(); mode != 0o600 {
				t.Errorf("%s: a file with mode %04o has %04o now", name, tt.file, mode)
			}
		}
	}
}

// With AnyMode, modes stay as they are.
func TestAnyMode(t *testing.T) {
	dir := tempDir(t)
	s, err := filestore.New(filestore.Config{Dir: dir, AnyMode: true})
	if err != nil {
		t.Fatal(err)
	}
	revision := save(t, s, "", "x")
	path := file(t, dir, ".json")
	if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(dir, 0o777)); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	before := []os.FileMode{stat(t, dir).Mode(), stat(t, path).Mode()}
	loads(t, s, "x")
	if after := []os.FileMode{stat(t, dir).Mode(), stat(t, path).Mode()}; !slices.Equal(before, after) {
		t.Errorf("modes were %v and are %v", before, after)
	}
	save(t, s, revision, "y")
	loads(t, s, "y")
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A newer version may share the directory.
func TestNewerFormat(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "x")
	path := file(t, dir, ".json")
	newer := `{"lineoauth":3,"key":"` + key + `"}`
	if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if entry, err := s.Load(t.Context(), key); !errors.Is(err, store.ErrNewer) || errors.Is(err, store.ErrCorrupt) || entry.Revision != "" {
		t.Errorf("Load = revision %q, %v; want ErrNewer", entry.Revision, err)
	}
	if _, err := s.Save(t.Context(), key, update("", "y")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Save: %v; want ErrConflict", err)
	}
	if data, err := os.ReadFile(path); string(data) != newer || err != nil {
		t.Errorf("then there is %q, %v", data, err)
	}
}

// What cannot be written is an error, and changes nothing. (Root may write
// anywhere, so there is something in the way.)
func TestDiskErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "store")} {
		if _, err := filestore.New(filestore.Config{Dir: path}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), dir) {
			t.Errorf("New: %v", err)
		}
	}

	s := open(t, tempDir(t))
	if _, err := s.Save(t.Context(), key, update("", strings.Repeat("x", 1<<20))); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Save of 1 MiB: %v", err)
	}

	dir = tempDir(t)
	s = open(t, dir)
	revision := save(t, s, "", "old")
	lock := file(t, dir, ".lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), key, update(revision, "new")); err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("Save without a lock: %v", err)
	}
	if _, err := s.Lease(t.Context(), key, time.Minute); err == nil || errors.Is(err, store.ErrLeased) {
		t.Errorf("Lease without a lock: %v", err)
	}
	loads(t, s, "old")
	path := file(t, dir, ".json")
	if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	// It is still there, so the caller must not take it for gone.
	if _, err := s.Load(t.Context(), key); err == nil || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "something else wrote it") {
		t.Errorf("Load of what cannot be set aside: %v", err)
	}
	if left := files(t, dir, ".tmp"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}

	// A directory that was removed is created again.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	save(t, s, "", "new")
}

// A lock that another has for too long is waited for no longer than ctx allows.
func TestLockedOut(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "old")
	defer lock(t, file(t, dir, ".lock"))()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Save(ctx, key, update("", "x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Save: %v", err)
	}
	loads(t, s, "old")
}
