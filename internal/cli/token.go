package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
)

func (a *app) issueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Issue a channel access token",
		Long: `Issue a channel access token. With --store it is kept in a directory in the
place of the one there, so that "lineoauth token" and the programs that share
the directory take it up.`,
		Example: `  lineoauth issue
  lineoauth issue --type v2.1 --valid-for 24h -o token`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	wanted := newTokenFlags(cmd, "json")
	stored := newStoreFlag(cmd, "`directory` to keep the token in")
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
			// A token that cannot be stored would count toward the limit for nothing.
			if err := a.checkStore(ctx, client, store, wanted.kind); err != nil {
				return err
			}
		}
		var token *lineoauth.Token
		switch wanted.kind {
		case lineoauth.V21:
			token, err = client.IssueChannelToken(ctx, wanted.validFor)
		case lineoauth.ShortLived:
			token, err = client.IssueShortLivedChannelToken(ctx)
		default:
			token, err = client.IssueStatelessChannelToken(ctx)
		}
		if err != nil {
			return err
		}
		if err := a.printToken(wanted, token, token.ExpiresIn); err != nil || store == nil {
			return err
		}
		return client.StoreToken(ctx, store, token)
	})
	return cmd
}

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the live token that the processes of this machine share",
		Long: `Print the live channel access token that the processes of this machine share,
for scripts and cron. A token is issued only when there is none in the store, or
when it is about to end. As a rule, what is printed lives for another minute and
a half at least. In JSON, expires_in counts from now.

Programs in Go share the token by package filestore, with the same directory.`,
		// By standard input, no other process sees the token in curl's arguments.
		Example: `  echo "Authorization: Bearer $(lineoauth token)" | curl -H @- ` + gen.DefaultServerURL + `/v2/bot/info
  lineoauth token --type v2.1 --store /var/lib/bot/token`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	wanted := newTokenFlags(cmd, "token")
	stored := newStoreFlag(cmd, "`directory` of the shared token (default: lineoauth in the user's cache directory)")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if err := wanted.check(); err != nil {
			return err
		}
		store, err := stored.open()
		if err != nil {
			return err
		}
		var troubles troubles
		client, err := a.client(flags, func(cfg *lineoauth.Config) { cfg.OnEvent = troubles.note })
		if err != nil {
			return err
		}
		source, err := client.Source(lineoauth.SourceConfig{Kind: wanted.kind, ValidFor: wanted.validFor, Store: store})
		if err != nil {
			return err
		}
		token, err := source.FreshToken(ctx, wanted.fresh())
		_ = source.Close()
		for _, trouble := range troubles.besides(err) {
			a.warn(trouble)
		}
		if err != nil {
			return err
		}
		return a.printToken(wanted, &token, int64(time.Until(token.ExpiresAt())/time.Second))
	})
	return cmd
}

// tokenFlags say which token is wanted, and how it is printed.
type tokenFlags struct {
	cmd      *cobra.Command
	kind     lineoauth.Kind
	validFor time.Duration
	output   string
}

func newTokenFlags(cmd *cobra.Command, output string) *tokenFlags {
	f := &tokenFlags{cmd: cmd}
	cmd.Flags().StringVar((*string)(&f.kind), "type", string(lineoauth.Stateless), "`type` of token: stateless, v2.1 or short-lived")
	cmd.Flags().DurationVar(&f.validFor, "valid-for", 0, "lifetime of a v2.1 token, up to 720h (default 720h)")
	cmd.Flags().StringVarP(&f.output, "output", "o", output, "`format` of what is printed: json, token or env")
	completeValues(cmd, "type", string(lineoauth.Stateless), string(lineoauth.V21), string(lineoauth.ShortLived))
	completeValues(cmd, "output", "json", "token", "env")
	return f
}

// fresh is how long a token has to be valid still to be printed.
func (f *tokenFlags) fresh() time.Duration {
	lifetime := 30 * 24 * time.Hour
	switch {
	case f.kind == lineoauth.Stateless:
		lifetime = 15 * time.Minute
	case f.validFor > 0:
		lifetime = f.validFor
	}
	return min(lineoauth.DefaultRefreshWindow, lifetime/4)
}

func (f *tokenFlags) check() error {
	switch f.output {
	case "json", "token", "env":
	default:
		return usagef("--output is json, token or env")
	}
	switch f.kind {
	case lineoauth.Stateless, lineoauth.V21, lineoauth.ShortLived:
	default:
		return usagef("--type is stateless, v2.1 or short-lived")
	}
	if f.cmd.Flags().Changed("valid-for") {
		if f.kind != lineoauth.V21 {
			return usagef("--valid-for is for --type v2.1 alone; leave it out")
		}
		if f.validFor <= 0 {
			return usagef("--valid-for must be more than 0, such as 24h")
		}
	}
	return nil
}

