package filestore

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// What cannot be repaired stays refused, and the error contains why.
func TestNotRepaired(t *testing.T) {
	info := func() (fs.FileInfo, error) { return os.Stat(".") }
	failed := errors.New("failed")
	works := func() error { return nil }
	for name, tt := range map[string]struct {
		check func(fs.FileInfo) error
		chmod func() error
		stat  func() (fs.FileInfo, error)
		want  string
	}{
		"without effect": {func(fs.FileInfo) error { return errMode }, works, info, "has no effect"},
		"refused":        {func(fs.FileInfo) error { return errMode }, func() error { return failed }, info, "cannot be changed: failed"},
		"gone":           {func(fs.FileInfo) error { return errMode }, works, func() (fs.FileInfo, error) { return nil, failed }, "failed"},
		"another user's": {func(fs.FileInfo) error { return failed }, func() error { panic("it was changed") }, info, "failed"},
	} {
		if err := repaired(tt.check, nil, tt.chmod, tt.stat); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
}
