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
		Long: `Revoke a channel access token, given as the argument or, with -, on standard input.
Revoking a v2.1 token needs the channel secret; stateless tokens cannot be revoked.
The token is also removed from the store of "lineoauth token", whose next call issues
a new one.`,
		Example: `  # revoke the token in a file
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
