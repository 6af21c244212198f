package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show a token's life cycle, on an emulator in this process",
		Long: `Show the life cycle of a token of each type, on an emulator in this process:
key pair, assertion, issue, verify, key IDs, revoke, verify again. It needs no
network and no channel. Secrets are shortened.`,
		Example: `  # issue, verify and revoke a token of each type
  lineoauth demo`,
		Args: noArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			srv := lineoauthtest.NewServer()
			defer srv.Close()
			private, public, err := newKeyPair()
			if err != nil {
				return fmt.Errorf("key pair: %w", err)
			}
			return a.demo(ctx, srv, srv.URL, private, public)
		}),
	}
}

// demo issues, verifies and revokes a token of every type on a channel of srv, which
// it reaches at baseURL, with a key pair. It fails at the first step with an unexpected
// result.
func (a *app) demo(ctx context.Context, srv *lineoauthtest.Server, baseURL string, private, public []byte) error {
	channel := srv.Channel()
	var writeErr error
	say := func(what, format string, args ...any) {
		what = a.paint(a.stdout, green, fmt.Sprintf("%-10s", what))
		if err := a.printLine(what + " " + fmt.Sprintf(format, args...)); writeErr == nil {
			writeErr = err
		}
	}
	key, err := lineoauth.ParseKey(private)
	if err != nil {
		return err
	}
	keyID, err := channel.RegisterKey("", public)
	if err != nil {
		return err
	}
	say("channel", "%s, on an emulator of LINE at %s", channel.ID, baseURL)
	say("key pair", "RSA-2048, public key registered as %s", keyID)

	client, err := lineoauth.New(lineoauth.Config{
		ChannelID:     channel.ID,
		ChannelSecret: lineoauth.NewSecret(channel.Secret),
		Key:           key,
		KeyID:         keyID,
		BaseURL:       baseURL,
		Now:           srv.Now,
	})
	if err != nil {
		return err
	}
	assertion, err := client.Assertion(ctx, 0)
	if err != nil {
		return err
	}
	say("assertion", "%s", shortened(assertion))

	issue := []func() (*lineoauth.Token, error){
		func() (*lineoauth.Token, error) { return client.IssueStatelessChannelToken(ctx) },
		func() (*lineoauth.Token, error) { return client.IssueChannelToken(ctx, 24*time.Hour) },
		func() (*lineoauth.Token, error) { return client.IssueShortLivedChannelToken(ctx) },
	}
	kinds := []lineoauth.Kind{lineoauth.Stateless, lineoauth.V21, lineoauth.ShortLived}
	lifetimes := []time.Duration{15 * time.Minute, 24 * time.Hour, 30 * 24 * time.Hour}
	var tokens []*lineoauth.Token
	var validKeyIDs []string
	for i, kind := range kinds {
		token, err := issue[i]()
		if err != nil {
			return err
		}
		if token.Kind != kind {
			return fmt.Errorf("requested a %s token, got a %s one", kind, token.Kind)
		}
		if want := lifetimes[i]; token.Lifetime() != want {
			return fmt.Errorf("the %s token is valid for %v, want %v", kind, token.Lifetime(), want)
		}
		say("issue", "%-11s %s, valid for %v", kind, shortened(token.AccessToken), token.Lifetime())
		tokens = append(tokens, token)
		if token.KeyID != "" {
			validKeyIDs = append(validKeyIDs, token.KeyID)
		}
	}
	for _, token := range tokens {
		v, err := client.VerifyChannelToken(ctx, token.AccessToken.Reveal())
		if err != nil {
			return err
		}
		if v.ClientID != channel.ID || v.Remaining() > token.Lifetime() || v.Remaining() < token.Lifetime()-time.Minute {
			return fmt.Errorf("verify: the %s token belongs to channel %s and is valid for %v", token.Kind, v.ClientID, v.Remaining())
		}
		say("verify", "%-11s valid, channel %s", token.Kind, v.ClientID)
	}
	if err := expectKeyIDs(ctx, client, validKeyIDs); err != nil {
		return err
	}
	say("key IDs", "%q", validKeyIDs)

	for _, token := range tokens {
		err := client.RevokeChannelToken(ctx, token.AccessToken.Reveal())
		switch {
		case token.Kind == lineoauth.Stateless && errors.Is(err, lineoauth.ErrNotRevocable):
			say("revoke", "%-11s cannot be revoked, as expected", token.Kind)
			srv.Advance(token.Lifetime())
			say("wait", "advance the emulator's clock by %v", token.Lifetime())
		case token.Kind == lineoauth.Stateless && err == nil:
			return errors.New("revoke: a stateless token was revoked, which LINE does not support")
		case err != nil:
			return err
		default:
			say("revoke", "%-11s done", token.Kind)
		}
	}
	for _, token := range tokens {
		_, err := client.VerifyChannelToken(ctx, token.AccessToken.Reveal())
		switch {
		case err == nil:
			return fmt.Errorf("verify: the %s token is still valid", token.Kind)
		case !errors.Is(err, lineoauth.ErrInvalidToken):
			return err
		}
		say("verify", "%-11s not valid, as expected", token.Kind)
	}
	if err := expectKeyIDs(ctx, client, nil); err != nil {
		return err
	}
	say("key IDs", "none")
	return writeErr
}

func expectKeyIDs(ctx context.Context, client *lineoauth.Client, want []string) error {
	kids, err := client.ValidChannelAccessTokenKeyIDs(ctx)
	if err == nil && !slices.Equal(kids, want) {
		err = fmt.Errorf("key IDs: got %q, want %q", kids, want)
	}
	return err
}

func shortened(s lineoauth.Secret) string { return s.Reveal()[:min(8, len(s.Reveal()))] + "…" }
