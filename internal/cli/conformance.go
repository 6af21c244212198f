package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/wire"
	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

const conformanceHelp = `Compare a server – LINE, an emulator or a gateway – with the documented and
recorded behavior of LINE's token platform, fact by fact. Each row of the report
agrees, differs, or is unknown: it could not be checked (its credentials are
missing, say), or LINE does not document it.

It is safe to run against LINE with a test channel. It

  - sends fewer than 100 requests, one after another. LINE refuses many of them,
  on purpose: their secrets, IDs and tokens are generated.
  - issues at most one short-lived, one v2.1 and one stateless token. The first two
    are revoked at the end, also after Ctrl-C; a stateless one cannot be revoked,
    and expires after 15 minutes.
  - asks for confirmation unless the server is on this machine, and needs --yes
    where there is no terminal to ask on.

Do not use the channel of a production bot: if it has 30 short-lived tokens,
LINE revokes the oldest one.

On an emulator (detected by GET /_emulator/state) it also fills the token limits,
injects faults, and advances the clock by 31 days.

The report contains no secret. To report a difference of LINE itself, open an issue
with the output of -o markdown at https://github.com/lineoauth/lineoauth/issues`

var reportFormats = []string{"text", "markdown", "json"}

func (a *app) conformanceCommand() *cobra.Command {
	var output string
	var yes bool
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Compare a server with LINE's known behavior",
		Long:  conformanceHelp,
		Example: `  # check the emulator that the environment points to
  lineoauth conformance
  # check LINE itself, without confirmation
  lineoauth conformance --base-url ` + gen.DefaultServerURL + ` --yes -o markdown`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format` of the report: text, markdown or json")
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	completeValues(cmd, "output", reportFormats...)
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		interrupted := ctx
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		if !slices.Contains(reportFormats, output) {
			return usagef("invalid --output: use text, markdown or json")
		}
		var cfg lineoauth.Config
		if _, err := a.client(flags, func(c *lineoauth.Config) { cfg = *c }); err != nil {
			return err
		}
		if cfg.BaseURL == "" {
			cfg.BaseURL = gen.DefaultServerURL
		}
		if !yes {
			if err := a.confirm(&cfg); err != nil {
				return err
			}
		}
		a.cleanUp.Store(int64(cfg.Timeout + conformance.CleanUp + time.Second))
		report, err := conformance.Run(ctx, cfg)
		if ctx.Err() != nil {
			err = cutOff(err)
			if interrupted.Err() != nil { // which run does not report
				a.report(err.Error())
			}
			return err
		}
		if report != nil {
			if printErr := a.printReport(report, output); printErr != nil && err == nil {
				err = printErr
			}
		}
		if err != nil {
			return err
		}
		return differences(report)
	})
	return cmd
}

// confirm asks for confirmation on a terminal, and fails without one.
func (a *app) confirm(cfg *lineoauth.Config) error {
	stdin, ok := a.stdin.(*os.File)
	switch {
	case ok && term.IsTerminal(int(stdin.Fd())):
	case isLoopback(cfg.BaseURL):
		return nil
	default:
		return usagef("no terminal for the confirmation; read lineoauth conformance --help, then add --yes")
	}
	_, _ = fmt.Fprintf(a.stderr, `This compares %s with LINE's known behavior, as channel %s:
fewer than 100 requests, many of which are refused on purpose, and at most one
token of each kind. The short-lived and the v2.1 one are revoked at the end; a
stateless one expires after 15 minutes. Use a test channel: if it has 30
short-lived tokens, LINE revokes the oldest one. If the server is an emulator,
its limits are filled and its clock is advanced by 31 days.
Continue? [y/N] `, cfg.BaseURL, cmp.Or(cfg.ChannelID, "(none)"))
	said, err := bufio.NewReader(io.LimitReader(stdin, 100)).ReadString('\n')
	said = strings.ToLower(strings.TrimSpace(said))
	if err != nil || said != "y" && said != "yes" {
		return usagef("not confirmed; nothing was sent")
	}
	return nil
}

// isLoopback reports whether a URL's host is a loopback address or localhost. Other
// names that resolve to loopback do not count.
func isLoopback(base string) bool {
	u, err := url.Parse(base)
	return err == nil && wire.IsLoopback(u.Hostname())
}

// cutOff is the error of an interrupted run.
func cutOff(err error) error {
	if errors.Is(err, conformance.ErrNotRevoked) {
		return err
	}
	return errors.New("interrupted; the issued tokens were revoked")
}

func (a *app) printReport(report *conformance.Report, output string) error {
	var b strings.Builder
	var err error
	switch output {
	case "json":
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	case "markdown":
		err = report.WriteMarkdown(&b)
	default:
		err = report.WriteText(&b)
	}
	if err != nil {
		return err
	}
	return a.printText(b.String())
}

// differences returns the error for rows that differ.
func differences(report *conformance.Report) error {
	var names []string
	for _, row := range report.Rows {
		if row.Verdict == conformance.Differs {
			names = append(names, row.Row)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d rows differ: %s; if the server is LINE itself, report it as described in lineoauth conformance --help",
		len(names), len(report.Rows), strings.Join(names, ", "))
}
