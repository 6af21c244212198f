package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a shell completion script",
		Long: `Print a script that completes commands, flags and their values. SHELL is bash,
zsh, fish or powershell. Start a new shell afterwards.

bash, with the package bash-completion:

    lineoauth completion bash > ~/.local/share/bash-completion/completions/lineoauth

zsh, in a folder of $fpath:

    lineoauth completion zsh > "${fpath[1]}/_lineoauth"

fish:

    lineoauth completion fish > ~/.config/fish/completions/lineoauth.fish

PowerShell, as a line of the file $PROFILE:

    lineoauth completion powershell | Out-String | Invoke-Expression`,
		Example: `  # for bash
  mkdir -p ~/.local/share/bash-completion/completions
  lineoauth completion bash > ~/.local/share/bash-completion/completions/lineoauth`,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return fmt.Errorf("completion needs one shell: %s", strings.Join(shells, ", "))
			}
			return nil
		},
	}
	cmd.RunE = runs(func(_ context.Context, args []string) error {
		var script strings.Builder
		var err error
		switch root := cmd.Root(); args[0] {
		case "bash":
			err = root.GenBashCompletionV2(&script, true)
		case "zsh":
			err = root.GenZshCompletion(&script)
		case "fish":
			err = root.GenFishCompletion(&script, true)
		case "powershell":
			err = root.GenPowerShellCompletionWithDesc(&script)
		}
		if err != nil {
			return err
		}
		return a.printText(script.String())
	})
	return cmd
}

// completable reports whether a shell's request can be answered. If cobra cannot
// parse the flags, it prints all words, which may include a secret.
func completable(args []string) bool {
	if len(args) < 2 || args[0] != cobra.ShellCompRequestCmd && args[0] != cobra.ShellCompNoDescRequestCmd {
		return true
	}
	cmd, rest, err := Command().Find(args[1 : len(args)-1])
	if err != nil {
		return false
	}
	err = cmd.ParseFlags(rest)
	lacksValue := new(pflag.ValueRequiredError) // the last word is incomplete
	return err == nil || errors.Is(err, pflag.ErrHelp) || errors.As(err, &lacksValue)
}

// completeValues and completeFiles set the completion of a flag. They only fail for
// unknown flags.
func completeValues(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func completeFiles(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
	}
}
