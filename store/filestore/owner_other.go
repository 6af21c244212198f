//go:build !unix && !windows

package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

// checkLocks refuses these systems: package flock locks nothing on them.
func checkLocks() error {
	return fmt.Errorf("%w: there are no file locks on %s; use another store, or none", errors.ErrUnsupported, runtime.GOOS)
}

// New refuses before any of these is called.
func checkDirOwner(fs.FileInfo) error  { return nil }
func checkFileOwner(fs.FileInfo) error { return nil }
func syncDir(string) error             { return nil }
func busy(error) bool                  { return false }
func advice(error) string              { return "" }
