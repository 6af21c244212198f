package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
)

func (a *app) verifyCommand() *cobra.Command {
	return a.withToken(&cobra.Command{
		Use:   "verify TOKEN|-",
		Short: "Verify a channel access token of any type",
		Long:  "Verify a channel access token of any type, given as the argument or, with -, on\nstandard input. If the token is not valid, the exit code is 3, and the token is\nremoved from the store of \"lineoauth token\".",
		Example: `  # verify a token without showing it in the process list
  lineoauth issue -o token | lineoauth verify -`,
	}, func(ctx context.Context, client *lineoauth.Client, token string, stored *storedTokens) error {
		v, err := client.VerifyChannelToken(ctx, token)
		if refusal := new(lineoauth.Error); errors.Is(err, lineoauth.ErrInvalidToken) && errors.As(err, &refusal) {
			stored.forget(ctx, stored.cfg.ChannelID, token)
			if err := a.print(invalidAnswer{Error: refusal.Code, ErrorDescription: refusal.Description}); err != nil {
				return err
			}
			return errInvalidToken
		}
		if err != nil {
			return err
		}
		return a.print(validAnswer{
			Valid:     true,
			ClientID:  v.ClientID,
			ExpiresIn: v.ExpiresIn,
			ExpiresAt: rfc3339(v.ExpiresAt()),
			Scope:     v.Scope,
		})
	})
}

type validAnswer struct {
	Valid     bool   `json:"valid"`
	ClientID  string `json:"client_id"`
	ExpiresIn int64  `json:"expires_in"`
	ExpiresAt string `json:"expires_at"`
	Scope     string `json:"scope"`
}

type invalidAnswer struct {
	Valid            bool   `json:"valid"`
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
}
