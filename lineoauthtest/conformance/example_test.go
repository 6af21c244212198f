package conformance_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

// For the real LINE, Run takes what lineoauth.ConfigFromEnv returns.
func ExampleRun() {
	srv := lineoauthtest.NewUnstartedServer() // no socket leads to it
	defer srv.Close()
	report, err := conformance.Run(context.Background(), srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range report.Rows {
		if row.Verdict == conformance.Differs {
			fmt.Println(row.Row, "expected", row.Expected, "got", row.Got)
		}
	}
	fmt.Println(report.Count(conformance.Differs), "rows differ")
	// Output: 0 rows differ
}
