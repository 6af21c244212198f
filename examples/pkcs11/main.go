//go:build cgo

// Command pkcs11 issues a channel access token by a private key that a PKCS #11
// token keeps: an HSM, a smart card, SoftHSM.
//
//	PKCS11_MODULE    the library of the token's maker, such as /usr/lib/softhsm/libsofthsm2.so
//	PKCS11_TOKEN     the token's label
//	PKCS11_PIN_FILE  a file with the user's PIN
//	PKCS11_KEY_FILE  a file with the key in use: {"label": "line-2026-11", "key_id": "…"}
//
// and LINE_CHANNEL_ID, with LINE_OAUTH_BASE_URL for an emulator. A new key is made in
// the token by
//
//	pkcs11 -keygen line-2027-01
//
// which prints the public key for LINE's console. The console shows its key ID; once
// the key file has both, the next channel access token is issued by the new key.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("pkcs11", flag.ContinueOnError)
	label := flags.String("keygen", "", "make a key with this `label` in the token, and print its public half")
	if err := flags.Parse(args); err != nil {
		return err
	}
	hsm := newToken(getenv)
	defer hsm.close()
	if *label != "" {
		public, err := hsm.generate(*label)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", public)
		return err
	}
	client, err := lineoauth.New(config(getenv, hsm))
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

func config(getenv func(string) string, hsm *hardware) lineoauth.Config {
	return lineoauth.Config{
		ChannelID:   getenv("LINE_CHANNEL_ID"),
		BaseURL:     getenv("LINE_OAUTH_BASE_URL"),
		Credentials: hsm.credentials,
	}
}

// generate makes a key pair in the token, and returns the JWK that LINE's console
// takes.
func (h *hardware) generate(label string) ([]byte, error) {
	if _, err := h.find(label); err == nil {
		return nil, errors.New("the token has a key of that label already; choose another")
	} else if !errors.Is(err, errNoKey) {
		return nil, err
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	key, err := h.session.GenerateRSAKeyPairWithLabel(id, []byte(label), 2048)
	if err != nil {
		return nil, fmt.Errorf("making a key in the token: %w", err)
	}
	return jose.JSONWebKey{Key: key.Public(), Algorithm: "RS256", Use: "sig"}.MarshalJSON()
}
