package redisstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/redisstore"
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
		store, err := redisstore.New(redisstore.Config{Client: client})
		if err != nil {
			log.Fatal(err)
		}
		channel, err := lineoauth.New(line.Config())
		if err != nil {
			log.Fatal(err)
		}
		source, err := channel.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store})
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
	a, err := one.TokenContext(ctx)
	if err != nil {
		log.Fatal(err)
	}
	b, err := other.TokenContext(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same:", a.KeyID == b.KeyID)
	fmt.Println("issued:", line.State().Calls[lineoauth.OpIssueChannelTokenByJWT])
	// Output:
	// the same: true
	// issued: 1
}
