package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/env"
)

// maxTokens is the limit of valid v2.1 tokens per channel.
//
// https://developers.line.biz/en/docs/basics/channel-access-token/
const maxTokens = 30

// checkSecret issues a stateless token, which has no limit, with the secret.
func (e *examination) checkSecret(ctx context.Context) {
	const name = "secret at LINE"
	cfg := e.settings
	cfg.Key, cfg.KeyID = nil, ""
	switch {
	case cfg.ChannelSecret.IsZero() || cfg.ChannelID == "":
		e.skip(name, "needs a channel ID and a channel secret")
		return
	case !e.reached:
		e.skip(name, "LINE is not reachable")
		return
	}
	client, err := e.client(cfg)
	if err == nil {
		_, err = client.IssueStatelessChannelToken(ctx)
	}
	switch {
	case errors.Is(err, lineoauth.ErrInvalidCredentials):
		e.fail(name, "LINE refuses the channel secret of channel "+cfg.ChannelID+requestID(err),
			"copy the channel ID and the channel secret from the Basic settings tab of one channel in the LINE Developers Console")
	case err != nil:
		e.failWith(name, err, "try again")
	default:
		e.ok(name, "accepted")
	}
}

// checkKey issues a stateless token with the key, and counts the v2.1 tokens.
func (e *examination) checkKey(ctx context.Context) {
	const registered, accepted, tokens = "key registered", "key at LINE", "tokens in use"
	cfg := e.settings
	cfg.ChannelSecret = lineoauth.Secret{}
	skip := func(names []string, why string) {
		for _, name := range names {
			e.skip(name, "%s", why)
		}
	}
	switch {
	case cfg.Key == nil || cfg.ChannelID == "":
		skip([]string{registered, accepted, tokens}, "needs a channel ID and a private key")
		return
	case !e.reached:
		skip([]string{registered, accepted, tokens}, "LINE is not reachable")
		return
	}
	keyID := e.shown(keyID(cfg))
	client, err := e.client(cfg)
	if err == nil {
		_, err = client.IssueStatelessChannelToken(ctx)
	}
	refusal := new(lineoauth.Error)
	_ = errors.As(err, &refusal)
	switch {
	case err == nil:
		e.ok(registered, "as %s", keyID)
		e.ok(accepted, "accepted")
		e.checkTokens(ctx, tokens, client)
		return
	case errors.Is(err, lineoauth.ErrUnknownKey):
		e.fail(registered, "LINE does not know the key ID "+keyID+requestID(err),
			"register the public key in the LINE Developers Console, and set "+e.Named(env.KeyID)+" to the key ID that it shows")
	case errors.Is(err, lineoauth.ErrInvalidAssertion) && strings.Contains(refusal.Description, "do not match"):
		e.fail(registered, "the key ID "+keyID+" does not belong to channel "+cfg.ChannelID+requestID(err),
			"set "+e.Named(env.ChannelID)+" to that channel, or register the public key with this one")
	case errors.Is(err, lineoauth.ErrInvalidAssertion):
		e.ok(registered, "as %s", keyID)
		e.fail(accepted, "LINE does not accept the private key's signature: "+refusal.Description+requestID(err),
			"use the private key whose public key is registered as "+keyID+", or register this one's")
		skip([]string{tokens}, "needs an accepted key")
		return
	default:
		e.skip(registered, "LINE did not answer")
		e.failWith(accepted, err, "try again")
		skip([]string{tokens}, "needs an accepted key")
		return
	}
	skip([]string{accepted, tokens}, "needs a registered key")
}

func (e *examination) checkTokens(ctx context.Context, name string, client *lineoauth.Client) {
	kids, err := client.ValidChannelAccessTokenKeyIDs(ctx)
	switch {
	case err != nil:
		e.failWith(name, err, "try again")
	case len(kids) >= maxTokens:
		e.fail(name, fmt.Sprintf("%d of %d v2.1 tokens; LINE refuses to issue more", len(kids), maxTokens),
			"revoke unused tokens, use stateless tokens, or share one token with --store")
	default:
		e.ok(name, "%d of %d v2.1 tokens", len(kids), maxTokens)
	}
}

// requestID identifies an error for LINE's support.
func requestID(err error) string {
	refusal := new(lineoauth.Error)
	if errors.As(err, &refusal) && refusal.RequestID != "" {
		return " (request ID " + refusal.RequestID + ")"
	}
	return ""
}
