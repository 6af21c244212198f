package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
)

func (a *app) revokeCommand() *cobra.Command {
	return a.withToken(&cobra.Command{
		Use:   "revoke TOKEN|-",
		Short: "Revoke a v2.1, short-lived or long-lived channel access token",
		Long: `Revoke a channel access token, given as an argument or, for -, on standard input.
A v2.1 token needs the channel secret; a stateless token cannot be revoked. If it
is the one that "lineoauth token" would print, it is taken out of the store, so
that the next call issues another.`,
		Example: `  # the token that was issued into a file
  lineoauth revoke - < token.txt`,
	}, func(ctx context.Context, client *lineoauth.Client, token string, stored *storedTokens) error {
		channelID := stored.channelOf(ctx, client, token)
		err := client.RevokeChannelToken(ctx, token)
		if err == nil || errors.Is(err, lineoauth.ErrInvalidToken) {
			stored.forget(ctx, channelID, token)
		}
		return err
	})
}
