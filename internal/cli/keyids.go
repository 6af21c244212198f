package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
)

func (a *app) keyIDsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key-ids",
		Short: "List the key IDs of the valid v2.1 tokens",
		Long: `List the key IDs of the valid v2.1 tokens. With --store, also list which of them
belong to the token in that directory, and which are orphans: valid, but not stored.

LINE revokes a token by its text, but lists only key IDs. You can revoke an orphan
only if you still have its text; otherwise it counts toward the limit of 30 until it
expires, after 30 days at most. To avoid orphans, share one token with --store.`,
		Example: `  # list the tokens that count toward the limit of 30
  lineoauth key-ids`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	stored := newStoreFlag(cmd, "`directory` of the shared tokens, to list orphans")
	tokens := &storedTokens{app: a}
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		client, err := a.client(flags, func(cfg *lineoauth.Config) { tokens.cfg = *cfg })
		if err != nil {
			return err
		}
		store, err := stored.openIfGiven()
		if err != nil {
			return err
		}
		if store != nil {
			// Checked first: exit code 2 means that nothing was sent.
			if err := a.checkStore(ctx, client, store, lineoauth.V21); err != nil {
				return err
			}
		}
		kids, err := client.ValidChannelAccessTokenKeyIDs(ctx)
		if err != nil {
			return err
		}
		if store == nil {
			return a.print(keyIDs{kids})
		}
		token, err := client.StoredToken(ctx, store, lineoauth.V21)
		if err != nil {
			return err
		}
		if token != nil && !slices.Contains(kids, token.KeyID) {
			tokens.store, tokens.dir = store, stored.dir
			tokens.forget(ctx, tokens.cfg.ChannelID, token.AccessToken.Reveal())
		}
		return a.print(sortKeyIDs(kids, token))
	})
	return cmd
}

type keyIDs struct {
	Kids []string `json:"kids"`
}

type sortedKeyIDs struct {
	keyIDs
	Stored  []string `json:"stored"`
	Orphans []string `json:"orphans"`
}

// sortKeyIDs separates the key IDs of stored tokens from orphans.
func sortKeyIDs(kids []string, token *lineoauth.Token) sortedKeyIDs {
	sorted := sortedKeyIDs{keyIDs{kids}, []string{}, []string{}}
	for _, kid := range kids {
		if token != nil && token.KeyID == kid {
			sorted.Stored = append(sorted.Stored, kid)
		} else {
			sorted.Orphans = append(sorted.Orphans, kid)
		}
	}
	return sorted
}
