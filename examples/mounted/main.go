// Command mounted issues a channel access token by credentials in files that
// something else puts there, and replaces while the program runs: Kubernetes a
// mounted Secret, systemd what LoadCredential names, Docker a secret.
//
//	LINE_CHANNEL_ID           the channel ID
//	LINE_PRIVATE_KEY_FILE     the private key
//	LINE_KEY_ID_FILE          its key ID, unless it is a JWK that has it
//	LINE_CHANNEL_SECRET_FILE  and, or instead, the channel secret
//
// with LINE_OAUTH_BASE_URL for an emulator. Once the files are replaced, the next
// channel access token is issued by what is in them.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/lineoauth/lineoauth"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	cfg, err := config(getenv)
	if err != nil {
		return err
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		return err
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		return err
	}
	defer source.Close()
	token, err := source.Token(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token.Kind, "until", token.ExpiresAt())
	return err
}

func config(getenv func(string) string) (lineoauth.Config, error) {
	cfg, err := lineoauth.ConfigFromEnv(getenv)
	cfg.Credentials = lineoauth.CredentialsFromEnv(getenv)
	return cfg, err
}
