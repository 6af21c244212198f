// Command man writes the manual pages of lineoauth, one per command, to a folder.
// Their date is SOURCE_DATE_EPOCH, so that the same source gives the same pages.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra/doc"

	"github.com/lineoauth/lineoauth/internal/cli"
)

func main() {
	if err := write(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func write(args []string, epoch string) error {
	if len(args) != 1 {
		return errors.New("missing argument; name the folder to write to")
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return errors.New("set SOURCE_DATE_EPOCH to the date of the source, in seconds since 1970")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manual pages are world-readable
		return err
	}
	date := time.Unix(seconds, 0).UTC()
	root := cli.Command()
	root.DisableAutoGenTag = true // it adds another date
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "lineoauth", Manual: "lineoauth"}, args[0])
}
