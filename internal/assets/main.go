// Command assets makes what a release consists of from binaries that are built
// already: archives, packages, an image, bills of materials, a Homebrew formula,
// a Scoop manifest and the sums of all. It uses no network but for push, and the
// same input gives the same bytes.
//
//	assets STAGE OUT           SOURCE_DATE_EPOCH dates everything
//	assets push IMAGE NAME     REGISTRY_USER and REGISTRY_PASSWORD log in
package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	homepage    = "https://github.com/lineoauth/lineoauth"
	description = "Channel access tokens for LINE bots, and an emulator of LINE for their tests"
	license     = "Apache-2.0"
	imageName   = "ghcr.io/lineoauth/lineoauth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "assets:", err)
		os.Exit(1) //nolint:gocritic // stop only restores the signals
	}
}

func run(ctx context.Context, args []string, getenv func(string) string) error {
	switch {
	case len(args) == 3 && args[0] == "push":
		return push(ctx, args[1], args[2], getenv("REGISTRY_USER"), getenv("REGISTRY_PASSWORD"))
	case len(args) != 2:
		return errors.New("use: assets STAGE OUT, or assets push IMAGE NAME")
	}
	seconds, err := strconv.ParseInt(getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return errors.New("set SOURCE_DATE_EPOCH to the date of the source, in seconds since 1970")
	}
	r, err := open(args[0], args[1], time.Unix(seconds, 0).UTC())
	if err != nil {
		return err
	}
	return r.make()
}

// A release is made from a folder, the stage, which has bin/OS_ARCH/ with a binary
// each, and share/ with what goes beside each: LICENSE, README.md, man/ and
// completions/.
type release struct {
	stage, out string
	date       time.Time
	targets    []target
	shared     []file
}

// A target is a system with the binary for it.
type target struct {
	system, arch string
	binary       string
	info         *debug.BuildInfo
}

func (t target) name() string { return "lineoauth_" + t.system + "_" + t.arch }

// A file is one of an archive: its path there, and here.
type file struct {
	name, path string
	mode       int64
}

func open(stage, out string, date time.Time) (*release, error) {
	r := &release{stage: stage, out: out, date: date}
	binaries, err := filepath.Glob(filepath.Join(stage, "bin", "*_*", "lineoauth*"))
	if err != nil || len(binaries) == 0 {
		return nil, fmt.Errorf("%s has no bin/OS_ARCH/lineoauth: %w", stage, errors.Join(err, os.ErrNotExist))
	}
	for _, binary := range binaries {
		system, arch, _ := strings.Cut(filepath.Base(filepath.Dir(binary)), "_")
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return nil, err
		}
		r.targets = append(r.targets, target{system, arch, binary, info})
	}
	share := filepath.Join(stage, "share")
	err = filepath.WalkDir(share, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(share, path)
		r.shared = append(r.shared, file{filepath.ToSlash(name), path, 0o644})
		return err
	})
	if err == nil && r.version() == "" {
		err = fmt.Errorf("%s holds no version", r.targets[0].binary)
	}
	return r, err
}

// tag is the version as git has it, v1.2.3, or what Go makes of a commit.
func (r *release) tag() string { return r.targets[0].info.Main.Version }

func (r *release) version() string { return strings.TrimPrefix(r.tag(), "v") }

func (r *release) commit() string { return setting(r.targets[0].info, "vcs.revision") }

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// url is where a file of the release is, once it is published.
func (r *release) url(name string) string {
	return homepage + "/releases/download/" + r.tag() + "/" + name
}

// under returns the shared files in a folder.
func (r *release) under(folder string) (files []file) {
	return slices.DeleteFunc(slices.Clone(r.shared), func(f file) bool { return !strings.HasPrefix(f.name, folder+"/") })
}

func (r *release) make() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil { //nolint:gosec // a release is for everyone
		return err
	}
	for _, t := range r.targets {
		if err := r.archive(t); err != nil {
			return fmt.Errorf("archive of %s: %w", t.name(), err)
		}
		if err := r.bills(t); err != nil {
			return fmt.Errorf("bill of materials of %s: %w", t.name(), err)
		}
		if t.system != "linux" {
			continue
		}
		if err := r.packages(t); err != nil {
			return fmt.Errorf("packages of %s: %w", t.name(), err)
		}
	}
	if err := r.image(); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	sums, err := r.sums()
	if err != nil {
		return err
	}
	if err := r.manifests(sums); err != nil {
		return err
	}
	return r.writeSums()
}

// write makes a file of the release.
func (r *release) write(name string, fill func(*os.File) error) error {
	f, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}
