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

// checkDirOwner returns an error for a directory in which other users can create a token.
func checkDirOwner(dir fs.FileInfo) error {
	if uid, _ := owner(dir); uid != 0 {
		if err := checkUser(dir); err != nil {
			return err
		}
	}
	if mode := dir.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%w (mode %04o)", errMode, mode)
	}
	return nil
}

// checkFileOwner returns an error for a file that other users may have created or
// changed. A file of this user that a group can change is accepted: only this user
// can have given the group access.
func checkFileOwner(file fs.FileInfo) error {
	uid, _ := owner(file)
	foreign, mode := checkUser(file), file.Mode().Perm()
	own := foreign == nil
	switch {
	case !own && uid != 0:
		return foreign
	case mode&0o002 != 0, !own && mode&0o020 != 0:
		return fmt.Errorf("other users can change it (mode %04o)", mode)
	case own && mode&0o077 != 0:
		return fmt.Errorf("%w (mode %04o)", errMode, mode)
	}
	return nil
}

// checkUser returns an error for a file of another user, also of root.
func checkUser(file fs.FileInfo) error {
	if uid, ok := owner(file); ok && uid != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, and this process runs as user %d", uid, os.Geteuid())
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

// syncDir syncs a rename to disk.
func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // the caller names the directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // not supported by the file system
	}
	return err
}

func busy(error) bool { return false }

// advice returns what to do about an error of the file system, to append to it.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "; the disk is full: free some space, or set Dir to another one"
	case errors.Is(err, syscall.EDQUOT):
		return "; the user's quota is used up: free some space, or set Dir to another disk"
	case errors.Is(err, syscall.EROFS):
		return "; the file system is read-only: set Dir to a writable one"
	}
	return ""
}
