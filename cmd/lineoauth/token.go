package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
)

func (a *app) issueCommand() *cobra.Command {
	var kind, output string
	var validFor time.Duration
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Issue a channel access token",
		Example: `  lineoauth issue -o token
  lineoauth issue --type v2.1 --valid-for 24h`,
		Args: cobra.NoArgs,
	}
	flags := a.clientFlags(cmd)
	cmd.Flags().StringVar(&kind, "type", string(lineoauth.Stateless), "`type` of token: stateless, v2.1 or short-lived")
	cmd.Flags().DurationVar(&validFor, "valid-for", 0, "lifetime of a v2.1 token, up to 720h (default 720h)")
	cmd.Flags().StringVarP(&output, "output", "o", "json", "what to print: json, token or env")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		switch output {
		case "json", "token", "env":
		default:
			return usagef("--output is json, token or env")
		}
		if cmd.Flags().Changed("valid-for") {
			if lineoauth.Kind(kind) != lineoauth.V21 {
				return usagef("--valid-for is for --type v2.1 alone")
			}
			if validFor <= 0 {
				return usagef("--valid-for must be more than 0")
			}
		}
		client, err := a.client(flags)
		if err != nil {
			return err
		}
		var token *lineoauth.Token
		switch lineoauth.Kind(kind) {
		case lineoauth.Stateless:
			token, err = client.IssueStatelessChannelToken(ctx)
		case lineoauth.V21:
			token, err = client.IssueChannelToken(ctx, validFor)
		case lineoauth.ShortLived:
			token, err = client.IssueShortLivedChannelToken(ctx)
		default:
			return usagef("--type is stateless, v2.1 or short-lived")
		}
		if err != nil {
			return err
		}
		switch output {
		case "token":
			return a.printLine(token.AccessToken.Reveal())
		case "env":
			return a.printLine("LINE_CHANNEL_ACCESS_TOKEN=" + token.AccessToken.Reveal())
		}
		return a.print(issued{
			AccessToken: token.AccessToken.Reveal(),
			TokenType:   token.TokenType,
			Type:        token.Kind,
			ExpiresIn:   token.ExpiresIn,
			ExpiresAt:   rfc3339(token.ExpiresAt()),
			KeyID:       token.KeyID,
		})
	})
	return cmd
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
		Long:    "Verify a channel access token of any type, given as an argument or, for -, on standard input.\nThe exit code is 3 when the token is not valid.",
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
	return a.withToken(&cobra.Command{
		Use:     "revoke TOKEN|-",
		Short:   "Revoke a v2.1, short-lived or long-lived channel access token",
		Long:    "Revoke a channel access token, given as an argument or, for -, on standard input.\nA v2.1 token needs the channel secret; a stateless token cannot be revoked.",
		Example: `  lineoauth revoke - < token.txt`,
	}, func(ctx context.Context, client *lineoauth.Client, token string) error {
		return client.RevokeChannelToken(ctx, token)
	})
}

func (a *app) keyIDsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key-ids",
		Short: "List the key IDs of the live v2.1 tokens",
		Args:  cobra.NoArgs,
	}
	flags := a.clientFlags(cmd)
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		client, err := a.client(flags)
		if err != nil {
			return err
		}
		kids, err := client.ValidChannelAccessTokenKeyIDs(ctx)
		if err != nil {
			return err
		}
		return a.print(struct {
			Kids []string `json:"kids"`
		}{kids})
	})
	return cmd
}
