package fleet

// untraced has wait4 report a process that was stopped; package syscall lacks it here.
const untraced = 2
