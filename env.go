package lineoauth

import (
	"fmt"
	"strings"

	"github.com/lineoauth/lineoauth/internal/env"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// ConfigFromEnv reads a configuration from environment variables; getenv is
// usually [os.Getenv].
//
//   - LINE_CHANNEL_ID: the channel ID
//   - LINE_CHANNEL_SECRET: the channel secret
//   - LINE_CHANNEL_SECRET_FILE: or the path of a file that contains it
//   - LINE_PRIVATE_KEY: the private key itself, in any form that [ParseKey] reads
//   - LINE_PRIVATE_KEY_FILE: or the path of a file that contains it
//   - LINE_KEY_ID: its key ID; optional when a JWK carries it
//   - LINE_KEY_ID_FILE: or the path of a file that contains it
//   - LINE_OAUTH_BASE_URL: the base URL, when it is not LINE's own
//   - LINE_OAUTH_ALLOW_PLAIN_HTTP: 1 or true allows plain http toward any host
//
// White space, a byte order mark and one pair of quotes around a value are taken
// off, in files, too. What then has a space or a control character inside is
// refused.
//
// The channel ID and either a key or a secret must be there. One error names every
// variable that is missing, and each that is invalid and why; it matches [ErrInvalid],
// and [ErrMissingCredentials] if nothing else is wrong. The configuration contains what
// was found even then; [New] checks it.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	r := env.Reader{Getenv: getenv}
	cfg := Config{
		ChannelID:      r.Value(env.ChannelID),
		BaseURL:        wire.LocalName(r.Value(env.BaseURL)),
		AllowPlainHTTP: r.Bool(env.AllowPlainHTTP),
		fromEnv:        true,
	}
	cr, keyIDFrom := readCredentials(&r, parseKey)
	cfg.ChannelSecret, cfg.Key, cfg.KeyID, cfg.keyIDFrom = cr.ChannelSecret, cr.Key, cr.KeyID, keyIDFrom
	wrong, missing := join(r.Errs), cfg.unset(getenv)
	switch {
	case wrong != nil && missing != "":
		return cfg, fmt.Errorf("lineoauth: %w: %w; and set %s", ErrInvalid, wrong, missing)
	case wrong != nil:
		return cfg, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, wrong)
	case missing != "":
		return cfg, fmt.Errorf("lineoauth: %w: %w: set %s", ErrInvalid, ErrMissingCredentials, missing)
	}
	return cfg, nil
}

// unset names the variables that have to be set, and are not.
func (cfg Config) unset(getenv func(string) string) string {
	none := func(names ...string) bool {
		for _, name := range names {
			if env.Trim(getenv(name)) != "" {
				return false
			}
		}
		return true
	}
	var missing []string
	if none(env.ChannelID) {
		missing = append(missing, env.ChannelID)
	}
	if none(env.ChannelSecret, env.ChannelSecretFile, env.PrivateKey, env.PrivateKeyFile) {
		missing = append(missing, env.ChannelSecret+" or "+env.ChannelSecretFile+" or "+env.PrivateKey+" or "+env.PrivateKeyFile)
	}
	if cfg.Key != nil && none(env.KeyID, env.KeyIDFile) && cfg.Key.ID() == "" {
		missing = append(missing, env.KeyID+" or "+env.KeyIDFile)
	}
	return strings.Join(missing, ", and ")
}
