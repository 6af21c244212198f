package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// A store that this user cannot write or read is a wrong configuration, found before
// anything is sent.
func TestStoreWithoutPermission(t *testing.T) {
	t.Parallel()
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	private, _ := keyPair(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, user := t.TempDir(), os.Getuid()
	if user == 0 {
		user = 12345 // another user, whom permissions stop
		for open := dir; strings.HasPrefix(open, os.TempDir()) && open != os.TempDir(); open = filepath.Dir(open) {
			if err := os.Chmod(open, 0o755); err != nil { //nolint:gosec // for the other user
				t.Fatal(err)
			}
		}
	}
	bin := filepath.Join(dir, "lineoauth") // the other user cannot reach what go test built
	if err := os.WriteFile(bin, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"read-only": 0o500, "unreadable": 0o200, "write-only": 0o300, "mounted read-only": 0o700} {
		store := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(store, mode), os.Chown(store, user, os.Getgid())); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(store, 0o700) }) //nolint:gosec // a directory's mode
		advice := writableStore
		if mode == 0o700 {
			if err := syscall.Mount("tmpfs", store, "tmpfs", syscall.MS_RDONLY, "mode=0755"); err != nil {
				continue // without privileges
			}
			t.Cleanup(func() { _ = syscall.Unmount(store, syscall.MNT_DETACH) })
			advice = "set --store to a writable one"
		}
		as := func(args ...string) (code int, stdout, stderr string) {
			cmd := process(append(args, "--store", store)...)
			cmd.Path = bin
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}} //nolint:gosec // a number of a user
			}
			cmd.Env = append(cmd.Env, "LINE_CHANNEL_ID="+srv.Channel().ID, "LINE_CHANNEL_SECRET="+srv.Channel().Secret,
				"LINE_PRIVATE_KEY="+string(private), "LINE_KEY_ID=kid", "LINE_OAUTH_BASE_URL="+srv.URL, "HOME="+dir)
			var out, errs strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &errs
			_ = cmd.Run() // the exit code is returned
			return cmd.ProcessState.ExitCode(), out.String(), errs.String()
		}
		before := len(srv.State().Calls)
		for _, args := range []string{"issue", "issue --type v2.1", "key-ids"} {
			if code, stdout, stderr := as(strings.Fields(args)...); code != 2 || stdout != "" || !strings.HasSuffix(stderr, advice+"\n") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s with a %s store: exit code %d, %s%s", args, name, code, stdout, stderr)
			}
		}
		if calls := srv.State().Calls; len(calls) != before {
			t.Errorf("%s store: calls %v", name, calls)
		}
		if _, stdout, _ := as("doctor"); strings.Contains(stdout, "\n✓ store readers: ") != (mode&0o500 == 0o500) || !strings.Contains(stdout, "\n✗ store writable: ") {
			t.Errorf("doctor of a %s store: %s", name, stdout)
		}
		if mode == 0o200 {
			if code, _, stderr := as("revoke", "bogus"); code != 0 || !strings.HasSuffix(stderr, advice+"\n") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("revoke with a %s store: exit code %d, %s", name, code, stderr)
			}
		}
	}
}
