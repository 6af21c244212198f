package filestore

import (
	"os"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

const (
	// clockGrain is the coarsest resolution of file times.
	clockGrain = 2 * time.Second
	// markEvery is the maximum age of a mark.
	markEvery = time.Minute
	// distrust is how far in the future a mark is after the clock was set back. It is
	// longer than any token's lifetime.
	distrust = 365 * 24 * time.Hour
)

// age returns how long ago a file was written, or [store.AgeUnknown] if the clock
// has been set back since: if it shows a time before the file's, or before the
// entry's mark, which is the latest time that a process saw. All that is left of
// a clock that was set back and has caught up again is the mark, so it stays in
// the future until the next save.
func (e *entry) age(written time.Time) time.Duration {
	var mark time.Time
	if info, err := os.Stat(e.lockPath()); err == nil {
		mark = info.ModTime()
	}
	now := time.Now() // read after the mark, which another process may change
	latest := mark
	if written.After(latest) {
		latest = written
	}
	if now.Before(latest.Add(-clockGrain)) {
		if mark.Before(now.Add(distrust / 2)) {
			e.setMark(now.Add(distrust))
		}
		return store.AgeUnknown
	}
	if now.Sub(mark) > markEvery {
		e.setMark(now)
	}
	return max(0, now.Sub(written))
}

// setMark sets the time of the lock file. If that fails, ages are computed without it.
func (e *entry) setMark(t time.Time) { _ = os.Chtimes(e.lockPath(), time.Time{}, t) }
