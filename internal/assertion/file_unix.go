//go:build unix

package assertion

import (
	"errors"
	"syscall"
)

// nonBlocking makes opening a pipe not wait for a writer.
const nonBlocking = syscall.O_NONBLOCK

func wouldBlock(err error) bool { return errors.Is(err, syscall.EAGAIN) }
