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
// alive or not, or nil when there is none. No request is made. The error wraps
// the store's; it matches [ErrStoreCorrupt] when something damaged was there, and
// [ErrInvalid] when there is no such kind.
func (c *Client) StoredToken(ctx context.Context, store Store, kind Kind) (*Token, error) {
	if !kind.issuable() {
		return nil, fmt.Errorf("lineoauth: loading the stored token: %w: there is no kind of token %q to issue", ErrInvalid, kind)
	}
	found, err := c.stored(ctx, store, kind)
	return found.token, err
}

// StoreToken puts a token into a store in the place of whatever is there, so
// that sources which share it take it up, if it was issued after theirs. It is
// for tokens that did not come from such a [Source]. What is no live token is
// refused with [ErrInvalid], and so is a ShortLived one by a client that has a key
// alone: its sources have V21 tokens.
func (c *Client) StoreToken(ctx context.Context, store Store, token *Token) error {
	now := c.cfg.Now()
	switch {
	case token == nil || !entryOf(token).holdsToken(token.Kind, now) || !now.Before(token.ExpiresAt()):
		return fmt.Errorf("lineoauth: storing the token: %w: it is none, or it has ended; issue another", ErrInvalid)
	case !token.Kind.issuable() || c.issuedFor(token.Kind) != token.Kind:
		return fmt.Errorf("lineoauth: storing the token: %w: this client issues no %q tokens", ErrInvalid, token.Kind)
	}
	for {
		found, err := c.stored(ctx, store, token.Kind)
		if err != nil && !errors.Is(err, ErrStoreCorrupt) {
			return err
		}
		if err := c.store(ctx, store, token.Kind, found.revision, entryOf(token)); !errors.Is(err, ErrStoreConflict) {
			return err
		}
		if err := pause(ctx, leasePoll); err != nil {
			return fmt.Errorf("lineoauth: storing the token: %w", err)
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
	IssuedAt    time.Time `json:"issued_at,omitzero"`
	ExpiresIn   int64     `json:"expires_in"`

	// When LINE asked for patience, or when answers were lost, which may have cost
	// places of all, RetryAt is until when no process issues the next token.
	RetryAt time.Time `json:"retry_at,omitzero"`
	Lost    int       `json:"lost,omitempty"`
}

// entryOf returns the entry of a token, which may be nil, without its Key.
func entryOf(token *Token) entry {
	e := entry{Version: entryVersion}
	if token != nil {
		e.Type = token.Kind
		e.AccessToken = token.AccessToken.Reveal()
		e.TokenType = token.TokenType
		e.KeyID = token.KeyID
		e.IssuedAt = token.IssuedAt
		e.ExpiresIn = token.ExpiresIn
	}
	return e
}

// holdsToken reports whether an entry has what LINE gives for a token of a kind.
// It may come from a clock that is ahead.
func (e entry) holdsToken(kind Kind, now time.Time) bool {
	return e.Type == kind && isToken(e.AccessToken) && (e.KeyID == "" || isToken(e.KeyID)) && strings.EqualFold(e.TokenType, "Bearer") &&
		e.ExpiresIn > 0 && !e.IssuedAt.IsZero() && e.IssuedAt.Before(now.Add(clockSkew))
}

// storedToken is what a store holds of one token.
type storedToken struct {
	token    *Token // nil if there is none
	revision string
	retryAt  time.Time
	lost     int
}

// entryVersion is the newest version, and the only one so far.
const entryVersion = 1

// storeKey names what a store has one token of.
func (c *Client) storeKey(kind Kind) string {
	kind = c.issuedFor(kind)
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
func (c *Client) stored(ctx context.Context, store Store, kind Kind) (storedToken, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := c.storeKey(kind)
	type loaded struct {
		value    []byte
		revision string
	}
	l, err := within(ctx, func() (l loaded, err error) {
		l.value, l.revision, err = store.Load(ctx, key)
		return l, err
	}, nil)
	if err != nil {
		return storedToken{}, fmt.Errorf("lineoauth: loading the stored token: %w", err)
	}
	if l.revision == "" {
		return storedToken{}, nil
	}
	var e entry
	// The decoder's error may show what it read.
	if json.Unmarshal(l.value, &e) != nil || e.Version < 1 {
		return storedToken{revision: l.revision}, fmt.Errorf("lineoauth: loading the stored token: %w", ErrStoreCorrupt)
	}
	if e.Version > entryVersion {
		return storedToken{}, fmt.Errorf("lineoauth: the stored token is in format %d of a newer lineoauth, and this one reads up to %d; update it, or use another store", e.Version, entryVersion)
	}
	held := storedToken{revision: l.revision, retryAt: e.RetryAt, lost: e.Lost}
	// A clock that is far ahead must not hold back all others.
	patient := !e.RetryAt.After(c.cfg.Now().Add(longestWait + clockSkew))
	if e.Key == key && patient && e.AccessToken == "" && !e.RetryAt.IsZero() {
		return held, nil
	}
	if e.Key != key || !patient || !e.holdsToken(c.issuedFor(kind), c.cfg.Now()) {
		return storedToken{revision: l.revision}, fmt.Errorf("lineoauth: loading the stored token: %w", ErrStoreCorrupt)
	}
	held.token = &Token{
		AccessToken: NewSecret(e.AccessToken),
		TokenType:   e.TokenType,
		Kind:        e.Type,
		KeyID:       e.KeyID,
		ExpiresIn:   e.ExpiresIn,
		IssuedAt:    e.IssuedAt,
	}
	return held, nil
}

func (c *Client) store(ctx context.Context, store Store, kind Kind, revision string, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	e.Key = c.storeKey(kind)
	value, err := json.Marshal(e) //nolint:gosec // a store is to have the token
	ends := e.RetryAt
	if ended := e.IssuedAt.Add(seconds(e.ExpiresIn)); ended.After(ends) {
		ends = ended
	}
	if err == nil {
		_, err = within(ctx, func() (struct{}, error) {
			return struct{}{}, store.Save(ctx, e.Key, revision, value, ends)
		}, nil)
	}
	if err != nil {
		return fmt.Errorf("lineoauth: storing the token: %w", err)
	}
	return nil
}

// within makes a call of a store, and returns soon after ctx ends, also when the
// store does not. What comes later goes to late.
func within[T any](ctx context.Context, call func() (T, error), late func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(linger) // what heeds ctx has a better answer
	defer grace.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-grace.C:
	}
	go func() {
		if r := <-done; r.err == nil && late != nil {
			late(r.value)
		}
	}()
	var zero T
	return zero, ctx.Err()
}
