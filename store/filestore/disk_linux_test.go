package filestore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
)

// mount mounts a file system in memory, for which a process needs privileges.
func mount(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mounting: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill writes a file until the disk has no room for more.
func fill(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
}

// A full disk is named, keeps what it has, and is left without litter.
func TestFullDisk(t *testing.T) {
	for name, options := range map[string]string{"no space": "size=128k", "no inodes": "size=1m,nr_inodes=6"} {
		t.Run(name, func(t *testing.T) {
			disk := mount(t, options)
			dir := filepath.Join(disk, "store")
			s := open(t, dir)
			revision := save(t, s, "", "old")
			var filler []string
			if name == "no space" {
				filler = []string{filepath.Join(disk, "filler")}
				fill(t, filler[0])
			} else {
				for i := 0; ; i++ {
					path := filepath.Join(disk, fmt.Sprint("filler", i))
					if err := os.WriteFile(path, nil, 0o600); errors.Is(err, syscall.ENOSPC) {
						break
					} else if err != nil || i > 10 {
						t.Fatalf("filling the disk: file %d: %v", i, err)
					}
					filler = append(filler, path)
				}
			}
			_, err := s.Save(t.Context(), key, update(revision, "new"))
			if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "free some space") {
				t.Errorf("Save on a full disk: %v", err)
			}
			release, err := s.Lease(t.Context(), key, time.Minute)
			if err == nil { // it takes no space, but an inode
				release()
			} else if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, store.ErrLeased) || !strings.Contains(err.Error(), "free some space") {
				t.Errorf("Lease on a full disk: %v", err)
			}
			if left := files(t, dir, ""); len(left) != 2 {
				t.Errorf("there are %q; want the token and its lock", left)
			}
			loads(t, open(t, dir), "old")
			for _, path := range filler {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			save(t, s, revision, "new")
			loads(t, s, "new")
		})
	}
}

// A file system that is read-only by now is read, and named by what needs more.
func TestReadOnly(t *testing.T) {
	disk := mount(t, "size=1m")
	dir := filepath.Join(disk, "store")
	s := open(t, dir)
	revision := save(t, s, "", "old")
	setTimes(t, dir, time.Hour, 2*time.Minute)
	remount := func(dirMode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.Chmod(dir, dirMode), syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")); err != nil {
			t.Fatal(err)
		}
	}
	remount(0o700)
	if age := loads(t, open(t, dir), "old").Age; age < time.Hour || age > 2*time.Hour {
		t.Errorf("the age is %v; want an hour", age)
	}
	_, saveErr := s.Save(t.Context(), key, update(revision, "new"))
	_, leaseErr := s.Lease(t.Context(), key, time.Minute)
	_, newErr := filestore.New(filestore.Config{Dir: filepath.Join(disk, "another")})
	for call, err := range map[string]error{"Save": saveErr, "Lease": leaseErr, "New": newErr} {
		if !errors.Is(err, syscall.EROFS) || errors.Is(err, store.ErrLeased) || !strings.Contains(err.Error(), "the file system is read-only") {
			t.Errorf("%s: %v; want EROFS", call, err)
		}
	}

	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	remount(0o775)
	_, err := filestore.New(filestore.Config{Dir: dir})
	for _, want := range []string{"mode 0775", "cannot be changed", "read-only", "store.Sealed", "AnyMode", "fsGroupChangePolicy: OnRootMismatch"} {
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("New of a directory that cannot be repaired: %v; want %q", err, want)
		}
	}
	s, err = filestore.New(filestore.Config{Dir: dir, AnyMode: true})
	if err != nil {
		t.Fatal(err)
	}
	loads(t, s, "old")
}

// A volume's own directory is root's and the group's, but one in it is good.
func TestVolume(t *testing.T) {
	as := anotherUser(t)
	volume := filepath.Join(as.dir, "volume")
	if err := os.Mkdir(volume, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(volume, 0, 12345), os.Chmod(volume, 0o775|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(volume, "store")
	for dir, want := range map[string]string{volume: "operation not permitted; set Dir to a directory of this user", inner: "leased\n"} {
		out, err := as.run(t, "lease", dir)
		if (err == nil) != (dir == inner) || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v: %s; want %q", dir, err, out, want)
		}
	}
	// Root's own process is not that user's.
	if _, err := filestore.New(filestore.Config{Dir: inner}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("New of a directory of another user: %v", err)
	}
}
