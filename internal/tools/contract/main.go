// Contract reports what a change of the OpenAPI document does to callers. It runs
// in a folder two levels below the root of the repository, as
//
//	go -C internal/tools tool contract COMMAND ARGUMENT
//
// which keeps its exit codes: 0 done, 1 callers break or a test fails, 2 the
// command could not do its work. The targets of the Makefile are the same.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

const (
	document  = "api/channel-access-token.yml"
	allowlist = "api/breaking.txt"
	generated = "*.gen.go" // at any depth, for git
)

// errBroken ends a command whose output has said all, with 1.
var errBroken = errors.New("broken")

// A repository is a checkout, by its root folder.
type repository string

var commands = map[string]struct {
	run   func(r repository, ctx context.Context, argument string) error
	usage string // "" if it needs no argument
}{
	"spec-diff":     {repository.specDiff, "say what to compare with: make spec-diff BASE=<git revision or file>"},
	"spec-update":   {repository.specUpdate, "say where it is: make spec-update FROM=<file or URL>"},
	"spec-source":   {repository.specSource, ""},
	"spec-proposal": {repository.specProposal, "say where it is: make spec-proposal FROM=<file or URL>"},
	"api-diff":      {repository.apiDiff, "say what to compare with: make api-diff BASE=<git revision>"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	command, ok := commands[name]
	switch {
	case !ok:
		fmt.Fprintf(os.Stderr, "contract: %q is no command; the commands are spec-diff, spec-update, spec-proposal, spec-source and api-diff\n", name)
		os.Exit(2)
	case len(os.Args) != 3 || os.Args[2] == "" && command.usage != "":
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, command.usage)
		os.Exit(2)
	}
	root, err := filepath.Abs("../..")
	if err == nil {
		err = os.Chdir(root) // paths are the caller's, and make runs in the root
	}
	if err == nil {
		err = command.run(repository(root), ctx, os.Args[2])
	}
	switch {
	case errors.Is(err, errBroken):
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(2)
	}
}

// command prepares a command in the repository. What it prints goes to standard
// error, as what this program finds goes to standard output.
func (r repository) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = string(r)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// A make below starts from scratch; the variables given to the one above are for that.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); name != "MAKEFLAGS" && name != "MFLAGS" && name != "MAKELEVEL" {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	return cmd
}

// git returns what git prints.
func (r repository) git(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := r.command(ctx, "git", args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// commit names the commit of a revision, which may be any words that git takes
// for one, and no option.
func (r repository) commit(ctx context.Context, revision string) (string, error) {
	id, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%s is no git revision (git fetch may bring it)", revision)
	}
	return strings.TrimSpace(id), nil
}

// quote makes a shell take text as it is.
func quote(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/@^~:+-", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// lines returns the lines of text that hold something.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// progress says on standard error what comes next, which may take a minute.
func progress(step string) { printf(os.Stderr, "+ %s\n", step) }

func printf(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format, args...) //nolint:errcheck // there is nobody left to tell
}
