package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
)

var dist = flag.String("dist", "", "the folder with a release, which the tests try")

func needDist(t *testing.T) {
	t.Helper()
	if *dist == "" {
		t.Skip("needs a release; make test-release makes one")
	}
	t.Parallel()
}

var systems = []string{
	"darwin_amd64", "darwin_arm64", "freebsd_amd64", "freebsd_arm64", "linux_amd64", "linux_arm64", "windows_amd64", "windows_arm64",
}

// Everything that a release has is in the list of sums, and is as it says.
func TestSums(t *testing.T) {
	needDist(t)
	want := []string{"lineoauth.json", "lineoauth.rb", "lineoauth_image.tar"}
	for _, system := range systems {
		for _, ending := range []string{".cdx.json", ".spdx.json", archiveEnding(system), ".deb", ".rpm", ".apk"} {
			if len(ending) > 4 || strings.HasPrefix(system, "linux") || ending == ".zip" {
				want = append(want, "lineoauth_"+system+ending)
			}
		}
	}
	slices.Sort(want)
	var got []string
	for name, sum := range listedSums(t) {
		got = append(got, name)
		if is := fmt.Sprintf("%x", sha256.Sum256(read(t, name))); is != sum {
			t.Errorf("%s has the sum %s, listed is %s", name, is, sum)
		}
	}
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("want %q\ngot  %q", want, got)
	}
}

func archiveEnding(system string) string {
	if strings.HasPrefix(system, "windows") {
		return ".zip"
	}
	return ".tar.gz"
}

func listedSums(t *testing.T) map[string]string {
	sums := map[string]string{}
	for line := range strings.Lines(string(read(t, "SHA256SUMS"))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		sums[name] = sum
	}
	return sums
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(*dist, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each archive holds the binary for its system, and the same beside it; the one for
// this machine runs.
func TestArchives(t *testing.T) {
	needDist(t)
	for _, system := range systems {
		folder := unpackArchive(t, system)
		binary := filepath.Join(folder, "lineoauth")
		if strings.HasPrefix(system, "windows") {
			binary += ".exe"
		}
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if got := setting(info, "GOOS") + "_" + setting(info, "GOARCH"); got != system || setting(info, "vcs.modified") != "false" || setting(info, "CGO_ENABLED") != "0" {
			t.Errorf("%s: the binary is for %s: %v", system, got, info.Settings)
		}
		for _, name := range []string{
			"LICENSE", "README.md", "man/lineoauth.1", "man/lineoauth-serve.1",
			"completions/lineoauth.bash", "completions/_lineoauth", "completions/lineoauth.fish", "completions/lineoauth.ps1",
		} {
			if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %s: %v", system, name, err)
			}
		}
		if system == runtime.GOOS+"_"+runtime.GOARCH {
			runs(t, binary)
		}
	}
}

func unpackArchive(t *testing.T, system string) string {
	t.Helper()
	folder := t.TempDir()
	if archiveEnding(system) == ".zip" {
		z, err := zip.OpenReader(filepath.Join(*dist, "lineoauth_"+system+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = z.Close() }()
		if err := os.CopyFS(folder, z); err != nil {
			t.Fatal(err)
		}
		return folder
	}
	extract(t, gunzip(t, read(t, "lineoauth_"+system+".tar.gz")), folder)
	return folder
}

func gunzip(t *testing.T, data []byte) io.Reader {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// extract is what tar -x does, but for owners.
func extract(t *testing.T, r io.Reader, folder string) {
	t.Helper()
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if err := unpack(r, root); err != nil {
		t.Fatal(err)
	}
}

// runs reports an error if the demonstration, which is the whole life of a token,
// does not run, or if the version is not the one of the release.
func runs(t *testing.T, binary string) {
	t.Helper()
	if out, err := exec.Command(binary, "demo").CombinedOutput(); err != nil {
		t.Errorf("%s demo: %v\n%s", binary, err, out)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.Contains(string(out), strings.TrimPrefix(info.Main.Version, "v")) {
		t.Errorf("version: %v: %s", err, out)
	}
}

// What Homebrew and Scoop install is what is in the release.
func TestManifests(t *testing.T) {
	needDist(t)
	sums := listedSums(t)
	check := func(t *testing.T, url, sum string) {
		t.Helper()
		name := path.Base(url)
		if !regexp.MustCompile(`^https://github\.com/lineoauth/lineoauth/releases/download/v[^/]+/lineoauth_\w+\.(tar\.gz|zip)$`).MatchString(url) || sums[name] != sum || sum == "" {
			t.Errorf("%s has the sum %q, listed is %q", url, sum, sums[name])
		}
	}
	found := regexp.MustCompile(`url "(.*)"\n\s+sha256 "(.*)"`).FindAllStringSubmatch(string(read(t, "lineoauth.rb")), -1)
	for _, f := range found {
		check(t, f[1], f[2])
	}
	if len(found) != 4 {
		t.Errorf("%d downloads", len(found))
	}
	if ruby, err := exec.LookPath("ruby"); err == nil {
		if out, err := exec.Command(ruby, "-c", filepath.Join(*dist, "lineoauth.rb")).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	var scoop struct {
		Version      string
		Bin          string
		Architecture map[string]struct{ URL, Hash string }
	}
	if err := json.Unmarshal(read(t, "lineoauth.json"), &scoop); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"64bit", "arm64"} {
		check(t, scoop.Architecture[arch].URL, scoop.Architecture[arch].Hash)
		if !strings.Contains(scoop.Architecture[arch].URL, "/v"+scoop.Version+"/") {
			t.Error(scoop)
		}
	}
	if scoop.Bin != "lineoauth.exe" {
		t.Error(scoop.Bin)
	}
}

// Both bills of a binary name each module in it, with its license.
func TestBills(t *testing.T) {
	needDist(t)
	for _, system := range systems {
		info, err := buildinfo.ReadFile(filepath.Join(unpackArchive(t, system), "lineoauth"+map[bool]string{true: ".exe"}[strings.HasPrefix(system, "windows")]))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{info.Main.Path + " " + info.Main.Version, "std " + strings.TrimPrefix(info.GoVersion, "go")}
		for _, dep := range info.Deps {
			want = append(want, dep.Path+" "+dep.Version)
		}
		var bom cyclonedx.BOM
		if err := cyclonedx.NewBOMDecoder(bytes.NewReader(read(t, "lineoauth_"+system+".cdx.json")), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range append([]cyclonedx.Component{*bom.Metadata.Component}, *bom.Components...) {
			got = append(got, c.Name+" "+c.Version)
			if c.Licenses == nil || (*c.Licenses)[0].License.ID == "" {
				t.Errorf("%s: %s has no license", system, c.Name)
			}
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: want %q\ngot %q", system, want, got)
		}
		var document spdxDocument
		decoder := json.NewDecoder(bytes.NewReader(read(t, "lineoauth_"+system+".spdx.json")))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&document); err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, p := range document.Packages {
			got = append(got, p.Name+" "+p.Version)
			if p.Declared == "" {
				t.Errorf("%s: %s has no license", system, p.Name)
			}
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: want %q\ngot %q", system, want, got)
		}
	}
}
