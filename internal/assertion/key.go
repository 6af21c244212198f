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

// KeyBits is the RSA modulus size that LINE requires.
const KeyBits = 2048

// maxKeySize is the maximum input size of Parse. A pair of RSA-8192 JWKs fits.
const maxKeySize = 16 << 10

const wanted = "use an RSA-2048 private key as a JWK or PEM (lineoauth keygen generates one)"

// Key is a private key that signs assertions.
type Key struct {
	signer crypto.Signer
	public *rsa.PublicKey
	id     string
}

// NewKey returns a key that signs with signer, which may use a KMS or HSM. The key ID
// may be empty.
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

// Public returns the public key.
func (k *Key) Public() *rsa.PublicKey { return k.public }

// ID returns the key ID that the key contains, or "".
func (k *Key) ID() string { return k.id }

// SignDigest signs a digest.
func (k *Key) SignDigest(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.signer.Sign(random, digest, opts)
}

// Check returns an error for a key size that LINE does not accept.
func (k *Key) Check() error {
	if bits := k.public.N.BitLen(); bits != KeyBits {
		return fmt.Errorf("the key is RSA-%d; %s", bits, wanted)
	}
	return nil
}

// CheckID returns an error for a missing key ID, and for one that differs from the
// key's own. The error names the setting that the ID comes from; it does not contain
// the ID, which may be a misplaced channel secret.
func (k *Key) CheckID(setting, id string) error {
	_, err := k.keyID(setting, id)
	return err
}

func (k *Key) keyID(setting, id string) (string, error) {
	switch {
	case id == "" && k.id == "":
		return "", errors.New("there is no key ID (kid); copy the one that LINE's console shows for the registered public key")
	case id == "":
		return k.id, nil
	case k.id != "" && id != k.id:
		return "", fmt.Errorf("there are two key IDs: %s is set, but the key contains %q; remove the wrong one", setting, k.id)
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

// short truncates a name from an untrusted file for an error.
func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// PublicJWK returns the public key in the format that LINE's console accepts.
func PublicJWK(public *rsa.PublicKey) ([]byte, error) {
	return jose.JSONWebKey{Key: public, Algorithm: string(jose.RS256), Use: "sig"}.MarshalJSON()
}
