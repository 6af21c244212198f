// Package envelope wraps what stores keep, so that they know their own again:
// what is torn, was changed, or stood under another key does not open.
package envelope

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lineoauth/lineoauth"
)

// ErrKey: the value was sealed by another key, or is not sealed as it should be.
// It is the configuration that is wrong, not the value.
var ErrKey = errors.New("the stored token is encrypted in another way")

// format is the newest format, and the only one so far.
const format = 1

type envelope struct {
	Format int    `json:"lineoauth"`
	Key    string `json:"key"`
	// Value is the value in the clear, with its Sum, or sealed, with a nonce
	// before it.
	Value []byte `json:"value"`
	Sum   []byte `json:"sha256,omitempty"`
	// Check is nothing but sealed. It tells another key from a changed value.
	Check []byte `json:"check,omitempty"`
}

// Seal wraps a value. With an aead, which may be nil, it encrypts it.
func Seal(aead cipher.AEAD, key string, value []byte) ([]byte, error) {
	e := envelope{Format: format, Key: key, Value: value}
	if aead == nil {
		e.Sum = sum(key, value)
	} else {
		e.Value = seal(aead, value, key)
		e.Check = seal(aead, nil, "")
	}
	return json.Marshal(e)
}

// Open unwraps what Seal made. The error matches [lineoauth.ErrStoreCorrupt] if
// it did not make that, for this key, and ErrKey if it did with another aead.
func Open(aead cipher.AEAD, key string, data []byte) ([]byte, error) {
	var e envelope
	if json.Unmarshal(data, &e) != nil || e.Format < 1 { // the decoder's error may show what it read
		return nil, fmt.Errorf("%w: it is torn, or something else wrote it", lineoauth.ErrStoreCorrupt)
	}
	if e.Format > format {
		return nil, fmt.Errorf("the stored token is in format %d of a newer lineoauth, and this one reads up to %d; update it, or use another store", e.Format, format)
	}
	if e.Key != key {
		return nil, fmt.Errorf("%w: it is a token of another channel, kind or base URL", lineoauth.ErrStoreCorrupt)
	}
	sealed := len(e.Check) > 0
	switch {
	case sealed && aead == nil:
		return nil, fmt.Errorf("%w: this process has no key for it; give it one, or remove what is stored", ErrKey)
	case !sealed && aead != nil && bytes.Equal(e.Sum, sum(key, e.Value)):
		// Whoever can write there could have put it.
		return nil, fmt.Errorf("%w: in the clear, where this process has a key; remove what is stored", ErrKey)
	case !sealed && !bytes.Equal(e.Sum, sum(key, e.Value)):
		return nil, fmt.Errorf("%w: its checksum is wrong", lineoauth.ErrStoreCorrupt)
	case !sealed:
		return e.Value, nil
	}
	if _, err := open(aead, e.Check, ""); err != nil {
		return nil, fmt.Errorf("%w: with another key; give this process that one, or remove what is stored", ErrKey)
	}
	value, err := open(aead, e.Value, key)
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed after it was encrypted", lineoauth.ErrStoreCorrupt)
	}
	return value, nil
}

// Revision names what Seal made, and tells nothing of what it holds. That of nil
// is empty.
func Revision(data []byte) string {
	if data == nil {
		return ""
	}
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

func sum(key string, value []byte) []byte {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(key) // which ends in a line break, as no key does
	h.Write(value)
	return h.Sum(nil)
}

func seal(aead cipher.AEAD, value []byte, additional string) []byte {
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(value)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, value, []byte(additional))
}

func open(aead cipher.AEAD, sealed []byte, additional string) ([]byte, error) {
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("too short")
	}
	nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	return aead.Open(nil, nonce, text, []byte(additional))
}
