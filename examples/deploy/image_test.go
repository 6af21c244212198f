//go:build unix

package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The image, as the release makes it.
type image struct{ name, user, entrypoint, port string }

// released reads what internal/assets makes, whose module these tests do not
// compile.
func released(t *testing.T) image {
	t.Helper()
	source := read(t, "../../internal/assets/main.go") + read(t, "../../internal/assets/image.go")
	find := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(source)
		if found == nil {
			t.Fatalf("internal/assets has no %s any more", pattern)
		}
		return found[1]
	}
	return image{
		name:       find(`imageName +?= "(.+?)"`),
		user:       find(`nonroot += (\d+)`),
		entrypoint: find(`Entrypoint: +\[\]string\{"(.+?)"\}`),
		port:       find(`ExposedPorts: .*\{"(\d+)/tcp"`),
	}
}

// program is the binary in the image.
func (i image) program() string { return filepath.Join(bin, filepath.Base(i.entrypoint)) }

// is reports whether a deployment's image is this one, at a version or in a mirror.
func (i image) is(reference string) bool {
	repository, version, _ := strings.Cut(filepath.Base(reference), ":")
	return repository == filepath.Base(i.name) && regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version)
}

// docs/deployment.md documents each file here, correctly.
func TestDocument(t *testing.T) {
	document := read(t, "../../docs/deployment.md")
	files, err := filepath.Glob("*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() && !strings.HasSuffix(file, "_test.go") && filepath.Base(file)[0] != '.' && !strings.Contains(document, "(../examples/deploy/"+file+")") {
			t.Errorf("docs/deployment.md has no link to %s", file)
		}
	}
	// What is to be changed stands in the files as the document has it.
	var all strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			all.WriteString(read(t, file))
		}
	}
	_, changes, _ := strings.Cut(document, "## What to change")
	changes, _, _ = strings.Cut(changes, "\n## ")
	words := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(changes, -1)
	if len(words) == 0 {
		t.Error("docs/deployment.md does not say what to change")
	}
	for _, word := range words {
		if !strings.Contains(all.String(), word[1]) {
			t.Errorf("docs/deployment.md says to change %s, which is nowhere", word[1])
		}
	}
}

// Every file that names the image does so with the name and the same version.
func TestImage(t *testing.T) {
	is := released(t)
	files, err := filepath.Glob("*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]bool{}
	for _, file := range files {
		for _, found := range regexp.MustCompile(`image: (\S*/lineoauth:\S+)`).FindAllStringSubmatch(read(t, file), -1) {
			if !is.is(found[1]) || !strings.Contains(found[1], strings.TrimPrefix(is.name, "ghcr.io")) {
				t.Errorf("%s: %s is not %s", file, found[1], is.name)
			}
			_, version, _ := strings.Cut(filepath.Base(found[1]), ":")
			versions[version] = true
		}
	}
	if len(versions) != 1 {
		t.Errorf("versions %v", versions)
	}
}
