//go:build unix

package env

import (
	"io/fs"
	"os"
	"syscall"
)

// Exposed reports whether users other than the intended ones can read or change a
// secret's file. One of another user's that its group can read is none: this process
// reads it by that group, as what Kubernetes mounts for one that is not root, or by an
// access list, whose mask stands in the group's place, as with systemd's credentials.
func Exposed(file fs.FileInfo) bool { return exposed(file, os.Geteuid()) }

func exposed(file fs.FileInfo, user int) bool {
	if !file.Mode().IsRegular() {
		return false
	}
	meant := fs.FileMode(0o600)
	if stat, ok := file.Sys().(*syscall.Stat_t); ok && user != 0 && int(stat.Uid) != user {
		meant = 0o640
	}
	return file.Mode().Perm()&0o077&^meant != 0
}

// Foreign reports whether a file belongs to another user than this one and root.
func Foreign(file fs.FileInfo) bool {
	stat, ok := file.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}
