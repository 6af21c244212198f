package deploy

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lineoauth/lineoauth/internal/testproc"
)

// The proxy needs no file system that it can write to, and with a store, no more of it
// than that; where it could write everywhere, it writes there alone.
func TestReadOnlyRoot(t *testing.T) {
	is := released(t)
	uid, err := strconv.Atoi(is.user)
	if err != nil {
		t.Fatal(err)
	}
	m := decodeManifest(t, "kubernetes/sidecar.yaml")
	c := m.container(t, "proxy")
	for _, test := range []struct {
		name     string
		writable bool
		args     []string
		store    bool
	}{
		{"read-only", false, nil, false},
		{"read-only with a store", false, []string{"--type=v2.1", "--store=/store"}, true},
		{"writable", true, nil, false},
		{"writable with a store", true, []string{"--type=v2.1", "--store=/store"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "secret", "8081")
			root := t.TempDir()
			program, err := os.ReadFile(is.program())
			if err != nil {
				t.Fatal(err)
			}
			write := func(name string, data []byte, mode os.FileMode) {
				t.Helper()
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, data, mode); err != nil {
					t.Fatal(err)
				}
			}
			write(is.entrypoint, program, 0o555)
			env := environment(t, c)
			write(env["LINE_CHANNEL_SECRET_FILE"], []byte("secret"), 0o444)
			write("run/secrets/line/private-key.json", []byte(w.registerKey()), 0o444)
			write("tmp/none", nil, 0o444)
			write("store/none", nil, 0o444)
			env["LINE_OAUTH_BASE_URL"] = w.line.URL
			if test.store {
				env["LINE_PRIVATE_KEY_FILE"] = "/run/secrets/line/private-key.json"
			}
			before := modes(t, root, map[bool]os.FileMode{false: 0o555, true: 0o777}[test.writable])
			store := filepath.Join(root, "store")
			if test.store {
				if os.Getuid() == 0 {
					err = os.Chown(store, uid, uid)
				}
				if err == nil {
					err = os.Chmod(store, 0o700) //nolint:gosec // a folder
				}
				if err != nil {
					t.Fatal(err)
				}
			}

			args := []string{is.entrypoint}
			for _, a := range append(append([]string{}, c.Args...), test.args...) {
				args = append(args, w.here(a))
			}
			cmd := testproc.Command(t, "/bin/true")
			cmd.Path, cmd.Args, cmd.Dir = args[0], args, "/"
			cmd.SysProcAttr.Chroot = root
			for name, value := range env {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			if os.Getuid() == 0 {
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)} //nolint:gosec // 65532
			} else {
				cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
				cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}}
				if err := testproc.Command(t, "unshare", "--user", "true").Run(); err != nil {
					t.Skip("this user can have no user namespace: ", err)
				}
			}
			proxy := await(t, cmd, "")
			if got := w.push("http://"+w.here("127.0.0.1:8081"), "localhost"); got != http.StatusOK {
				t.Errorf("a push is answered with %d", got)
			}
			proxy.stop()
			if said := proxy.stderr.String(); strings.Contains(said, "store") {
				t.Error(said)
			}
			after := modes(t, root, 0o755)
			for name := range after {
				inStore := test.store && strings.HasPrefix(name, "store/")
				if !before[name] && !inStore {
					t.Errorf("it wrote %s", name)
				}
			}
			if test.store && len(after) == len(before) {
				t.Error("it stored nothing")
			}
		})
	}
}

// modes gives all folders a mode, and returns what there is.
func modes(t *testing.T, root string, mode os.FileMode) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	var folders []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			folders = append(folders, path)
		}
		name, err := filepath.Rel(root, path)
		all[filepath.ToSlash(name)] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // so that they can be removed
		for _, folder := range folders {
			_ = os.Chmod(folder, 0o755) //nolint:gosec // a folder
		}
	})
	return all
}
