package lineoauth_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// signer is a key that a KMS keeps. Here it is in memory; elsewhere Sign sends
// the digest to the KMS.
type signer struct{ key *rsa.PrivateKey }

func (s signer) Public() crypto.PublicKey { return s.key.Public() }

func (s signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(random, digest, opts) // PKCS #1 v1.5 with SHA-256
}

func ExampleNewKey() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	// The console is given the public key, and gives it a key ID.
	public, err := jose.JSONWebKey{Key: private.Public(), Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		log.Fatal(err)
	}
	keyID, err := srv.Channel().RegisterKey("", public)
	if err != nil {
		log.Fatal(err)
	}

	cfg := srv.Config()
	if cfg.Key, err = lineoauth.NewKey(signer{private}, keyID); err != nil {
		log.Fatal(err)
	}
	cfg.KeyID = "" // the key carries it
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	token, err := client.IssueChannelToken(context.Background(), 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Kind, token.Lifetime())
	// Output: v2.1 720h0m0s
}
