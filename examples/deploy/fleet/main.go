// Command fleet is a bot of which any number of replicas have one v2.1 token together,
// encrypted in Redis.
//
// Besides the variables of lineoauth.ConfigFromEnv it takes LISTEN, the address for
// LINE's webhook, REDIS_ADDR, and STORE_KEY_FILE, a file of 32 random bytes. GET /readyz
// answers 200 while there is a valid token, GET /livez while the process answers at all.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/examples/deploy/internal/echo"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := lineoauth.ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	cfg.Credentials = lineoauth.CredentialsFromEnv(os.Getenv)
	cfg.Logger = slog.Default()
	client, err := lineoauth.New(cfg)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS_ADDR"), ContextTimeoutEnabled: true})
	defer rdb.Close() //nolint:errcheck // nothing is written any more
	tokens, err := sealed(rdb, os.Getenv("STORE_KEY_FILE"))
	if err != nil {
		return err
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: tokens})
	if err != nil {
		return err
	}
	defer source.Close() // the token is the fleet's: nobody revokes it
	bot, err := echo.New(cfg, source)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /{$}", bot)
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 800*time.Millisecond)
		defer cancel()
		if _, err := source.Token(ctx); err != nil {
			http.Error(w, "there is no valid token", http.StatusServiceUnavailable)
		}
	})
	return serve(ctx, &http.Server{Addr: os.Getenv("LISTEN"), Handler: mux, ReadHeaderTimeout: 10 * time.Second})
}

// sealed returns the store in Redis, which reads nothing without the key.
func sealed(rdb *redis.Client, keyFile string) (store.Store, error) {
	key, err := os.ReadFile(keyFile) //nolint:gosec // the deployment names it
	if err != nil {
		return nil, fmt.Errorf("STORE_KEY_FILE: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("STORE_KEY_FILE does not contain 32 bytes: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	inRedis, err := redisstore.New(redisstore.Config{Client: rdb})
	if err != nil {
		return nil, err
	}
	return store.Sealed(inRedis, aead)
}

// serve serves until ctx ends, and then finishes what is under way.
func serve(ctx context.Context, server *http.Server) error {
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := server.Shutdown(ending)
	if failure := <-failed; !errors.Is(failure, http.ErrServerClosed) {
		err = errors.Join(err, failure)
	}
	return err
}
