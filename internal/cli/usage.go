package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/env"
)

// flagError explains an invalid flag without its value, which may be a secret.
func flagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedShortnames()) > 1 {
		return fmt.Errorf("unknown shorthand flag: %q; long flags start with two dashes", unknown.GetSpecifiedName())
	}
	var syntax *pflag.InvalidSyntaxError
	if errors.As(err, &syntax) {
		return errors.New("invalid flag syntax; use --name or --name=value")
	}
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	if env.Trim(wrong.GetValue()) == "" {
		return emptyFlag(wrong.GetFlag().Name)
	}
	switch name := wrong.GetFlag().Name; wrong.GetFlag().Value.Type() {
	case "duration":
		return fmt.Errorf("invalid --%s: use a duration such as 90s, 15m or 720h", name)
	case "bool":
		return fmt.Errorf("invalid --%s: use true or false", name)
	default:
		return fmt.Errorf("invalid value of --%s", name)
	}
}

// noBlankFlags rejects blank values, such as those of unset variables: they would
// select the default, or what the environment has.
func noBlankFlags(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if len(values) == 0 || slices.ContainsFunc(values, func(value string) bool { return env.Trim(value) == "" }) {
			err = &failedError{fmt.Errorf("%w: %w", lineoauth.ErrInvalid, emptyFlag(flag.Name))}
		}
	})
	return err
}

func emptyFlag(name string) error {
	return fmt.Errorf("--%s is empty; omit it, or give it a value", name)
}

func unknownCommand(root *cobra.Command, name string) error {
	near := root.SuggestionsFor(name)
	switch {
	case slices.Contains(near, name):
		return fmt.Errorf("the command %s does not come first; omit the -- before it", name)
	case len(near) > 0 && strings.TrimSpace(name) != "":
		return fmt.Errorf("unknown command %q; did you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q", name)
}

// noArgs does not repeat the argument, which may be a secret.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, only flags", cmd.Name())
	}
	return nil
}

// helpCommand is cobra's, but fails for an unknown command.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "Print the help of a command",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			switch {
			case len(rest) > 0 && cmd == root:
				return unknownCommand(root, rest[0])
			case len(rest) > 0:
				return errors.New("help takes one command")
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// failedError is an error of a command that ran, as opposed to a usage error.
type failedError struct{ err error }

func (e *failedError) Error() string { return e.err.Error() }
func (e *failedError) Unwrap() error { return e.err }

// usagef returns a usage error.
func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", lineoauth.ErrInvalid, fmt.Errorf(format, args...))
}
