package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth/internal/doctor"
	"github.com/lineoauth/lineoauth/internal/env"
)

func (a *app) doctorCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Diagnose the configuration",
		Long: `Diagnose the configuration, one line per check: environment variables and the files
that they name, the private key, the base URL, proxies, DNS, TCP, TLS, this
machine's clock, whether LINE accepts the channel secret and the key, how many v2.1
tokens are in use, and the store with its tokens.

Doctor issues only stateless tokens, which do not count toward a limit, and shows no
secret. A line starts with ✓ (passed), ✗ (failed; the fix is at the end of the line)
or – (skipped). The exit code is 1 if a check failed.`,
		Example: `  # also check the store of a service
  lineoauth doctor --store /var/lib/bot/token

  # machine-readable, for monitoring
  lineoauth doctor -o json`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	stored := newStoreFlag(cmd, "`directory` of the shared token "+defaultStore)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`format` of the checks: text or json")
	completeValues(cmd, "output", "text", "json")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if output != "text" && output != "json" {
			return usagef("invalid --output: use text or json")
		}
		if err := flags.check(); err != nil {
			return err
		}
		plain, _ := env.Bool(env.AllowPlainHTTP, a.getenv(env.AllowPlainHTTP)) // an invalid value fails a check
		a.warnOfPlainHTTP(plain)
		checks := []doctor.Check{}
		var printErr error
		failed := doctor.Examine(ctx, doctor.Config{
			Getenv:  flags.setting(a.getenv),
			Named:   flags.nameOf,
			Timeout: flags.timeout,
			Store:   stored.dir,
			Report: func(c doctor.Check) {
				c.Found, c.Fix = line(c.Found), line(c.Fix)
				checks = append(checks, c)
				if output == "text" && printErr == nil {
					printErr = a.printCheck(c)
				}
			},
		})
		if output == "json" {
			printErr = a.print(diagnosis{failed == 0, checks})
		}
		switch {
		case printErr != nil:
			return printErr
		case failed > 0:
			return fmt.Errorf("%d of %d checks failed; follow the fix at the end of each line", failed, len(checks))
		}
		return nil
	})
	return cmd
}

type diagnosis struct {
	OK     bool           `json:"ok"`
	Checks []doctor.Check `json:"checks"`
}

func (a *app) printCheck(c doctor.Check) error {
	mark := "–"
	switch c.Status {
	case doctor.OK:
		mark = a.paint(a.stdout, green, "✓")
	case doctor.Failed:
		mark = a.paint(a.stdout, red, "✗")
	}
	text := fmt.Sprintf("%s %s: %s", mark, c.Name, c.Found)
	if c.Fix != "" {
		text += "; " + c.Fix
	}
	return a.printLine(text)
}
