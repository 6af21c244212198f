//go:build unix

package fleet

import (
	"slices"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

const (
	// maxLost is how many tokens an outage may cost of the 30 that a channel can
	// have.
	maxLost = 3
	// soon is how long after an outage all processes have a token: 5 s, and more
	// for a busy machine.
	soon = 20 * time.Second
)

// lose has LINE's answers to an operation, or to all, get lost from now on.
func (f *fleet) lose(operation lineoauth.Operation) {
	f.line.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ResetAfter, Operation: operation, Times: -1})
}

// expire moves all clocks on until no process has a valid token.
func (f *fleet) expire() {
	f.t.Helper()
	f.advance(f.due() + 2*time.Minute)
}

// wantLost fails the test if more tokens count at LINE than a number and those
// that an outage may cost.
func (f *fleet) wantLost(others int, when string) (lost int) {
	f.t.Helper()
	lost = len(f.line.State().Tokens) - others
	if lost > maxLost {
		f.t.Errorf("%d tokens were lost %s; want %d at most%s", lost, when, maxLost, f.trouble())
	}
	return lost
}

// startOnce starts processes one after another, each of which ends with its first
// token or without one, and returns how often there was one.
func (f *fleet) startOnce(n int) (had int) {
	f.t.Helper()
	running, set := f.processes, f.settings
	defer func() { f.processes, f.settings = running, set }()
	f.settings.Once, f.settings.MaxAttempts = true, 1
	for range n {
		m := f.start(1)[0]
		<-m.ended
		m.end()
		if len(m.keyIDs) > 0 {
			had++
		}
	}
	return had
}

// recovers waits until all processes have the newest token, and logs how long
// after a moment they had it.
func (f *fleet) recovers(back time.Time) {
	f.t.Helper()
	f.agree("after the outage")
	var took []time.Duration
	for _, m := range f.processes {
		m.is(func() bool { took = append(took, m.since.Sub(back)); return true })
	}
	slices.Sort(took)
	median, longest := took[len(took)/2], took[len(took)-1]
	f.t.Logf("after the outage, processes have a token after %v (median) to %v", median, longest)
	if longest > soon {
		f.t.Errorf("a process has a token %v after the outage; want %v at most", longest, soon)
	}
}

// LINE answers nobody, although it does what it is asked, for longer than the
// token is valid, and cron jobs continue meanwhile.
func TestOutage(t *testing.T) {
	t.Parallel()
	everyStore(t, 0, func(t *testing.T, f *fleet) {
		f.settings.Waits = true
		f.start(5)
		f.agree("at first")
		f.lose("")
		f.expire()
		for _, m := range f.processes {
			f.eventually("a process does not notice the outage", func() bool { return m.is(func() bool { return len(m.gaps) > 1 }) })
		}
		if had := f.startOnce(5); had > 0 {
			t.Errorf("%d processes had a token in the outage", had)
		}
		f.wantLost(0, "in the outage")
		back := time.Now()
		f.line.ClearFaults()
		f.recovers(back)
		lost := f.wantLost(1, "in the outage and after it")
		t.Logf("the outage cost %d tokens of the 30", lost)
	})
}

// LINE answers, but not those who want a token, although it issues one. The
// pauses then last minutes.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	everyStore(t, 0, func(t *testing.T, f *fleet) {
		f.settings.Waits = true
		f.start(3)
		f.agree("at first")
		f.lose(lineoauth.OpIssueChannelTokenByJWT)
		f.expire()
		f.eventually("nobody issues", func() bool { return len(f.line.State().Tokens) == maxLost })
		if had := f.startOnce(5); had > 0 {
			t.Errorf("%d processes had a token", had)
		}
		f.wantLost(0, "in the outage")
		f.line.ClearFaults()
		f.newest = f.token()
		f.advance(10 * time.Minute)
		back := time.Now()
		f.eventually("nobody issues after the pause", func() bool { return f.token() != f.newest })
		f.recovers(back)
		t.Logf("the outage cost %d tokens of the 30", f.wantLost(1, "in the outage and after it"))
	})
}

// Whatever kills processes while they issue, as the timeout of a cron job does
// when LINE is slow, costs no more than an outage.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	everyStore(t, 200*time.Millisecond, func(t *testing.T, f *fleet) {
		f.settings.Once, f.settings.MaxAttempts, f.settings.RefreshTimeout = true, 1, 0
		answer := f.hold()
		killed := 0
		for range 6 {
			asked := f.asked.Load()
			m := f.start(1)[0]
			f.eventually("a process neither issues nor ends", func() bool {
				select {
				case <-m.ended:
					return true
				default:
					return f.asked.Load() > asked
				}
			})
			if f.asked.Load() > asked {
				killed++
			}
			m.kill()
			f.processes = nil
			f.eventually("the lease does not end", func() bool { return !f.leased() })
		}
		answer()
		f.eventually("LINE does not issue what it was asked for", func() bool { return len(f.line.State().Tokens) == killed })
		f.wantLost(0, "with processes that were killed")
		f.advance(10 * time.Minute)
		f.start(1)
		f.agree("after the pause")
		t.Logf("6 processes that were killed cost %d tokens of the 30", f.wantLost(1, "in all"))
	})
}
