package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestWorkflowsThatWrite(t *testing.T) {
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	may := map[string]bool{"run: |": true, "make --silent spec-pull-request": true, "run: make --silent spec-comment": true, "run: make --silent release": true, "run: make --silent release-image": true,
		"gh auth setup-git": true, `git config user.name "github-actions[bot]"`: true,
		`git config user.email "41898282+github-actions[bot]@users.noreply.github.com"`: true}
	writers := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, jobs, _ := strings.Cut(string(text), "\njobs:\n")
		for _, job := range regexp.MustCompile(`(?m)^  [a-z-]+:$`).Split(jobs, -1) {
			// A job that may write CodeQL's alerts alone changes nothing of the repository.
			if !strings.Contains(strings.ReplaceAll(job, "security-events: write", ""), ": write") {
				continue
			}
			writers++
			for line := range strings.Lines(job) {
				line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
				if action, ok := strings.CutPrefix(line, "uses: "); ok && !regexp.MustCompile(`^actions/(checkout|setup-go|download-artifact|attest-build-provenance)@`).MatchString(action) {
					t.Errorf("%s: a job that may write uses %s", name, action)
				}
				if command := regexp.MustCompile(`^(run: |make |go |git |gh |\.?/|sh |bash )`); command.MatchString(line) && !may[line] {
					t.Errorf("%s: a job that may write runs %s", name, line)
				}
			}
		}
	}
	if writers != 5 {
		t.Errorf("%d jobs may write", writers)
	}
}
