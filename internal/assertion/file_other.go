//go:build !unix

package assertion

const nonBlocking = 0

func wouldBlock(error) bool { return false }
