package lineoauthtest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lineoauth/lineoauth"
)

// setup is the initial secret and keys of a channel.
type setup struct {
	secret  string
	keyIDs  []string
	keys    map[string]registeredKey
	miniApp bool
}

// remember saves the initial state of the channel, for Reset.
func (c *Channel) remember() {
	if c.before != nil {
		return
	}
	c.before = &setup{c.Secret, slices.Clone(c.keyIDs), make(map[string]registeredKey), c.miniApp}
	for _, keyID := range c.keyIDs {
		c.before.keys[keyID] = c.server.keys[keyID]
	}
}

// ReissueSecret replaces the channel secret, as the console does, and returns the new
// one. An empty secret means a generated one. The old secret is refused from then on;
// tokens remain valid.
func (c *Channel) ReissueSecret(secret string) string {
	if secret == "" {
		secret = strings.ToLower(rand.Text())
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.remember()
	c.Secret = secret
	return secret
}

// DeleteKey deletes a public key, as the console does: assertions that are signed by
// its private key are refused from then on; tokens remain valid. It returns an error
// if the channel has no such key.
func (c *Channel) DeleteKey(keyID string) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.deleteKey(keyID)
}

func (c *Channel) deleteKey(keyID string) error {
	i := slices.Index(c.keyIDs, keyID)
	if i < 0 {
		return fmt.Errorf("lineoauthtest: key %w; channel %s has %q", errNotThere, c.ID, c.keyIDs)
	}
	c.remember()
	c.keyIDs = slices.Delete(c.keyIDs, i, i+1)
	delete(c.server.keys, keyID)
	return nil
}

// ReplaceKey does [Channel.DeleteKey] of keyID and [Channel.RegisterKey] of a new key
// in one step, also for a channel with the maximum number of keys. It returns the new
// key's ID, which is generated if newKeyID is empty, and may be the old one. After an
// error, the channel has the same keys as before.
func (c *Channel) ReplaceKey(keyID, newKeyID string, publicJWK []byte) (string, error) {
	public, err := parsePublicJWK(publicJWK)
	if err != nil {
		return "", fmt.Errorf("lineoauthtest: the public key is refused: %w", err)
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if _, taken := c.server.keys[newKeyID]; taken && newKeyID != keyID {
		return "", fmt.Errorf("lineoauthtest: the key ID %q is taken", newKeyID)
	}
	if err := c.deleteKey(keyID); err != nil {
		return "", err
	}
	return c.register(newKeyID, public)
}

// Reset makes the server start over: it removes tokens, faults, counted calls,
// messages, profiles and contents, sets the clock to the machine's, and fills the rate
// limits' buckets. Channels keep their IDs; their secrets and keys are those before the
// first call of [Channel.ReissueSecret], [Channel.DeleteKey] or [Channel.ReplaceKey],
// or of their counterparts over HTTP. It keeps what [Server.AllowHost] and
// [Server.LimitRates] set.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = newKept()
	for _, c := range s.channels {
		c.tokens = make(map[lineoauth.Kind][]*token)
		if c.before == nil {
			continue
		}
		for _, keyID := range c.keyIDs {
			delete(s.keys, keyID)
		}
		c.Secret, c.keyIDs, c.miniApp = c.before.secret, nil, c.before.miniApp
	}
	for _, c := range s.channels {
		if c.before == nil {
			continue
		}
		for _, keyID := range c.before.keyIDs {
			if _, taken := s.keys[keyID]; !taken {
				c.keyIDs = append(c.keyIDs, keyID)
				s.keys[keyID] = c.before.keys[keyID]
			}
		}
		c.before = nil
	}
}

// channelStates returns the channels and keys, sorted by ID.
func (s *Server) channelStates() []ChannelState {
	states := []ChannelState{}
	for _, id := range slices.Sorted(maps.Keys(s.channels)) {
		states = append(states, ChannelState{ChannelID: id, KeyIDs: append([]string{}, s.channels[id].keyIDs...)})
	}
	return states
}
