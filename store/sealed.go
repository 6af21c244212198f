package store

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Sealed returns a store that encrypts what inner keeps, so that read access to it
// reveals no token, and write access cannot plant one. Keys, and the sizes of values,
// stay visible. The result is a [Watcher] if inner is one. The error matches
// [ErrInvalid].
//
// All processes must have the same aead. A process with another one, or none, gets
// [ErrSealed] for each value, and so does a process with one where values were saved
// without: remove those values, or use another place. Nonces are chosen at random, so
// they must have at least 12 bytes, as those of [cipher.NewGCM] do, or be the aead's
// own, as those of [cipher.NewGCMWithRandomNonce] are.
func Sealed(inner Store, aead cipher.AEAD) (Store, error) {
	switch {
	case inner == nil:
		return nil, fmt.Errorf("store: %w: the store to seal is nil; pass one", ErrInvalid)
	case aead == nil:
		return nil, fmt.Errorf("store: %w: the AEAD is nil; pass one such as cipher.NewGCM returns", ErrInvalid)
	case aead.NonceSize() > 0 && aead.NonceSize() < minNonce:
		return nil, fmt.Errorf("store: %w: the AEAD has nonces of %d bytes; use one with at least %d", ErrInvalid, aead.NonceSize(), minNonce)
	}
	s := &sealed{inner, aead}
	if watcher, ok := inner.(Watcher); ok {
		return &sealedWatcher{s, watcher}, nil
	}
	return s, nil
}

// minNonce is the minimum size of random nonces.
const minNonce = 12

type sealed struct {
	inner Store
	aead  cipher.AEAD
}

type sealedWatcher struct {
	*sealed
	watcher Watcher
}

var _ Watcher = (*sealedWatcher)(nil)

// sealedValue is the value in the inner store. It shares its version with [Record],
// so that the two can be distinguished.
type sealedValue struct {
	Version int `json:"version"`
	// Sealed is the value. The key of the entry is its additional data.
	Sealed []byte `json:"sealed"`
	// Check is an empty text, sealed: it distinguishes a wrong key from a damaged value.
	Check []byte `json:"check"`
}

// checkData is the additional data of the check. That of values starts with valueData.
const checkData, valueData = "check", "value of "

// Load implements [Store]. A damaged value keeps its revision.
func (s *sealed) Load(ctx context.Context, key string) (Entry, error) {
	entry, err := s.inner.Load(ctx, key)
	if err != nil || entry.Revision == "" {
		entry.Value = nil
		return entry, err
	}
	entry.Value, err = s.open(key, entry.Value)
	if err != nil {
		err = fmt.Errorf("store: key %q: %w", key, err)
		if !errors.Is(err, ErrCorrupt) {
			return Entry{}, err
		}
	}
	return entry, err
}

// Save implements [Store].
func (s *sealed) Save(ctx context.Context, key string, update Update) (revision string, err error) {
	update.Value, err = json.Marshal(sealedValue{
		Version: recordVersion,
		Sealed:  s.seal(update.Value, valueData+key),
		Check:   s.seal(nil, checkData),
	})
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return s.inner.Save(ctx, key, update)
}

// Lease implements [Store].
func (s *sealed) Lease(ctx context.Context, key string, ttl time.Duration) (release func(), err error) {
	return s.inner.Lease(ctx, key, ttl)
}

// Watch implements [Watcher].
func (s *sealedWatcher) Watch(ctx context.Context, key string, changed func()) error {
	return s.watcher.Watch(ctx, key, changed)
}

// Format prints nothing secret, under every verb.
func (s *sealed) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "sealed %T", s.inner)
}

func (s *sealed) open(key string, data []byte) ([]byte, error) {
	var v sealedValue
	switch err := json.Unmarshal(data, &v); { // the error may contain what it read
	case err != nil || v.Version < 1:
		return nil, fmt.Errorf("%w: it is not a sealed value", ErrCorrupt)
	case v.Version > recordVersion:
		return nil, fmt.Errorf("format %d: %w", v.Version, ErrNewer)
	case v.Sealed == nil && v.Check == nil:
		// Anyone who can write to the storage could have created it.
		return nil, fmt.Errorf("%w: it is not encrypted, but this process has a key; remove it, or use another location", ErrSealed)
	}
	if value, err := s.unseal(v.Sealed, valueData+key); err == nil {
		return value, nil
	}
	if _, err := s.unseal(v.Check, checkData); err != nil {
		return nil, fmt.Errorf("%w: with another key; use that key, remove the value, or use another location", ErrSealed)
	}
	return nil, fmt.Errorf("%w: it was changed after it was sealed", ErrCorrupt)
}

func (s *sealed) seal(value []byte, additional string) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(value)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return s.aead.Seal(nonce, nonce, value, []byte(additional))
}

func (s *sealed) unseal(data []byte, additional string) ([]byte, error) {
	size := s.aead.NonceSize()
	if len(data) < size {
		return nil, io.ErrUnexpectedEOF
	}
	return s.aead.Open(nil, data[:size], data[size:], []byte(additional))
}
