// Command age issues a channel access token by credentials in a file that is
// encrypted with age.
//
//	LINE_CREDENTIALS_FILE  the encrypted file
//	AGE_IDENTITY_FILE      the identity that decrypts it, as age-keygen writes it
//
// and LINE_CHANNEL_ID, with LINE_OAUTH_BASE_URL for an emulator. What is encrypted is
// JSON, with the names of the environment variables:
//
//	{"LINE_CHANNEL_SECRET": "…", "LINE_PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----\n…", "LINE_KEY_ID": "…"}
//
// Once the file is replaced, the next channel access token is issued by what is in it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"filippo.io/age"

	"github.com/lineoauth/lineoauth"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	client, err := lineoauth.New(config(getenv))
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

func config(getenv func(string) string) lineoauth.Config {
	file := encrypted{getenv("LINE_CREDENTIALS_FILE"), getenv("AGE_IDENTITY_FILE")}
	return lineoauth.Config{
		ChannelID:   getenv("LINE_CHANNEL_ID"),
		BaseURL:     getenv("LINE_OAUTH_BASE_URL"),
		Credentials: file.credentials,
	}
}

// encrypted is a file, and the file of the identity that decrypts it.
type encrypted struct{ path, identity string }

// credentials reads both files again, as it is called before each call to LINE that
// needs credentials, and not for each token that is handed out.
func (e encrypted) credentials(ctx context.Context) (lineoauth.Credentials, error) {
	variables, err := e.decrypt()
	if err != nil {
		return lineoauth.Credentials{}, fmt.Errorf("%s: %w", e.path, err)
	}
	return lineoauth.CredentialsFromEnv(func(name string) string { return variables[name] })(ctx)
}

func (e encrypted) decrypt() (variables map[string]string, err error) {
	keys, err := os.Open(e.identity)
	if err != nil {
		return nil, err
	}
	defer func() { _ = keys.Close() }()
	identities, err := age.ParseIdentities(keys)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(e.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	plain, err := age.Decrypt(file, identities...)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(plain) // to the end: only there it shows that nothing was cut off
	if err != nil {
		return nil, err
	}
	return variables, json.Unmarshal(text, &variables)
}
