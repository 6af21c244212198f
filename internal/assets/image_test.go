package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// The image is whole, says what it should, and a registry takes it.
func TestImage(t *testing.T) {
	needDist(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/lineoauth/lineoauth:1.2.3"
	if err := run(t.Context(), []string{"push", filepath.Join(*dist, imageFile), reference}, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	parsed, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		tryImage(t, image, m.Platform.Architecture)
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Error(platforms)
	}
}

func tryImage(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.OS != "linux" || config.Architecture != arch || c.User != "65532:65532" || c.Labels["org.opencontainers.image.licenses"] != license ||
		!regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(c.Labels["org.opencontainers.image.revision"]) {
		t.Errorf("%s/%s: %+v", config.OS, config.Architecture, c)
	}
	layers := mutate.Extract(image)
	defer layers.Close()
	var files bytes.Buffer
	if _, err := io.Copy(&files, layers); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	extract(t, bytes.NewReader(files.Bytes()), folder)
	reader := tar.NewReader(&files)
	for header, err := reader.Next(); !errors.Is(err, io.EOF); header, err = reader.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if path.Clean(header.Name) == "tmp" && header.Mode != 0o1777 || path.Clean(header.Name) == "home/nonroot" && header.Uid != nonroot {
			t.Errorf("%+v", header)
		}
	}
	certificates, err := os.ReadFile(filepath.Join(folder, "etc/ssl/certs/ca-certificates.crt"))
	if n := bytes.Count(certificates, []byte("BEGIN CERTIFICATE")); err != nil || n < 100 {
		t.Errorf("%d certificate authorities: %v", n, err)
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == arch {
		serves(t, folder, c)
	}
}

// serves runs the image's default command, as a container runtime would: by the
// user of the image in its file system, if the tests may do that.
func serves(t *testing.T, folder string, c v1.Config) {
	t.Helper()
	args := slices.Concat(c.Entrypoint, c.Cmd)
	for i, a := range args {
		args[i] = strings.Replace(a, "0.0.0.0:8080", "0.0.0.0:0", 1) // a port that is free
	}
	cmd := contained(t, folder, args, c.Env)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var ready struct{ URL string }
	if err := errors.Join(err, json.Unmarshal(line, &ready)); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	resp, err := http.Get(ready.URL + "/_emulator/state")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}
