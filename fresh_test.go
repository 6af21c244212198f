package lineoauth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// A caller that needs a token for a while gets one that is valid for that long,
// if there is one or LINE issues one.
func TestFreshToken(t *testing.T) {
	const need = 10 * time.Minute
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		fresh := func(d time.Duration) (string, error) { // of a process that ends then
			source := newSource(t, srv, shared(st))
			defer source.Close()
			token, err := source.FreshToken(t.Context(), d)
			return token.AccessToken.Reveal(), err
		}
		first, err := fresh(need)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(life / 2)
		if again, err := fresh(need); again != first || err != nil || issued(srv) != 1 {
			t.Errorf("in the middle of its life: another token, %v, %d issues", err, issued(srv))
		}
		time.Sleep(life/2 - need + time.Second) // before the window
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
		if again, err := fresh(need); again != first || err != nil || issued(srv) != 2 {
			t.Errorf("LINE is down: another token, %v, %d issues", err, issued(srv))
		}
		if again, err := fresh(need / 2); again != first || err != nil || issued(srv) != 2 {
			t.Errorf("a token that is valid for long enough was replaced: %v, %d issues", err, issued(srv))
		}
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Second})
		if second, err := fresh(need); second == first || err != nil || issued(srv) != 3 {
			t.Errorf("the old token, %v, %d issues", err, issued(srv))
		}
		time.Sleep(life)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
		if _, err := fresh(need); err == nil {
			t.Error("no error, and no valid token")
		}
	})
}

// A caller whose context ends first gets the token that is still valid.
func TestFreshTokenInTime(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{})
		first := get(t, source)
		time.Sleep(10 * time.Minute)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 9 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		token, err := source.FreshToken(ctx, 6*time.Minute)
		if err != nil || token.AccessToken.Reveal() != first || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(9 * time.Second)
		if token, err := source.FreshToken(t.Context(), 6*time.Minute); err != nil || token.AccessToken.Reveal() == first {
			t.Errorf("after the refresh that continues: the old token, %v", err)
		}
		if n := srv.State().Calls[issueStateless]; n != 2 {
			t.Errorf("%d issues", n)
		}
		for _, d := range []time.Duration{7*time.Minute + 31*time.Second, 24 * time.Hour} {
			if _, err := source.FreshToken(t.Context(), d); !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("a token for %v: %v", d, err)
			}
		}
	})
}

// FreshToken waits for the process that refreshes.
func TestFreshTokenOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		st := new(store.Memory)
		one := newSource(t, srv, shared(st))
		first := get(t, one)
		time.Sleep(life - 30*time.Second)
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 2 * time.Second})
		get(t, one) // begins the refresh
		synctest.Wait()
		token, err := newSource(t, srv, shared(st)).FreshToken(t.Context(), time.Minute)
		if err != nil || token.AccessToken.Reveal() == first || issued(srv) != 2 {
			t.Errorf("the old token, %v, %d issues", err, issued(srv))
		}
	})
}

// ValidFor is the lifetime before there is a token.
func TestFreshTokenOfValidFor(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		source := newSource(t, srv, lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: time.Hour})
		for range 2 {
			if _, err := source.FreshToken(t.Context(), 40*time.Minute); !errors.Is(err, lineoauth.ErrInvalid) {
				t.Errorf("more than half of a lifetime: %v", err)
			}
			get(t, source)
		}
	})
}
