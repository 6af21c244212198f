//go:build unix

package cli

import (
	"errors"
	"syscall"
)

// privately has what f creates be the user's alone.
func privately(f func()) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	f()
}

// abandoned reports whether dialing a socket failed since nobody listens on it.
func abandoned(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
