package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/exp/apidiff"
)

// specDiff prints what changed in the document since a git revision, or since a
// file, whom that breaks, and what to do about it.
func (r repository) specDiff(ctx context.Context, base string) error {
	older, isFile, err := r.base(ctx, base)
	if err != nil {
		return err
	}
	newer, err := r.here()
	if err != nil {
		return err
	}
	j := r.judge(ctx)
	changes, err := j.compare(older, newer)
	if err != nil {
		return err
	}
	hidden, err := j.hidden(newer)
	if none := new(errNoCode); err != nil && !errors.As(err, &none) { // compare told of that
		return err
	}
	allowed, err := r.allowed(changes)
	if err != nil {
		return err
	}
	printf(os.Stdout, "# Changes of the OpenAPI document since %s\n", base)
	advice := "git diff " + quote(base) + "... -- api"
	if isFile {
		advice = "git diff --no-index -- " + quote(base) + " " + document
	}
	err = report(os.Stdout, changes, allowed, advice)
	printHidden(os.Stdout, hidden)
	proposeEntry(os.Stdout, changes)
	return err
}

// here is the document of the working tree.
func (r repository) here() (source, error) {
	text, err := readFile(filepath.Join(string(r), document))
	if errors.Is(err, os.ErrNotExist) {
		return source{}, fmt.Errorf("there is no %s; if it was renamed, rename it in generate.go, the Makefile and internal/tools/contract/main.go, too", document)
	}
	return source{name: document, text: text, read: r.readHere}, err
}

func (r repository) readHere(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(r), filepath.FromSlash(path)))
}

// base returns the document of a file or of a git revision. Of a branch that went
// on, it is the one that the work here began with.
func (r repository) base(ctx context.Context, base string) (s source, isFile bool, err error) {
	if info, err := os.Stat(base); err == nil && !info.IsDir() {
		text, err := readFile(base)
		return source{name: base, text: text, read: r.readHere}, true, err
	}
	commit, err := r.commit(ctx, base)
	if err != nil {
		return source{}, false, fmt.Errorf("%s is neither a file nor a git revision (git fetch may bring it)", base)
	}
	if commit, err = r.forkPoint(ctx, base, commit); err != nil {
		return source{}, false, err
	}
	text, err := r.documentAt(ctx, base, commit)
	if err != nil {
		return source{}, false, err
	}
	var known sync.Map // what git has shown, by path
	read := func(path string) ([]byte, error) {
		if text, ok := known.Load(path); ok {
			return text.([]byte), nil
		}
		text, err := r.git(ctx, "show", commit+":"+path)
		if err != nil {
			return r.readHere(path)
		}
		known.Store(path, []byte(text))
		return []byte(text), nil
	}
	return source{name: base, text: text, read: read}, false, nil
}

// documentAt returns the document of a commit, also under the name that it had.
func (r repository) documentAt(ctx context.Context, base, commit string) ([]byte, error) {
	text, err := r.git(ctx, "show", commit+":"+document)
	if err == nil {
		return []byte(text), nil
	}
	old, renamed := r.renamedFrom(ctx, commit)
	if !renamed {
		return nil, fmt.Errorf("%s has no %s; if it had another name there: git show %s:<its path> >older.yml, then give older.yml in place of %s", base, document, quote(base), quote(base))
	}
	text, err = r.git(ctx, "show", commit+":"+old)
	return []byte(text), err
}

// forkPoint returns the commit at which a branch and HEAD diverged.
func (r repository) forkPoint(ctx context.Context, base, commit string) (string, error) {
	fork, err := r.git(ctx, "merge-base", commit, "HEAD")
	if err == nil {
		return strings.TrimSpace(fork), nil
	}
	if shallow, _ := r.git(ctx, "rev-parse", "--is-shallow-repository"); strings.TrimSpace(shallow) == "true" {
		return "", fmt.Errorf("this clone is too shallow to tell where the work here left %s; git fetch --unshallow, or on a merge commit compare with HEAD^1", base)
	}
	return commit, nil // they have nothing in common
}

// renamedFrom returns what the document was called in a commit, by its contents.
func (r repository) renamedFrom(ctx context.Context, commit string) (string, bool) {
	out, err := r.git(ctx, "diff", "--name-status", "-z", "--find-renames=30%", "--diff-filter=R", commit, "--", ".")
	if err != nil {
		return "", false
	}
	fields := strings.Split(out, "\x00")
	for i := 0; i+2 < len(fields); i += 3 {
		if fields[i+2] == document {
			return fields[i+1], true
		}
	}
	return "", false
}

