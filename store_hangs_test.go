package lineoauth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// A store that hangs holds up nobody for longer than their context, and a
// refresh for seconds; the calls that hang are bounded.
func TestStoreHangs(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds its context": true, "is deaf": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				release := make(chan struct{})
				var hanging atomic.Int32
				hang := func(ctx context.Context) error {
					hanging.Add(1)
					defer hanging.Add(-1)
					if heeds {
						<-ctx.Done()
						return ctx.Err()
					}
					<-release
					return nil
				}
				st := breakable(new(store.Memory))
				cfg := shared(silent(st))
				source := newSource(t, srv, cfg)
				get(t, source)
				st.set(hang, "Load")
				use(t, 15*time.Minute, source)
				cold := newSource(t, srv, cfg)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if _, err := cold.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if _, err := cold.Token(t.Context()); err == nil || time.Since(start) > 3*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				for range 1000 {
					_, _ = cold.Token(t.Context())
					time.Sleep(100 * time.Millisecond)
				}
				if n := hanging.Load(); n > 16 {
					t.Errorf("%d calls of two sources hang", n)
				}
				start = time.Now()
				_ = source.Close()
				_ = cold.Close()
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("Close took %v", took)
				}
				close(release)
			})
		})
	}
}

// A store that never ends a save costs one token, and nobody else's time.
func TestSaveNeverEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		st := breakable(new(store.Memory))
		st.set(func(context.Context) error { <-release; return nil }, "Save")
		source := newSource(t, srv, shared(silent(st)))
		get(t, source)
		use(t, 10*time.Minute, source)
		if n := issued(srv); n != 1 {
			t.Errorf("%d issues; want 1", n)
		}
		_ = source.Close()
		close(release)
	})
}

// However many saves hang, each lease is given back, so that other processes can issue.
func TestSavesHangAndLeasesDoNot(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		memory := new(store.Memory)
		st := breakable(memory)
		st.set(func(context.Context) error { <-release; return nil }, "Save", "Mark")
		sick := newSource(t, srv, shared(silent(st)))
		for range 12 {
			if _, err := sick.Token(t.Context()); err == nil {
				t.Fatal("a token although nothing can be saved")
			}
			free, err := memory.Lease(t.Context(), storeKey(srv), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			free()
			time.Sleep(time.Second)
		}
		_ = sick.Close()
		close(release)
	})
}

// A store that never answers keeps no stateless token from anybody.
func TestLoadNeverEnds(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		st := breakable(new(store.Memory))
		st.set(func(context.Context) error { <-release; return nil }, "Load")
		source := newSource(t, srv, lineoauth.SourceConfig{Store: silent(st)})
		start := time.Now()
		get(t, source)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the token came after %v", took)
		}
		_ = source.Close()
		close(release)
	})
}
