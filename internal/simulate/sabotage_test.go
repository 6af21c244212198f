package simulate

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	sabotage = flag.Bool("sabotage", false, "build each sabotage and run seeds until one finds it")
	only     = flag.String("only", "", "a part of the name of the only sabotage to run")
)

// sabotages break the rules that keep a token valid, each in one place. A simulator
// that does not detect them proves nothing.
var sabotages = []struct {
	rule  string
	edits []edit
}{
	{"elapsed time is the wall clock's", []edit{{"clock", "return max(wall, mono)", "return wall"}}},
	{"elapsed time is the monotonic clock's", []edit{{"clock", "return max(wall, mono)", "return mono"}}},
	{"an entry's age is not looked at", []edit{{"fleet", "return s.age + min(now.Sub(s.at), math.MaxInt64-s.age)", "return now.Sub(s.at)"}}},
	{"an entry's age is taken from another machine's clock", []edit{
		{"fleet", "		t.Left = max(s.left(now).Milliseconds(), 0)\n", "		t.Left = max(s.left(now).Milliseconds(), 0)\n		t.IssuedAt = time.Unix(0, int64(now))\n"},
		{"fleet", "return s.age + min(now.Sub(s.at), math.MaxInt64-s.age)", "if s.Token != nil {\n		return now.Sub(clock.Instant(s.Token.IssuedAt.UnixNano()))\n	}\n	return s.age + now.Sub(s.at)"},
	}},
	{"a life counts from the answer", []edit{{"fleet", "	sent := err == nil ||", "	asked = f.Clock.Now()\n	sent := err == nil ||"}}},
	{"the mark is not written", []edit{{"fleet", "	held.revision, err = f.save(ctx, held)\n", "	held.revision, err = held.revision, error(nil)\n"}}},
	{"a mark that a process left means nothing", []edit{{"fleet", "if held.Issuing != f.ownMark() {", "if false {"}}},
	{"an own mark counts like any other", []edit{{"fleet", "if held.Issuing != f.ownMark() {", "if true {"}}},
	{"tokens are issued without a knock", []edit{
		{"fleet", "if f.Limited && held.Lost > 0 || f.hasFailed() {", "if false {"},
		{"fleet", "f.Limited && (lost > 0 || f.hasFailed()) {", "lost < 0 {"},
	}},
	{"a store that fails is no reason not to issue", []edit{{"fleet", "mayIssue := !f.Limited || f.WithoutStore", "mayIssue := true"}}},
	{"everything counts as sent", []edit{{"fleet", "sent := err == nil || f.LINE.Failure(err).Sent", "sent := true"}}},
	{"nothing counts as sent", []edit{
		{"fleet", "sent := err == nil || f.LINE.Failure(err).Sent", "sent := err == nil"},
		{"fleet", "if f.Limited && f.LINE.Failure(err).Sent {", "if false {"},
	}},
	{"the count of lost answers is forgotten", []edit{{"fleet", "if s.Issuing != \"\" || s.Lost > 0 || s.Revoked != \"\" {", "if false {"}}},
	{"a 401 drops a token", []edit{{"life", "switch _, err := l.fleet.Verify(ctx, &token.Token); {", "switch err := fleet.ErrInvalid; {"}}},
	{"waits grow without a valid token", []edit{{"pace", "wait = min(wait, Fast/2+wait%(Fast/2))", "wait += 0"}}},
	{"an attempt that a caller joins stays the only one", []edit{{"keeper", "f.attempts, f.until = k.settings.Attempts, now.Add(k.settings.Timeout)", "_ = f"}}},
	{"the own token is kept whatever the store has", []edit{{"fleet", "other.Token != nil {\n			other.Surplus", "false {\n			other.Surplus"}}},
	{"the lease is not given back", []edit{{"fleet", "free(); return struct{}{}, nil }", "_ = free; return struct{}{}, nil }"}}},
	{"a process that waits looks without a pause", []edit{{"fleet", "w.woken = w.Clock.Sleep(waiting, step) != nil", "w.woken = step == 0"}}},
	{"an idle process looks every second", []edit{{"fleet", "	return lookEvery\n", "	return time.Second\n"}}},
	{"requests that hang are waited for", []edit{{"fleet", "begun < maxHedges &&", "begun < 0 &&"}}},
	{"a Watch that hangs is waited for", []edit{{"fleet", "guarded(ctx, &f.watches, func(ctx context.Context)", "guarded(context.WithoutCancel(ctx), &f.watches, func(context.Context)"}}},
	{"what is stored is issued again", []edit{{"fleet", "		o.Token, o.Expires, o.Stored = t, now.Add(left), true\n", "		_ = left\n"}}},
}

// edit is a change in another package.
type edit struct{ in, old, new string }

// apply writes the edited files into dir, and an overlay for the go command.
func apply(t *testing.T, dir string, edits []edit) (overlay string) {
	t.Helper()
	texts := make(map[string]string)
	for _, e := range edits {
		var found []string
		files, _ := filepath.Glob(filepath.Join("..", e.in, "*.go"))
		for _, file := range files {
			path, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := texts[path]; !ok {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				texts[path] = string(b)
			}
			for range strings.Count(texts[path], e.old) {
				found = append(found, path)
			}
		}
		if len(found) != 1 {
			t.Fatalf("package %s has %d times %q; change the list", e.in, len(found), e.old)
		}
		texts[found[0]] = strings.Replace(texts[found[0]], e.old, e.new, 1)
	}
	replace := make(map[string]string)
	for path, text := range texts {
		edited := filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(edited, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = edited
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// Each sabotage is detected within 1,000 seeds. Without -sabotage, the test only
// proves that the edits still apply.
func TestSabotage(t *testing.T) {
	breach := regexp.MustCompile(`seed (\d+): (.*)`)
	for _, s := range sabotages {
		if !strings.Contains(s.rule, *only) {
			continue
		}
		t.Run(strings.ReplaceAll(s.rule, " ", "_"), func(t *testing.T) {
			dir := t.TempDir()
			overlay := apply(t, dir, s.edits)
			if !*sabotage {
				return
			}
			binary := filepath.Join(dir, "simulate.test")
			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begun := time.Now()
			run := exec.CommandContext(ctx, binary, "-test.run=^TestSimulate$", "-seeds=1000", "-shrink=false", "-test.timeout=0")
			out, err := run.CombinedOutput()
			found := breach.FindSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("not found in 1,000 seeds (%v)\n%s", time.Since(begun), out)
			}
			t.Logf("found by seed %s in %v of a core: %s", found[1], (run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Round(time.Millisecond), found[2])
		})
	}
}
