package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

// tokenFlags select a token and its output format.
type tokenFlags struct {
	cmd      *cobra.Command
	kind     lineoauth.Kind
	validFor time.Duration
	output   string
	outputs  []string
}

// newTokenFlags takes the default and all output formats of a command that prints a token.
func newTokenFlags(cmd *cobra.Command, output string, outputs ...string) *tokenFlags {
	f := &tokenFlags{cmd: cmd, outputs: outputs}
	cmd.Flags().StringVar((*string)(&f.kind), "type", string(lineoauth.Stateless), "`type` of token: stateless (15 minutes, no limit), v2.1 (up to 30 days, limit of 30; LINE refuses the next) or short-lived (30 days, limit of 30; LINE revokes the oldest)")
	cmd.Flags().DurationVar(&f.validFor, "valid-for", assertion.DefaultValidFor, "lifetime of a v2.1 token, up to 720h")
	cmd.Flags().Lookup("valid-for").DefValue = "720h"
	completeValues(cmd, "type", string(lineoauth.Stateless), string(lineoauth.V21), string(lineoauth.ShortLived))
	if len(outputs) > 0 {
		cmd.Flags().StringVarP(&f.output, "output", "o", output, "output `format`: "+either(outputs))
		completeValues(cmd, "output", outputs...)
	}
	return f
}

// either joins values with commas and "or".
func either(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// lifetime returns --valid-for, or 0 if the flag was not given.
func (f *tokenFlags) lifetime() time.Duration {
	if f.cmd.Flags().Changed("valid-for") {
		return f.validFor
	}
	return 0
}

// fresh is the minimum remaining lifetime of a printed token.
func (f *tokenFlags) fresh() time.Duration {
	lifetime := f.validFor
	if f.kind == lineoauth.Stateless {
		lifetime = 15 * time.Minute
	}
	return min(lineoauth.DefaultRefreshWindow, lifetime/4)
}

func (f *tokenFlags) check() error {
	if len(f.outputs) > 0 && !slices.Contains(f.outputs, f.output) {
		return usagef("invalid --output: use %s", either(f.outputs))
	}
	switch f.kind {
	case lineoauth.Stateless, lineoauth.V21, lineoauth.ShortLived:
	default:
		return usagef("invalid --type: use stateless, v2.1 or short-lived")
	}
	if f.cmd.Flags().Changed("valid-for") {
		if f.kind != lineoauth.V21 {
			return usagef("--valid-for is only for --type v2.1; omit it")
		}
		if f.validFor <= 0 {
			return usagef("invalid --valid-for: use a duration above 0, such as 24h")
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
