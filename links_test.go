package lineoauth_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// checkLinks fails the test if a link of a document leads to no file, to no heading,
// or by an address to a file of this repository.
func checkLinks(t *testing.T, document, text string) {
	t.Helper()
	for _, link := range regexp.MustCompile(`\]\(\s*([^)\s]+)\s*\)|(?m)^\[[^\]]+\]:\s*(\S+)`).FindAllStringSubmatch(text, -1) {
		to := link[1] + link[2]
		if regexp.MustCompile(`//github\.com/lineoauth/lineoauth/(blob|tree|raw)/`).MatchString(to) || strings.HasPrefix(to, "/") {
			t.Errorf("%s links to %s; use a relative link", document, to)
		}
		if strings.Contains(to, "://") {
			continue
		}
		path, anchor, _ := strings.Cut(to, "#")
		target := filepath.Join(filepath.Dir(document), path)
		if path == "" {
			target = document
		}
		if _, err := os.Stat(target); err != nil {
			t.Errorf("%s links to %s, which is not there", document, to)
			continue
		}
		if anchor != "" && !slices.Contains(headings(t, target), anchor) {
			t.Errorf("%s links to %s, but there is no such heading", document, to)
		}
	}
}

// headings returns the anchors of a document's headings, as GitHub makes them.
func headings(t *testing.T, document string) (anchors []string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAll(text, nil)
	for _, heading := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(string(text), -1) {
		slug := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors = append(anchors, strings.ReplaceAll(slug, " ", "-"))
	}
	return anchors
}
