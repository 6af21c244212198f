//go:build !unix && !windows

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

// checkLocks fails on these systems, on which package flock has no locks.
func checkLocks() error {
	return fmt.Errorf("%w: no file locks on %s; use another store, or none", errors.ErrUnsupported, runtime.GOOS)
}

// New fails before any of these is called.
func checkDirOwner(fs.FileInfo) error  { return nil }
func checkFileOwner(fs.FileInfo) error { return nil }
func checkUser(fs.FileInfo) error      { return nil }
func syncDir(string) error             { return nil }
func busy(error) bool                  { return false }
func advice(error) string              { return "" }
