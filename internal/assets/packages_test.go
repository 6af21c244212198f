package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

var installed = []string{
	"usr/bin/lineoauth", "usr/share/man/man1/lineoauth.1", "usr/share/man/man1/lineoauth-serve.1", "usr/share/doc/lineoauth/copyright",
	"usr/share/doc/lineoauth/README.md", "usr/share/bash-completion/completions/lineoauth",
	"usr/share/fish/vendor_completions.d/lineoauth.fish", "usr/share/zsh/vendor-completions/_lineoauth",
}

func isInstalled(t *testing.T, folder, arch string) {
	t.Helper()
	for _, name := range installed {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == arch {
		runs(t, filepath.Join(folder, installed[0]))
	}
}

func TestDeb(t *testing.T) {
	needDist(t)
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("there is no dpkg-deb here")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		file := filepath.Join(*dist, "lineoauth_linux_"+arch+".deb")
		fields, err := exec.Command("dpkg-deb", "--field", file, "Package", "Architecture", "Version").Output()
		if err != nil || !strings.HasPrefix(string(fields), "Package: lineoauth\n") || !strings.Contains(string(fields), "\nArchitecture: "+arch+"\n") {
			t.Errorf("%v: %s", err, fields)
		}
		folder := t.TempDir()
		if out, err := exec.Command("dpkg-deb", "--extract", file, folder).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		isInstalled(t, folder, arch)
	}
}

func TestRPM(t *testing.T) {
	needDist(t)
	for arch, theirs := range map[string]string{"amd64": "x86_64", "arm64": "aarch64"} {
		file := bytes.NewReader(read(t, "lineoauth_linux_"+arch+".rpm"))
		if _, err := file.Seek(96, io.SeekStart); err != nil { // the lead, which nobody reads any more
			t.Fatal(err)
		}
		rpmHeader(t, file) // of signatures
		header := rpmHeader(t, file)
		for tag, want := range map[uint32]string{1000: "lineoauth", 1007: "lineoauth", 1014: license, 1022: theirs} {
			if header[tag] != want {
				t.Errorf("tag %d is %q", tag, header[tag])
			}
		}
		z, err := gzip.NewReader(file) // the payload is behind the header
		if err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		extractCPIO(t, z, folder)
		isInstalled(t, folder, arch)
	}
}

// rpmHeader reads a header of an RPM, and returns its strings by their tags.
func rpmHeader(t *testing.T, r *bytes.Reader) map[uint32]string {
	t.Helper()
	var head struct{ Magic, Reserved, Entries, Size uint32 }
	if err := binary.Read(r, binary.BigEndian, &head); err != nil || head.Magic != 0x8eade801 {
		t.Fatalf("%+v: %v", head, err)
	}
	entries := make([]struct{ Tag, Type, Offset, Count uint32 }, head.Entries)
	values := make([]byte, head.Size)
	if err := errors.Join(binary.Read(r, binary.BigEndian, entries), binary.Read(r, binary.BigEndian, values)); err != nil {
		t.Fatal(err)
	}
	if padding := r.Size() - int64(r.Len()); padding%8 != 0 && entries[0].Tag == 62 { // the header of signatures is padded
		if _, err := r.Seek(8-padding%8, io.SeekCurrent); err != nil {
			t.Fatal(err)
		}
	}
	found := map[uint32]string{}
	for _, e := range entries {
		text, _, _ := bytes.Cut(values[e.Offset:], []byte{0})
		found[e.Tag] = string(text)
	}
	return found
}

func extractCPIO(t *testing.T, r io.Reader, folder string) {
	t.Helper()
	archive := cpio.NewReader(r)
	for header, err := archive.Next(); !errors.Is(err, io.EOF); header, err = archive.Next() {
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(folder, filepath.FromSlash(path.Clean("/"+header.Name)))
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, header.FileInfo().Mode().Perm()))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An apk is a signature, which ours lacks, control files and data, each a tar of
// its own, behind one another.
func TestAPK(t *testing.T) {
	needDist(t)
	for arch, theirs := range map[string]string{"amd64": "x86_64", "arm64": "aarch64"} {
		folder := t.TempDir()
		extract(t, gunzip(t, read(t, "lineoauth_linux_"+arch+".apk")), folder)
		isInstalled(t, folder, arch)
		info, err := os.ReadFile(filepath.Join(folder, ".PKGINFO"))
		if err != nil || !bytes.Contains(info, []byte("pkgname = lineoauth\n")) || !bytes.Contains(info, []byte("\narch = "+theirs+"\n")) {
			t.Errorf("%v: %s", err, info)
		}
	}
}
