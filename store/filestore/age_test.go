//go:build unix || windows

package filestore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// setTimes sets when a value was saved, and the latest time that a process saw.
func setTimes(t *testing.T, dir string, saved, seen time.Duration) {
	t.Helper()
	now := time.Now()
	for part, ago := range map[string]time.Duration{".json": saved, ".lock": seen} {
		if err := os.Chtimes(file(t, dir, part), time.Time{}, now.Add(-ago)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAge(t *testing.T) {
	const unknown = store.AgeUnknown
	for name, tt := range map[string]struct{ saved, seen, want time.Duration }{
		"in use":                   {10 * time.Minute, 30 * time.Second, 10 * time.Minute},
		"found after a while":      {20 * time.Hour, 19 * time.Hour, 20 * time.Hour},
		"within the grain":         {-time.Second, -time.Second, 0},
		"set back before the save": {-time.Hour, time.Minute, unknown},
		"set back before a look":   {time.Hour, -10 * time.Minute, unknown},
		"set back a bit":           {time.Hour, -5 * time.Second, unknown},
	} {
		dir := tempDir(t)
		s := open(t, dir)
		revision := save(t, s, "", "x")
		setTimes(t, dir, tt.saved, tt.seen)
		for _, s := range []store.Store{s, open(t, dir)} {
			age := loads(t, s, "x").Age
			if ok := age == tt.want || tt.want != unknown && age >= tt.want && age < tt.want+time.Minute; !ok {
				t.Errorf("%s: the age is %v; want %v", name, age, tt.want)
			}
		}
		if tt.want == unknown {
			// Until the clock has caught up, and after that.
			if err := os.Chtimes(file(t, dir, ".json"), time.Time{}, time.Now().Add(-time.Minute)); err != nil {
				t.Fatal(err)
			}
			if age := loads(t, s, "x").Age; age != unknown {
				t.Errorf("%s: once the clock has caught up, the age is %v; want none", name, age)
			}
		}
		save(t, s, revision, "y")
		if age := loads(t, s, "y").Age; age < 0 || age > time.Minute {
			t.Errorf("%s: after a save, the age is %v", name, age)
		}
	}
}

// Who loads or saves leaves the time behind, once a minute.
func TestMark(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	revision := save(t, s, "", "x")
	mark := func() time.Duration { return time.Since(stat(t, file(t, dir, ".lock")).ModTime()) }
	setTimes(t, dir, time.Hour, 50*time.Second)
	loads(t, s, "x")
	if ago := mark(); ago < 50*time.Second {
		t.Errorf("a mark 50 s old was moved, to %v ago", ago)
	}
	setTimes(t, dir, time.Hour, 2*time.Minute)
	loads(t, s, "x")
	if ago := mark(); ago > time.Minute {
		t.Errorf("a mark two minutes old is %v old after a load", ago)
	}
	setTimes(t, dir, time.Hour, 2*time.Minute)
	save(t, s, revision, "y")
	if ago := mark(); ago > time.Minute {
		t.Errorf("a mark two minutes old is %v old after a save", ago)
	}
	// Without a mark there is an age nevertheless.
	if err := os.Remove(file(t, dir, ".lock")); err != nil {
		t.Fatal(err)
	}
	if age := loads(t, s, "y").Age; age < 0 || age > time.Minute {
		t.Errorf("without a mark the age is %v", age)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("there are %q", left)
	}
}
