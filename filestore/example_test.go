package filestore_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/filestore"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// A bot that is started again and again has one token all the same.
func Example() {
	line := lineoauthtest.NewServer()
	defer line.Close()
	dir, err := os.MkdirTemp("", "lineoauth-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	for range 3 {
		store, err := filestore.New(filestore.Config{Dir: dir})
		if err != nil {
			log.Fatal(err)
		}
		client, err := lineoauth.New(line.Config())
		if err != nil {
			log.Fatal(err)
		}
		source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store})
		if err != nil {
			log.Fatal(err)
		}
		defer source.Close()
		if _, err := source.TokenContext(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("tokens issued:", line.State().Calls[lineoauth.OpIssueChannelTokenByJWT])
	// Output: tokens issued: 1
}
