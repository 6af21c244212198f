package filestore

import (
	"errors"
	"io/fs"
	"syscall"
)

func checkLocks() error { return nil }

// The directory's access list decides.
func checkDirOwner(fs.FileInfo) error  { return nil }
func checkFileOwner(fs.FileInfo) error { return nil }
func checkUser(fs.FileInfo) error      { return nil }

// syncDir does nothing: directories cannot be synced there.
func syncDir(string) error { return nil }

// busy reports whether another process has a file open, or has just deleted it.
func busy(err error) bool {
	const sharingViolation, deletePending = syscall.Errno(32), syscall.Errno(303)
	return errors.Is(err, sharingViolation) || errors.Is(err, deletePending) || errors.Is(err, syscall.ERROR_ACCESS_DENIED)
}

// advice returns what to do about an error of the file system, to append to it.
func advice(err error) string {
	const writeProtect, handleDiskFull, diskFull, diskQuotaExceeded = syscall.Errno(19), syscall.Errno(39), syscall.Errno(112), syscall.Errno(1295)
	switch {
	case errors.Is(err, handleDiskFull), errors.Is(err, diskFull):
		return "; the disk is full: free some space, or set Dir to another one"
	case errors.Is(err, diskQuotaExceeded):
		return "; the user's quota is used up: free some space, or set Dir to another disk"
	case errors.Is(err, writeProtect):
		return "; the disk is write-protected: set Dir to a writable one"
	}
	return ""
}
