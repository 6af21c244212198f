package assertion

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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

// Parse reads a private key: a JWK (also one that a browser made, and a pair
// wrapped as {"privateKey": …, "publicKey": …}) or PEM (PKCS #8 or PKCS #1).
// PEM may have its line breaks written as \n, and either form may be
// base64-encoded as a whole. Its errors hold nothing of the key.
func Parse(data []byte) (*Key, error) {
	if len(data) > maxKeySize {
		return nil, fmt.Errorf("the private key has %d bytes, too many for a key; %s", len(data), wanted)
	}
	text := normalize(data)
	if !looksLikeKey(text) {
		if decoded, ok := decodeBase64(text); ok {
			text = normalize(decoded)
		}
	}
	switch {
	case len(text) == 0:
		return nil, errors.New("the private key is empty; " + wanted)
	case text[0] == '{':
		return parseJWK(text)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return parsePEM(text)
	}
	return nil, errors.New("the private key is neither a JWK nor PEM; " + wanted)
}

func normalize(data []byte) []byte { return []byte(Trim(Decode(data))) }

func looksLikeKey(text []byte) bool {
	return bytes.HasPrefix(text, []byte("{")) || bytes.Contains(text, []byte("-----BEGIN "))
}

func decodeBase64(text []byte) ([]byte, bool) {
	s := strings.NewReplacer("\n", "", "\r", "", `\n`, "", `\r`, "", " ", "", "-", "+", "_", "/").Replace(string(text))
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return decoded, err == nil
}

// jwk is what go-jose does not look at, or folds together.
type jwk struct {
	Kty    string          `json:"kty"`
	Use    string          `json:"use"`
	Alg    string          `json:"alg"`
	Kid    string          `json:"kid"`
	KeyOps []string        `json:"key_ops"`
	D      json.RawMessage `json:"d"`

	Keys       json.RawMessage `json:"keys"`
	PrivateKey json.RawMessage `json:"privateKey"`
	PublicKey  *struct {
		Kid string `json:"kid"`
	} `json:"publicKey"`
}

func parseJWK(text []byte) (*Key, error) {
	var outer jwk
	err := json.Unmarshal(text, &outer)
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
		// An environment variable may hold the JSON with its line breaks, or
		// quotes, escaped.
		text = []byte(strings.NewReplacer(`\r`, "", `\n`, "", `\"`, `"`).Replace(string(text)))
		err = json.Unmarshal(text, &outer)
	}
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
		return nil, fmt.Errorf("the JWK's %q is not of the type that it must have; %s", wrong.Field, wanted)
	} else if err != nil {
		return nil, errors.New("the private key begins like a JWK but is not complete JSON; copy the whole of it")
	}
	inner := outer
	if outer.PrivateKey != nil {
		text, inner = outer.PrivateKey, jwk{}
		if err := json.Unmarshal(text, &inner); err != nil {
			return nil, errors.New(`the "privateKey" of the pair is not a JWK; ` + wanted)
		}
	}
	switch {
	case outer.Keys != nil:
		return nil, errors.New("the private key is a JWK Set; give the one key of it that signs")
	case inner.Kty == "":
		return nil, errors.New(`the private key is JSON but no JWK (it has no "kty"); ` + wanted)
	case inner.Kty != "RSA":
		return nil, fmt.Errorf("the key is a JWK of type %q; %s", short(inner.Kty), wanted)
	case inner.D == nil:
		return nil, errors.New(`the JWK is a public key (it has no "d"); keep that for LINE's console, and give the private one here`)
	case inner.Use != "" && inner.Use != "sig":
		return nil, fmt.Errorf(`the JWK is for "use": %q; make one for signing ("sig")`, short(inner.Use))
	case inner.KeyOps != nil && !slices.Contains(inner.KeyOps, "sign"):
		return nil, errors.New(`the JWK's "key_ops" do not allow "sign"; make one that may sign`)
	case inner.Alg != "" && inner.Alg != "RS256":
		return nil, fmt.Errorf("the JWK is for %q; LINE takes RS256", short(inner.Alg))
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		return nil, errors.New("the JWK is damaged: a part of the key is missing or not base64url; copy the whole of it")
	}
	private, ok := key.Key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is %s; %s", keyName(key.Key), wanted)
	}
	if err := private.Validate(); err != nil {
		return nil, errors.New("the JWK is damaged: its numbers do not make an RSA key; copy the whole of it")
	}
	id := inner.Kid
	if outer.PublicKey != nil && outer.PublicKey.Kid != "" {
		if id != "" && id != outer.PublicKey.Kid {
			return nil, fmt.Errorf("the pair holds two key IDs: the private key says %q, the public key %q; remove the wrong one", short(id), short(outer.PublicKey.Kid))
		}
		id = outer.PublicKey.Kid
	}
	return NewKey(private, id)
}

func parsePEM(text []byte) (*Key, error) {
	// An environment variable often holds a PEM in one line.
	text = bytes.ReplaceAll(text, []byte(`\r`), nil)
	text = bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))

	var firstErr error
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		key, err := parseBlock(block)
		if err == nil {
			return key, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	if firstErr == nil {
		firstErr = errors.New("the PEM is damaged or cut off; copy it from -----BEGIN to -----END, both lines included")
	}
	return nil, firstErr
}

func parseBlock(block *pem.Block) (*Key, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the PEM is encrypted; decrypt it first: openssl pkey -in KEY.pem -out DECRYPTED.pem")
	}
	var parsed any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return nil, errors.New("the key is EC; " + wanted)
	case "OPENSSH PRIVATE KEY":
		return nil, errors.New("the key is in OpenSSH's own format; " + wanted)
	case "CERTIFICATE":
		return nil, errors.New("the PEM is a certificate; " + wanted)
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return nil, errors.New("the PEM is a public key; give the private one")
	default:
		return nil, fmt.Errorf("the PEM holds a %q; %s", short(block.Type), wanted)
	}
	if err != nil {
		return nil, fmt.Errorf("the PEM holds no usable key (%w); %s", err, wanted)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key is %s; %s", keyName(parsed), wanted)
	}
	return NewKey(signer, "")
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