// report prints changes, and returns errBroken if one breaks callers and is not
// allowed.
func report(w io.Writer, changes []change, allowed map[string]bool, show string) error {
	if len(changes) == 0 {
		printf(w, "\nNothing changed that a caller could notice.\n")
	}
	where := ""
	var broken []change
	wire, golang := false, false
	for _, c := range changes {
		if c.where != where {
			where = c.where
			printf(w, "\n## %s\n\n", where)
		}
		switch {
		case c.breaks() && allowed[c.String()]:
			printf(w, "- **%s, as %s allows:** %s%s\n", c.verdict(), allowlist, c.what, c.elsewhere())
		case c.breaks():
			printf(w, "- **%s:** %s%s\n", c.verdict(), c.what, c.elsewhere())
			broken = append(broken, c)
			wire, golang = wire || c.wire, golang || c.breaksGo()
		default:
			printf(w, "- %s%s\n", c.what, c.elsewhere())
		}
		c.printGo(w)
	}
	printf(w, "\n")
	exception := ""
	if len(allowed) > 0 {
		exception = ", but for what " + allowlist + " allows"
	}
	if len(broken) == 0 {
		printf(w, "Verdict: breaks neither callers on the wire nor Go programs%s.\n", exception)
		return nil
	}
	printf(w, "Verdict: %s%s.\n", verdict(wire, golang), exception)
	printf(w, `
## What to do

If that is not meant, revert it; `+"`%s`"+` shows it. If it is, allow each change
by a line in %s, with the reason in place of WHY:

`, show, allowlist)
	for _, c := range broken {
		printf(w, "       %s # WHY\n", c)
	}
	return errBroken
}

// elsewhere names the other operations of a change.
func (c change) elsewhere() string {
	if len(c.also) == 0 {
		return ""
	}
	return " (also " + strings.Join(c.also, ", ") + ")"
}

// signature is a change of a function that would fill lines.
var signature = regexp.MustCompile(`: changed from func\(.*`)

// printGo prints the Go side of a change: what breaks first, and not all of what
// an operation takes with it.
func (c change) printGo(w io.Writer) {
	const most = 6
	ordered := slices.Clone(c.golang)
	slices.SortStableFunc(ordered, func(a, b apidiff.Change) int {
		return strings.Compare(fmt.Sprint(a.Compatible), fmt.Sprint(b.Compatible)) // false first
	})
	for i, g := range ordered {
		if i == most && len(ordered) > most+1 {
			printf(w, "  - Go: %d more names\n", len(ordered)-most)
			return
		}
		if "`"+g.Message+"`" != c.what {
			printf(w, "  - Go: %s\n", signature.ReplaceAllString(g.Message, ": its signature changed"))
		}
	}
}

// allowed reads the changes that may break callers, each with why they can bear
// it: a whole change, " # ", and a reason of three words or more.
func (r repository) allowed(changes []change) (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(string(r), allowlist))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	allowed := make(map[string]bool)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, reason, _ := strings.Cut(line, " # ")
		if len(strings.FieldsFunc(reason, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' })) < 3 {
			return nil, fmt.Errorf("%s:%d gives no reason; after \" # \", say in some words why callers can bear it: %s", allowlist, number, line)
		}
		found := slices.IndexFunc(changes, func(c change) bool {
			return c.breaks() && strings.HasPrefix(line, c.String()+" # ")
		})
		if found < 0 {
			printf(os.Stderr, "spec-diff: %s:%d allows nothing that changed here; a release empties the list: %s\n", allowlist, number, line)
			continue
		}
		allowed[changes[found].String()] = true
	}
	return allowed, nil
}

// proposeEntry prints what CHANGELOG.md could say of the changes.
func proposeEntry(w io.Writer, changes []change) {
	if len(changes) == 0 {
		return
	}
	printf(w, "\n## For CHANGELOG.md, under Unreleased\n")
	groups := map[string][]string{}
	for _, c := range changes {
		title, effect := "Changed", ""
		switch first, _, _ := strings.Cut(c.what, " "); {
		case c.breaks():
			effect = " This " + c.verdict() + "."
			if first == "removed" || strings.Contains(c.what, " removed") {
				title = "Removed"
			}
		case first == "added" || strings.HasSuffix(c.what, " added"):
			title = "Added"
		}
		groups[title] = append(groups[title], "- "+c.where+": "+c.what+c.elsewhere()+"."+effect)
	}
	for _, title := range []string{"Added", "Changed", "Removed"} {
		if len(groups[title]) > 0 {
			printf(w, "\n    ### %s\n\n    %s\n", title, strings.Join(groups[title], "\n    "))
		}
	}
}
