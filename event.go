package lineoauth

import (
	"context"
	"log/slog"
	"time"
)

// EventKind is what happened in the life of a token.
type EventKind string

// What [Config.OnEvent] and [Config.Logger] are told.
const (
	// EventIssued: a [Source] got its first token, or one after it had none.
	EventIssued EventKind = "token issued"
	// EventRefreshed: a Source got a new token while the old one was alive.
	EventRefreshed EventKind = "token refreshed"
	// EventRefreshFailed: a Source got no new token; it tries again after Wait.
	EventRefreshFailed EventKind = "token refresh failed"
	// EventRetried: a call failed and is sent again after Wait.
	EventRetried EventKind = "call retried"
	// EventInvalidated: a Source dropped a token that was refused.
	EventInvalidated EventKind = "token invalidated"
	// EventShared: a Source took up a token that another process had stored.
	EventShared EventKind = "token shared"
	// EventStoreFailed: a Source could not use its [Store], or found something
	// damaged there. It goes on without, and comes back to it after Wait.
	EventStoreFailed EventKind = "token store failed"
)

// Event is one thing that happened. It holds no secret, but for the Token,
// which masks itself.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// ChannelID is whose token it was; empty for a client without a channel.
	ChannelID string
	// Token is the token that was issued, refreshed, shared or invalidated, else nil.
	Token *Token
	// Err is why a refresh, a call or the store failed, else nil.
	Err error
	// Wait is the time until the next try, if there is one.
	Wait time.Duration
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
	if e.Wait > 0 {
		attrs = append(attrs, slog.Duration("wait", e.Wait))
	}
	c.cfg.Logger.LogAttrs(ctx, level, string(e.Kind), attrs...)
}
