package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth/examples/internal/rotation"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// mount puts files into a directory, by name, in the place of those that are there.
type mount func(t *testing.T, dir string, files map[string]string)

// kubelet has each name be a link to ..data/name, and ..data a link to a folder with
// all files; it puts another folder in place by renaming a link.
func kubelet(t *testing.T, dir string, files map[string]string) {
	data := filepath.Join(dir, "..data")
	before, _ := os.Readlink(data)
	folder := filepath.Join(dir, "..after_"+strings.Trim(before, "."))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	inPlace(t, folder, files)
	if err := os.Symlink(filepath.Base(folder), data+"_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	if before == "" {
		return
	}
	if err := os.RemoveAll(filepath.Join(dir, before)); err != nil {
		t.Fatal(err)
	}
}

// inPlace writes the files one by one where they are, as an editor of a file does
// that Docker mounts into a container.
func inPlace(t *testing.T, dir string, files map[string]string) {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// newKey registers a key, and returns what is mounted of it.
func newKey(t *testing.T, line *lineoauthtest.Server) (keyID string, files map[string]string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.JSONWebKey{Key: &private.PublicKey, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if keyID, err = line.Channel().RegisterKey("", public); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return keyID, map[string]string{
		"private-key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"key-id":          keyID + "\n",
	}
}

// environment has the variables name files of a directory.
func environment(line *lineoauthtest.Server, dir string) func(string) string {
	return func(name string) string {
		return map[string]string{
			"LINE_CHANNEL_ID":       line.Channel().ID,
			"LINE_PRIVATE_KEY_FILE": filepath.Join(dir, "private-key.pem"),
			"LINE_KEY_ID_FILE":      filepath.Join(dir, "key-id"),
			"LINE_OAUTH_BASE_URL":   line.URL,
		}[name]
	}
}

// The key and its ID are replaced while the program runs.
func TestRotation(t *testing.T) {
	for name, mount := range map[string]mount{"Kubernetes": kubelet, "Docker": inPlace} {
		t.Run(name, func(t *testing.T) {
			if name == "Kubernetes" && runtime.GOOS == "windows" {
				t.Skip("symbolic links need a privilege there")
			}
			line := lineoauthtest.NewServer()
			defer line.Close()
			dir := t.TempDir()
			old, files := newKey(t, line)
			mount(t, dir, files)
			cfg, err := config(environment(line, dir))
			if err != nil {
				t.Fatal(err)
			}
			rotation.Try(t, line, cfg, func() {
				_, files := newKey(t, line)
				mount(t, dir, files)
				if err := line.Channel().DeleteKey(old); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// systemd gives a service its credentials when it starts: a folder that only the
// service can read, and that does not change until it is restarted.
func TestProgram(t *testing.T) {
	line := lineoauthtest.NewServer()
	defer line.Close()
	for start := range 2 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("credentials-", start))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		old, files := newKey(t, line)
		inPlace(t, dir, files)
		for _, path := range []string{filepath.Join(dir, "private-key.pem"), filepath.Join(dir, "key-id")} {
			if err := os.Chmod(path, 0o400); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		if err := run(t.Context(), environment(line, dir), &out); err != nil || !strings.HasPrefix(out.String(), "stateless until ") {
			t.Errorf("start %d: %q, %v", start, &out, err)
		}
		if err := line.Channel().DeleteKey(old); err != nil {
			t.Error(err)
		}
	}
	if err := run(t.Context(), environment(line, filepath.Join(t.TempDir(), "nothing")), new(bytes.Buffer)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without files: %v", err)
	}
}
