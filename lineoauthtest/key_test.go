package lineoauthtest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var (
	firstKey  = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	secondKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

func testKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := firstKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func otherKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := secondKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicJWK(t *testing.T) []byte {
	t.Helper()
	text, err := jose.JSONWebKey{Key: &testKey(t).PublicKey, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
