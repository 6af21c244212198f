package doctor

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/env"
)

// checkSettings checks each variable on its own.
func (e *examination) checkSettings() {
	e.checkChannelID()
	e.checkChannelSecret()
	e.checkPrivateKey()
	e.checkKeyID()
	e.checkBaseURL()
}

// trimmed removes white space, byte order marks and quotes around a value, and
// reports which.
func trimmed(value string) (text, around string) {
	text = strings.TrimFunc(value, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) // such as a byte order mark
	})
	if text != value {
		around = "white space or a byte order mark around it"
	}
	for _, quote := range []string{`"`, `'`} {
		if len(text) > 1 && strings.HasPrefix(text, quote) && strings.HasSuffix(text, quote) {
			return text[1 : len(text)-1], "quotes around it"
		}
	}
	return text, around
}

// read reads only the given variables, with trimmed values. Other required settings
// get placeholders.
func (e *examination) read(variables ...string) (lineoauth.Config, error) {
	values := map[string]string{env.ChannelID: "1", env.ChannelSecret: "x", env.KeyID: "x"}
	for _, variable := range variables {
		text, _ := trimmed(e.Getenv(variable))
		values[variable] = text
	}
	for file, variable := range map[string]string{secretFile: env.ChannelSecret, env.KeyIDFile: env.KeyID} {
		if values[file] != "" && !e.given(variable) {
			delete(values, variable)
		}
	}
	return lineoauth.ConfigFromEnv(func(name string) string { return values[name] })
}

func (e *examination) given(variables ...string) bool {
	for _, variable := range variables {
		if text, _ := trimmed(e.Getenv(variable)); text != "" {
			return true
		}
	}
	return false
}

// decorated fails if there is white space or quotes around a variable's value.
func (e *examination) decorated(name string, variables ...string) bool {
	for _, variable := range variables {
		if _, around := trimmed(e.Getenv(variable)); around != "" && (around[0] == 'q' || variable != env.PrivateKey) {
			e.fail(name, e.Named(variable)+" has "+around, "remove it: not every program ignores it")
			return true
		}
	}
	return false
}

func (e *examination) checkChannelID() {
	const name = "channel ID"
	variable := env.ChannelID
	cfg, err := e.read(variable)
	if err == nil {
		_, err = e.client(cfg)
	}
	switch {
	case !e.given(variable):
		e.fail(name, e.Named(variable)+" is not set", "copy the channel ID from the channel's Basic settings tab in the LINE Developers Console")
	case err != nil:
		e.failWith(name, err, "copy the channel ID again")
	default:
		e.settings.ChannelID = cfg.ChannelID
		if !e.decorated(name, variable) {
			e.ok(name, "%s", cfg.ChannelID)
		}
	}
}

func (e *examination) checkChannelSecret() {
	const name = "channel secret"
	variables := []string{env.ChannelSecret, secretFile}
	keys := []string{env.PrivateKey, env.PrivateKeyFile}
	cfg, err := e.read(variables...)
	switch {
	case !e.given(variables...) && e.given(keys...):
		e.skip(name, "%s is not set; issuing short-lived tokens and revoking v2.1 tokens need it", variables[0])
	case !e.given(variables...):
		e.fail(name, "neither a channel secret nor a private key is set", "set "+variables[0]+", or "+keys[0]+" with "+env.KeyID)
	case err != nil:
		e.failWith(name, err, "copy the channel secret again")
	default:
		e.settings.ChannelSecret = cfg.ChannelSecret
		if !e.decorated(name, variables...) && !e.readByOthers(name, secretFile) {
			e.ok(name, "set")
		}
	}
}

func (e *examination) checkPrivateKey() {
	const name = "private key"
	variables := []string{env.PrivateKey, env.PrivateKeyFile}
	cfg, err := e.read(variables...)
	if err == nil && cfg.Key != nil {
		_, err = e.client(lineoauth.Config{Key: cfg.Key})
	}
	switch {
	case !e.given(variables...):
		e.skip(name, "%s is not set; v2.1 tokens need it", variables[0])
	case err != nil:
		e.failWith(name, err, "copy the private key again")
	default:
		e.settings.Key = cfg.Key
		if !e.decorated(name, variables...) && !e.readByOthers(name, env.PrivateKeyFile) {
			e.ok(name, "RSA-%d", cfg.Key.Public().N.BitLen())
		}
	}
}

// readByOthers fails if others can read the file that a variable names.
func (e *examination) readByOthers(name, variable string) bool {
	path, _ := trimmed(e.Getenv(variable))
	info, err := os.Stat(path)
	if path == "" || err != nil || !env.Exposed(info) {
		return false
	}
	e.fail(name, fmt.Sprintf("others can read or change %s (mode %04o)", path, info.Mode().Perm()), "make its mode 0600: chmod 600 "+path)
	return true
}

func (e *examination) checkKeyID() {
	const name = "key ID"
	variables := []string{env.KeyID, env.KeyIDFile}
	cfg, err := e.read(variables...)
	key := e.settings.Key
	if err == nil && key != nil {
		cfg.Key = key
		_, err = e.client(cfg)
	}
	switch {
	case key == nil:
		e.skip(name, "no private key to use it with")
	case !e.given(variables...) && key.ID() == "":
		e.fail(name, e.Named(variables[0])+" is not set, and the key has none", "set it to the key ID that the LINE Developers Console shows for the public key")
		e.settings.Key = nil
	case err != nil:
		e.failWith(name, err, "copy the key ID again")
		e.settings.Key = nil
	default:
		if e.given(variables...) {
			e.settings.KeyID = cfg.KeyID
		}
		if !e.decorated(name, variables...) {
			e.ok(name, "%s", e.shown(keyID(e.settings)))
		}
	}
}

// keyID returns the key ID that is sent to LINE.
func keyID(cfg lineoauth.Config) string { return cmp.Or(cfg.KeyID, cfg.Key.ID()) }

// keyIDLike matches what LINE's console gives as key IDs, and names in their place that
// are too short for a secret.
var keyIDLike = regexp.MustCompile(`^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|.{1,16})$`)

// shown returns a key ID, unless it may be a secret that was set in its place.
func (e *examination) shown(keyID string) string {
	if keyID == e.settings.ChannelSecret.Reveal() || !keyIDLike.MatchString(keyID) {
		return "[redacted]"
	}
	return keyID
}

func (e *examination) checkBaseURL() {
	const name = "base URL"
	variables := []string{env.BaseURL, "LINE_OAUTH_ALLOW_PLAIN_HTTP"}
	cfg, err := e.read(variables...)
	cfg.ChannelID, cfg.ChannelSecret, cfg.Key, cfg.KeyID = e.settings.ChannelID, e.settings.ChannelSecret, e.settings.Key, e.settings.KeyID
	if err == nil {
		_, err = e.client(cfg)
	}
	e.settings = cfg
	switch {
	case err != nil:
		e.settings.BaseURL = ""
		e.failWith(name, err, "unset "+e.Named(variables[0])+", unless you use another server")
		e.nowhere = true
	case e.decorated(name, variables...):
	case cfg.BaseURL == "":
		e.ok(name, "LINE's own")
	default:
		e.ok(name, "%s", cfg.BaseURL)
	}
}
