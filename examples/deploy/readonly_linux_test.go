package deploy

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
			env := environment(t, c)
			env["LINE_OAUTH_BASE_URL"] = w.line.URL
			if test.store {
				env["LINE_PRIVATE_KEY_FILE"] = "/run/secrets/line/private-key.json"
			}
			root := w.root(is, env["LINE_CHANNEL_SECRET_FILE"])
			before := modes(t, root, map[bool]os.FileMode{false: 0o555, true: 0o777}[test.writable])
			if test.store {
				own(t, filepath.Join(root, "store"), uid)
			}
			args := []string{is.entrypoint}
			for _, a := range slices.Concat(c.Args, test.args) {
				args = append(args, w.here(a))
			}
			proxy := await(t, contained(t, root, uid, args, env), "")
			if got := w.push("http://"+w.here("127.0.0.1:8081"), "localhost"); got != http.StatusOK {
				t.Errorf("a push is answered with %d", got)
			}
			proxy.stop()
			if said := proxy.stderr.String(); strings.Contains(said, "store") {
				t.Error(said)
			}
			after := modes(t, root, 0o755)
			for name := range after {
				if !before[name] && (!test.store || !strings.HasPrefix(name, "store/")) {
					t.Errorf("it wrote %s", name)
				}
			}
			if test.store && len(after) == len(before) {
				t.Error("it stored nothing")
			}
		})
	}
}

// root is a file system with the program, its secrets, and empty folders.
func (w *world) root(is image, secretFile string) string {
	w.Helper()
	root := w.TempDir()
	for name, text := range map[string]string{
		is.entrypoint:                       read(w.T, is.program()),
		secretFile:                          "secret",
		"run/secrets/line/private-key.json": w.registerKey(),
		"tmp/none":                          "",
		"store/none":                        "",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o555)); err != nil {
			w.Fatal(err)
		}
	}
	return root
}

// own gives a folder to a user, alone.
func own(t *testing.T, folder string, uid int) {
	t.Helper()
	if os.Getuid() == 0 {
		if err := os.Chown(folder, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(folder, 0o700); err != nil { //nolint:gosec // a folder
		t.Fatal(err)
	}
}

// contained is a command in a file system of its own, by a user who is not root.
func contained(t *testing.T, root string, uid int, args []string, env map[string]string) *exec.Cmd {
	t.Helper()
	cmd := testproc.Command(t, "/bin/true")
	cmd.Path, cmd.Args, cmd.Dir = args[0], args, "/"
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr.Chroot = root
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)} //nolint:gosec // 65532
		return cmd
	}
	if err := testproc.Command(t, "unshare", "--user", "true").Run(); err != nil {
		t.Skip("this user can have no user namespace: ", err)
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}}
	return cmd
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
