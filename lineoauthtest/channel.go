package lineoauthtest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

// LongLived is the kind of token that the LINE Developers Console issues; see
// [Channel.IssueLongLivedToken].
//
// https://developers.line.biz/en/docs/basics/channel-access-token/#long-lived-channel-access-token
const LongLived lineoauth.Kind = "long-lived"

const (
	maxLive      = 30 // for v2.1 and for short-lived tokens
	maxKeys      = 2
	maxStateless = 100_000 // kept per channel; LINE has no limit

	// Channel IDs are numbers of 32 bits.
	maxChannelID   = math.MaxInt32
	firstChannelID = 2_000_000_000 // of generated IDs

	statelessLifetime = 15 * time.Minute
	shortLifetime     = 30 * 24 * time.Hour
	// A long-lived token does not expire, but LINE returns a number of seconds.
	longLifetime = 3_138_007_490 * time.Second
)

// Channel is a Messaging API channel of a [Server].
type Channel struct {
	// ID is the channel ID. It does not change.
	ID string
	// Secret is the channel secret, until [Channel.ReissueSecret] changes it.
	Secret string

	server *Server
	own    ownKey

	// The server's mutex guards the following fields. Tokens are in order of issue.
	keyIDs  []string
	miniApp bool
	tokens  map[lineoauth.Kind][]*token
	before  *setup // nil until the secret or a key is changed
}

type registeredKey struct {
	public  *rsa.PublicKey
	channel *Channel
}

type token struct {
	channel   *Channel
	kind      lineoauth.Kind
	text      string
	keyID     string
	issuedAt  time.Time
	expiresAt time.Time
}

// isChannelID reports whether the ID could be that of a LINE channel.
func isChannelID(id string) bool {
	n, err := strconv.ParseUint(id, 10, 32)
	return err == nil && n <= maxChannelID
}

