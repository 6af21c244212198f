package filestore_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"log"
	"os"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
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
		files, err := filestore.New(filestore.Config{Dir: dir})
		if err != nil {
			log.Fatal(err)
		}
		client, err := lineoauth.New(line.Config())
		if err != nil {
			log.Fatal(err)
		}
		source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: files})
		if err != nil {
			log.Fatal(err)
		}
		defer source.Close()
		if _, err := source.Token(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("tokens issued:", line.State().Calls[lineoauth.OpIssueChannelTokenByJWT])
	// Output: tokens issued: 1
}

// A disk that others may read holds no token in the clear.
func Example_sealed() {
	line := lineoauthtest.NewServer()
	defer line.Close()
	dir, err := os.MkdirTemp("", "lineoauth-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	block, err := aes.NewCipher(make([]byte, 32)) // the key is a secret of the bot's
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	plain, err := filestore.New(filestore.Config{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	sealed, err := store.Sealed(plain, aead)
	if err != nil {
		log.Fatal(err)
	}
	client, err := lineoauth.New(line.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: sealed})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	ctx := context.Background()
	if _, err := source.Token(ctx); err != nil {
		log.Fatal(err)
	}

	token, err := client.StoredToken(ctx, plain, lineoauth.V21)
	fmt.Println("without the key:", token, err != nil)
	token, err = client.StoredToken(ctx, sealed, lineoauth.V21)
	fmt.Println("with it:", token != nil, err)
	// Output:
	// without the key: <nil> true
	// with it: true <nil>
}
