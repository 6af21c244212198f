package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

// apiDiff prints what changes for Go programs since a git revision: what the
// public packages export, what these do on the wire, and which version asks for.
func (r repository) apiDiff(ctx context.Context, base string) error {
	commit, err := r.commit(ctx, base)
	if err != nil {
		return err
	}
	progress("regenerate, and compare")
	if err := r.command(ctx, filepath.Join(string(r), "internal/tools/check")).Run(); err != nil {
		return errors.New("the generated code is not what the OpenAPI document generates, so it says nothing of this change; make generate first")
	}
	older, err := r.export(ctx, commit)
	if err != nil {
		return err
	}
	defer os.RemoveAll(string(older)) //nolint:errcheck // a temporary folder

	progress("compile the public packages of " + base)
	before, err := older.public(ctx)
	if err != nil {
		return err
	}
	progress("compile them as they are now")
	after, err := r.public(ctx)
	if err != nil {
		return err
	}
	for _, pkg := range before {
		if len(pkg.Errors) > 0 {
			return fmt.Errorf("%s of %s does not compile: %w", pkg.PkgPath, base, pkg.Errors[0])
		}
	}
	wire, err := r.wireSince(ctx, base, commit)
	if err != nil {
		return err
	}
	progress("compile everything else")
	broken := r.broken(ctx)

	printf(os.Stdout, "# Go API changes since %s\n", base)
	major := printWire(wire)
	breaking, changed := printPackages(before, after)
	if len(broken) > 0 {
		printf(os.Stdout, "\n## Places in this repository that no longer compile\n\n- %s\n", strings.Join(broken, "\n- "))
	}
	printVersion(major || breaking, changed || len(wire) > 0)
	if len(broken) > 0 {
		return errors.New("not everything compiles; fix the places above, then ask again")
	}
	return nil
}

// printWire prints what breaks callers of the wire, and reports whether anything does.
func printWire(wire []change) (breaks bool) {
	for _, c := range wire {
		if !c.wire {
			continue
		}
		if !breaks {
			printf(os.Stdout, "\n## On the wire\n\nWhatever Go compiles, callers break:\n")
		}
		breaks = true
		printf(os.Stdout, "- %s\n", c)
	}
	return breaks
}

// printPackages prints what changed in packages, and reports whether anything
// breaks Go programs, and whether there is anything else.
func printPackages(before, after map[string]*packages.Package) (breaks, changed bool) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		changes := packageChanges(before[path], after[path])
		if len(changes) == 0 {
			continue
		}
		text := apidiff.Report{Changes: changes}.String()
		printf(os.Stdout, "\n## %s\n\n%s", path, strings.Replace(text, "\nCompatible", "\n\nCompatible", 1))
		for _, c := range changes {
			breaks, changed = breaks || !c.Compatible, changed || c.Compatible
		}
	}
	return breaks, changed
}

// printVersion prints which version changes ask for.
func printVersion(major, minor bool) {
	printf(os.Stdout, "\n")
	switch {
	case major:
		printf(os.Stdout, "Go programs that use what is incompatible, or rely on what changed on the wire, no longer\n"+
			"compile or work. The next version: **major**; while the major is 0, **minor**. Revert the\n"+
			"change, or fix what no longer compiles and describe in CHANGELOG.md, under Unreleased,\n"+
			"what callers do about it.\n")
	case minor:
		printf(os.Stdout, "Every Go program still compiles. The next version: **minor**; while the major is 0, **patch**.\n")
	default:
		printf(os.Stdout, "Nothing that Go programs can see changed. The next version: **patch**.\n")
	}
}

// export writes the files of a commit into a new folder.
func (r repository) export(ctx context.Context, commit string) (_ repository, err error) {
	dir, err := os.MkdirTemp("", "base")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	index := filepath.Join(dir, ".index")
	for _, args := range [][]string{{"read-tree", commit}, {"checkout-index", "--all", "--prefix=" + dir + "/"}} {
		cmd := r.command(ctx, "git", args...)
		cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+index)
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("git %s: %w", args[0], err)
		}
	}
	return repository(dir), nil
}

