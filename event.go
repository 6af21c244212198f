package lineoauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/lineoauth/lineoauth/internal/life"
)

// EventKind is what happened in the life of a token.
type EventKind string

// What [Config.OnEvent] and [Config.Logger] receive.
const (
	// EventIssued is when a [Source] without a valid token issued one.
	EventIssued EventKind = "token issued"
	// EventRefreshed is when a Source issued a token while another was valid.
	EventRefreshed EventKind = "token refreshed"
	// EventRefreshFailed is when a Source got no other token although it needed
	// one; the next attempt follows after Wait.
	EventRefreshFailed EventKind = "token refresh failed"
	// EventRetried is when a call failed and is sent again after Wait.
	EventRetried EventKind = "call retried"
	// EventInvalidated is when a Source dropped a token that LINE does not accept
	// any more.
	EventInvalidated EventKind = "token invalidated"
	// EventAdopted is when a Source adopted a token that another process stored.
	EventAdopted EventKind = "token adopted"
	// EventClockSkew is when LINE refused an assertion for its exp, and its Date is
	// off this machine's clock by Skew. Without an Err, that is followed from now on;
	// with one, it is more than [Config.MaxClockSkew].
	EventClockSkew EventKind = "clock skew"
	// EventCredentialsChanged is when [Config.Credentials] returned others than before.
	EventCredentialsChanged EventKind = "credentials changed"
	// EventCredentialsFailed is when it failed, or returned what LINE would refuse.
	EventCredentialsFailed EventKind = "credentials failed"
	// EventStoreFailed is when a Source could not use its store, or found a damaged
	// entry there. It keeps the token that it has, and uses the store again after Wait.
	EventStoreFailed EventKind = "token store failed"
)

// Event is something that happened. It contains no secret except the Token, which
// prints without it.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// ChannelID is the channel; empty for a client without one.
	ChannelID string
	// Token is the token that was issued, refreshed, adopted or invalidated, else nil.
	Token *Token
	// Err is why a refresh, a call or the store failed, else nil.
	Err error
	// Wait is the time until the next attempt, if there is one.
	Wait time.Duration
	// Skew is how far LINE's clock is ahead of this machine's, in an EventClockSkew.
	Skew time.Duration
}

// onEvent reports what happened to a source's token.
func (s *Source) onEvent(ctx context.Context, e life.Event) {
	event := Event{Err: e.Err, Wait: e.Wait}
	if e.Token != nil {
		token := fromStore(&e.Token.Token)
		event.Token = &token
	}
	switch e.Kind {
	case life.Issued:
		event.Kind = EventIssued
	case life.Refreshed:
		event.Kind = EventRefreshed
	case life.Adopted:
		event.Kind = EventAdopted
	case life.Failed:
		event.Kind = EventRefreshFailed
	case life.StoreFailed:
		event.Kind = EventStoreFailed
	case life.Dropped:
		event.Kind = EventInvalidated
	}
	s.line.client.emit(ctx, event)
}

func (c *Client) emit(ctx context.Context, e Event) {
	e.ChannelID = c.cfg.ChannelID
	if c.cfg.OnEvent != nil {
		c.cfg.OnEvent(e)
	}
	if c.cfg.Logger == nil {
		return
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.String("channel_id", e.ChannelID)}
	if e.Token != nil {
		attrs = append(attrs, slog.String("type", string(e.Token.Kind)), slog.Time("expires_at", e.Token.ExpiresAt()))
		if e.Token.KeyID != "" {
			attrs = append(attrs, slog.String("key_id", e.Token.KeyID))
		}
	}
	if e.Err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	if e.Skew != 0 {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Duration("skew", e.Skew))
	}
	if e.Wait > 0 {
		attrs = append(attrs, slog.Duration("wait", e.Wait))
	}
	c.cfg.Logger.LogAttrs(ctx, level, string(e.Kind), attrs...)
}
