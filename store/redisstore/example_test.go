package redisstore_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// Two processes, each with a client and a source of its own, have one token.
func Example() {
	line := lineoauthtest.NewServer()
	defer line.Close()
	server, err := miniredis.Run() // elsewhere, a Redis that all machines reach
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	process := func() (*lineoauth.Source, func()) {
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
		shared, err := redisstore.New(redisstore.Config{Client: client})
		if err != nil {
			log.Fatal(err)
		}
		channel, err := lineoauth.New(line.Config())
		if err != nil {
			log.Fatal(err)
		}
		source, err := channel.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: shared})
		if err != nil {
			log.Fatal(err)
		}
		return source, func() {
			_ = source.Close()
			_ = client.Close()
		}
	}
	one, closeOne := process()
	defer closeOne()
	other, closeOther := process()
	defer closeOther()

	ctx := context.Background()
	a, err := one.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	b, err := other.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same:", a.KeyID == b.KeyID)
	fmt.Println("issued:", line.State().Calls[lineoauth.OpIssueChannelTokenByJWT])
	// Output:
	// the same: true
	// issued: 1
}

// A Redis that others may read holds no token in the clear.
func Example_sealed() {
	line := lineoauthtest.NewServer()
	defer line.Close()
	server, err := miniredis.Run() // elsewhere, a Redis that all machines reach
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()

	block, err := aes.NewCipher(make([]byte, 32)) // the key is a secret of the bots'
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	plain, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		log.Fatal(err)
	}
	sealed, err := store.Sealed(plain, aead)
	if err != nil {
		log.Fatal(err)
	}
	channel, err := lineoauth.New(line.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := channel.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: sealed})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	ctx := context.Background()
	if _, err := source.Token(ctx); err != nil {
		log.Fatal(err)
	}

	token, err := channel.StoredToken(ctx, plain, lineoauth.V21)
	fmt.Println("without the key:", token, err != nil)
	token, err = channel.StoredToken(ctx, sealed, lineoauth.V21)
	fmt.Println("with it:", token != nil, err)
	// Output:
	// without the key: <nil> true
	// with it: true <nil>
}
