// Package redis shows a fleet of bots that share one token, encrypted in Redis, and
// use the next one as soon as any of them has issued it.
package redis

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// newSource is called by each process of the fleet at startup. The 32 bytes of
// encryptionKey come from the same place as its other secrets.
func newSource(cfg lineoauth.Config, client redis.UniversalClient, encryptionKey []byte) (*lineoauth.Source, error) {
	block, err := aes.NewCipher(encryptionKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	inRedis, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		return nil, err
	}
	sealed, err := store.Sealed(inRedis, aead)
	if err != nil {
		return nil, err
	}
	channel, err := lineoauth.New(cfg)
	if err != nil {
		return nil, err
	}
	return channel.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: sealed})
}

func Example() {
	line := lineoauthtest.NewServer() // in place of LINE
	defer line.Close()
	server, err := miniredis.Run() // in place of a Redis that all machines reach
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	encryptionKey := make([]byte, 32)

	// Twenty bots start concurrently.
	var fleet sync.WaitGroup
	tokens := make([]lineoauth.Token, 20)
	for i := range tokens {
		fleet.Go(func() {
			client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
			defer func() { _ = client.Close() }()
			source, err := newSource(line.Config(), client, encryptionKey)
			if err != nil {
				log.Print(err)
				return
			}
			defer source.Close()
			if tokens[i], err = source.Token(context.Background()); err != nil {
				log.Print(err)
			}
		})
	}
	fleet.Wait()

	alike := true
	for _, token := range tokens {
		alike = alike && token.KeyID != "" && token.KeyID == tokens[0].KeyID
	}
	fmt.Println("all have the same token:", alike)
	fmt.Println("issued:", line.State().Calls[lineoauth.OpIssueChannelTokenByJWT])

	// Reading Redis without the key does not reveal the token.
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	unsealed, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		log.Fatal(err)
	}
	channel, err := lineoauth.New(line.Config())
	if err != nil {
		log.Fatal(err)
	}
	token, err := channel.StoredToken(context.Background(), unsealed, lineoauth.V21)
	fmt.Println("without the key:", token, errors.Is(err, store.ErrSealed))
	// Output:
	// all have the same token: true
	// issued: 1
	// without the key: <nil> true
}
