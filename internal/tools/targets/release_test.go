package targets_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestRelease(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := newClone(t)
	c.write(t, "CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Added\n\n- Something.\n\n"+
		"## [1.2.2] - 2026-11-30\n\n- Old.\n\n## [1.2.1] - 2026-11-29\n\n[1.2.3]: x\n")
	for file, text := range map[string]string{
		"README.md":    "# lineoauth\n\nThe module is not\npublished yet.\n",
		"transport.go": "package lineoauth\n\n// Client waits; it has not been\n// published.\n",
		"SECURITY.md":  "    go mod edit -replace github.com/lineoauth/lineoauth=../lineoauth\n",
	} {
		c.write(t, "README.md", "# lineoauth\n")
		c.write(t, file, text)
		says(t, c.run(t, "make", "release-notes", "VERSION=1.2.3"), 2, file+" says")
		c.git(t, "checkout", "-q", "README.md", file)
	}
	c.write(t, "README.md", "# lineoauth\n")
	says(t, c.run(t, "internal/tools/release-prepare", "2.0.0"), 1, "make release-prepare VERSION=")
	says(t, c.run(t, "make", "release-prepare", "VERSION=v1.2.3"), 0)
	says(t, c.run(t, "internal/tools/release-notes", "1.2.2"), 1, "make release-prepare VERSION=1.2.2", "store/redisstore/go.mod:")
	a := c.run(t, "make", "--silent", "release-notes", "VERSION=v1.2.3")
	says(t, a, 0, "- Something.")
	if a.stdout != "\n### Added\n\n- Something.\n" {
		t.Error(a)
	}
	says(t, c.run(t, "make", "release-notes", "VERSION=1.2.3 or so"), 2, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes", "1.2.4"), 1, "no section")
	says(t, c.run(t, "internal/tools/release-notes", "1.2"), 1, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes", "Unreleased"), 1, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes"), 1, "make release-notes VERSION=")
	says(t, c.run(t, "internal/tools/release-notes", "1.2.1"), 1, "or it is empty")

	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte("#!/bin/sh\nfor a; do echo \"<$a>\"; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "VERSION=v1.2.3"}
	const last = "dist/lineoauth_windows_arm64.zip"
	const missing = last + " is not there, or of another commit; run make release-snapshot"
	says(t, c.run(t, "go", "build", "-buildvcs=true", "-o", "dist/binary", "./cmd/lineoauth"), 0)
	binary := c.read(t, "dist/binary")
	// The system makes no difference here.
	for _, system := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "freebsd_amd64", "freebsd_arm64"} {
		c.write(t, "dist/lineoauth_"+system+".tar.gz", inTar(t, "lineoauth", binary))
	}
	c.write(t, "dist/lineoauth_windows_amd64.zip", inZip(t, "lineoauth.exe", binary))
	says(t, c.run(t, "make", "release"), 2, missing)
	says(t, c.run(t, "go", "build", "-buildvcs=false", "-o", "dist/binary", "./cmd/lineoauth"), 0)
	c.write(t, last, inZip(t, "lineoauth.exe", c.read(t, "dist/binary")))
	says(t, c.run(t, "make", "release"), 2, missing)
	c.write(t, last, inZip(t, "lineoauth.exe", binary))
	c.write(t, "dist/SHA256SUMS", fmt.Sprintf("%x  lineoauth_windows_arm64.zip\n", sha256.Sum256([]byte("another"))))
	says(t, c.run(t, "make", "release"), 2, "lineoauth_windows_arm64.zip: FAILED")
	c.write(t, "dist/SHA256SUMS", fmt.Sprintf("%x  lineoauth_windows_arm64.zip\n", sha256.Sum256([]byte(c.read(t, last)))))
	a = c.run(t, "make", "--silent", "release")
	says(t, a, 0, "<release>\n<create>\n<v1.2.3>\n<--verify-tag>\n", "- Something.", "<dist/lineoauth_darwin_amd64.tar.gz>\n", "<"+last+">\n<dist/SHA256SUMS>\n")
	c.env = nil
	says(t, c.run(t, "make", "release-image", "VERSION=1.2"), 2, "make release-image VERSION=")
	c.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "VERSION=v1.2.3"}
	c.write(t, "api/breaking.txt", "GET /x # why\n")
	says(t, c.run(t, "make", "release"), 2, "empty it: 1:GET /x")
}

func inTar(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o755})
	_, err2 := io.WriteString(w, text)
	if err := errors.Join(err, err2, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func inZip(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, text)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
