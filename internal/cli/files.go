package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// staged is a file that is written under a unique temporary name, but not yet renamed.
type staged struct{ temp, path string }

// stage writes and syncs a file in the directory of its destination.
func stage(path string, data []byte, mode fs.FileMode) (_ *staged, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".lineoauth-*") // 0600
	if err != nil {
		return nil, err
	}
	s := &staged{temp.Name(), path}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close(), os.Chmod(s.temp, mode))
	if err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// discard removes the file, unless it was renamed.
func (s *staged) discard() { _ = os.Remove(s.temp) }

// move renames the file to its destination, and overwrites only with force.
func (s *staged) move(overwrite bool) error {
	if overwrite {
		return os.Rename(s.temp, s.path)
	}
	// An empty file reserves the name until it is replaced.
	empty, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = empty.Close(); err == nil {
		err = os.Rename(s.temp, s.path)
	}
	if err != nil {
		_ = os.Remove(s.path)
	}
	return err
}

// checkPlace rejects a path that exists, unless it is a regular file and force is set.
func checkPlace(path string, overwrite bool) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil // creating it will report this
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file; name another one", path)
	case !overwrite:
		return fmt.Errorf("%s already exists; name another file, or use --force to overwrite it", path)
	}
	return nil
}

// samePlace reports whether two paths name one file, which need not exist. On some
// file systems, names are not case-sensitive.
func samePlace(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil && os.SameFile(infoA, infoB) {
		return true
	}
	if !strings.EqualFold(filepath.Base(a), filepath.Base(b)) {
		return false
	}
	infoA, errA = os.Stat(filepath.Dir(a))
	infoB, errB = os.Stat(filepath.Dir(b))
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
