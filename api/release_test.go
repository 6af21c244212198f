package api_test

import (
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
	const last = "dist/lineoauth_windows_arm64.exe"
	const linux = "dist/lineoauth_linux_amd64"
	// Any program will do, and a small one is linked faster.
	if err := os.MkdirAll(filepath.Join(c.dir, "cmd/small"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.write(t, "cmd/small/main.go", "package main\n\nfunc main() {}\n")
	says(t, c.run(t, "go", "build", "-buildvcs=true", "-o", linux, "./cmd/small"), 0)
	for _, system := range []string{"linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64.exe"} {
		c.write(t, "dist/lineoauth_"+system, c.read(t, linux)) // the system makes no difference here
	}
	says(t, c.run(t, "make", "release"), 2, last+" is not there, or of another commit; run make release-snapshot")
	says(t, c.run(t, "go", "build", "-buildvcs=false", "-o", last, "./cmd/small"), 0)
	says(t, c.run(t, "make", "release"), 2, last+" is not there, or of another commit; run make release-snapshot")
	c.write(t, last, c.read(t, linux))
	c.write(t, "dist/SHA256SUMS", "")
	a = c.run(t, "make", "--silent", "release")
	says(t, a, 0, "<release>\n<create>\n<v1.2.3>\n<--verify-tag>\n", "- Something.", "<dist/lineoauth_darwin_amd64>\n", "<"+last+">\n<dist/SHA256SUMS>\n")
	c.write(t, "api/breaking.txt", "GET /x # why\n")
	says(t, c.run(t, "make", "release"), 2, "empty it: 1:GET /x")
}
