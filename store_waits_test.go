package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// What LINE asks to wait for is waited for by all, whatever the store has to say.
func TestRetryAfterWithStore(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		source := newSource(t, srv, shared(silent(st)))
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "300"})
		for range 260 { // in the last 30 s, a call waits for the token
			if _, err := source.Token(t.Context()); !errors.Is(err, lineoauth.ErrRateLimited) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := issued(srv); n != 1 {
			t.Errorf("%d calls while LINE asked to wait", n)
		}
		if _, err := newSource(t, srv, shared(st)).Token(t.Context()); err == nil || issued(srv) != 1 {
			t.Errorf("another process does not wait: %v", err)
		}
		// Yet there is a token meanwhile.
		other := issueByHand(t, srv, st)
		time.Sleep(1500 * time.Millisecond)
		if get(t, source) != other {
			t.Error("a token in the store was not found")
		}
		time.Sleep(life - time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "50"})
		use(t, time.Second, source)
		theirs := issueByHand(t, srv, st)
		use(t, 2*time.Second, source)
		if get(t, source) != theirs {
			t.Error("a token in the store was not found while LINE asked to wait")
		}
	})
}

// A process that is held back by another looks once a second.
func TestHeldBackLooksSeldom(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := breakable(new(store.Memory))
		one, other := newSource(t, srv, shared(st)), newSource(t, srv, shared(silent(st)))
		get(t, one)
		get(t, other)
		time.Sleep(life - time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "3000"})
		get(t, one)
		synctest.Wait()
		var loads atomic.Int32
		st.set(func(context.Context) error { loads.Add(1); return nil }, "Load")
		use(t, 10*time.Second, other)
		if n := loads.Load(); n < 5 || n > 15 || issued(srv) != 2 {
			t.Errorf("%d looks in 10 s, %d issues", n, issued(srv))
		}
	})
}

// What one process has to wait for, all wait for: they share the limit of 30, and
// what LINE bears.
func TestFleetWaits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault lineoauthtest.Fault
		most  int // issues in an hour of 10 processes
		back  time.Duration
	}{
		"all answers are lost":    {lineoauthtest.Fault{Kind: lineoauthtest.CutBody, Times: -1}, 2, 5 * time.Second},
		"tokens are lost":         {lineoauthtest.Fault{Kind: lineoauthtest.CutBody, Operation: issueV21, Times: -1}, 6, 25 * time.Hour},
		"LINE asks to wait":       {lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "3000", Times: -1}, 2, time.Hour},
		"connections are refused": {lineoauthtest.Fault{Kind: lineoauthtest.ResetBefore, Times: -1}, 2, 5 * time.Second},
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, warm %v", name, warm), func(t *testing.T) {
				bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
					st := silent(new(store.Memory))
					var sources []*lineoauth.Source
					for range 10 {
						source := newSource(t, srv, shared(st))
						sources = append(sources, source)
						if warm {
							get(t, source)
						}
					}
					if warm {
						time.Sleep(life - time.Minute)
					}
					before := issued(srv)
					srv.Inject(tt.fault)
					for end := time.Now().Add(time.Hour); time.Now().Before(end); time.Sleep(2 * time.Minute) {
						for _, source := range sources {
							_, _ = source.Token(t.Context())
						}
					}
					if n := issued(srv) - before; n < 1 || n > tt.most {
						t.Errorf("%d issues; want at most %d", n, tt.most)
					}
					srv.ClearFaults()
					if tt.back > time.Minute {
						time.Sleep(tt.back)
					}
					for end := time.Now().Add(tt.back); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
						if _, err := sources[0].Token(t.Context()); err == nil {
							break
						}
					}
					time.Sleep(2 * time.Second) // the others look
					for _, source := range sources {
						get(t, source)
					}
				})
			})
		}
	}
}

// The losses of an outage are counted in the store, for as long as they may count
// toward the limit: a job that restarts does not lose more.
func TestLossesOutliveProcesses(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := &expiring{Memory: new(store.Memory)}
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.CutBody, Times: -1})
		for range 34 {
			source := newSource(t, srv, shared(st))
			if _, err := source.Token(t.Context()); err == nil {
				t.Fatal("no error")
			}
			_ = source.Close()
			time.Sleep(2 * time.Hour)
		}
		if n := issued(srv); n > 3 {
			t.Errorf("34 starts cost %d tokens", n)
		}
		srv.ClearFaults()
		get(t, newSource(t, srv, shared(st)))
	})
}

// expiring deletes what is stored at the end of its lifetime, as Redis does.
type expiring struct {
	*store.Memory
	end time.Time
}

func (e *expiring) Load(ctx context.Context, key string) (store.Entry, error) {
	if !e.end.IsZero() && !time.Now().Before(e.end) {
		e.Memory, e.end = new(store.Memory), time.Time{}
	}
	return e.Memory.Load(ctx, key)
}

func (e *expiring) Save(ctx context.Context, key string, update store.Update) (string, error) {
	revision, err := e.Memory.Save(ctx, key, update)
	if err == nil {
		e.end = time.Now().Add(update.Lifetime)
	}
	return revision, err
}
