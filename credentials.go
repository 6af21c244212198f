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

// Credentials are the secret and key with which a channel authenticates; see the fields
// of [Config] of the same names.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
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

// check refuses what LINE would surely refuse. keyID is how the key ID is called.
func (cr Credentials) check(skip bool, keyID string) error {
	var errs []error
	if cr.Key != nil && cr.Key.in == nil {
		return errors.New("Key is empty; make it by ParseKey or NewKey")
	}
	if cr.Key != nil && cr.KeyID != "" {
		errs = append(errs, cr.Key.in().CheckID(keyID, cr.KeyID))
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
// secret and the key again each time, from the variables of [ConfigFromEnv] and the
// files that they name, and so notices when a file is replaced. getenv is usually
// [os.Getenv]. The function's error matches [ErrInvalid], and also
// [ErrMissingCredentials] if neither a secret nor a key is set.
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
		parsed, err := parseKey(now)
		if err == nil {
			text, key = now, parsed
		}
		return parsed, err
	}
	return func(context.Context) (Credentials, error) {
		r := env.Reader{Getenv: getenv}
		cr, _ := readCredentials(&r, parse)
		if err := join(r.Errs); err != nil {
			return Credentials{}, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
		}
		if cr.ChannelSecret.IsZero() && cr.Key == nil {
			return Credentials{}, fmt.Errorf("lineoauth: %w: %w: set %s or %s or %s or %s", ErrInvalid, ErrMissingCredentials, env.ChannelSecret, env.ChannelSecretFile, env.PrivateKey, env.PrivateKeyFile)
		}
		return cr, nil
	}
}

// readCredentials reads what the variables have, and collects what is wrong. It also
// returns the variable that the key ID comes from.
func readCredentials(r *env.Reader, parse func(string) (*Key, error)) (cr Credentials, keyIDFrom string) {
	secret, _ := r.ValueOrFile(env.ChannelSecret, env.ChannelSecretFile)
	cr.ChannelSecret = NewSecret(secret)
	cr.KeyID, keyIDFrom = r.ValueOrFile(env.KeyID, env.KeyIDFile)
	if text, from := r.TextOrFile(env.PrivateKey, env.PrivateKeyFile); text != "" {
		key, err := parse(text)
		if err != nil {
			r.Errs = append(r.Errs, fmt.Errorf("%s: %w", from, err))
		}
		cr.Key = key
	}
	return cr, keyIDFrom
}

// given are the credentials that the configuration has.
func (cfg *Config) given() Credentials { return Credentials{cfg.ChannelSecret, cfg.Key, cfg.KeyID} }

// credentials are those of a call.
func (c *Client) credentials(cl *call) Credentials {
	if cl.current != nil {
		return *cl.current
	}
	return c.cfg.given()
}

// lookUpCredentials gives a call the credentials that Config.Credentials returns now.
// If that fails, the last ones serve.
func (c *Client) lookUpCredentials(ctx context.Context, cl *call) error {
	if c.cfg.Credentials == nil || cl.by == byNothing {
		return nil
	}
	ask := ctx
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ask, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	now, err := c.askForCredentials(ask)
	if err == nil {
		err = now.check(c.cfg.SkipChecks, c.cfg.name("KeyID", c.cfg.keyIDFrom))
	}
	last := c.last.Load()
	switch {
	case err == nil:
		last = c.keepCredentials(ctx, now)
	case ctx.Err() != nil:
		return fmt.Errorf("lineoauth: waiting for the credentials: %w", ctx.Err())
	default:
		err = fmt.Errorf("lineoauth: getting the credentials: %w", err)
		if last == nil {
			c.emit(ctx, Event{Kind: EventCredentialsFailed, Err: err})
			return err
		}
		c.emit(ctx, Event{Kind: EventCredentialsFailed, Err: fmt.Errorf("%w; the last ones are used until it succeeds", err)})
	}
	cl.current = last
	return nil
}

// replaced reports whether LINE refused a call's credentials, or their signer
// failed, and gives the call others if there are some by now.
func (c *Client) replaced(ctx context.Context, cl *call, err error) bool {
	refused := errors.Is(err, ErrInvalidCredentials) || errors.Is(err, ErrInvalidAssertion) || errors.Is(err, ErrUnknownKey)
	if cl.current == nil || !refused && !errors.Is(err, assertion.ErrSigner) {
		return false
	}
	used := cl.current
	return c.lookUpCredentials(ctx, cl) == nil && (!cl.current.same(*used) || !refused && !cl.current.Key.sameSigner(used.Key))
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
	returned := make(chan struct{})
	var got Credentials
	var failed error
	go func() {
		defer func() { <-c.asking }()
		defer close(returned)
		defer func() {
			if v := recover(); v != nil { // which may hold a secret
				failed = fmt.Errorf("Config.Credentials panicked with a %T; fix the function", v)
			}
		}()
		failed = errors.New("Config.Credentials did not return; fix the function") // it called runtime.Goexit
		got, failed = c.cfg.Credentials(ctx)
	}()
	select {
	case <-returned:
		return got, failed
	case <-ctx.Done():
		return cr, ctx.Err()
	}
}

// keepCredentials makes these the last credentials. Of the same key it takes the
// signer that comes with it now: that of before may be a session which is closed.
func (c *Client) keepCredentials(ctx context.Context, now Credentials) *Credentials {
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

// need is what a call cannot do without.
type need int

const (
	needChannelID need = iota
	needSecret
	needKey
	needSecretOrKey
	needKeyID
)

// require names all that is missing for a call, at once.
func (c *Client) require(what string, cr Credentials, needs ...need) error {
	var missing []string
	for _, n := range needs {
		if name := c.missing(n, cr); name != "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("lineoauth: %s: %w: %w: give %s", what, ErrInvalid, ErrMissingCredentials, strings.Join(missing, ", and "))
}

// missing names what a call needs and the credentials lack, or is empty.
func (c *Client) missing(n need, cr Credentials) string {
	name := func(what, field, variables string) string {
		if c.cfg.fromEnv {
			return what + " (" + variables + ")"
		}
		return what + " (" + field + ", " + variables + ")"
	}
	noSecret, noKey := cr.ChannelSecret.IsZero(), cr.Key == nil
	switch {
	case n == needChannelID && c.cfg.ChannelID == "":
		return name("the channel ID", "ChannelID", env.ChannelID)
	case n == needSecret && noSecret:
		return name("the channel secret", "ChannelSecret", env.ChannelSecret+" or "+env.ChannelSecretFile)
	case n == needKey && noKey:
		return name("the private key", "Key", env.PrivateKey+" or "+env.PrivateKeyFile)
	case n == needSecretOrKey && noSecret && noKey:
		return c.missing(needSecret, cr) + " or " + c.missing(needKey, cr)
	case n == needKeyID && cr.KeyID == "" && (noKey || cr.Key.ID() == ""):
		return name("the key ID", "KeyID", env.KeyID+" or "+env.KeyIDFile)
	}
	return ""
}
