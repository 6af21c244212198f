package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

// tokenFlags say which token is wanted, and how it is printed.
type tokenFlags struct {
	cmd      *cobra.Command
	kind     lineoauth.Kind
	validFor time.Duration
	output   string
	outputs  []string
}

// newTokenFlags takes the formats that a command prints, if it prints a token.
func newTokenFlags(cmd *cobra.Command, output string, outputs ...string) *tokenFlags {
	f := &tokenFlags{cmd: cmd, outputs: outputs}
	cmd.Flags().StringVar((*string)(&f.kind), "type", string(lineoauth.Stateless), "`type` of token: stateless, v2.1 or short-lived")
	cmd.Flags().DurationVar(&f.validFor, "valid-for", assertion.DefaultValidFor, "lifetime of a v2.1 token, up to 720h")
	cmd.Flags().Lookup("valid-for").DefValue = "720h"
	completeValues(cmd, "type", string(lineoauth.Stateless), string(lineoauth.V21), string(lineoauth.ShortLived))
	if len(outputs) > 0 {
		cmd.Flags().StringVarP(&f.output, "output", "o", output, "`format` of what is printed: "+either(outputs))
		completeValues(cmd, "output", outputs...)
	}
	return f
}

// either lists values as a text does.
func either(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// lifetime is what a client takes: 0 unless a lifetime was asked for.
func (f *tokenFlags) lifetime() time.Duration {
	if f.cmd.Flags().Changed("valid-for") {
		return f.validFor
	}
	return 0
}

// fresh is how long a token has to be valid still to be printed.
func (f *tokenFlags) fresh() time.Duration {
	lifetime := f.validFor
	if f.kind == lineoauth.Stateless {
		lifetime = 15 * time.Minute
	}
	return min(lineoauth.DefaultRefreshWindow, lifetime/4)
}

func (f *tokenFlags) check() error {
	if len(f.outputs) > 0 && !slices.Contains(f.outputs, f.output) {
		return usagef("--output is %s", either(f.outputs))
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
	case "header":
		return a.printLine("Authorization: Bearer " + token.AccessToken.Reveal())
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
