//go:build unix

package cli

import (
	"errors"
	"syscall"
)

// privately calls f with a umask that gives access only to the user.
func privately(f func()) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	f()
}

// readOnly reports whether an error is that of a file system mounted read-only.
func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// abandoned reports whether dialing a socket failed because no process listens on it.
func abandoned(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
