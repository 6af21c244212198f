package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repo makes a git repository with a commit for each text of the document.
func repo(t *testing.T, texts ...string) repository {
	t.Helper()
	r := repository(t.TempDir())
	r.run(t, "init", "-q", "-b", "main")
	for _, text := range texts {
		r.commitDocument(t, text)
	}
	return r
}

// run runs git.
func (r repository) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = string(r)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com",
		"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repository) commitDocument(t *testing.T, text string) {
	t.Helper()
	r.write(t, document, text)
	r.run(t, "add", "-A")
	r.run(t, "commit", "-q", "-m", "document")
}

func (r repository) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(string(r), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// pullRequest is what a workflow has of a pull request whose base has newer commits: the
// merge of both, and its last commits alone.
func pullRequest(t *testing.T, depth string) repository {
	t.Helper()
	origin := repo(t, "older\n")
	origin.run(t, "switch", "-q", "-c", "change")
	origin.write(t, "mine", "mine\n")
	origin.run(t, "add", "-A")
	origin.run(t, "commit", "-q", "-m", "mine")
	origin.run(t, "switch", "-q", "main")
	origin.commitDocument(t, "newer on main\n")
	origin.run(t, "switch", "-q", "--detach")
	origin.run(t, "merge", "-q", "--no-ff", "-m", "merge", "change")
	origin.run(t, "update-ref", "refs/pull/1/merge", "HEAD")
	r := repository(t.TempDir())
	r.run(t, "init", "-q")
	r.run(t, "fetch", "-q", "--depth", depth, "file://"+string(origin), "refs/pull/1/merge", "main:refs/remotes/origin/main")
	r.run(t, "checkout", "-q", "--detach", "FETCH_HEAD")
	return r
}

func TestBase(t *testing.T) {
	has := func(t *testing.T, r repository, base, want string) {
		t.Helper()
		s, _, err := r.base(t.Context(), base)
		if err != nil || strings.TrimSpace(string(s.text)) != want {
			t.Errorf("since %s: %q, %v; want %q", base, s.text, err, want)
		}
	}
	fails := func(t *testing.T, r repository, base, want string) {
		t.Helper()
		if s, _, err := r.base(t.Context(), base); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("since %s: %q, %v; want %q", base, s.text, err, want)
		}
	}
	t.Run("main has newer commits", func(t *testing.T) {
		r := repo(t, "first", "older")
		r.run(t, "switch", "-q", "-c", "mine")
		r.commitDocument(t, "mine")
		r.run(t, "switch", "-q", "main")
		r.commitDocument(t, "newer on main")
		r.run(t, "switch", "-q", "mine")
		has(t, r, "main", "older")
		has(t, r, "HEAD", "mine")
		has(t, r, "main~2", "first")
		has(t, r, "mine~1", "older")
	})
	t.Run("a merge commit", func(t *testing.T) {
		r := pullRequest(t, "2")
		has(t, r, "HEAD^1", "newer on main")
		has(t, r, "origin/main", "newer on main")
		fails(t, pullRequest(t, "1"), "HEAD^1", "neither a file nor a git revision")
	})
	t.Run("too shallow", func(t *testing.T) {
		origin := repo(t, "older")
		origin.run(t, "switch", "-q", "-c", "mine")
		origin.commitDocument(t, "mine")
		origin.run(t, "switch", "-q", "main")
		origin.commitDocument(t, "newer on main")
		r := repository(t.TempDir())
		r.run(t, "init", "-q")
		r.run(t, "fetch", "-q", "--depth", "1", "file://"+string(origin), "mine", "main:refs/remotes/origin/main")
		r.run(t, "checkout", "-q", "--detach", "FETCH_HEAD")
		fails(t, r, "origin/main", "git fetch --unshallow")
	})
	t.Run("nothing in common", func(t *testing.T) {
		r := repo(t, "older")
		r.run(t, "switch", "-q", "--orphan", "other")
		r.commitDocument(t, "other")
		has(t, r, "main", "older")
	})
	t.Run("renamed", func(t *testing.T) {
		r := repo(t)
		text := string(read(t, "testdata/base.yml"))
		r.write(t, "spec/line.yml", text)
		r.run(t, "add", "-A")
		r.run(t, "commit", "-q", "-m", "old name")
		r.run(t, "rm", "-q", "spec/line.yml")
		r.commitDocument(t, text+"# more\n")
		has(t, r, "HEAD~1", strings.TrimSpace(text))
	})
	t.Run("not there", func(t *testing.T) {
		r := repo(t)
		r.write(t, "README.md", "x\n")
		r.run(t, "add", "-A")
		r.run(t, "commit", "-q", "-m", "none")
		r.commitDocument(t, "document")
		fails(t, r, "HEAD~1", "git show HEAD~1:<its path> >older.yml")
		fails(t, r, "nosuch", "nosuch is neither a file nor a git revision")
		r.run(t, "rm", "-q", document)
		if _, err := r.here(); err == nil || !strings.Contains(err.Error(), "if it was renamed") {
			t.Error(err)
		}
	})
}

func TestProvenance(t *testing.T) {
	const at = "https://raw.githubusercontent.com/line/line-openapi/0123456789012345678901234567890123456789/channel-access-token.yml"
	if got := provenanceOf("newer.yml", []byte("x")) + provenanceOf(strings.Replace(at, "0123", "main", 1), []byte("x")); got != "" {
		t.Errorf("of no commit: %q", got)
	}
	r := repo(t, "document")
	if err := r.recordSource(at, []byte("LINE's")); err != nil {
		t.Fatal(err)
	}
	r.write(t, "same.yml", "LINE's")
	r.write(t, "other.yml", "another")
	if err := r.specSource(t.Context(), filepath.Join(string(r), "same.yml")); err != nil {
		t.Error(err)
	}
	if err := r.specSource(t.Context(), filepath.Join(string(r), "other.yml")); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	for _, bad := range []string{"", "url: " + at + "\n", "url: x\ncommit: y\nsha256: z\n", strings.Replace(provenanceOf(at, nil), "commit: 0", "commit: 1", 1)} {
		r.write(t, provenance, bad)
		if err := r.specSource(t.Context(), ""); err == nil || errors.Is(err, errBroken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
