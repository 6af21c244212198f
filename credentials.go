package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/env"
)

// Credentials are what a channel proves by who it is; see the fields of [Config]
// of the same names.
type Credentials struct {
	// ChannelSecret may be empty if there is a Key.
	ChannelSecret Secret
	// Key may be nil if there is a ChannelSecret.
	Key *Key
	// KeyID may be empty if the Key carries it.
	KeyID string
}

// same reports whether the credentials are the same.
func (cr Credentials) same(other Credentials) bool {
	return cr.ChannelSecret == other.ChannelSecret && cr.Key.Equal(other.Key) && cr.KeyID == other.KeyID
}

// check refuses what LINE would surely refuse.
func (cr Credentials) check(skip bool) error {
	var errs []error
	if cr.Key != nil && cr.Key.in == nil {
		return errors.New("Key is empty; make it by ParseKey or NewKey")
	}
	if cr.Key != nil && cr.KeyID != "" {
		errs = append(errs, cr.Key.in().CheckID(cr.KeyID))
	}
	if cr.Key != nil && !skip {
		errs = append(errs, cr.Key.in().Check())
	}
	if secret := cr.ChannelSecret.Reveal(); !skip && (strings.ContainsFunc(secret, unicode.IsControl) || strings.TrimSpace(secret) != secret) {
		errs = append(errs, errors.New("the channel secret has white space around it, a line break or another control character; take it out"))
	}
	return join(errs)
}

// CredentialsFromEnv returns a function for [Config.Credentials] that reads the
// secret and the key anew each time, from the variables of [ConfigFromEnv] and the
// files that they name, and so notices when a file is replaced. getenv is usually
// [os.Getenv].
func CredentialsFromEnv(getenv func(string) string) func(context.Context) (Credentials, error) {
	var mu sync.Mutex
	var text string
	var key *Key // that text is
	parse := func(now string) (*Key, error) {
		mu.Lock()
		defer mu.Unlock()
		if key != nil && now == text {
			return key, nil
		}
		parsed, err := assertion.Parse([]byte(now))
		if err != nil {
			return nil, err
		}
		text, key = now, newKey(parsed)
		return key, nil
	}
	return func(context.Context) (Credentials, error) {
		r := env.Reader{Getenv: getenv}
		cr := readCredentials(&r, parse)
		if err := join(r.Errs); err != nil {
			return Credentials{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if cr.ChannelSecret.IsZero() && cr.Key == nil {
			return Credentials{}, fmt.Errorf("%w: %w: set %s or %s or %s", ErrInvalid, ErrMissingCredentials, env.ChannelSecret, env.PrivateKey, env.PrivateKeyFile)
		}
		return cr, nil
	}
}

// readCredentials reads what the variables have, and collects what is wrong.
func readCredentials(r *env.Reader, parse func(string) (*Key, error)) Credentials {
	cr := Credentials{
		ChannelSecret: NewSecret(r.ValueOrFile(env.ChannelSecret, env.ChannelSecretFile)),
		KeyID:         r.ValueOrFile(env.KeyID, env.KeyIDFile),
	}
	if text, from := r.TextOrFile(env.PrivateKey, env.PrivateKeyFile); text != "" {
		key, err := parse(text)
		if err != nil {
			r.Errs = append(r.Errs, fmt.Errorf("%s: %w", from, err))
		}
		cr.Key = key
	}
	return cr
}

// credentials are those of this client.
func (c *Client) credentials() Credentials {
	if c.current != nil {
		return *c.current
	}
	return Credentials{c.cfg.ChannelSecret, c.cfg.Key, c.cfg.KeyID}
}

// withCredentials makes a call by a client that has the current credentials, and
// once more if LINE refused them, or their signer failed, and there are others by
// then.
func withCredentials[T any](ctx context.Context, c *Client, call func(*Client) (T, error)) (T, error) {
	if c.cfg.Credentials == nil || c.current != nil {
		return call(c)
	}
	var none T
	used, err := c.renewCredentials(ctx)
	if err != nil {
		return none, err
	}
	result, err := call(used)
	refused := errors.Is(err, ErrInvalidCredentials) || errors.Is(err, ErrInvalidAssertion) || errors.Is(err, ErrUnknownKey)
	unsigned := errors.Is(err, assertion.ErrSigner)
	if !refused && !unsigned {
		return result, err
	}
	next, failed := c.renewCredentials(ctx)
	if failed != nil || next.current.same(*used.current) && (refused || next.current.Key.sameSigner(used.current.Key)) {
		return result, err
	}
	return call(next)
}

// renewCredentials returns the client with the credentials that there are now. If
// they cannot be had, it goes on with the last ones.
func (c *Client) renewCredentials(ctx context.Context) (*Client, error) {
	ask := ctx
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ask, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	now, err := c.askForCredentials(ask)
	if err == nil {
		err = now.check(c.cfg.SkipChecks)
	}
	last := c.last.Load()
	switch {
	case err == nil:
		last = c.adopt(ctx, now)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("lineoauth: waiting for the credentials: %w", ctx.Err())
	default:
		err = fmt.Errorf("lineoauth: getting the credentials: %w", err)
		c.emit(ctx, Event{Kind: EventCredentialsFailed, Err: err})
		if last == nil {
			return nil, err
		}
	}
	renewed := *c
	renewed.current = last
	return &renewed, nil
}

// maxAsking bounds the calls of Config.Credentials that are under way, or hang.
const maxAsking = 64

// askForCredentials waits no longer than ctx allows for a function that may not heed
// it, as a library in C does not.
func (c *Client) askForCredentials(ctx context.Context) (cr Credentials, err error) {
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return cr, ctx.Err()
	}
	told := make(chan struct{})
	var got Credentials
	var failed error
	go func() {
		defer func() { <-c.asking }()
		got, failed = c.cfg.Credentials(ctx)
		close(told)
	}()
	select {
	case <-told:
		return got, failed
	case <-ctx.Done():
		return cr, ctx.Err()
	}
}

// adopt makes these the last credentials. Of the same key it takes the signer that
// comes with it now: that of before may be a session which is closed.
func (c *Client) adopt(ctx context.Context, now Credentials) *Credentials {
	for {
		last := c.last.Load()
		same := last != nil && now.same(*last)
		switch {
		case same && now.Key.sameSigner(last.Key):
			return last
		case same:
			now.Key = now.Key.sharing(last.Key)
		}
		if c.last.CompareAndSwap(last, &now) {
			if last != nil && !same {
				c.emit(ctx, Event{Kind: EventCredentialsChanged})
			}
			return &now
		}
	}
}
