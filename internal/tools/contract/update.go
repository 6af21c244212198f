package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// specUpdate takes a newer document, from a file or URL: shows the difference,
// copies it, regenerates, tests, and says what is left to a person. $TEST is the
// command that tests, make test unless it is set.
func (r repository) specUpdate(ctx context.Context, from string) error {
	text, err := fetch(ctx, from)
	if err != nil {
		return err
	}
	return r.update(ctx, from, text, os.Stdout)
}

func (r repository) update(ctx context.Context, from string, text []byte, w io.Writer) error {
	path := filepath.Join(string(r), document)
	older, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changes, err := compare(ctx, document, older, from, text)
	if err != nil {
		return err
	}
	allowed, err := r.allowed(changes)
	if err != nil {
		return err
	}
	if bytes.Equal(older, text) {
		printf(w, "%s is the same already.\n", document)
		return nil
	}
	// What is not committed would be lost when the update is taken back.
	dirty, err := r.git(ctx, "status", "--porcelain", "--untracked-files=all", "--", document, generated)
	if err != nil {
		return err
	}
	if dirty != "" {
		return fmt.Errorf("these files would be written, and have changes that are not committed:\n%scommit them, or put them aside with git stash --include-untracked", dirty)
	}

	if err := r.showDifference(ctx, path, text, w); err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil { // the mode of the file stays
		return err
	}
	undo := func(what string) error {
		files, err := r.git(ctx, "diff", "--name-only", "--", document, generated)
		if err != nil {
			return err
		}
		names := lines(files)
		for i, name := range names {
			names[i] = quote(name)
		}
		printf(os.Stderr, "spec-update: %s; to take the update back: git checkout -- %s\n", what, strings.Join(names, " "))
		return errBroken
	}
	if r.command(ctx, "make", "generate").Run() != nil {
		return undo("the document does not generate; if the overlay names a target above, mend api/overlay.yml")
	}
	printf(w, "\n# Changes of the OpenAPI document\n")
	broken := report(w, changes, allowed, advice{"git diff HEAD -- " + document, "make api-diff BASE=HEAD"})
	test := strings.Fields(os.Getenv("TEST"))
	if len(test) == 0 {
		test = []string{"make", "test"}
	}
	if r.command(ctx, test[0], test[1:]...).Run() != nil {
		return undo("the code is generated, but " + strings.Join(test, " ") + " fails, as is told above")
	}
	printf(w, "\n## Left to a person\n\n")
	if broken != nil {
		printf(w, "- The changes above that break callers: allow each in %s, or do not take them.\n", allowlist)
	}
	if err := r.newOperations(ctx, from, text, w); err != nil {
		return err
	}
	printf(w, "- What no schema tells, in the descriptions above: limits, lifetimes, errors.\n"+
		"- `make api-diff BASE=HEAD`: what it does to Go programs.\n"+
		"- CHANGELOG.md, under Unreleased.\n")
	return nil
}

// fetch reads a file, or what is at a URL.
func fetch(ctx context.Context, from string) ([]byte, error) {
	if !strings.HasPrefix(from, "https://") && !strings.HasPrefix(from, "http://") {
		return os.ReadFile(from)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, rsp.Status)
	}
	const limit = 10 << 20
	text, err := io.ReadAll(io.LimitReader(rsp.Body, limit+1))
	if err == nil && len(text) > limit {
		err = fmt.Errorf("%s has more than %d bytes", from, limit)
	}
	return text, err
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

// newOperations tells which operations the hand-written code does not know.
func (r repository) newOperations(ctx context.Context, name string, text []byte, w io.Writer) error {
	doc, err := parse(ctx, name, text)
	if err != nil {
		return err
	}
	known, err := os.ReadFile(filepath.Join(string(r), "operation.go"))
	if err != nil {
		return err
	}
	var missing []string
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			if !bytes.Contains(known, []byte(`"`+operation.OperationID+`"`)) {
				missing = append(missing, operation.OperationID)
			}
		}
	}
	slices.Sort(missing)
	for _, operation := range missing {
		printf(w, "- %s is new: package gen has it; give lineoauth.Client a method and the emulator an answer (CONTRIBUTING.md tells where).\n", operation)
	}
	return nil
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
	committed, err := r.git(ctx, "show", "HEAD:"+document)
	if err != nil {
		return err
	}
	changes, err := compare(ctx, "HEAD", []byte(committed), from, text)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
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
	var body bytes.Buffer
	printf(&body, "What %s says now, with the code that it generates.\n\n", from)
	switch err := repository(clone).update(ctx, from, text, io.MultiWriter(&body, os.Stdout)); {
	case errors.Is(err, errBroken):
		printf(&body, "\n**The document does not generate, or a test fails; the job's log tells.**\n")
	case err != nil:
		return err
	}
	if _, err := repository(clone).git(ctx, "add", "--all", "--", document, generated); err != nil {
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
	if err := os.WriteFile(filepath.Join(proposal, "change.md"), body.Bytes(), 0o600); err != nil {
		return err
	}
	printf(os.Stdout, "\nThe folder proposal has the change; make spec-pull-request opens a pull request with it.\n")
	return nil
}
