package lineoauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Store keeps tokens where other processes, and the next start of this one,
// find them, so that a fleet has one token instead of one each; see
// [SourceConfig]. Packages filestore and redisstore have one for a machine and
// one for many; package storetest proves any other. A Store is safe for
// concurrent use.
//
// A store sees keys and values as they are: a key names a channel, a kind of
// token and a base URL, and a value holds a token in the clear, which is for
// nobody else to read. Errors show neither.
type Store interface {
	// Load returns what Save saved last under key, and its revision, which is
	// empty when there is nothing. What the store did not write itself, or what
	// is damaged, it sets aside for a person to look at; the error then matches
	// ErrStoreCorrupt, and the next Load finds nothing.
	Load(ctx context.Context, key string) (value []byte, revision string, err error)
	// Save puts a value in the place of the given revision, whole or not at all.
	// If the store has another revision by now, nothing changes and the error
	// matches ErrStoreConflict; so a process that was paused overwrites nothing
	// newer. Nobody needs the value after expiresAt.
	Save(ctx context.Context, key, revision string, value []byte, expiresAt time.Time) error
	// Lease makes the caller the one who issues the token of a key, until it
	// calls release, ends, or has held the lease for longer than ttl. It does not
	// wait: while another has the lease, the error matches ErrStoreLeased.
	Lease(ctx context.Context, key string, ttl time.Duration) (release func(), err error)
}

// StoreWatcher is a [Store] that tells of changes. In others, a [Source] looks
// for changes by itself, once a second at most and only while it is asked for
// tokens.
type StoreWatcher interface {
	Store
	// Watch calls changed when it begins to watch the key, after each change,
	// and whenever it may have missed one, until ctx ends. It returns earlier
	// only if it cannot watch; it is then called again after a while.
	Watch(ctx context.Context, key string, changed func()) error
}

// What a [Store] answers. Test its errors for them with [errors.Is].
var (
	// ErrStoreConflict: another process saved meanwhile, and nothing was saved.
	ErrStoreConflict = errors.New("another process has saved meanwhile")
	// ErrStoreLeased: another process has the lease.
	ErrStoreLeased = errors.New("another process has the lease")
	// ErrStoreCorrupt: what was there is no token that this store saved.
	ErrStoreCorrupt = errors.New("the store holds something damaged or foreign")
)

// storeTimeout bounds one call of a store.
const storeTimeout = 5 * time.Second

// StoredToken returns the channel's token of a kind that a store holds, be it
// alive or not, or nil when there is none. No request is made.
func (c *Client) StoredToken(ctx context.Context, store Store, kind Kind) (*Token, error) {
	token, _, err := c.stored(ctx, store, kind)
	return token, err
}

// StoreToken puts a token into a store in the place of whatever is there, so
// that sources which share it take it up. It is for tokens that did not come
// from such a [Source]. A token that has ended is refused with [ErrInvalid].
func (c *Client) StoreToken(ctx context.Context, store Store, token *Token) error {
	if !c.cfg.Now().Before(token.ExpiresAt()) {
		return fmt.Errorf("lineoauth: storing the token: %w: it has ended; issue another", ErrInvalid)
	}
	for {
		_, revision, err := c.stored(ctx, store, token.Kind)
		if err != nil && !errors.Is(err, ErrStoreCorrupt) {
			return err
		}
		if err := c.store(ctx, store, token.Kind, revision, token); !errors.Is(err, ErrStoreConflict) {
			return err
		}
	}
}

// entry is a token as a store has it. Fields may be added; a change that an
// older reader would get wrong takes another version.
type entry struct {
	Version     int       `json:"version"`
	Key         string    `json:"key"`
	Type        Kind      `json:"type"`
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	KeyID       string    `json:"key_id,omitempty"`
	IssuedAt    time.Time `json:"issued_at"`
	ExpiresIn   int64     `json:"expires_in"`
}

// entryVersion is the newest version, and the only one so far.
const entryVersion = 1

// storeKey names what a store has one token of.
func (c *Client) storeKey(kind Kind) string {
	if kind == ShortLived && c.insteadOfShortLived() {
		kind = V21
	}
	base := c.cfg.BaseURL
	if url, ok := c.cfg.OperationURLs[issues(kind)]; ok {
		base = url
	}
	return fmt.Sprintf("%s/%s/%s", c.cfg.ChannelID, kind, strings.TrimSuffix(base, "/"))
}

// issues is the operation that issues tokens of a kind.
func issues(kind Kind) Operation {
	switch kind {
	case V21:
		return OpIssueChannelTokenByJWT
	case ShortLived:
		return OpIssueChannelToken
	}
	return OpIssueStatelessChannelToken
}

// stored reads a store. An entry that makes no sense is reported, but its
// revision can be replaced.
func (c *Client) stored(ctx context.Context, store Store, kind Kind) (*Token, string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := c.storeKey(kind)
	value, revision, err := store.Load(ctx, key)
	if err != nil {
		return nil, "", fmt.Errorf("lineoauth: loading the stored token: %w", err)
	}
	if revision == "" {
		return nil, "", nil
	}
	var e entry
	// The decoder's error may show what it read.
	if json.Unmarshal(value, &e) != nil || e.Version < 1 {
		return nil, revision, fmt.Errorf("lineoauth: loading the stored token: %w", ErrStoreCorrupt)
	}
	if e.Version > entryVersion {
		return nil, "", fmt.Errorf("lineoauth: the stored token is in format %d of a newer lineoauth, and this one reads up to %d; update it, or use another store", e.Version, entryVersion)
	}
	if e.Key != key || !isToken(e.AccessToken) || e.KeyID != "" && !isToken(e.KeyID) || e.ExpiresIn <= 0 || e.IssuedAt.IsZero() {
		return nil, revision, fmt.Errorf("lineoauth: loading the stored token: %w", ErrStoreCorrupt)
	}
	return &Token{
		AccessToken: NewSecret(e.AccessToken),
		TokenType:   e.TokenType,
		Kind:        e.Type,
		KeyID:       e.KeyID,
		ExpiresIn:   e.ExpiresIn,
		IssuedAt:    e.IssuedAt,
	}, revision, nil
}

func (c *Client) store(ctx context.Context, store Store, kind Kind, revision string, token *Token) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := c.storeKey(kind)
	value, err := json.Marshal(entry{
		Version:     entryVersion,
		Key:         key,
		Type:        token.Kind,
		AccessToken: token.AccessToken.Reveal(),
		TokenType:   token.TokenType,
		KeyID:       token.KeyID,
		IssuedAt:    token.IssuedAt,
		ExpiresIn:   token.ExpiresIn,
	})
	if err == nil {
		err = store.Save(ctx, key, revision, value, token.ExpiresAt())
	}
	if err != nil {
		return fmt.Errorf("lineoauth: storing the token: %w", err)
	}
	return nil
}