// modules are the folders that have a go.mod.
func (r repository) modules() ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(string(r), func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if entry.Name() == "go.mod" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	return dirs, err
}

func (r repository) load(ctx context.Context, dir string, tests bool, mode packages.LoadMode) ([]*packages.Package, error) {
	env := r.command(ctx, "go").Env
	pkgs, err := packages.Load(&packages.Config{
		Context: ctx, Dir: dir, Env: append(env, "GOWORK=off", "GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath"), Tests: tests,
		Mode: mode | packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedModule,
	}, "./...")
	if err != nil {
		return nil, fmt.Errorf("go cannot list the packages of %s: %w", dir, err)
	}
	return pkgs, nil
}

// public returns the packages that other modules can import, of all modules
// here, by their import paths.
func (r repository) public(ctx context.Context) (map[string]*packages.Package, error) {
	dirs, err := r.modules()
	if err != nil {
		return nil, err
	}
	found := make(map[string]*packages.Package)
	for _, dir := range dirs {
		if inner, _ := filepath.Rel(string(r), dir); strings.HasPrefix(filepath.ToSlash(inner), "internal/") {
			continue
		}
		pkgs, err := r.load(ctx, dir, false, packages.NeedTypes)
		if err != nil {
			return nil, err
		}
		for _, pkg := range pkgs {
			if pkg.Name != "main" && len(pkg.GoFiles) > 0 && !slices.Contains(strings.Split(pkg.PkgPath, "/"), "internal") {
				found[pkg.PkgPath] = pkg
			}
		}
	}
	return found, nil
}

// broken returns the places of this repository that do not compile, tests
// included.
func (r repository) broken(ctx context.Context) []string {
	dirs, err := r.modules()
	if err != nil {
		return []string{err.Error()}
	}
	var places []string
	for _, dir := range dirs {
		if dir == filepath.Join(string(r), "internal", "tools") {
			continue // it imports nothing of the rest
		}
		pkgs, err := r.load(ctx, dir, true, packages.NeedTypes|packages.NeedSyntax)
		if err != nil {
			return append(places, err.Error())
		}
		packages.Visit(pkgs, nil, func(pkg *packages.Package) {
			for _, e := range pkg.Errors {
				// What the compiler says of the packages below, or for want of them, stands with those.
				if strings.HasPrefix(e.Msg, "# ") || strings.HasPrefix(e.Msg, "could not import ") {
					continue
				}
				place := strings.TrimPrefix(e.Pos, string(r)+string(filepath.Separator)) + ": " + e.Msg
				if !strings.HasPrefix(place, string(filepath.Separator)) && !slices.Contains(places, place) {
					places = append(places, place)
				}
			}
		})
	}
	slices.Sort(places)
	return places
}

// packageChanges compares a package. Either may be nil, for none.
func packageChanges(older, newer *packages.Package) []apidiff.Change {
	switch {
	case older == nil:
		return []apidiff.Change{{Message: "the package is new", Compatible: true}}
	case newer == nil:
		return []apidiff.Change{{Message: "the package is gone"}}
	case len(newer.Errors) > 0:
		return []apidiff.Change{{Message: "it does not compile; the places are below"}}
	}
	return goChanges(older.Types, newer.Types)
}

// wireSince compares the document with that of a commit.
func (r repository) wireSince(ctx context.Context, base, commit string) ([]change, error) {
	older, err := r.documentAt(ctx, base, commit)
	if err != nil {
		return nil, err
	}
	newer, err := os.ReadFile(filepath.Join(string(r), document))
	if err != nil {
		return nil, err
	}
	changes, err := wireChanges(ctx, base, older, document, newer)
	return sorted(changes), err
}
