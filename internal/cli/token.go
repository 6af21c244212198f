package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the valid token that the processes of this machine share",
		Long: `Print the valid channel access token that the processes of this machine share,
for scripts and cron. A token is issued only when there is none in the store, or
when it is about to expire. As a rule, what is printed is valid for another minute
and a half at least. In JSON, expires_in counts from now. Programs in Go share the
token by package filestore, with the same directory.

A script ends if there is no token, as long as the command stands alone in an
assignment: "set -e" does not see it fail within the arguments of another command.
After an answer of 401, --refresh asks LINE about the stored token, and replaces
it if LINE refuses it:

` + tokenScript,
		// By standard input, no other process sees the token in curl's arguments.
		Example: `  # the header goes to curl by standard input, which no other process can see
  auth=$(lineoauth token -o header) && echo "$auth" | curl -H @- ` + gen.DefaultServerURL + `/v2/bot/info
  lineoauth token -o token --type v2.1 --store /var/lib/bot/token`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	wanted := newTokenFlags(cmd, "json", "json", "token", "env", "header")
	stored := newStoreFlag(cmd, "`directory` of the shared token "+defaultStore)
	var refresh bool
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask LINE about the stored token, and replace it if LINE refuses it")
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
		source, err := client.Source(lineoauth.SourceConfig{Kind: wanted.kind, ValidFor: wanted.lifetime(), Store: store})
		if err != nil {
			return err
		}
		token, err := sharedToken(ctx, source, wanted.fresh(), refresh)
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

// tokenScript is safe under set -e: no request is made with an empty token.
const tokenScript = `    set -e
    push() {
        echo "$auth" | curl --silent --show-error --output answer.json --write-out '%{http_code}' \
            -H @- --json @message.json "${LINE_OAUTH_BASE_URL:-` + gen.DefaultServerURL + `}/v2/bot/message/push"
    }
    auth=$(lineoauth token -o header)
    status=$(push)
    if [ "$status" = 401 ]; then
        auth=$(lineoauth token -o header --refresh)
        status=$(push)
    fi
    [ "$status" = 200 ] || { cat answer.json >&2; exit 1; }`

// sharedToken returns the shared token, of which LINE is asked first with refresh.
func sharedToken(ctx context.Context, source *lineoauth.Source, fresh time.Duration, refresh bool) (lineoauth.Token, error) {
	token, err := source.FreshToken(ctx, fresh)
	if err != nil || !refresh || source.Stats().Issued > 0 {
		return token, err
	}
	replaced, err := source.Invalidate(ctx, token.AccessToken.Reveal())
	if err != nil || !replaced {
		return token, err
	}
	return source.FreshToken(ctx, fresh)
}
