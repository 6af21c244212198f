//go:build !unix

package cli

// privately just calls f on systems without Unix file modes.
func privately(f func()) { f() }

// readOnly returns false on systems that do not report it.
func readOnly(error) bool { return false }

// abandoned returns false on systems that do not report why a socket cannot be dialed.
func abandoned(err error) bool { return err != nil }