// AddChannel adds a channel with the given ID and secret. Empty values are generated,
// an ID below 2^31 as LINE's are. The error reports that the ID is not a number, is not
// below that, or is taken.
func (s *Server) AddChannel(id, secret string) (*Channel, error) {
	if id == "" {
		n, _ := rand.Int(rand.Reader, big.NewInt(maxChannelID-firstChannelID)) // never fails
		id = strconv.FormatInt(firstChannelID+n.Int64(), 10)
	}
	if secret == "" {
		secret = strings.ToLower(rand.Text())
	}
	if err := assertion.CheckChannelID(id); err != nil {
		return nil, fmt.Errorf("lineoauthtest: %w", err)
	}
	if !isChannelID(id) {
		return nil, fmt.Errorf("lineoauthtest: the channel ID is above %d; use a smaller one, like LINE's", maxChannelID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[id] != nil {
		return nil, fmt.Errorf("lineoauthtest: channel %s already exists; use another ID", id)
	}
	c := &Channel{ID: id, Secret: secret, server: s, tokens: make(map[lineoauth.Kind][]*token)}
	s.channels[id] = c
	return c, nil
}

// Config returns a configuration for this channel: its ID, its secret, a key that is
// registered for it, and this server's URL. The client's clock is the server's. It
// panics if the channel has two other keys already.
func (c *Channel) Config() lineoauth.Config {
	key, err := c.configKey()
	if err != nil {
		panic(err)
	}
	c.server.mu.Lock()
	secret := c.Secret
	c.server.mu.Unlock()
	cfg := lineoauth.Config{
		ChannelID:     c.ID,
		ChannelSecret: lineoauth.NewSecret(secret),
		Key:           key,
		BaseURL:       c.server.baseURL(),
		Now:           c.server.Now,
	}
	if c.server.URL == "" {
		cfg.Transport = c.server.Transport()
	}
	return cfg
}

// privateKeys holds the keys that this process has generated, which takes 0.1 s each.
// Servers share them; channels of one server do not.
var privateKeys struct {
	sync.Mutex
	all []*rsa.PrivateKey
}

func privateKey(n int) (*rsa.PrivateKey, error) {
	privateKeys.Lock()
	defer privateKeys.Unlock()
	for len(privateKeys.all) <= n {
		key, err := rsa.GenerateKey(rand.Reader, assertion.KeyBits)
		if err != nil {
			return nil, err
		}
		privateKeys.all = append(privateKeys.all, key)
	}
	return privateKeys.all[n], nil
}

// ownKey is the key that Config returns.
type ownKey struct {
	sync.Mutex
	private *rsa.PrivateKey
	keyID   string
	key     *lineoauth.Key
}

// configKey returns the channel's own key, and registers it if necessary.
func (c *Channel) configKey() (*lineoauth.Key, error) {
	c.own.Lock()
	defer c.own.Unlock()
	c.server.mu.Lock()
	registered := slices.Contains(c.keyIDs, c.own.keyID)
	n := c.server.ownKeys
	if c.own.private == nil {
		c.server.ownKeys++
	}
	c.server.mu.Unlock()
	if registered {
		return c.own.key, nil
	}
	var err error
	if c.own.private == nil {
		if c.own.private, err = privateKey(n); err != nil {
			return nil, err
		}
	}
	public, err := assertion.PublicJWK(&c.own.private.PublicKey)
	if err != nil {
		return nil, err
	}
	if c.own.keyID, err = c.RegisterKey("", public); err != nil {
		return nil, err
	}
	c.own.key, err = lineoauth.NewKey(c.own.private, c.own.keyID)
	return c.own.key, err
}

// RegisterKey registers a public key with the channel, as the console does, and returns
// its key ID, a generated UUID if keyID is empty. The key must be a JWK of an RSA-2048
// public key with "alg" RS256, either "use" sig or "key_ops" ["verify"], and no "kid".
// A channel has two keys at most. The error reports what is wrong with the key, or that
// its ID is taken.
//
// https://developers.line.biz/en/docs/messaging-api/generate-json-web-token/
func (c *Channel) RegisterKey(keyID string, publicJWK []byte) (string, error) {
	public, err := parsePublicJWK(publicJWK)
	if err != nil {
		return "", fmt.Errorf("lineoauthtest: invalid public key: %w", err)
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.register(keyID, public)
}

func (c *Channel) register(keyID string, public *rsa.PublicKey) (string, error) {
	if keyID == "" {
		keyID = newUUID()
	}
	if len(c.keyIDs) == maxKeys {
		return "", fmt.Errorf("lineoauthtest: channel %s already has %d keys; delete one first", c.ID, maxKeys)
	}
	if _, taken := c.server.keys[keyID]; taken {
		return "", fmt.Errorf("lineoauthtest: the key ID %q is taken; use another one", keyID)
	}
	c.keyIDs = append(c.keyIDs, keyID)
	c.server.keys[keyID] = registeredKey{public, c}
	return keyID, nil
}

func parsePublicJWK(text []byte) (*rsa.PublicKey, error) {
	var fields struct {
		Kty    string   `json:"kty"`
		Alg    string   `json:"alg"`
		Use    string   `json:"use"`
		KeyOps []string `json:"key_ops"`
		Kid    *string  `json:"kid"`
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("not a JWK: %w", err)
	}
	switch {
	case fields.Kty != "RSA":
		return nil, fmt.Errorf(`"kty" is %q, not "RSA"`, fields.Kty)
	case fields.Alg != "RS256":
		return nil, fmt.Errorf(`"alg" is %q, not "RS256"`, fields.Alg)
	case fields.Kid != nil:
		return nil, errors.New(`it has a "kid", which LINE assigns; remove it`)
	case (fields.Use == "") == (fields.KeyOps == nil):
		return nil, errors.New(`it must have one of "use" and "key_ops"`)
	case fields.Use != "" && fields.Use != "sig":
		return nil, fmt.Errorf(`"use" is %q, not "sig"`, fields.Use)
	case fields.KeyOps != nil && !slices.Equal(fields.KeyOps, []string{"verify"}):
		return nil, fmt.Errorf(`"key_ops" is %q, not ["verify"]`, fields.KeyOps)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	public, ok := key.Key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("it is a private key; register only the public key")
	}
	if bits := public.N.BitLen(); bits != assertion.KeyBits {
		return nil, fmt.Errorf("it has %d bits, not %d", bits, assertion.KeyBits)
	}
	return public, nil
}

// SetMINIApp sets whether the channel is that of a LINE MINI App, for which LINE
// issues neither v2.1 nor long-lived tokens. Call it before the channel has tokens.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
func (c *Channel) SetMINIApp(on bool) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.miniApp = on
}

// IssueLongLivedToken issues a token that does not expire, as the console does. It
// revokes the channel's previous one. It returns the zero Secret for the channel of a
// LINE MINI App.
func (c *Channel) IssueLongLivedToken() lineoauth.Secret {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.miniApp {
		return lineoauth.Secret{}
	}
	for _, t := range c.tokens[LongLived] {
		delete(c.server.byText, t.text)
	}
	c.tokens[LongLived] = nil
	return lineoauth.NewSecret(c.issue(LongLived, c.server.now(), longLifetime).text)
}

// live drops the expired tokens and returns the others.
func (c *Channel) live(kind lineoauth.Kind, now time.Time) []*token {
	expired := func(t *token) bool { return !now.Before(t.expiresAt) }
	tokens := c.tokens[kind]
	if kind == lineoauth.Stateless {
		// All have the same lifetime, so the first one issued expires first.
		for len(tokens) > 0 && expired(tokens[0]) {
			delete(c.server.byText, tokens[0].text)
			tokens = tokens[1:]
		}
	} else {
		tokens = slices.DeleteFunc(tokens, func(t *token) bool {
			if expired(t) {
				delete(c.server.byText, t.text)
			}
			return expired(t)
		})
	}
	c.tokens[kind] = tokens
	return tokens
}

func (t *token) isJWS() bool { return t.kind == lineoauth.V21 || t.kind == lineoauth.Stateless }

func (c *Channel) issue(kind lineoauth.Kind, now time.Time, validFor time.Duration) *token {
	t := &token{channel: c, kind: kind, issuedAt: now, expiresAt: now.Add(validFor)}
	if kind == lineoauth.V21 {
		t.keyID = newKeyID()
	}
	if t.isJWS() {
		t.text = c.server.jws.issue(t.expiresAt)
	} else {
		t.text = opaque()
	}
	live := c.live(kind, now)
	if len(live) >= maxStateless {
		delete(c.server.byText, live[0].text)
		live = live[1:]
		c.server.forgotten++
	}
	c.tokens[kind] = append(live, t)
	c.server.byText[t.text] = t
	return t
}

// RevokeToken makes the emulator refuse a token of the channel, as if LINE or another
// program had revoked it: of any kind, also a stateless one. It reports whether the
// token was valid.
func (c *Channel) RevokeToken(accessToken string) bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	t := c.server.find(accessToken)
	if t == nil || t.channel != c {
		return false
	}
	c.revoke(t)
	return true
}

func (c *Channel) revoke(t *token) {
	delete(c.server.byText, t.text)
	c.tokens[t.kind] = slices.DeleteFunc(c.tokens[t.kind], func(other *token) bool { return other == t })
}

// find returns the record of a valid token, or nil.
func (s *Server) find(text string) *token {
	t := s.byText[text]
	if t == nil || !s.now().Before(t.expiresAt) {
		return nil
	}
	return t
}
