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
	private, _, err := newKeyPair()
	if err != nil {
		t.Fatal(err)
	}
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
	bin := filepath.Join(dir, "lineoauth")                    // what go test built may be out of reach
	if err := os.WriteFile(bin, program, 0o755); err != nil { //nolint:gosec // for the other user
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"read-only": 0o500, "unreadable": 0o200, "write-only": 0o300} {
		store := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(store, mode), os.Chown(store, user, os.Getgid())); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(store, 0o700) }) //nolint:gosec // a directory's mode
		for _, args := range []string{"issue", "issue --type v2.1", "key-ids", "revoke bogus", "doctor"} {
			cmd := process(append(strings.Fields(args), "--store", store)...)
			cmd.Path = bin
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}} //nolint:gosec // a user's number
			}
			cmd.Env = append(cmd.Env, "LINE_CHANNEL_ID="+srv.Channel().ID, "LINE_CHANNEL_SECRET="+srv.Channel().Secret,
				"LINE_PRIVATE_KEY="+string(private), "LINE_KEY_ID=kid", "LINE_OAUTH_BASE_URL="+srv.URL, "HOME="+dir)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			before := len(srv.State().Calls)
			_ = cmd.Run() // its exit code is checked
			if args == "doctor" {
				if strings.Contains(stdout.String(), "\n✓ store readers: ") != (mode == 0o500) || !strings.Contains(stdout.String(), "\n✗ store writable: ") {
					t.Errorf("%s of a %s store: %s%s", args, name, stdout.String(), stderr.String())
				}
				continue
			}
			if args == "revoke bogus" && mode == 0o200 {
				if cmd.ProcessState.ExitCode() != 0 || !strings.HasSuffix(stderr.String(), writableStore+"\n") || strings.Count(stderr.String(), "warning: ") != 1 {
					t.Errorf("%s with a %s store: %v, %s", args, name, cmd.ProcessState, stderr.String())
				}
			}
			if args == "revoke bogus" {
				continue
			}
			if code := cmd.ProcessState.ExitCode(); code != 2 || stdout.Len() > 0 || !strings.HasSuffix(stderr.String(), "; "+writableStore+"\n") || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("%s with a %s store: exit code %d, %s%s", args, name, code, stdout.String(), stderr.String())
			}
			if len(srv.State().Calls) != before {
				t.Errorf("%s with a %s store: calls %v", args, name, srv.State().Calls)
			}
		}
	}
}
