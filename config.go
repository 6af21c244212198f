package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/env"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// Defaults for [Config].
const (
	DefaultTimeout      = 10 * time.Second
	DefaultMaxAttempts  = 3
	DefaultMaxClockSkew = time.Hour
)

// Config is what a [Client] is made from. The zero value makes a client that can verify
// tokens, and revoke opaque ones; issuing needs a ChannelID with a Key, a
// ChannelSecret, or both. Printing a Config shows no secret.
type Config struct {
	// ChannelID is the channel's number, as a string of digits.
	ChannelID string
	// ChannelSecret issues short-lived and stateless tokens, and revokes v2.1
	// tokens.
	ChannelSecret Secret
	// Key signs assertions, which issue v2.1 and stateless tokens and list key
	// IDs.
	Key *Key
	// KeyID is the kid that LINE's console gave to the public key. It may stay
	// empty when the Key carries it.
	KeyID string
	// Credentials, if set, returns the secret and key that are valid now, in place of
	// the fields above, for those that change while the program runs: from a secret
	// manager, or from files that are replaced ([CredentialsFromEnv]). It is called
	// before each call that needs them, up to 64 times at once, with the Timeout; and
	// again when LINE refused what it returned, or the Key's signer failed; if it then
	// returns something else, the call is repeated with that. A Key may be a new value
	// each time: the newest signs, though it is a change only if its public key or ID is.
	// If the function fails or panics, the last ones serve, and [EventCredentialsFailed]
	// reports it.
	// With it, ShortLived tokens need a secret.
	Credentials func(ctx context.Context) (Credentials, error)
	// AssertionLifetime is how far ahead an assertion's exp lies: 1 s to 30
	// minutes. 0 means 29 minutes, which leaves one for a clock that runs ahead
	// of LINE's.
	AssertionLifetime time.Duration
	// MaxClockSkew bounds how far an assertion is signed off this machine's clock,
	// when LINE refuses one for its exp and the Date of that answer shows that the
	// clock is off: an assertion that leaks can be used for that much longer. 0
	// means DefaultMaxClockSkew; a negative value means that the Date is not followed.
	// [EventClockSkew] reports both.
	MaxClockSkew time.Duration

	// BaseURL is where LINE is. Empty means the OpenAPI document's first server
	// ([gen.DefaultServerURL]). Plain http is for loopback addresses only, unless
	// AllowPlainHTTP is set.
	BaseURL string
	// OperationURLs gives single operations another base URL.
	OperationURLs map[Operation]string
	// AllowPlainHTTP lets base URLs, and the hosts of a [Transport], be plain http
	// toward any host, such as a sidecar that adds TLS. Anyone on the network path can
	// then read the secrets.
	AllowPlainHTTP bool
	// Authorization is sent as the Authorization header of every call, for a
	// gateway in front of LINE: NewSecret("Bearer " + token), or "Basic " and the
	// base64 of user:password. LINE itself needs none.
	Authorization Secret
	// Transport carries the requests. nil means a copy of [http.DefaultTransport], made
	// for the first client and shared by all, which detects broken connections: those
	// of HTTP/2 by a ping after a second without data, and others once a call on one
	// got no answer; the next attempt then uses a new connection. An [http.Transport]
	// that skips the verification of certificates, or goes below TLS 1.2, is refused;
	// for a private authority, set its RootCAs. Do not change it after [New].
	Transport http.RoundTripper
	// Timeout bounds one attempt of a call, from the connection to the answer's last
	// byte. 0 means DefaultTimeout, a negative one means that only the context
	// ends the call.
	Timeout time.Duration
	// MaxAttempts is how often a call is sent at most, when the network fails before
	// an answer or LINE answers 429 or 5xx. 0 means DefaultMaxAttempts, 1 means once.
	// The waits between are random, up to 500 ms at first, twice as long each
	// time, and at least what Retry-After asks; beyond 30 s, or the context's
	// deadline, the call fails at once.
	//
	// LINE may have issued a token whose answer was lost, which counts toward the
	// limit of 30 of its kind until it expires. So the calls that issue v2.1 and
	// short-lived tokens are sent again after one lost answer, not after two;
	// an answer of 502 or 504 counts as lost.
	MaxAttempts int

	// DisallowUnknownFields refuses an answer that has a field which is not in the
	// OpenAPI document. By default such a field is ignored.
	DisallowUnknownFields bool
	// SkipChecks sends what LINE would surely refuse: a channel ID that is not
	// digits, a key of another size, a lifetime beyond LINE's limits, an empty
	// token. By default it is refused before sending.
	SkipChecks bool
	// OnEvent is called for what happens to calls and tokens, concurrently, in the
	// goroutines where it happens. It must return soon, and not call a [Source].
	OnEvent func(Event)
	// Logger logs the same events. nil means no logging.
	Logger *slog.Logger
	// Now is the clock. nil means [time.Now].
	Now func() time.Time

	fromEnv   bool   // so that errors name variables
	keyIDFrom string // the variable of the KeyID, if fromEnv
}

