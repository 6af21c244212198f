package main

import (
	"os"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/apk"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// packages writes what Debian, Red Hat and Alpine install.
func (r *release) packages(t target) error {
	for format, packager := range map[string]nfpm.Packager{"deb": deb.Default, "rpm": rpm.DefaultRPM, "apk": apk.Default} {
		info := nfpm.WithDefaults(r.packageInfo(t))
		if err := nfpm.PrepareForPackager(info, format); err != nil {
			return err
		}
		if err := r.write(t.name()+"."+format, func(f *os.File) error { return packager.Package(info, f) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) packageInfo(t target) *nfpm.Info {
	contents := files.Contents{r.installed(t.binary, "/usr/bin/lineoauth", 0o755)}
	for _, f := range r.under("man") {
		contents = append(contents, r.installed(f.path, "/usr/share/man/man1/"+strings.TrimPrefix(f.name, "man/"), 0o644))
	}
	for _, f := range r.shared {
		if to := map[string]string{
			"LICENSE":                    "/usr/share/doc/lineoauth/copyright",
			"README.md":                  "/usr/share/doc/lineoauth/README.md",
			"completions/lineoauth.bash": "/usr/share/bash-completion/completions/lineoauth",
			"completions/lineoauth.fish": "/usr/share/fish/vendor_completions.d/lineoauth.fish",
			"completions/_lineoauth":     "/usr/share/zsh/vendor-completions/_lineoauth",
		}[f.name]; to != "" {
			contents = append(contents, r.installed(f.path, to, 0o644))
		}
	}
	return &nfpm.Info{
		Name: "lineoauth", Arch: t.arch, Platform: "linux", Version: r.version(), Section: "net", Priority: "optional",
		Maintainer: "lineoauth <lineoauth@users.noreply.github.com>", Description: description, Homepage: homepage, License: license, MTime: r.date,
		Overridables: nfpm.Overridables{
			Recommends: []string{"ca-certificates"}, Contents: contents, Umask: 0o022,
			RPM: nfpm.RPM{BuildHost: "lineoauth"}, // else the machine's name
		},
	}
}

func (r *release) installed(from, to string, mode os.FileMode) *files.Content {
	return &files.Content{Source: from, Destination: to, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: r.date, Owner: "root", Group: "root"}}
}
