package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/go-jose/go-jose/v4"
)

// KeyBits is the one RSA modulus size that LINE takes.
const KeyBits = 2048

// maxKeySize bounds what Parse looks at. A pair of RSA-8192 JWKs fits.
const maxKeySize = 16 << 10

const wanted = "LINE needs an RSA-2048 private key, as a JWK or in PEM (lineoauth keygen makes one)"

// Key is a private key that signs assertions.
type Key struct {
	signer crypto.Signer
	public *rsa.PublicKey
	id     string
}

// NewKey returns the key behind signer, which may live in a KMS or HSM. The
// key ID may be empty.
func NewKey(signer crypto.Signer, id string) (*Key, error) {
	if private, ok := signer.(*rsa.PrivateKey); signer == nil || ok && private == nil {
		return nil, errors.New("the signer is nil; " + wanted)
	}
	public, ok := signer.Public().(*rsa.PublicKey)
	if !ok || public == nil || public.N == nil {
		return nil, fmt.Errorf("the key is %s; %s", keyName(signer.Public()), wanted)
	}
	return &Key{signer: signer, public: public, id: id}, nil
}

// Public returns the public half.
func (k *Key) Public() *rsa.PublicKey { return k.public }

// ID returns the key ID that came with the key, or "".
func (k *Key) ID() string { return k.id }

// SignDigest signs a digest as it is.
func (k *Key) SignDigest(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.signer.Sign(random, digest, opts)
}

// Check refuses a key of a size that LINE does not take.
func (k *Key) Check() error {
	if bits := k.public.N.BitLen(); bits != KeyBits {
		return fmt.Errorf("the key is RSA-%d; %s", bits, wanted)
	}
	return nil
}

// CheckID refuses a missing key ID, and one that differs from the key's own.
func (k *Key) CheckID(id string) error {
	_, err := k.keyID(id)
	return err
}

func (k *Key) keyID(id string) (string, error) {
	switch {
	case id == "" && k.id == "":
		return "", errors.New("there is no key ID (kid); LINE's console shows it when the public key is registered")
	case id == "":
		return k.id, nil
	case k.id != "" && id != k.id:
		return "", fmt.Errorf("there are two key IDs: %q is given, but the key itself says %q; remove the wrong one", id, k.id)
	}
	return id, nil
}

func keyName(key any) string {
	switch key.(type) {
	case *ecdsa.PrivateKey, *ecdsa.PublicKey:
		return "EC"
	case ed25519.PrivateKey, ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("a %T", key)
}

// short keeps a name from a stranger's file fit for one line of an error.
func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// PublicJWK returns the public key in the form that LINE's console takes.
func PublicJWK(public *rsa.PublicKey) ([]byte, error) {
	return jose.JSONWebKey{Key: public, Algorithm: string(jose.RS256), Use: "sig"}.MarshalJSON()
}
