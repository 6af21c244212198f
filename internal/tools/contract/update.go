package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// specUpdate takes a newer document, from a file or URL: shows the difference,
// copies it, regenerates, tests, and lists the remaining steps. $TEST is the
// command that tests, make test unless it is set.
func (r repository) specUpdate(ctx context.Context, from string) error {
	text, err := fetch(ctx, from)
	if err != nil {
		return err
	}
	return r.update(ctx, from, text, os.Stdout)
}

func (r repository) update(ctx context.Context, from string, text []byte, w io.Writer) error {
	older, err := r.here()
	if err != nil {
		return err
	}
	// What is not committed would be lost when the update is undone.
	dirty, err := r.git(ctx, "status", "--porcelain", "--untracked-files=all", "--", document, provenance, generated)
	if err != nil {
		return err
	}
	if dirty != "" {
		return fmt.Errorf("these files would be written, and have changes that are not committed:\n%scommit them, or put them aside with git stash --include-untracked", dirty)
	}
	newer := source{name: from, text: text, read: r.readHere}
	j := r.judge(ctx)
	changes, err := j.compare(older, newer)
	if err != nil {
		return err
	}
	allowed, err := r.allowed(changes)
	if err != nil {
		return err
	}
	if err := r.recordSource(from, text); err != nil {
		return err
	}
	if bytes.Equal(older.text, text) {
		printf(w, "%s is the same already.\n", document)
		return nil
	}
	if err := r.showDifference(ctx, filepath.Join(string(r), document), text, w); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(string(r), document), text, 0o600); err != nil { // the mode of the file stays
		return err
	}
	if r.command(ctx, "make", "generate").Run() != nil {
		return r.undo(ctx, "the document does not generate; if the overlay names a target above, fix api/overlay.yml")
	}
	hidden, err := j.hidden(newer)
	if err != nil {
		return err
	}
	printf(w, "\n# Changes of the OpenAPI document\n")
	broken := report(w, changes, allowed, "git diff HEAD -- "+document)
	test := strings.Fields(os.Getenv("TEST"))
	if len(test) == 0 {
		test = []string{"make", "test"}
	}
	if r.command(ctx, test[0], test[1:]...).Run() != nil {
		return r.undo(ctx, "the code is generated, but "+strings.Join(test, " ")+" fails; see its output above")
	}
	printHidden(w, hidden)
	proposeEntry(w, changes)
	return printLeft(ctx, older, newer, w, broken != nil)
}

// undo returns how to undo an update of which something fails.
func (r repository) undo(ctx context.Context, what string) error {
	files, err := r.git(ctx, "diff", "--name-only", "--", document, provenance, generated)
	if err != nil {
		return err
	}
	names := lines(files)
	for i, name := range names {
		names[i] = quote(name)
	}
	printf(os.Stderr, "spec-update: %s; to revert the update: git checkout -- %s\n", what, strings.Join(names, " "))
	return errBroken
}

// printLeft prints what no program can do.
func printLeft(ctx context.Context, older, newer source, w io.Writer, broken bool) error {
	printf(w, "\n## Remaining steps\n\n")
	if broken {
		printf(w, "- The changes above that break callers: allow each in %s, or do not take them.\n", allowlist)
	}
	if err := newOperations(ctx, older, newer, w); err != nil {
		return err
	}
	printf(w, "- What no schema contains, in the descriptions above: limits, lifetimes, errors.\n"+
		"- `make api-diff BASE=HEAD`: what it does to Go programs.\n"+
		"- CHANGELOG.md, under Unreleased: the entry above, in your words.\n")
	return nil
}

