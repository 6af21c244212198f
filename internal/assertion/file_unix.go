//go:build unix

package assertion

import (
	"errors"
	"syscall"
)

// nonBlocking has the opening of a pipe not wait for who writes to it.
const nonBlocking = syscall.O_NONBLOCK

func wouldBlock(err error) bool { return errors.Is(err, syscall.EAGAIN) }
