package lineoauth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// session is a key in a hardware token, as far as one session reaches: each that is
// opened is another signer with the same public key.
type session struct {
	*rsa.PrivateKey
	lost   *atomic.Int32 // sessions up to this one are lost
	number int32
	signed *atomic.Int32
	gate   chan struct{} // if not nil, each signature waits until it is closed
}

var errSession = errors.New("the session handle is invalid")

func (s *session) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.signed.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	if s.number <= s.lost.Load() {
		return nil, errSession
	}
	return s.PrivateKey.Sign(r, digest, opts)
}

// hardware returns a session of one key, another with each call.
type hardware struct {
	private              *rsa.PrivateKey
	lost, opened, signed atomic.Int32
	gate                 chan struct{}
}

func (h *hardware) open(t *testing.T) *lineoauth.Key {
	t.Helper()
	key, err := lineoauth.NewKey(&session{h.private, &h.lost, h.opened.Add(1), &h.signed, h.gate}, "")
	if err != nil {
		t.Error(err)
	}
	return key
}

// client returns a client of LINE that gets its key from a function.
func (h *hardware) client(t *testing.T, srv *lineoauthtest.Server, seen *events, key func() *lineoauth.Key) *lineoauth.Client {
	t.Helper()
	cfg := srv.Config()
	h.private = testSigner(t)
	if _, err := srv.Channel().RegisterKey("in-hardware", jwkOf(t, h.private)); err != nil {
		t.Fatal(err)
	}
	cfg.ChannelSecret, cfg.Key, cfg.KeyID = lineoauth.Secret{}, nil, ""
	cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) {
		return lineoauth.Credentials{Key: key(), KeyID: "in-hardware"}, nil
	}
	seen.record(&cfg)
	return retrying(t, cfg)
}

// resign is longer than an assertion is used again.
const resign = 28 * time.Minute

// The key is the same, but the signer behind it is another: it signs, as the one
// before may be of no use any more.
func TestSignerIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		var h hardware
		var seen events
		client := h.client(t, srv, &seen, func() *lineoauth.Key { return h.open(t) })
		for range 3 {
			if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.signed.Load(); n != 1 {
			t.Errorf("%d signatures while the assertion is fresh", n)
		}
		h.lost.Store(h.opened.Load())
		time.Sleep(resign)
		if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
			t.Error(err)
		}
		if n := h.signed.Load(); n != 2 {
			t.Errorf("%d signatures", n)
		}
		if n, _ := seen.of(lineoauth.EventCredentialsChanged); n != 0 {
			t.Errorf("%d changes were reported of the same key", n)
		}
	})
}

// A signer that fails after it was handed out is asked for once more.
func TestSignerIsAskedForAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		lost          int32 // so many sessions at first
		same          bool  // the key is kept, and not opened again
		opened, signs int32
		want          error
	}{
		"once":             {lost: 1, opened: 2, signs: 2},
		"twice":            {lost: 2, opened: 2, signs: 2, want: errSession},
		"the key was kept": {lost: 1, same: true, opened: 1, signs: 1, want: errSession},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				var h hardware
				var seen events
				h.lost.Store(tt.lost)
				open := sync.OnceValue(func() *lineoauth.Key { return h.open(t) })
				client := h.client(t, srv, &seen, func() *lineoauth.Key {
					if tt.same {
						return open()
					}
					return h.open(t)
				})
				if _, err := client.IssueStatelessChannelToken(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("error = %v", err)
				}
				if opened, signed := h.opened.Load(), h.signed.Load(); opened != tt.opened || signed != tt.signs {
					t.Errorf("%d sessions, %d signatures", opened, signed)
				}
			})
		})
	}
}

// A key that is a new value with each call still signs once for all callers.
func TestOneSignatureOfManySigners(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		h := hardware{gate: make(chan struct{})}
		var seen events
		client := h.client(t, srv, &seen, func() *lineoauth.Key { return h.open(t) })
		var load sync.WaitGroup
		for range 50 {
			load.Go(func() {
				if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(h.gate)
		load.Wait()
		if n := h.signed.Load(); n != 1 {
			t.Errorf("%d signatures", n)
		}
	})
}

func jwkOf(t *testing.T, private *rsa.PrivateKey) []byte {
	t.Helper()
	public, err := jose.JSONWebKey{Key: &private.PublicKey, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// A function for credentials that hangs and does not heed its context, as a library
// in C does, holds up no caller for longer than it waits.
func TestCredentialsHang(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		release := make(chan struct{})
		var hung, calls atomic.Int32
		cfg := srv.Config()
		good := lineoauth.Credentials{ChannelSecret: cfg.ChannelSecret, Key: cfg.Key, KeyID: cfg.KeyID}
		var hang atomic.Bool
		hang.Store(true)
		cfg.ChannelSecret, cfg.Key, cfg.KeyID = lineoauth.Secret{}, nil, ""
		cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) {
			calls.Add(1)
			if hang.Load() {
				hung.Add(1)
				defer hung.Add(-1)
				<-release
			}
			return good, nil
		}
		client := newClient(t, cfg)
		issue := func(ctx context.Context) error { _, err := client.IssueStatelessChannelToken(ctx); return err }
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := issue(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		start = time.Now()
		if err := issue(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != lineoauth.DefaultTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		hang.Store(false)
		if err := issue(t.Context()); err != nil {
			t.Error(err)
		}
		hang.Store(true)
		if err := issue(t.Context()); err != nil {
			t.Errorf("with the last credentials: %v", err)
		}
		var load sync.WaitGroup
		for range 200 {
			load.Go(func() { _ = issue(t.Context()) })
		}
		load.Wait()
		if n := hung.Load(); n > 64 {
			t.Errorf("%d calls hang", n)
		}
		close(release)
		synctest.Wait()
		if err := issue(t.Context()); err != nil || hung.Load() != 0 {
			t.Errorf("once all is well: %v, %d calls hang", err, hung.Load())
		}
	})
}
