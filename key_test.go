package lineoauth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Sign signs by the private key behind a Key, and refuses an empty one.
func TestKeySign(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	key := srv.Config().Key
	digest := sha256.Sum256([]byte("header.claims"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(key.Public(), crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	if _, err := new(lineoauth.Key).Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("an empty key: %v", err)
	}
}