func (a *app) printToken(f *tokenFlags, token *lineoauth.Token, expiresIn int64) error {
	switch f.output {
	case "token":
		return a.printLine(token.AccessToken.Reveal())
	case "env":
		return a.printLine("LINE_CHANNEL_ACCESS_TOKEN=" + token.AccessToken.Reveal())
	}
	return a.print(issued{
		AccessToken: token.AccessToken.Reveal(),
		TokenType:   token.TokenType,
		Type:        token.Kind,
		ExpiresIn:   expiresIn,
		ExpiresAt:   rfc3339(token.ExpiresAt()),
		KeyID:       token.KeyID,
	})
}

type issued struct {
	AccessToken string         `json:"access_token"`
	TokenType   string         `json:"token_type"`
	Type        lineoauth.Kind `json:"type"`
	ExpiresIn   int64          `json:"expires_in"`
	ExpiresAt   string         `json:"expires_at"`
	KeyID       string         `json:"key_id,omitempty"`
}

func (a *app) verifyCommand() *cobra.Command {
	return a.withToken(&cobra.Command{
		Use:     "verify TOKEN|-",
		Short:   "Verify a channel access token of any type",
		Long:    "Verify a channel access token of any type, given as an argument or, for -, on\nstandard input. The exit code is 3 when the token is not valid.",
		Example: `  lineoauth issue -o token | lineoauth verify -`,
	}, func(ctx context.Context, client *lineoauth.Client, token string) error {
		v, err := client.VerifyChannelToken(ctx, token)
		if refusal := new(lineoauth.Error); errors.Is(err, lineoauth.ErrTokenInvalid) && errors.As(err, &refusal) {
			if err := a.print(dead{Error: refusal.Code, ErrorDescription: refusal.Description}); err != nil {
				return err
			}
			return errDeadToken
		}
		if err != nil {
			return err
		}
		return a.print(alive{
			Valid:     true,
			ClientID:  v.ClientID,
			ExpiresIn: v.ExpiresIn,
			ExpiresAt: rfc3339(v.ExpiresAt()),
			Scope:     v.Scope,
		})
	})
}

type alive struct {
	Valid     bool   `json:"valid"`
	ClientID  string `json:"client_id"`
	ExpiresIn int64  `json:"expires_in"`
	ExpiresAt string `json:"expires_at"`
	Scope     string `json:"scope"`
}

type dead struct {
	Valid            bool   `json:"valid"`
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
}

func (a *app) revokeCommand() *cobra.Command {
	cmd := a.withToken(&cobra.Command{
		Use:     "revoke TOKEN|-",
		Short:   "Revoke a v2.1, short-lived or long-lived channel access token",
		Long:    "Revoke a channel access token, given as an argument or, for -, on standard input.\nA v2.1 token needs the channel secret; a stateless token cannot be revoked.",
		Example: `  lineoauth revoke - < token.txt`,
	}, func(ctx context.Context, client *lineoauth.Client, token string) error {
		return client.RevokeChannelToken(ctx, token)
	})
	var orphans bool
	cmd.Flags().BoolVar(&orphans, "orphans", false, "tell what to do about tokens of which only the key ID is known")
	oneToken, revoke := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if orphans {
			return nil
		}
		return oneToken(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if orphans {
			return &failedError{usagef("%s", orphansHelp)}
		}
		return revoke(cmd, args)
	}
	return cmd
}

const orphansHelp = "orphans cannot be revoked: LINE revokes a token by its text, and tells of live ones only the key IDs; " +
	"to free their places, revoke those whose text is still to be found, and let the others end, which takes 30 days at most; " +
	"that no more come up, share one token by --store"

func (a *app) keyIDsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key-ids",
		Short: "List the key IDs of the live v2.1 tokens",
		Long: `List the key IDs of the live v2.1 tokens. With --store also which of them are of
the token in that directory, and which are orphans: alive, but not in there.`,
		Example: `  lineoauth key-ids`,
		Args:    noArgs,
	}
	flags := a.clientFlags(cmd)
	stored := newStoreFlag(cmd, "`directory` of the shared token, to tell it from orphans")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		client, err := a.client(flags)
		if err != nil {
			return err
		}
		store, err := stored.openIfGiven()
		if err != nil {
			return err
		}
		kids, err := client.ValidChannelAccessTokenKeyIDs(ctx)
		if err != nil {
			return err
		}
		if store == nil {
			return a.print(keyIDs{kids})
		}
		if err := a.checkStore(ctx, client, store, lineoauth.V21); err != nil {
			return err
		}
		token, err := client.StoredToken(ctx, store, lineoauth.V21)
		if err != nil {
			return err
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

// sortKeyIDs tells the key ID of the stored token, if there is one, from others.
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
