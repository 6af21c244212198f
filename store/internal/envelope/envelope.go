// Package envelope wraps stored values, so that stores recognize their own: a value
// that is torn, changed, or stored under another key does not open.
package envelope

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// format is the newest format, and the oldest supported one.
const format = 2

// Envelope is the stored form of a value.
type Envelope struct {
	Format int `json:"lineoauth"`
	// Revision is random, so that each save has a new one.
	Revision string `json:"revision"`
	Key      string `json:"key"`
	// Lifetime is the [store.Update.Lifetime] in milliseconds.
	Lifetime int64  `json:"lifetime_ms,omitempty"`
	Value    []byte `json:"value"`
	Sum      []byte `json:"sha256"`
}

// New wraps a value under a new revision.
func New(key string, update store.Update) Envelope {
	lifetime := update.Lifetime.Milliseconds()
	if update.Lifetime > time.Duration(lifetime)*time.Millisecond && lifetime < math.MaxInt64/int64(time.Millisecond) {
		lifetime++ // a store may not delete it early
	}
	e := Envelope{
		Format:   format,
		Revision: rand.Text(),
		Key:      key,
		Lifetime: max(lifetime, 1),
		Value:    update.Value,
	}
	e.Sum = e.sum()
	return e
}

// Encode returns the bytes to keep.
func (e Envelope) Encode() ([]byte, error) { return json.Marshal(e) }

// Open reads bytes that were kept under key. The error matches
// [store.ErrCorrupt] or [store.ErrNewer].
func Open(key string, data []byte) (Envelope, error) {
	var e Envelope
	if json.Unmarshal(data, &e) != nil || e.Format < format { // the decoder's error may contain what it read
		return Envelope{}, fmt.Errorf("%w: it is torn, or something else wrote it", store.ErrCorrupt)
	}
	if e.Format > format {
		return Envelope{}, fmt.Errorf("format %d: %w", e.Format, store.ErrNewer)
	}
	if e.Key != key {
		return Envelope{}, fmt.Errorf("%w: it is a token of another channel, kind or base URL", store.ErrCorrupt)
	}
	if e.Revision == "" || !bytes.Equal(e.Sum, e.sum()) {
		return Envelope{}, fmt.Errorf("%w: its checksum does not match", store.ErrCorrupt)
	}
	return e, nil
}

// sum is the checksum of all other fields.
func (e Envelope) sum() []byte {
	e.Sum = nil
	data, _ := json.Marshal(e) // never fails
	sum := sha256.Sum256(data)
	return sum[:]
}
