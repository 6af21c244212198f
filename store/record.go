package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Record is what a process has to know about the other processes and the token. Its
// encoding is the value that stores keep.
type Record struct {
	// Key is the key under which it was saved.
	Key string `json:"key"`
	// Token is the shared token. Nil when there is none.
	Token *Token `json:"token,omitempty"`
	// Revoked identifies a token that LINE no longer accepts, so that no process keeps
	// using it; see [Token.ID].
	Revoked string `json:"revoked,omitempty"`
	// Issuing identifies a process that is about to issue the next token. If it no
	// longer has the lease, it ended before the answer came; the token that it asked
	// for may count toward the channel's limit.
	Issuing string `json:"issuing,omitempty"`
	// Lost is how many answers of LINE in a row were lost, each of which may have
	// been a token that counts toward the limit.
	Lost int `json:"lost,omitempty"`
	// Hold is how long after the save no process may issue, in milliseconds:
	// LINE asked for that.
	Hold int64 `json:"hold_ms,omitempty"`
}

// Token is a channel access token as a store keeps it. It prints without the
// token itself.
type Token struct {
	AccessToken string    `json:"access_token"`     // the secret
	TokenType   string    `json:"token_type"`       // Bearer
	Kind        string    `json:"type"`             // stateless, v2.1 or short-lived
	KeyID       string    `json:"key_id,omitempty"` // of a v2.1 token
	ExpiresIn   int64     `json:"expires_in"`       // lifetime in seconds, as LINE sent it
	IssuedAt    time.Time `json:"issued_at"`        // for people; nothing is decided by it
	// Left is how long the token was valid still when it was saved, in
	// milliseconds.
	Left int64 `json:"left_ms"`
}

// ID identifies a token without revealing it.
func (t *Token) ID() string {
	sum := sha256.Sum256([]byte(t.AccessToken))
	return hex.EncodeToString(sum[:12])
}

// Format prints what is not secret, under every verb.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.Kind+" token "+t.KeyID)
}

// LogValue is what Format prints, for log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format prints what is not secret, under every verb.
func (r Record) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "record of "+r.Key)
	if r.Token != nil {
		r.Token.Format(f, 's')
	}
}

// LogValue is what Format prints, for log/slog.
func (r Record) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// recordVersion is the newest version of the encoding. Fields may be added to it;
// a change that an older reader would get wrong takes another version.
const recordVersion = 2

// ages is more seconds than anything lasts, and less than a Duration can hold.
const ages = 100 * 365 * 24 * 60 * 60

type versioned struct {
	Version int `json:"version"`
	Record
}

// Encode returns the value to save.
func (r Record) Encode() ([]byte, error) {
	return json.Marshal(versioned{recordVersion, r})
}

// DecodeRecord reads a value that was saved under key. The error matches
// [ErrCorrupt], [ErrNewer], or, for a value of a [Sealed] store, [ErrSealed].
func DecodeRecord(key string, value []byte) (Record, error) {
	var v struct {
		versioned
		Sealed json.RawMessage `json:"sealed"`
	}
	err := json.Unmarshal(value, &v)
	if v.Version > recordVersion { // whose fields may have other types
		return Record{}, fmt.Errorf("format %d: %w", v.Version, ErrNewer)
	}
	// The decoder's error may show what it read.
	if err == nil && v.Sealed != nil {
		return Record{}, fmt.Errorf("%w: this process has no key; use the key, remove the value, or choose another place", ErrSealed)
	}
	if err != nil || v.Version < recordVersion {
		return Record{}, fmt.Errorf("%w: it is not a token of this module", ErrCorrupt)
	}
	if v.Key != key {
		return Record{}, fmt.Errorf("%w: it was saved under another key", ErrCorrupt)
	}
	if t := v.Token; t != nil && (t.AccessToken == "" || t.Left < 0 || t.ExpiresIn <= 0 || t.ExpiresIn > ages || t.Left > t.ExpiresIn*1000) {
		return Record{}, fmt.Errorf("%w: its token makes no sense", ErrCorrupt)
	}
	if v.Lost < 0 || v.Hold < 0 || v.Hold > ages*1000 {
		return Record{}, fmt.Errorf("%w: it makes no sense", ErrCorrupt)
	}
	return v.Record, nil
}
