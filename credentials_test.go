package lineoauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// rotating is LINE with a channel whose secret and key are replaced.
type rotating struct {
	*lineoauthtest.Server
	channel *lineoauthtest.Channel
	secrets [2]string
	keys    [2]rotatingKey
	now     atomic.Int32
	refused atomic.Int32
	issued  [2]atomic.Int32
}

type rotatingKey struct {
	id          string
	private     string // PEM
	publicBytes []byte // JWK
}

func rotation(t *testing.T, srv *lineoauthtest.Server, keys [2]*rsa.PrivateKey) *rotating {
	t.Helper()
	r := &rotating{Server: srv, secrets: [2]string{"the-first-secret", "the-second-secret"}}
	for i, private := range keys {
		public, err := jose.JSONWebKey{Key: &private.PublicKey, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		r.keys[i] = rotatingKey{fmt.Sprintf("kid-%d", i), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), public}
	}
	var err error
	if r.channel, err = srv.AddChannel("1234567890", r.secrets[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.channel.RegisterKey(r.keys[0].id, r.keys[0].publicBytes); err != nil {
		t.Fatal(err)
	}
	return r
}

// rotate replaces both, as a person does in the console.
func (r *rotating) rotate(t *testing.T) {
	r.now.Store(1)
	r.channel.ReissueSecret(r.secrets[1])
	if _, err := r.channel.ReplaceKey(r.keys[0].id, r.keys[1].id, r.keys[1].publicBytes); err != nil {
		t.Error(err)
	}
}

// RoundTrip is LINE's.
func (r *rotating) RoundTrip(req *http.Request) (*http.Response, error) {
	generation := r.now.Load()
	rsp, err := r.Transport().RoundTrip(req)
	if err == nil && rsp.StatusCode/100 == 4 {
		r.refused.Add(1)
	} else if err == nil {
		r.issued[generation].Add(1)
	}
	return rsp, err
}

// vault is where the credentials are, and who replaces them.
type vault struct {
	variables map[string]string
	dir       string
	line      *rotating
	byKey     bool
}

func (v *vault) put(t *testing.T, generation int) {
	t.Helper()
	write := func(variable, name, text string) {
		v.variables[variable] = filepath.Join(v.dir, name)
		next := v.variables[variable] + ".next"
		if err := os.WriteFile(next, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, v.variables[variable]); err != nil { // as kubelet does
			t.Fatal(err)
		}
	}
	write("LINE_CHANNEL_SECRET_FILE", "secret", v.line.secrets[generation])
	if v.byKey {
		write("LINE_PRIVATE_KEY_FILE", "key.pem", v.line.keys[generation].private)
		write("LINE_KEY_ID_FILE", "key-id", v.line.keys[generation].id)
	}
}

// Secret and key are replaced under load: no caller gets an error, LINE refuses at
// most one call, and the next tokens are issued by the new ones.
func TestCredentialsAreReplaced(t *testing.T) {
	another, err := otherSigner()
	if err != nil {
		t.Fatal(err)
	}
	keys := [2]*rsa.PrivateKey{testSigner(t), another}
	for name, tt := range map[string]struct {
		cfg   lineoauth.SourceConfig
		byKey bool
		pool  bool
		race  bool // they are replaced after the old ones were read
	}{
		"key":                       {byKey: true},
		"key, read before":          {byKey: true, race: true},
		"key, pool":                 {byKey: true, race: true, pool: true},
		"secret":                    {},
		"secret, read before":       {race: true},
		"secret, pool":              {pool: true},
		"short-lived":               {cfg: lineoauth.SourceConfig{Kind: lineoauth.ShortLived}},
		"short-lived, read before":  {cfg: lineoauth.SourceConfig{Kind: lineoauth.ShortLived}, race: true},
		"v2.1":                      {cfg: lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: 15 * time.Minute}, byKey: true},
		"v2.1, read before, a pool": {cfg: lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: 15 * time.Minute}, byKey: true, race: true, pool: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				line := rotation(t, srv, keys)
				v := &vault{map[string]string{}, t.TempDir(), line, tt.byKey}
				v.put(t, 0)
				var mu sync.Mutex // of v.variables
				read := lineoauth.CredentialsFromEnv(func(name string) string { return v.variables[name] })
				var replace atomic.Bool
				rotate := func() { v.put(t, 1); line.rotate(t) }
				var seen events
				cfg := lineoauth.Config{ChannelID: "1234567890", Transport: line, Credentials: func(ctx context.Context) (lineoauth.Credentials, error) {
					mu.Lock()
					defer mu.Unlock()
					cr, err := read(ctx)
					if replace.CompareAndSwap(true, false) {
						rotate()
					}
					return cr, err
				}}
				seen.record(&cfg)
				client := retrying(t, cfg)
				pool := &lineoauth.Pool{New: func(context.Context, string) (*lineoauth.Source, error) { return client.Source(tt.cfg) }}
				defer pool.Close()
				alone, err := client.Source(tt.cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer alone.Close()

				life := 15 * time.Minute
				if tt.cfg.Kind == lineoauth.ShortLived {
					life = 30 * 24 * time.Hour
				}
				var load sync.WaitGroup
				for range 200 {
					load.Go(func() {
						for range 60 {
							source := alone
							if tt.pool {
								source, _ = pool.Source(t.Context(), "1234567890")
							}
							if _, err := source.Token(t.Context()); err != nil {
								t.Error(err)
							}
							time.Sleep(life / 20) // three lives in all
						}
					})
				}
				time.Sleep(life / 2)
				mu.Lock()
				if tt.race {
					replace.Store(true)
				} else {
					rotate()
				}
				mu.Unlock()
				load.Wait()
				want := int32(0)
				if tt.race {
					want = 1
				}
				if n := line.refused.Load(); n != want {
					t.Errorf("LINE refused %d calls", n)
				}
				if before, after := line.issued[0].Load(), line.issued[1].Load(); before == 0 || after < 2 {
					t.Errorf("%d calls before, %d after", before, after)
				}
				if n, _ := seen.of(lineoauth.EventCredentialsChanged); n != 1 {
					t.Errorf("%d changes were reported", n)
				}
			})
		})
	}
}

