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

const conformanceHelp = `Compare a server that claims to be LINE's token platform with what is known of
LINE, fact by fact: LINE itself, an emulator, a gateway. Prints a table in which
each row agrees, differs, or is unknown (it could not be tried, or LINE does not
document it). Rows whose credentials are missing are unknown.

It is made to be run against the real LINE with a test channel. It

  - sends fewer than 100 requests, one after another. LINE refuses many of them,
    on purpose: the secrets, IDs and tokens in them are made up.
  - issues at most one short-lived, one v2.1 and one stateless token. The first two
    are revoked at the end, also after Ctrl-C; a stateless one cannot be revoked,
    and expires after 15 minutes.
  - asks before it begins, or wants --yes where it cannot ask, unless the server is
    on this machine.

Do not use the channel of a bot in production: if it has 30 short-lived tokens,
LINE revokes the oldest for the new one.

On an emulator (it answers GET /_emulator/state) it also fills the limits of
tokens, injects faults, and moves the clock 31 days on.

The report has no secret. Send one of the real LINE, by -o markdown, as an issue to
https://github.com/lineoauth/lineoauth/issues`

var reportFormats = []string{"text", "markdown", "json"}

func (a *app) conformanceCommand() *cobra.Command {
	var output string
	var yes bool
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Compare a server with what is known of LINE",
		Long:  conformanceHelp,
		Example: `  # the emulator that the environment leads to
  lineoauth conformance
  # the real LINE, without being asked
  lineoauth conformance --base-url ` + gen.DefaultServerURL + ` --yes -o markdown`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format` of the report: text, markdown or json")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	completeValues(cmd, "output", reportFormats...)
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		interrupted := ctx
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		if !slices.Contains(reportFormats, output) {
			return usagef("--output is text, markdown or json")
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
			if interrupted.Err() != nil { // of which run says nothing
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

// confirm asks on a terminal. Elsewhere nobody could answer.
func (a *app) confirm(cfg *lineoauth.Config) error {
	stdin, ok := a.stdin.(*os.File)
	switch {
	case ok && term.IsTerminal(int(stdin.Fd())):
	case isLoopback(cfg.BaseURL):
		return nil
	default:
		return usagef("there is no terminal to ask on; read lineoauth conformance --help, then give --yes")
	}
	_, _ = fmt.Fprintf(a.stderr, `This compares %s with what is known of LINE, as channel %s:
fewer than 100 requests, many of which are refused on purpose, and at most one
token of each kind. The short-lived and the v2.1 one are revoked at the end; a
stateless one expires after 15 minutes. Use a test channel: if it has 30
short-lived tokens, LINE revokes the oldest for the new one. If the server is an
emulator, its limits are filled and its clock is moved 31 days on.
Go on? [y/N] `, cfg.BaseURL, cmp.Or(cfg.ChannelID, "(none)"))
	said, err := bufio.NewReader(io.LimitReader(stdin, 100)).ReadString('\n')
	said = strings.ToLower(strings.TrimSpace(said))
	if err != nil || said != "y" && said != "yes" {
		return usagef("not confirmed; nothing was sent")
	}
	return nil
}

// isLoopback reports whether a URL leads to this machine. A name that resolves to
// it does not count, but localhost.
func isLoopback(base string) bool {
	u, err := url.Parse(base)
	return err == nil && wire.IsLoopback(u.Hostname())
}

// cutOff says how an interrupted run ended.
func cutOff(err error) error {
	if errors.Is(err, conformance.ErrNotRevoked) {
		return err
	}
	return errors.New("interrupted; what was issued is revoked")
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

// differences is the error of rows that differ.
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
	return fmt.Errorf("%d of %d rows differ: %s; if the server is LINE itself, send the report as lineoauth conformance --help says",
		len(names), len(report.Rows), strings.Join(names, ", "))
}
