//go:build unix

package doctor_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lineoauth/lineoauth/internal/doctor"
)

// What the readers of a store can be is reported only for a directory that was read.
func TestStoreReaders(t *testing.T) {
	t.Parallel()
	key := keyOf(t, firstKey)
	for name, tt := range map[string]struct {
		store func(*fixture)
		want  doctor.Status
	}{
		"a store":            {func(p *fixture) { p.stored() }, doctor.OK},
		"a regular file":     {func(p *fixture) { p.store = p.write("file", nil) }, doctor.Skipped},
		"below a file":       {func(p *fixture) { p.store = filepath.Join(p.write("file", nil), "store") }, doctor.Skipped},
		"not there":          {func(*fixture) {}, doctor.Skipped},
		"of another user":    {func(p *fixture) { p.stored(); p.chown(p.store) }, doctor.Failed},
		"a token of another": {func(p *fixture) { p.stored(); p.chown(p.storeFile()) }, doctor.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newFixture(t, key)
			tt.store(p)
			checks, output := p.examine()
			for _, c := range checks {
				if c.Name == "store readers" && (c.Status != tt.want || (c.Fix == "") == (tt.want == doctor.Failed)) {
					t.Errorf("%+v; want %s:\n%s", c, tt.want, output)
				}
			}
		})
	}
}

// chown gives a file to another user, for which a process needs privileges.
func (p *fixture) chown(path string) {
	p.Helper()
	if err := os.Chown(path, 12345, -1); err != nil {
		p.Skipf("another user's file: %v", err)
	}
}
