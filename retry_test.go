package lineoauth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// bubble runs f in a bubble with an emulator that no socket leads to.
func bubble(t *testing.T, f func(t *testing.T, srv *lineoauthtest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		f(t, srv)
	})
}

func TestRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		fault    lineoauthtest.Fault
		maxTries int
		wantErr  bool
		attempts int
		min, max time.Duration
	}{
		"no fault":                 {lineoauthtest.Fault{Kind: lineoauthtest.Delayed}, 0, false, 1, 0, 0},
		"500 once":                 {lineoauthtest.Fault{Kind: lineoauthtest.ServerError}, 0, false, 2, 0, 500 * time.Millisecond},
		"500 twice":                {lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: 2}, 0, false, 3, 0, 1500 * time.Millisecond},
		"500 always":               {lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1}, 0, true, 3, 0, 1500 * time.Millisecond},
		"500 always, six attempts": {lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1}, 6, true, 6, 0, 16 * time.Second},
		"500, one attempt":         {lineoauthtest.Fault{Kind: lineoauthtest.ServerError}, 1, true, 1, 0, 0},
		"reset before":             {lineoauthtest.Fault{Kind: lineoauthtest.ResetBefore, Times: 2}, 0, false, 3, 0, 1500 * time.Millisecond},
		"reset after":              {lineoauthtest.Fault{Kind: lineoauthtest.ResetAfter, Times: 2}, 0, false, 3, 0, 1500 * time.Millisecond},
		"429 with seconds":         {lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7"}, 0, false, 2, 7 * time.Second, 7 * time.Second},
		"429 for too long":         {lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "31"}, 0, true, 1, 0, 0},
		"redirect":                 {lineoauthtest.Fault{Kind: lineoauthtest.Redirect}, 0, true, 1, 0, 0},
		"not JSON":                 {lineoauthtest.Fault{Kind: lineoauthtest.NotJSON}, 0, true, 1, 0, 0},
		"cut body":                 {lineoauthtest.Fault{Kind: lineoauthtest.CutBody}, 0, true, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				cfg := srv.Config()
				cfg.MaxAttempts = tt.maxTries
				var retried int
				cfg.OnEvent = func(e lineoauth.Event) {
					if e.Kind == lineoauth.EventRetried && e.Err != nil {
						retried++
					}
				}
				client := retrying(t, cfg)
				srv.Inject(tt.fault)
				start := time.Now()
				_, err := client.IssueStatelessChannelToken(t.Context())
				if took := time.Since(start); took < tt.min || took > tt.max {
					t.Errorf("it took %v", took)
				}
				if (err != nil) != tt.wantErr {
					t.Errorf("error = %v", err)
				}
				if n := srv.State().Calls[lineoauth.OpIssueStatelessChannelToken]; n != tt.attempts || retried != n-1 {
					t.Errorf("%d attempts, %d events", n, retried)
				}
				if e := new(lineoauth.Error); errors.As(err, &e) && e.Attempts != tt.attempts {
					t.Errorf("Attempts = %d", e.Attempts)
				}
				if tt.wantErr && tt.attempts > 1 && !strings.Contains(err.Error(), "attempts)") {
					t.Errorf("error = %v", err)
				}
			})
		})
	}
}

func TestNoRetryOfRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		client := retrying(t, srv.Config())
		if _, err := client.VerifyChannelToken(t.Context(), opaque); !errors.Is(err, lineoauth.ErrInvalidToken) {
			t.Errorf("error = %v", err)
		}
		if n := srv.State().Calls[lineoauth.OpVerifyChannelToken]; n != 1 {
			t.Errorf("a refusal was tried %d times", n)
		}
	})
}

// A lost answer may have cost one of 30 places; two is where it ends.
func TestLostAnswersCostTwoPlaces(t *testing.T) {
	for kind, issue := range map[lineoauth.Kind]func(context.Context, *lineoauth.Client) error{
		lineoauth.V21: func(ctx context.Context, c *lineoauth.Client) error {
			_, err := c.IssueChannelToken(ctx, 0)
			return err
		},
		lineoauth.ShortLived: func(ctx context.Context, c *lineoauth.Client) error {
			_, err := c.IssueShortLivedChannelToken(ctx)
			return err
		},
	} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			cfg := srv.Config()
			cfg.MaxAttempts = 10
			client := retrying(t, cfg)
			srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ResetAfter, Times: -1})
			if err := issue(t.Context(), client); err == nil {
				t.Errorf("%s: no error", kind)
			}
			if n := len(srv.State().Tokens); n != 2 {
				t.Errorf("%s: %d tokens were issued", kind, n)
			}
		})
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		client := retrying(t, srv.Config())
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7", Times: -1})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := client.VerifyChannelToken(ctx, opaque)
		if time.Since(start) != time.Second || !errors.Is(err, context.Canceled) || !errors.Is(err, lineoauth.ErrRateLimited) {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		start = time.Now()
		if _, err = client.VerifyChannelToken(ctx, opaque); time.Since(start) != 0 || !errors.Is(err, lineoauth.ErrRateLimited) {
			t.Errorf("a wait beyond the deadline: after %v: %v", time.Since(start), err)
		}
	})
}