// Equal reports whether two configurations have the same settings, for go-cmp.
// Functions are the same if their code is.
func (cfg Config) Equal(other Config) bool {
	same := cfg.ChannelID == other.ChannelID &&
		cfg.ChannelSecret == other.ChannelSecret &&
		cfg.Key.Equal(other.Key) &&
		cfg.KeyID == other.KeyID &&
		cfg.AssertionLifetime == other.AssertionLifetime &&
		cfg.MaxClockSkew == other.MaxClockSkew &&
		cfg.BaseURL == other.BaseURL &&
		maps.Equal(cfg.OperationURLs, other.OperationURLs) &&
		cfg.AllowPlainHTTP == other.AllowPlainHTTP &&
		cfg.Authorization == other.Authorization &&
		cfg.Timeout == other.Timeout &&
		cfg.MaxAttempts == other.MaxAttempts &&
		cfg.DisallowUnknownFields == other.DisallowUnknownFields &&
		cfg.SkipChecks == other.SkipChecks &&
		cfg.Logger == other.Logger
	return same && sameCode(cfg.OnEvent, other.OnEvent) && sameCode(cfg.Now, other.Now) && sameCode(cfg.Credentials, other.Credentials) && sameTransport(cfg.Transport, other.Transport)
}

func sameCode(f, g any) bool { return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer() }

// sameTransport is == also for types that have none.
func sameTransport(a, b http.RoundTripper) bool {
	t := reflect.TypeOf(a)
	switch {
	case t != reflect.TypeOf(b):
		return false
	case t == nil || reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable():
		return a == b
	}
	return t.Kind() == reflect.Func && sameCode(a, b)
}

// validate returns the configuration with its defaults filled in.
func (cfg Config) validate() (Config, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = gen.DefaultServerURL
	}
	cfg.BaseURL = wire.LocalName(cfg.BaseURL)
	if cfg.AssertionLifetime == 0 {
		cfg.AssertionLifetime = assertion.DefaultExpiresIn
	}
	if cfg.Transport == nil {
		cfg.Transport = wire.Default()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxClockSkew == 0 {
		cfg.MaxClockSkew = DefaultMaxClockSkew
	}
	cfg.OperationURLs = maps.Clone(cfg.OperationURLs)
	errs := []error{cfg.checkBaseURL(cfg.name("BaseURL", env.BaseURL), cfg.BaseURL), wire.CheckTLS("Transport", cfg.Transport)}
	for op, base := range cfg.OperationURLs {
		if !slices.Contains(Operations(), op) {
			errs = append(errs, fmt.Errorf("OperationURLs: unknown operation %q", op))
		}
		base = wire.LocalName(base)
		cfg.OperationURLs[op] = base
		errs = append(errs, cfg.checkBaseURL("OperationURLs["+string(op)+"]", base))
	}
	if strings.ContainsFunc(cfg.Authorization.Reveal(), unicode.IsControl) {
		errs = append(errs, errors.New("the Authorization holds a line break or another control character"))
	}
	errs = append(errs, cfg.given().check(cfg.SkipChecks, cfg.name("KeyID", cfg.keyIDFrom)))
	if !cfg.SkipChecks {
		if cfg.ChannelID != "" {
			if err := assertion.CheckChannelID(cfg.ChannelID); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", cfg.name("ChannelID", env.ChannelID), err))
			}
		}
		errs = append(errs, assertion.CheckExpiresIn(cfg.AssertionLifetime))
	}
	if err := join(errs); err != nil {
		return cfg, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	return cfg, nil
}

// join is errors.Join in one line.
func join(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	err := errs[0]
	for _, next := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return err
}

// name is how a setting is called where its value comes from.
func (cfg Config) name(field, variable string) string {
	if cfg.fromEnv {
		return variable
	}
	return field
}

// checkBaseURL does not show the URL in its errors: it may hold a password.
func (cfg Config) checkBaseURL(name, base string) error {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%s is not an absolute https URL, such as %s", name, gen.DefaultServerURL)
	case !wire.IsPort(u.Port()):
		return errors.New(name + " has a port above 65535; use the one that the server listens on")
	case u.User != nil || strings.ContainsAny(base, "?#"):
		return errors.New(name + " holds a user name, a query or a fragment; leave them out" + cfg.name(" (Authorization is for a gateway's credentials)", ""))
	case !wire.IsASCII(u.Host):
		return errors.New(name + " has a host with letters beyond ASCII; write it as DNS has it, with xn--")
	case u.Scheme == "http" && !cfg.AllowPlainHTTP && !wire.IsLoopback(u.Hostname()):
		return fmt.Errorf("%s is plain http toward %s; secrets travel over https, except to loopback; use https, or %s", name, u.Hostname(),
			cfg.name("set AllowPlainHTTP ("+env.AllowPlainHTTP+")", "set "+env.AllowPlainHTTP+"=1")+" if nobody on the way can read them")
	}
	return nil
}
