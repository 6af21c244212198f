package lineoauth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// A key that LINE refuses is replaced by a secret: the next attempt carries that alone.
func TestKeyIsReplacedBySecret(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	key := lineoauth.Credentials{Key: cfg.Key, KeyID: cfg.KeyID}
	secret := lineoauth.Credentials{ChannelSecret: cfg.ChannelSecret}
	cfg.ChannelSecret, cfg.Key, cfg.KeyID = lineoauth.Secret{}, nil, ""
	asked := 0
	cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) {
		if asked++; asked == 1 {
			return key, nil
		}
		return secret, nil
	}
	id := key.KeyID
	if id == "" {
		id = key.Key.ID()
	}
	if err := srv.Channel().DeleteKey(id); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context()); err != nil || asked != 2 {
		t.Errorf("credentials were asked for %d times: %v", asked, err)
	}
}

// An empty assertion that is sent nevertheless is still an assertion.
func TestEmptyAssertionIsSent(t *testing.T) {
	var got string
	client := newClient(t, lineoauth.Config{ChannelID: "123", SkipChecks: true, Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		got = string(body)
		return nil, errors.Join(err, errSession)
	})})
	if _, err := client.WithAssertion("").IssueStatelessChannelToken(t.Context()); !errors.Is(err, errSession) || !strings.Contains(got, "client_assertion_type=") || strings.Contains(got, "client_id=") {
		t.Errorf("form = %q, %v", got, err)
	}
}

// A function for credentials that does not return fails like any other.
func TestCredentialsDoNotReturn(t *testing.T) {
	for name, f := range map[string]func(){
		"panic":            func() { panic("hunter2") },
		"panic with error": func() { panic(errors.New("hunter2")) },
		"Goexit":           runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			srv := lineoauthtest.NewServer()
			defer srv.Close()
			cfg := srv.Config()
			good := lineoauth.Credentials{ChannelSecret: cfg.ChannelSecret}
			cfg.ChannelSecret, cfg.Key, cfg.KeyID = lineoauth.Secret{}, nil, ""
			fails := true
			cfg.Credentials = func(context.Context) (lineoauth.Credentials, error) {
				if fails {
					f()
				}
				return good, nil
			}
			client := newClient(t, cfg)
			for range 65 { // more than may be under way at once
				_, err := client.IssueStatelessChannelToken(t.Context())
				says(t, err, []string{"getting the credentials: Config.Credentials"}, []string{"hunter2", "deadline"})
			}
			fails = false
			if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
				t.Error(err)
			}
			fails = true
			if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
				t.Errorf("with the last credentials: %v", err)
			}
		})
	}
}

// The error of an event does not change once it was handed out.
func TestEventKeepsItsError(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	handed, read := make(chan error, 1), make(chan error)
	cfg := srv.Config()
	cfg.OnEvent = func(e lineoauth.Event) {
		handed <- e.Err
		cancel()
	}
	go func() {
		err := <-handed
		_ = err.Error() // while the call ends
		read <- err
	}()
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7", Times: -1})
	_, err := retrying(t, cfg).VerifyChannelToken(ctx, opaque)
	says(t, err, []string{"429", "while waiting"}, nil)
	says(t, <-read, []string{"429"}, []string{"while waiting"})
}

// fewSignatures is a signer that fails after so many.
type fewSignatures struct {
	*rsa.PrivateKey
	left atomic.Int32
}

func (s *fewSignatures) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.left.Add(-1) < 0 {
		return nil, errKMS
	}
	return s.PrivateKey.Sign(r, digest, opts)
}

// An attempt that cannot be signed does not hide what LINE answered before.
func TestRetryCannotBeSigned(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		signer := &fewSignatures{PrivateKey: testSigner(t)}
		signer.left.Store(1)
		key, err := lineoauth.NewKey(signer, "k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := srv.Channel().RegisterKey("k", jwkOf(t, signer.PrivateKey)); err != nil {
			t.Fatal(err)
		}
		cfg := srv.Config()
		cfg.Key, cfg.KeyID, cfg.AssertionLifetime = key, "", time.Second
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7", Times: -1})
		var e *lineoauth.Error
		_, err = retrying(t, cfg).IssueChannelToken(t.Context(), 0)
		if !errors.As(err, &e) || e.StatusCode != http.StatusTooManyRequests || e.Attempts != 1 || !errors.Is(err, lineoauth.ErrRateLimited) || !errors.Is(err, errKMS) {
			t.Errorf("error = %v", err)
		}
	})
}

// A signer that works is not held responsible for another of the same key.
func TestAnotherSignersFailure(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		h := hardware{gate: make(chan struct{})}
		var seen events
		var asked atomic.Int32
		var keys [2]*lineoauth.Key
		client := h.client(t, srv, &seen, func() *lineoauth.Key { return keys[min(asked.Add(1), 2)-1] })
		keys = [2]*lineoauth.Key{h.open(t), h.open(t)}
		h.lost.Store(1)
		failed := make(chan error, 3)
		for range 3 {
			go func() { _, err := client.IssueStatelessChannelToken(t.Context()); failed <- err }()
			synctest.Wait()
		}
		close(h.gate)
		for range 3 {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if n := h.signed.Load(); n != 2 {
			t.Errorf("%d signatures", n)
		}
	})
}

// localhost with a final dot is a name that DNS may give to any machine.
func TestOperationURLIsLocal(t *testing.T) {
	var hosts []string
	cfg := lineoauth.Config{BaseURL: "http://localhost.:1", OperationURLs: map[lineoauth.Operation]string{lineoauth.OpVerifyChannelToken: "http://LocalHost.:8080/x"}}
	given := cfg.OperationURLs[lineoauth.OpVerifyChannelToken]
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		hosts = append(hosts, req.URL.Host)
		return nil, errSession
	})
	client := newClient(t, cfg)
	_, _ = client.VerifyChannelToken(t.Context(), opaque)
	_, _ = client.VerifyChannelToken(t.Context(), jws)
	if len(hosts) != 2 || strings.Contains(strings.Join(hosts, ""), ".") {
		t.Errorf("hosts = %q", hosts)
	}
	if cfg.OperationURLs[lineoauth.OpVerifyChannelToken] != given {
		t.Error("the caller's map was changed")
	}
}

// Nor does DNS decide which machine gets a bot's token.
func TestTransportIsLocal(t *testing.T) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	cfg := srv.Config()
	cfg.BaseURL = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	cfg.Transport = srv.Transport()
	source, err := newClient(t, cfg).Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var host, token string
	transport := lineoauth.Transport{Source: source, Base: roundTrip(func(req *http.Request) (*http.Response, error) {
		host, token = req.URL.Host, req.Header.Get("Authorization")
		return nil, errSession
	})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(cfg.BaseURL, "localhost", "LocalHost.", 1), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	given := req.URL.Host
	if rsp, err := transport.RoundTrip(req); err == nil {
		_ = rsp.Body.Close()
	}
	if token == "" || strings.Contains(host, ".") || req.URL.Host != given {
		t.Errorf("host %q, request's host %q, a token: %v", host, req.URL.Host, token != "")
	}
}
