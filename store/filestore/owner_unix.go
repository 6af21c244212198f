//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func checkLocks() error { return nil }

// checkDirOwner keeps out of directories in which others could put a token.
func checkDirOwner(dir fs.FileInfo) error {
	if uid, ok := owner(dir); ok && uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("it belongs to user %d, and this process runs as user %d; name one of its own", uid, os.Geteuid())
	}
	if mode := dir.Mode(); mode.Perm()&0o022 != 0 {
		return fmt.Errorf("other users can write to it (mode %04o); make its mode 0700, or name another", mode.Perm())
	}
	return nil
}

// checkFileOwner takes no token that others could read or write.
func checkFileOwner(file fs.FileInfo) error {
	if uid, ok := owner(file); ok && uid != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, and this process runs as user %d", uid, os.Geteuid())
	}
	if mode := file.Mode(); mode.Perm()&0o077 != 0 {
		return fmt.Errorf("other users can read or change it (mode %04o)", mode.Perm())
	}
	return nil
}

func owner(file fs.FileInfo) (uid int, ok bool) {
	stat, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// syncDir brings a rename to disk.
func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // the caller names the directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // the file system does it by itself, or never
	}
	return err
}

func busy(error) bool { return false }
