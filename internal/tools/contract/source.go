package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// provenance names the document of LINE's that ours was last compared with.
const provenance = "api/SOURCE"

// atCommit is a URL of a file at a commit, as GitHub serves it.
var atCommit = regexp.MustCompile(`^https://.*/([0-9a-f]{40})/`)

// provenanceOf is what api/SOURCE says of a document, "" if it was not taken from
// a commit.
func provenanceOf(from string, text []byte) string {
	found := atCommit.FindStringSubmatch(from)
	if found == nil {
		return ""
	}
	return fmt.Sprintf("# LINE's document that channel-access-token.yml was last compared with.\n"+
		"# make spec-update and the weekly workflow write this; make spec-source checks it.\n"+
		"url: %s\ncommit: %s\nsha256: %s\n", from, found[1], hash(text))
}

func hash(text []byte) []byte { return fmt.Appendf(nil, "%x", sha256.Sum256(text)) }

// recordSource writes api/SOURCE, if the document was taken from a commit.
func (r repository) recordSource(from string, text []byte) error {
	known := provenanceOf(from, text)
	if known == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(string(r), provenance), []byte(known), 0o600) // the mode of the file stays
}

// specSource checks that LINE's document is what api/SOURCE says of it. With a
// file or URL, that one is compared.
func (r repository) specSource(ctx context.Context, from string) error {
	text, err := os.ReadFile(filepath.Join(string(r), provenance))
	if err != nil {
		return err
	}
	recorded := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			recorded[name] = value
		}
	}
	if found := atCommit.FindStringSubmatch(recorded["url"]); found == nil || found[1] != recorded["commit"] || len(recorded["sha256"]) != 64 {
		return fmt.Errorf("%s has no url at the commit that it names, or no sha256; make spec-update FROM=<URL at a commit> writes it", provenance)
	}
	if from == "" {
		from = recorded["url"]
	}
	document, err := fetch(ctx, from)
	if err != nil {
		return err
	}
	if found := string(hash(document)); found != recorded["sha256"] {
		printf(os.Stdout, "%s is another document (sha256 %s) than %s names (%s, commit %s).\nmake spec-update FROM=<URL at a commit> compares it.\n",
			from, found, provenance, recorded["sha256"], recorded["commit"])
		return errBroken
	}
	printf(os.Stdout, "%s is the document that %s names.\n", from, provenance)
	return nil
}
