//go:build unix

package fleet

import (
	"testing"
	"time"
)

// storeCalls is how often each process has called its store.
func (f *fleet) storeCalls() []int {
	calls := make([]int, len(f.processes))
	for i, m := range f.processes {
		m.is(func() bool { calls[i] = m.calls; return true })
	}
	return calls
}

// wantIdle fails the test if a process that has nothing to do calls its store
// more than once a minute.
func (f *fleet) wantIdle() {
	f.t.Helper()
	f.ask(60) // what is still under way
	const minutes, step = 2, 10 * time.Second
	before := f.storeCalls()
	for range minutes * time.Minute / step {
		f.advance(step)
		f.ask(20)
	}
	for i, n := range f.storeCalls() {
		if n -= before[i]; n > minutes+1 {
			f.t.Errorf("an idle process called its store %d times in %d minutes%s", n, minutes, f.trouble())
		}
	}
}

// Processes whose clocks are hours apart have one token, and do not wake each
// other up.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	everyStore(t, 0, func(t *testing.T, f *fleet) {
		for _, f.settings.Apart = range []time.Duration{9 * time.Hour, -7 * time.Hour, 0} {
			f.start(1)
			f.agree("on machines whose clocks are apart")
		}
		for _, f.settings.Apart = range []time.Duration{9 * time.Hour, -7 * time.Hour} {
			if had := f.startOnce(2); had != 2 {
				t.Errorf("%d of 2 cron jobs had a token", had)
			}
		}
		if n := len(f.line.State().Tokens); n != 1 {
			t.Errorf("there are %d tokens; want 1%s", n, f.trouble())
		}
		f.wantIdle()
		f.refresh()
		f.refreshed("after a refresh")
		if n := len(f.line.State().Tokens); n != 2 { // the old one is valid for a while
			t.Errorf("there are %d tokens after a refresh; want 2%s", n, f.trouble())
		}
	})
}

// While one process issues, the others ask the store now and then.
func TestWaiting(t *testing.T) {
	t.Parallel()
	everyStore(t, 0, func(t *testing.T, f *fleet) {
		f.delay(5 * time.Second)
		f.start(8)
		f.agree("on an empty store")
		f.wantIssues(1, "on an empty store")
		rate := 10.0 // a second
		if f.settings.Redis != "" {
			rate = 10.0 / 5
		}
		most := 0
		for _, m := range f.processes {
			m.is(func() bool {
				most = max(most, m.calls)
				if limit := rate * max(m.took, 5*time.Second).Seconds(); float64(m.calls) > limit {
					t.Errorf("a process that waited for %v called its store %d times; want %.0f at most", m.took, m.calls, limit)
				}
				return true
			})
		}
		t.Logf("up to %d calls of the store in 5 s", most)
	})
}