// What fails to be read does not take away what there is.
func TestCredentialsFail(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	good := srv.Config()
	errVault := errors.New("the vault is sealed")
	var failing atomic.Bool
	calls := 0
	cfg := lineoauth.Config{ChannelID: good.ChannelID, BaseURL: good.BaseURL, Credentials: func(ctx context.Context) (lineoauth.Credentials, error) {
		calls++
		if _, ok := ctx.Deadline(); !ok {
			t.Error("without a deadline")
		}
		if failing.Load() {
			return lineoauth.Credentials{}, errVault
		}
		return lineoauth.Credentials{ChannelSecret: good.ChannelSecret, Key: good.Key, KeyID: good.KeyID}, nil
	}}
	var told []error
	cfg.OnEvent = func(e lineoauth.Event) {
		if e.Kind == lineoauth.EventCredentialsFailed {
			told = append(told, e.Err)
		}
	}

	failing.Store(true)
	client := newClient(t, cfg)
	if calls != 0 {
		t.Error("New asked for credentials")
	}
	if _, err := client.IssueStatelessChannelToken(t.Context()); !errors.Is(err, errVault) || !strings.HasPrefix(err.Error(), "lineoauth: getting the credentials: ") {
		t.Errorf("error = %v", err)
	}
	if _, err := client.VerifyChannelToken(t.Context(), opaque); !errors.Is(err, lineoauth.ErrInvalidToken) || calls != 1 {
		t.Errorf("a call that needs none: %v", err)
	}
	failing.Store(false)
	for op, call := range map[string]func() error{
		"stateless":   func() error { _, err := client.IssueStatelessChannelToken(t.Context()); return err },
		"short-lived": func() error { _, err := client.IssueShortLivedChannelToken(t.Context()); return err },
		"v2.1":        func() error { _, err := client.IssueChannelToken(t.Context(), time.Hour); return err },
		"key IDs":     func() error { _, err := client.ValidChannelAccessTokenKeyIDs(t.Context()); return err },
		"assertion":   func() error { _, err := client.Assertion(t.Context(), 0); return err },
		"revoke": func() error {
			token, err := client.IssueChannelToken(t.Context(), time.Hour)
			if err != nil {
				return err
			}
			return client.RevokeChannelToken(t.Context(), token.AccessToken.Reveal())
		},
	} {
		for _, fails := range []bool{false, true} {
			failing.Store(fails)
			before := calls
			if err := call(); err != nil || calls == before {
				t.Errorf("%s, failing: %v: %v, %d calls", op, fails, err, calls-before)
			}
		}
	}
	if len(told) < 2 || !errors.Is(told[0], errVault) {
		t.Errorf("events: %v", told)
	}

	// What LINE would refuse is not used.
	cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) {
		return lineoauth.Credentials{ChannelSecret: lineoauth.NewSecret("hunter2 \n")}, nil
	}
	if _, err := newClient(t, cfg).IssueShortLivedChannelToken(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret with a line break: %v", err)
	}
	cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) { return lineoauth.Credentials{}, nil }
	if _, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context()); !errors.Is(err, lineoauth.ErrMissingCredentials) {
		t.Errorf("no credentials: %v", err)
	}
	// Those of the configuration serve until there are others.
	cfg = good
	cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) { return lineoauth.Credentials{}, errVault }
	if _, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context()); err != nil {
		t.Error(err)
	}
}
