//go:build !unix

package cli

// privately is for systems whose files have no such modes.
func privately(f func()) { f() }

// abandoned is for systems that do not tell why a socket cannot be dialed.
func abandoned(err error) bool { return err != nil }
