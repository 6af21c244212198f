package doctor_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// mount mounts a file system in memory, for which a process needs privileges.
func (p *fixture) mount(options string) {
	p.Helper()
	disk := p.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, options); err != nil {
		p.Skipf("mounting: %v", err)
	}
	p.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	p.store = filepath.Join(disk, "store")
	p.stored()
}

func TestDisks(t *testing.T) {
	t.Parallel()
	key := keyOf(t, firstKey)
	check(t, key, breakage{func(p *fixture) {
		p.mount("size=128k")
		_ = os.WriteFile(filepath.Join(filepath.Dir(p.store), "filler"), make([]byte, 1<<20), 0o600)
	}, "store writable", "no space left", "free some space"})
	check(t, key, breakage{func(p *fixture) {
		p.mount("size=1m")
		if err := syscall.Mount("", filepath.Dir(p.store), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			p.Fatal(err)
		}
	}, "store writable", "read-only", ""})
}
