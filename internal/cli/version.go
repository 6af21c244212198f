package cli

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go version",
		Long:  "Print the version of lineoauth, the commit that it was built from, and the\nversion of Go that built it, on one line.",
		Example: `  # for a bug report
  lineoauth version`,
		Args: noArgs,
		RunE: runs(a.printVersion),
	}
}

func (a *app) printVersion(context.Context, []string) error {
	version, commit, goVersion := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return a.printLine(fmt.Sprintf("lineoauth %s, commit %s, %s", version, commit, goVersion))
}