func TestClockSkew(t *testing.T) {
	for _, off := range []time.Duration{2 * time.Minute, 5 * time.Hour, -time.Hour} {
		bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
			cfg := srv.Config()
			cfg.Now = func() time.Time { return time.Now().Add(off) }
			cfg.MaxClockSkew = 6 * time.Hour
			client := retrying(t, cfg)
			for range 3 {
				if _, err := client.IssueChannelToken(t.Context(), 0); err != nil {
					t.Fatalf("%v off: %v", off, err)
				}
				time.Sleep(time.Hour)
			}
			if _, err := client.ValidChannelAccessTokenKeyIDs(t.Context()); err != nil {
				t.Error(err)
			}
			if n := srv.State().Calls[lineoauth.OpIssueChannelTokenByJWT]; n != 4 {
				t.Errorf("%v off: %d calls for 3 tokens; the offset should be kept", off, n)
			}
		})
	}
}

// All that were signed by the wrong clock are signed again.
func TestClockSkewConcurrently(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		cfg := srv.Config()
		cfg.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		client := retrying(t, cfg)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second, Times: 8})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// An assertion that expires while a call waits to be tried again is replaced.
func TestAssertionExpiresOnTheWay(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		cfg := srv.Config()
		cfg.AssertionLifetime = 10 * time.Second
		client := retrying(t, cfg)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "12"})
		if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLostAfterAnotherFailure(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		client := retrying(t, srv.Config())
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ResetAfter})
		if _, err := client.IssueChannelToken(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

// The waits are random and grow.
func TestRetryWaits(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		waits := make(map[int][]time.Duration)
		cfg := srv.Config()
		cfg.MaxAttempts = 9
		attempt := 0
		cfg.OnEvent = func(e lineoauth.Event) { waits[attempt] = append(waits[attempt], e.Wait); attempt++ }
		client := retrying(t, cfg)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
		for range 40 {
			attempt = 0
			var e *lineoauth.Error
			if _, err := client.VerifyChannelToken(t.Context(), opaque); !errors.As(err, &e) || e.Attempts != 9 {
				t.Fatalf("error = %v", err)
			}
		}
		for attempt, longest := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
			slices.Sort(waits[attempt])
			if most := waits[attempt][39]; most > longest || most < longest/2 || waits[attempt][0] > longest/2 {
				t.Errorf("waits before attempt %d: %v to %v; want anything up to %v", attempt+2, waits[attempt][0], most, longest)
			}
		}
	})
}

// The clock is put right once; a Date that leads nowhere is not followed twice.
func TestClockSkewOnce(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		cfg := srv.Config()
		cfg.Now = func() time.Time { return time.Now().Add(time.Hour) }
		cfg.MaxClockSkew = 7 * time.Hour
		client := retrying(t, cfg)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.WrongDate, Skew: -5 * time.Hour, Times: -1})
		_, err := client.IssueStatelessChannelToken(t.Context())
		if n := srv.State().Calls[lineoauth.OpIssueStatelessChannelToken]; n != 2 || !errors.Is(err, lineoauth.ErrInvalidAssertion) {
			t.Errorf("%d calls, %v", n, err)
		}
	})
}

func TestAssertionIsReused(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		client := retrying(t, srv.Config())
		get := func(validFor time.Duration) string {
			a, err := client.Assertion(t.Context(), validFor)
			if err != nil {
				t.Fatal(err)
			}
			return a.Reveal()
		}
		first := get(0)
		time.Sleep(26 * time.Minute)
		if get(30*24*time.Hour) != first {
			t.Error("a live assertion was not reused")
		}
		if get(time.Hour) == first {
			t.Error("an assertion for another lifetime was reused")
		}
		calls := srv.State().Calls[lineoauth.OpIssueStatelessChannelToken]
		before := get(time.Hour)
		if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
			t.Fatal(err)
		}
		if get(time.Hour) != before || srv.State().Calls[lineoauth.OpIssueStatelessChannelToken] != calls+1 {
			t.Error("a call that does not care for token_exp signed an assertion of its own")
		}
		first = get(0)
		time.Sleep(27 * time.Minute)
		if get(0) == first {
			t.Error("an assertion was reused when it expired")
		}
	})
}
