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

// syncDir does nothing: directories cannot be synced there.
func syncDir(string) error { return nil }

// busy reports whether somebody has a file open, or has just deleted it.
func busy(err error) bool {
	const sharingViolation, deletePending = syscall.Errno(32), syscall.Errno(303)
	return errors.Is(err, sharingViolation) || errors.Is(err, deletePending) || errors.Is(err, syscall.ERROR_ACCESS_DENIED)
}
