//go:build !unix

package env

import (
	"io/fs"
	"runtime"
)

// Exposed reports whether others can read or change a secret's file. On Windows its
// mode does not tell.
func Exposed(file fs.FileInfo) bool {
	return runtime.GOOS != "windows" && file.Mode().IsRegular() && file.Mode().Perm()&0o077 != 0
}

// Foreign reports whether a file belongs to another user, which is known on Unix only.
func Foreign(fs.FileInfo) bool { return false }
