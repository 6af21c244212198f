//go:build unix && !aix

package fleet

import "syscall"

// untraced has wait4 report a process that was stopped.
const untraced = syscall.WUNTRACED
