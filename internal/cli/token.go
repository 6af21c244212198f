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
		Short: "Print the valid token that processes of this machine share",
		Long: `Print the valid channel access token that the processes of this machine share, for
scripts and cron. A token is issued only if the store has none or if the stored one
is about to expire. The printed token is normally valid for at least 90 more seconds.
In JSON, expires_in counts from now. Go programs share the token through package
filestore with the same directory.

Run the command in a separate assignment, so that "set -e" stops the script if
there is no token: a failure within the arguments of another command goes unnoticed.
After a 401 answer, --refresh verifies the stored token, and replaces it if LINE
refuses it:

` + tokenScript,
		// Through standard input, so that no other process sees the token in curl's
		// arguments.
		Example: `  # pass the header to curl on standard input, where no other process sees it
  auth=$(lineoauth token -o header) && echo "$auth" | curl -H @- ` + gen.DefaultServerURL + `/v2/bot/info
  # a v2.1 token that the scripts of a service share
  lineoauth token -o token --type v2.1 --store /var/lib/bot/token`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	wanted := newTokenFlags(cmd, "json", "json", "token", "env", "header")
	stored := newStoreFlag(cmd, "`directory` of the shared token "+defaultStore)
	var refresh bool
	cmd.Flags().BoolVar(&refresh, "refresh", false, "verify the stored token, and replace it if LINE refuses it")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if err := wanted.check(); err != nil {
			return err
		}
		store, err := stored.open()
		if err != nil {
			return err
		}
		var problems problems
		client, err := a.client(flags, func(cfg *lineoauth.Config) { cfg.OnEvent = problems.note })
		if err != nil {
			return err
		}
		source, err := client.Source(lineoauth.SourceConfig{Kind: wanted.kind, ValidFor: wanted.lifetime(), Store: store})
		if err != nil {
			return err
		}
		token, err := sharedToken(ctx, source, wanted.fresh(), refresh)
		_ = source.Close()
		for _, problem := range problems.warnings(err) {
			a.warn(problem)
		}
		if err != nil {
			return err
		}
		return a.printToken(wanted, &token, int64(time.Until(token.ExpiresAt())/time.Second))
	})
	return cmd
}

// tokenScript is safe with set -e: no request is sent with an empty token.
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

// sharedToken returns the shared token; with refresh, it is verified first.
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
