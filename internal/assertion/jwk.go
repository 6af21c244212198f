package assertion

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// jwk has the fields that go-jose ignores or merges.
type jwk struct {
	Kty    string          `json:"kty"`
	Use    string          `json:"use"`
	Alg    string          `json:"alg"`
	Kid    string          `json:"kid"`
	KeyOps []string        `json:"key_ops"`
	D      json.RawMessage `json:"d"`

	Keys       *[]json.RawMessage `json:"keys"`
	PrivateKey json.RawMessage    `json:"privateKey"`
	PublicKey  *struct {
		Kid string `json:"kid"`
	} `json:"publicKey"`
}

var errDamagedJWK = errors.New("the JWK is damaged: a part of the key is missing or not base64url; copy all of it")

func parseJWK(text []byte) (*Key, error) {
	var outer jwk
	if wrong := new(json.UnmarshalTypeError); errors.As(json.Unmarshal(text, &outer), &wrong) {
		return nil, &refusal{fmt.Errorf("the JWK's %q has the wrong type; %s", wrong.Field, wanted), outer.rank()}
	}
	inner := outer
	if outer.PrivateKey != nil {
		text, inner = outer.PrivateKey, jwk{}
		if err := json.Unmarshal(text, &inner); err != nil {
			return nil, errors.New(`the "privateKey" of the pair is not a JWK; ` + wanted)
		}
	}
	if err := inner.check(); err != nil {
		return nil, &refusal{err, inner.rank()}
	}
	private, err := parseRSA(text)
	if err != nil {
		return nil, err
	}
	id := inner.Kid
	if outer.PublicKey != nil && outer.PublicKey.Kid != "" {
		if id != "" && id != outer.PublicKey.Kid {
			return nil, fmt.Errorf("the pair contains two key IDs: %q in the private key, %q in the public key; remove the wrong one", short(id), short(outer.PublicKey.Kid))
		}
		id = outer.PublicKey.Kid
	}
	return NewKey(private, id)
}

// rank is that of the error if the JWK is unusable.
func (j jwk) rank() rank {
	switch {
	case j.PrivateKey != nil:
		return unusable
	case j.D == nil && j.Kty == "":
		return notKey
	case j.D == nil:
		return notPrivate
	case j.Kty != "RSA":
		return notRSA
	}
	return unusable
}

// check returns an error for a JWK that is not for signing with RS256.
func (j jwk) check() error {
	switch {
	case j.Kty == "":
		return errors.New(`the private key is JSON but not a JWK (it has no "kty"); ` + wanted)
	case j.Kty != "RSA":
		return fmt.Errorf("the key is a JWK of type %q; %s", short(j.Kty), wanted)
	case j.D == nil:
		return errors.New(`the JWK is a public key (it has no "d"); use the private key instead`)
	case j.Use != "" && j.Use != "sig":
		return fmt.Errorf(`the JWK is for "use": %q; use one for signing ("sig")`, short(j.Use))
	case j.KeyOps != nil && !slices.Contains(j.KeyOps, "sign"):
		return errors.New(`the JWK's "key_ops" do not allow "sign"; use one that does`)
	case j.Alg != "" && j.Alg != "RS256":
		return fmt.Errorf("the JWK is for %q; use one for RS256", short(j.Alg))
	}
	return nil
}

// addSet adds the private keys of a JWK Set.
func (f *found) addSet(keys []json.RawMessage) {
	var set found
	for _, text := range keys {
		var one map[string]json.RawMessage
		if json.Unmarshal(text, &one) != nil || one["keys"] != nil {
			continue
		}
		key, err := parseJWK(text)
		set.add(key, err, "JWK Set")
	}
	for _, key := range set.keys {
		f.add(key, nil, "JWK Set")
	}
	switch {
	case set.err != nil && rankOf(set.err) == unusable:
		f.add(nil, fmt.Errorf("the private key is a JWK Set without a usable key: %w", set.err), "")
	case set.err != nil:
		f.add(nil, refuse(rankOf(set.err), withoutRSA), "")
	case len(set.keys) == 0:
		f.add(nil, refuse(notKey, withoutRSA), "")
	}
}

const withoutRSA = "the private key is a JWK Set without a private RSA key; " + wanted

// parseRSA reads the numbers of an RSA key. A JWK may have only n, e and d (RFC 7518,
// section 6.3.2), from which the primes are computed.
func parseRSA(text []byte) (*rsa.PrivateKey, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, errDamagedJWK
	}
	if fields["p"] == nil && fields["q"] == nil {
		p, q, err := primes(number(fields["n"]), number(fields["e"]), number(fields["d"]))
		if err != nil {
			return nil, err
		}
		for _, name := range []string{"dp", "dq", "qi"} {
			delete(fields, name)
		}
		fields["p"], fields["q"] = encoded(p), encoded(q)
		if text, err = json.Marshal(fields); err != nil {
			return nil, errDamagedJWK
		}
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		return nil, errDamagedJWK
	}
	private, ok := key.Key.(*rsa.PrivateKey)
	if !ok {
		return nil, errDamagedJWK
	}
	return private, nil
}

// number decodes a JWK's number, or returns nil.
func number(text json.RawMessage) *big.Int {
	var s string
	if json.Unmarshal(text, &s) != nil {
		return nil
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(data) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(data)
}

func encoded(n *big.Int) json.RawMessage {
	return json.RawMessage(`"` + base64.RawURLEncoding.EncodeToString(n.Bytes()) + `"`)
}

// primes finds the two prime factors of n, which takes a few attempts (NIST SP
// 800-56B, appendix C).
func primes(n, e, d *big.Int) (p, q *big.Int, err error) {
	if n == nil || e == nil || d == nil {
		return nil, nil, errDamagedJWK
	}
	foreign := errors.New(`the JWK is damaged: its "n", "e" and "d" do not match; copy all of one key`)
	one := big.NewInt(1)
	k := new(big.Int).Mul(d, e)
	k.Sub(k, one)
	if n.BitLen() > maxBits || d.Cmp(n) >= 0 || e.BitLen() > 64 || n.Bit(0) == 0 || k.Sign() <= 0 || k.Bit(0) != 0 {
		return nil, nil, foreign
	}
	twos := k.TrailingZeroBits()
	odd := new(big.Int).Rsh(k, twos)
	last := new(big.Int).Sub(n, one)
	for range 100 {
		g, err := rand.Int(rand.Reader, last)
		if err != nil {
			return nil, nil, err
		}
		y := g.Exp(g.Add(g, one), odd, n)
		for range twos {
			square := new(big.Int).Exp(y, big.NewInt(2), n)
			if square.Cmp(one) != 0 {
				y = square
				continue
			}
			if y.Cmp(one) != 0 && y.Cmp(last) != 0 { // a root of 1 that is not 1 or -1
				p = new(big.Int).GCD(nil, nil, y.Sub(y, one), n)
				return p, new(big.Int).Div(n, p), nil
			}
			break
		}
	}
	return nil, nil, foreign
}

// maxBits bounds the work for a key that is too large for LINE anyway.
const maxBits = 8192
