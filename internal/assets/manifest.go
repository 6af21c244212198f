package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/template"
)

// formula is Homebrew's.
var formula = template.Must(template.New("formula").Parse(`class Lineoauth < Formula
  desc "{{.Description}}"
  homepage "{{.Homepage}}"
  version "{{.Version}}"
  license "{{.License}}"
{{range .Systems}}
  on_{{.Name}} do{{range .Files}}
    on_{{.CPU}} do
      url "{{.URL}}"
      sha256 "{{.Sum}}"
    end{{end}}
  end
{{end}}
  def install
    bin.install "lineoauth"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/lineoauth.bash" => "lineoauth"
    zsh_completion.install "completions/_lineoauth"
    fish_completion.install "completions/lineoauth.fish"
  end

  test do
    system bin/"lineoauth", "demo"
  end
end
`))

type download struct {
	CPU string `json:"-"`
	URL string `json:"url"`
	Sum string `json:"hash"`
}

// manifests writes what Homebrew and Scoop install from.
func (r *release) manifests(sums map[string]string) error {
	of := func(system, arch, cpu, ending string) download {
		name := target{system: system, arch: arch}.name() + ending
		return download{cpu, r.url(name), sums[name]}
	}
	type group struct {
		Name  string
		Files []download
	}
	both := func(name, system string) group {
		return group{name, []download{of(system, "arm64", "arm", ".tar.gz"), of(system, "amd64", "intel", ".tar.gz")}}
	}
	err := r.write("lineoauth.rb", func(f *os.File) error {
		return formula.Execute(f, map[string]any{
			"Description": description, "Homepage": homepage, "Version": r.version(), "License": license,
			"Systems": []group{both("macos", "darwin"), both("linux", "linux")},
		})
	})
	if err != nil {
		return err
	}
	return r.write("lineoauth.json", func(f *os.File) error {
		encoder := json.NewEncoder(f)
		encoder.SetIndent("", "    ") // as Scoop formats its manifests
		return encoder.Encode(map[string]any{
			"version": r.version(), "description": description, "homepage": homepage, "license": license, "bin": "lineoauth.exe",
			"architecture": map[string]download{"64bit": of("windows", "amd64", "", ".zip"), "arm64": of("windows", "arm64", "", ".zip")},
			"checkver":     "github",
			"autoupdate": map[string]any{
				"architecture": map[string]any{
					"64bit": map[string]string{"url": homepage + "/releases/download/v$version/lineoauth_windows_amd64.zip"},
					"arm64": map[string]string{"url": homepage + "/releases/download/v$version/lineoauth_windows_arm64.zip"},
				},
				"hash": map[string]string{"url": "$baseurl/SHA256SUMS"},
			},
		})
	})
}

// writeSums writes the list that sha256sum -c checks.
func (r *release) writeSums() error {
	sums, err := r.sums()
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&list, "%s  %s\n", sums[name], name)
	}
	return r.write("SHA256SUMS", func(f *os.File) error {
		_, err := f.WriteString(list.String())
		return err
	})
}
