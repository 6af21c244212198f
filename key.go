package lineoauth

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/lineoauth/lineoauth/internal/assertion"
	"golang.org/x/sync/singleflight"
)

// Key is the private key with which a channel signs its assertions: RSA,
// 2048 bits. It is made by [ParseKey] or [NewKey], may serve any number of
// channels, is safe for concurrent use when its signer is, and shows nothing of
// itself when printed.
//
// https://developers.line.biz/en/docs/messaging-api/generate-json-web-token/
type Key struct {
	in func() *keyring // a function, for what prints values to find nothing in there
}

// keyring is a key, and the signatures with it that are under way.
type keyring struct {
	*assertion.Key
	*signatures
}

type signatures struct {
	group   singleflight.Group // one signature for all callers
	running atomic.Int32
}

func newKey(key *assertion.Key) *Key { return keyOf(keyring{key, new(signatures)}) }

func keyOf(k keyring) *Key { return &Key{func() *keyring { return &k }} }

// sharing returns the key, whose signatures are counted with those of an earlier
// one, which is the same key behind another signer.
func (k *Key) sharing(earlier *Key) *Key {
	return keyOf(keyring{k.in().Key, earlier.in().signatures})
}

// sameSigner reports whether two keys, which are not empty, came from one call of
// ParseKey or NewKey.
func (k *Key) sameSigner(other *Key) bool {
	return k == other || k != nil && other != nil && k.in().Key == other.in().Key
}

// ParseKey reads a private key in any common form:
//
//   - a JWK as JSON, from the jwx tool, JWCrypto or a browser's WebCrypto, with
//     or without its "kid" and its primes, also wrapped as {"privateKey": …,
//     "publicKey": …}, in a JWK Set, or in Python's or JavaScript's notation;
//   - PEM, PKCS #8 or PKCS #1, or what is between its first and last line;
//   - base64 of either, as a whole.
//
// Other text around the key is ignored, as are public keys and certificates. Of
// several private keys, the one that LINE would accept is used; two are refused.
//
// Line breaks may be missing, or replaced by spaces, "n" or a literal \n, also twice
// escaped; lines may be indented, the text quoted, or UTF-16 as PowerShell writes it.
//
// The error reports what was found and what is needed, contains nothing of the key,
// and matches [ErrInvalid]. The key's size is checked by [New].
func ParseKey(data []byte) (*Key, error) {
	key, err := parseKey(string(data))
	if err != nil {
		return nil, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	return key, nil
}

// parseKey is ParseKey without a prefix on the error.
func parseKey(text string) (*Key, error) {
	key, err := assertion.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return newKey(key), nil
}

// NewKey returns the key behind signer, which may be a KMS or HSM that never
// lets the key out. Its public key must be RSA. The keyID may be empty; then
// [Config] names it. The error matches [ErrInvalid].
func NewKey(signer crypto.Signer, keyID string) (*Key, error) {
	key, err := assertion.NewKey(signer, keyID)
	if err != nil {
		return nil, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	return newKey(key), nil
}

// ID returns the key ID (kid) that came with the key, or "".
func (k *Key) ID() string {
	if k.in == nil {
		return ""
	}
	return k.in().ID()
}

// Public returns the public key.
func (k *Key) Public() *rsa.PublicKey {
	if k.in == nil {
		return nil
	}
	return k.in().Public()
}

// Equal reports whether two keys are the same by their public keys and IDs, for
// go-cmp.
func (k *Key) Equal(other *Key) bool {
	switch {
	case k == other || k == nil || other == nil:
		return k == other
	case k.in == nil || other.in == nil:
		return k.in == nil && other.in == nil
	}
	return k.Public().Equal(other.Public()) && k.ID() == other.ID()
}

// Sign returns the signature of a digest, as the Sign of a [crypto.Signer] does. It
// is for tests of what LINE refuses: [Client.Assertion] signs what LINE accepts.
func (k *Key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.in == nil {
		return nil, fmt.Errorf("lineoauth: %w: the Key is empty; make it by ParseKey or NewKey", ErrInvalid)
	}
	return k.in().SignDigest(random, digest, opts)
}

// Format prints the size and the ID of the key, under every verb.
func (k *Key) Format(f fmt.State, _ rune) {
	if k == nil || k.in == nil {
		_, _ = io.WriteString(f, "no key")
		return
	}
	_, _ = fmt.Fprintf(f, "RSA-%d key %q", k.Public().N.BitLen(), k.ID())
}
