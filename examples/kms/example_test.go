// Package kms shows a channel whose private key is in a key management service: the
// program uses a crypto.Signer, which sends digests to the service, and never has the
// key.
package kms

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// service is the part of a cloud's KMS client that is needed: the public key, and a
// signature (RSASSA-PKCS1-v1_5 with SHA-256) of a digest. AWS calls it
// RSASSA_PKCS1_V1_5_SHA_256, Google RSA_SIGN_PKCS1_2048_SHA256, Azure RS256.
type service interface {
	PublicKey(ctx context.Context, name string) (*rsa.PublicKey, error)
	Sign(ctx context.Context, name string, digest []byte) ([]byte, error)
}

// signer is one key of a service, as a crypto.Signer.
type signer struct {
	service service
	name    string
	public  *rsa.PublicKey
}

// newSigner gets the public key from the service, once.
func newSigner(ctx context.Context, s service, name string) (*signer, error) {
	public, err := s.PublicKey(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading the public key %s: %w", name, err)
	}
	return &signer{s, name, public}, nil
}

func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign takes no context, so it sets its own deadline.
func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts.HashFunc() != crypto.SHA256 {
		return nil, errors.New("the key only signs PKCS #1 v1.5 with SHA-256")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.service.Sign(ctx, s.name, digest)
}

func Example() {
	ctx := context.Background()
	line := lineoauthtest.NewServer() // in place of LINE
	defer line.Close()

	key, err := newSigner(ctx, newLocalService(), "line-bot")
	if err != nil {
		log.Fatal(err)
	}
	// Once, manually: register the public key in the console, which shows its key ID.
	keyID, err := line.Channel().RegisterKey("", publicJWK(key.public))
	if err != nil {
		log.Fatal(err)
	}

	cfg := line.Config()
	cfg.ChannelSecret, cfg.KeyID = lineoauth.Secret{}, "" // the key is enough
	if cfg.Key, err = lineoauth.NewKey(key, keyID); err != nil {
		log.Fatal(err)
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	token, err := source.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.Key.ID() == keyID, token.Kind, token.Lifetime())
	// Output: true v2.1 720h0m0s
}

// When the KMS refuses to sign, the error is the KMS's, and nothing is sent.
func Example_refused() {
	ctx := context.Background()
	line := lineoauthtest.NewServer() // in place of LINE
	defer line.Close()

	kms := newLocalService()
	key, err := newSigner(ctx, kms, "line-bot")
	if err != nil {
		log.Fatal(err)
	}
	cfg := line.Config()
	if cfg.Key, err = lineoauth.NewKey(key, "the-key-id"); err != nil {
		log.Fatal(err)
	}
	cfg.KeyID = ""
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	kms.denied = true
	_, err = client.IssueChannelToken(ctx, 0)
	fmt.Println("denied:", errors.Is(err, errDenied), "- calls:", line.State().Calls[lineoauth.OpIssueChannelTokenByJWT])
	// Output: denied: true - calls: 0
}

// publicJWK returns the public key as LINE's console accepts it.
func publicJWK(key *rsa.PublicKey) []byte {
	text, err := json.Marshal(map[string]string{
		"kty": "RSA",
		"alg": "RS256",
		"use": "sig",
		"n":   base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	})
	if err != nil {
		log.Fatal(err)
	}
	return text
}

// localService is a KMS in this process, in place of the cloud.
type localService struct {
	key    *rsa.PrivateKey
	denied bool
}

var errDenied = errors.New("kms: access denied")

func newLocalService() *localService {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	return &localService{key: key}
}

func (s *localService) PublicKey(context.Context, string) (*rsa.PublicKey, error) {
	return &s.key.PublicKey, nil
}

func (s *localService) Sign(_ context.Context, _ string, digest []byte) ([]byte, error) {
	if s.denied {
		return nil, errDenied
	}
	return rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest)
}
