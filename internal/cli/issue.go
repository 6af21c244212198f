package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/env"
)

func (a *app) issueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Issue a channel access token",
		Long: `Issue a channel access token. With --store it replaces the token in that directory,
and "lineoauth token" and other programs that share the directory use it.`,
		Example: `  # a stateless token, as JSON
  lineoauth issue

  # a v2.1 token that expires after a day
  lineoauth issue --type v2.1 --valid-for 24h -o token`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	wanted := newTokenFlags(cmd, "json", "json", "token", "env")
	stored := newStoreFlag(cmd, "`directory` to store the token in")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if err := wanted.check(); err != nil {
			return err
		}
		client, err := a.client(flags)
		if err != nil {
			return err
		}
		store, err := stored.openIfGiven()
		if err != nil {
			return err
		}
		if store != nil {
			// Checked first: a token that cannot be stored would still count toward
			// the limit.
			if err := a.checkStore(ctx, client, store, wanted.kind); err != nil {
				return err
			}
		}
		var token *lineoauth.Token
		switch wanted.kind {
		case lineoauth.V21:
			token, err = client.IssueChannelToken(ctx, wanted.lifetime())
		case lineoauth.ShortLived:
			token, err = client.IssueShortLivedChannelToken(ctx)
		default:
			token, err = client.IssueStatelessChannelToken(ctx)
		}
		if err != nil {
			return err
		}
		if token.Kind != wanted.kind {
			a.warn(fmt.Errorf("LINE issues %s tokens only with a channel secret (%s); this is a %s token, which counts toward its own limit of 30", wanted.kind, env.ChannelSecret, token.Kind))
		}
		if err := a.printToken(wanted, token, token.ExpiresIn); err != nil || store == nil {
			return err
		}
		return client.StoreToken(ctx, store, token)
	})
	return cmd
}
