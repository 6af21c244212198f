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
	// Key is the key that it was saved under.
	Key string `json:"key"`
	// Token is the shared token, or nil.
	Token *Token `json:"token,omitempty"`
	// Revoked identifies a token that LINE no longer accepts, so that no process keeps
	// using it; see [Token.ID].
	Revoked string `json:"revoked,omitempty"`
	// Issuing identifies a process that is about to issue the next token. If it no
	// longer has the lease, it ended before the answer came; the token that it asked
	// for may count toward the channel's limit.
	Issuing string `json:"issuing,omitempty"`
	// Lost is the number of consecutive lost answers of LINE, each of which may have
	// contained a token that counts toward the limit.
	Lost int `json:"lost,omitempty"`
	// Hold is how long after the save no process may issue a token, in milliseconds,
	// as LINE requested.
	Hold int64 `json:"hold_ms,omitempty"`
}

// Token is the stored form of a channel access token. Printing it does not show the
// token itself.
type Token struct {
	AccessToken string    `json:"access_token"`     // the secret
	TokenType   string    `json:"token_type"`       // Bearer
	Kind        string    `json:"type"`             // stateless, v2.1 or short-lived
	KeyID       string    `json:"key_id,omitempty"` // of a v2.1 token
	ExpiresIn   int64     `json:"expires_in"`       // lifetime in seconds, as LINE sent it
	IssuedAt    time.Time `json:"issued_at"`        // informational only
	// Left is the remaining lifetime when the token was saved, in milliseconds.
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

// recordVersion is the newest version of the encoding. Adding fields does not change
// it; a change that an older reader would misread does.
const recordVersion = 2

// ages is a number of seconds above any lifetime and within a Duration's range.
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
	if v.Version > recordVersion { // whose fields may have different types
		return Record{}, fmt.Errorf("format %d: %w", v.Version, ErrNewer)
	}
	// The decoder's error may contain what it read.
	if err == nil && v.Sealed != nil {
		return Record{}, fmt.Errorf("%w: this process has no key; use the key, remove the value, or use another location", ErrSealed)
	}
	if err != nil || v.Version < recordVersion {
		return Record{}, fmt.Errorf("%w: it is not a token of this module", ErrCorrupt)
	}
	if v.Key != key {
		return Record{}, fmt.Errorf("%w: it was saved under another key", ErrCorrupt)
	}
	if t := v.Token; t != nil && (t.AccessToken == "" || t.Left < 0 || t.ExpiresIn <= 0 || t.ExpiresIn > ages || t.Left > t.ExpiresIn*1000) {
		return Record{}, fmt.Errorf("%w: its token is invalid", ErrCorrupt)
	}
	if v.Lost < 0 || v.Hold < 0 || v.Hold > ages*1000 {
		return Record{}, fmt.Errorf("%w: it is invalid", ErrCorrupt)
	}
	return v.Record, nil
}