// showDifference prints the lines that differ between the document and its new
// text.
func (r repository) showDifference(ctx context.Context, path string, text []byte, w io.Writer) error {
	newer, err := os.CreateTemp("", "*.yml")
	if err != nil {
		return err
	}
	defer os.Remove(newer.Name()) //nolint:errcheck // a temporary file
	_, err = newer.Write(text)
	if err := errors.Join(err, newer.Close()); err != nil {
		return err
	}
	out, err := r.git(ctx, "diff", "--no-index", "--no-color", "--no-ext-diff", "--", path, newer.Name())
	if out == "" {
		return err // git ends with 1 where files differ
	}
	_, hunks, _ := strings.Cut(out, "\n@@")
	printf(w, "@@%s", hunks)
	return nil
}

// newOperations lists the operations that the older document does not have.
func newOperations(ctx context.Context, older, newer source, w io.Writer) error {
	before, err := parse(ctx, older.name, older.text)
	if err != nil {
		return err
	}
	after, err := parse(ctx, newer.name, newer.text)
	if err != nil {
		return err
	}
	known := operationIDs(before)
	for _, id := range operationIDs(after) {
		if !slices.Contains(known, id) {
			printf(w, "- %s is new: package gen has it, and the emulator answers it with 501; give lineoauth.Client a method and the emulator an answer (CONTRIBUTING.md lists where).\n", id)
		}
	}
	return nil
}

func operationIDs(doc *openapi3.T) (ids []string) {
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			ids = append(ids, operation.OperationID)
		}
	}
	slices.Sort(ids)
	return ids
}

// specProposal does specUpdate in a clone of what is committed. If a caller could
// notice a difference, it leaves the folder proposal: change.patch and, for a
// pull request, change.md. It changes nothing else here.
func (r repository) specProposal(ctx context.Context, from string) error {
	proposal := filepath.Join(string(r), "proposal")
	if err := os.RemoveAll(proposal); err != nil {
		return err
	}
	text, err := fetch(ctx, from)
	if err != nil {
		return err
	}
	older, _, err := r.base(ctx, "HEAD")
	if err != nil {
		return err
	}
	changes, err := r.judge(ctx).compare(older, source{name: from, text: text, read: older.read})
	if err != nil {
		return err
	}
	recorded, _ := older.read(provenance) // "" if there is none yet
	if len(changes) == 0 && (provenanceOf(from, text) == "" || bytes.Contains(recorded, hash(text))) {
		printf(os.Stdout, "No caller could notice a difference, so there is nothing to propose.\n")
		return nil
	}
	clone, err := os.MkdirTemp("", "proposal")
	if err != nil {
		return err
	}
	defer os.RemoveAll(clone) //nolint:errcheck // a temporary folder
	if _, err := r.git(ctx, "clone", "--quiet", "--no-tags", "--", string(r), clone); err != nil {
		return err
	}
	body, err := repository(clone).propose(ctx, from, text, len(changes) > 0)
	if err != nil {
		return err
	}
	if _, err := repository(clone).git(ctx, "add", "--all", "--", document, provenance, generated); err != nil {
		return err
	}
	patch, err := repository(clone).git(ctx, "diff", "--cached", "--binary", "--no-color", "--no-ext-diff")
	if err != nil {
		return err
	}
	if err := os.Mkdir(proposal, 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(proposal, "change.patch"), []byte(patch), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(proposal, "change.md"), []byte(body), 0o600); err != nil {
		return err
	}
	printf(os.Stdout, "\nThe folder proposal has the change; make spec-pull-request opens a pull request with it.\n")
	return nil
}

// propose makes the change in this clone, and returns the text of a pull request.
func (r repository) propose(ctx context.Context, from string, text []byte, notable bool) (string, error) {
	if !notable {
		return fmt.Sprintf("%s has other words, and nothing that a caller could notice. This records in %s that it was compared.\n", from, provenance), r.recordSource(from, text)
	}
	var body bytes.Buffer
	printf(&body, "What %s says now, with the code that it generates.\n\n", from)
	err := r.update(ctx, from, text, io.MultiWriter(&body, os.Stdout))
	if errors.Is(err, errBroken) {
		printf(&body, "\n**The document does not generate, or a test fails; see the job's log.**\n")
		err = nil
	}
	return body.String(), err
}
