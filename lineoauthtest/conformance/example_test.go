package conformance_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

// For LINE itself, use the configuration of lineoauth.ConfigFromEnv.
func ExampleRun() {
	srv := lineoauthtest.NewUnstartedServer() // the server has no socket
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
