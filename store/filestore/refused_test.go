//go:build unix || windows

package filestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lineoauth/lineoauth/store"
)

// A file that is not a token of the store is refused, quarantined, and replaced.
func TestRefused(t *testing.T) {
	write := func(data string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(string(f(data)))(t, path)
		}
	}
	mode := func(mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if runtime.GOOS == "windows" {
				t.Skip("access lists decide there")
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"torn":     {change(func(data []byte) []byte { return data[:len(data)/2] }), "torn"},
		"empty":    {write(""), "torn"},
		"foreign":  {write("hunter2"), "something else wrote it"},
		"tampered": {change(func(data []byte) []byte { data[len(data)/2] ^= 1; return data }), ""},
		"too large": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 1<<20+1); err != nil {
				t.Fatal(err)
			}
		}, "larger than 1048576 bytes"},
		"another key": {func(t *testing.T, path string) {
			t.Helper()
			dir := tempDir(t)
			other := open(t, dir)
			if _, err := other.Save(t.Context(), key+"/", update("", "x")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file(t, dir, ".json"), path); err != nil {
				t.Fatal(err)
			}
		}, "another channel"},
		"link": {func(t *testing.T, path string) {
			t.Helper()
			target := filepath.Join(t.TempDir(), "elsewhere")
			if err := os.Rename(path, target); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, path); err != nil {
				t.Skip(err)
			}
		}, "not a regular file (L---------)"},
		"directory": {func(t *testing.T, path string) {
			t.Helper()
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file (d---------)"},
		"writable by others": {mode(0o602), "other users can change it (mode 0602)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			s := open(t, dir)
			revision := ""
			var kept []string
			for round := 1; round <= 2; round++ {
				revision = save(t, s, revision, "a token")
				path := file(t, dir, ".json")
				tt.spoil(t, path)
				spoilt, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Save(t.Context(), key, update(revision, "late")); !errors.Is(err, store.ErrConflict) {
					t.Errorf("Save over it: %v; want ErrConflict", err)
				}

				entry, err := s.Load(t.Context(), key)
				if !errors.Is(err, store.ErrCorrupt) || entry.Revision != "" {
					t.Fatalf("Load = revision %q, %v; want ErrCorrupt", entry.Revision, err)
				}
				revision = ""
				refused := slices.DeleteFunc(files(t, dir, ".refused-"), func(path string) bool { return slices.Contains(kept, path) })
				if len(refused) != 1 {
					t.Fatalf("after %d times there are %q besides %q", round, refused, kept)
				}
				kept = append(kept, refused...)
				if aside, err := os.Lstat(refused[0]); err != nil || !os.SameFile(aside, spoilt) {
					t.Errorf("what was set aside is something else: %v", err)
				}
				for _, part := range []string{path, tt.want, filepath.Base(refused[0])} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q is not in the error: %v", part, err)
					}
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error shows what it read: %v", err)
				}
				loads(t, s, "")
			}
		})
	}
}

// Of many who find it at once, one sets it aside.
func TestRefusedByMany(t *testing.T) {
	dir := tempDir(t)
	save(t, open(t, dir), "", "x")
	path := file(t, dir, ".json")
	for round := range 20 {
		if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var refused atomic.Int32
		for range 8 {
			s := open(t, dir)
			wg.Go(func() {
				entry, err := s.Load(t.Context(), key)
				if errors.Is(err, store.ErrCorrupt) {
					refused.Add(1)
				} else if entry.Revision != "" || err != nil {
					t.Errorf("Load = %q, %v", entry.Revision, err)
				}
			})
		}
		wg.Wait()
		if n := refused.Load(); n != 1 {
			t.Errorf("%d of 8 say that they set it aside", n)
		}
		if kept := files(t, dir, ".refused-"); len(kept) != round+1 {
			t.Errorf("after %d times, %d are kept", round+1, len(kept))
		}
	}
}
