package assertion_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

var generated sync.Map // bits → func() (*rsa.PrivateKey, error)

func otherKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	once, _ := generated.LoadOrStore(bits, sync.OnceValues(func() (*rsa.PrivateKey, error) {
		return rsa.GenerateKey(rand.Reader, bits)
	}))
	key, err := once.(func() (*rsa.PrivateKey, error))()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testKey(t testing.TB) *rsa.PrivateKey { return otherKey(t, 2048) }

var second = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// secondKey returns a key that fits LINE, as testKey does.
func secondKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := second()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB, signer crypto.Signer, id string) *assertion.Key {
	t.Helper()
	key, err := assertion.NewKey(signer, id)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("PRIVATE KEY", der)
}

// jwk returns the private key as a JWK with additional fields.
func jwk(key *rsa.PrivateKey, fields string) string {
	b64 := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	p := key.Precomputed
	return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB","d":%q,"p":%q,"q":%q,"dp":%q,"dq":%q,"qi":%q%s}`,
		b64(key.N), b64(key.D), b64(key.Primes[0]), b64(key.Primes[1]), b64(p.Dp), b64(p.Dq), b64(p.Qinv), fields)
}

func TestParse(t *testing.T) {
	private := testKey(t)
	pem8 := pkcs8(t, private)
	pem1 := encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private))
	tool := jwk(private, `,"alg":"RS256","use":"sig"`)
	browser := jwk(private, `,"alg":"RS256","key_ops":["sign"],"ext":true`)
	withKid := jwk(private, `,"kid":"kid-1"`)
	public := fmt.Sprintf(`{"kty":"RSA","kid":"kid-1","alg":"RS256","use":"sig","n":%q,"e":"AQAB"}`,
		base64.RawURLEncoding.EncodeToString(private.N.Bytes()))

	for name, tt := range map[string]struct{ text, kid string }{
		"JWK of a tool":               {tool, ""},
		"JWK of a browser":            {browser, ""},
		"JWK with kid":                {withKid, "kid-1"},
		"pair, kid in the private":    {`{"privateKey":` + withKid + `,"publicKey":` + strings.Replace(public, `"kid":"kid-1",`, "", 1) + `}`, "kid-1"},
		"pair, kid in both":           {`{"privateKey":` + withKid + `,"publicKey":` + public + `}`, "kid-1"},
		"pair, kid in the public":     {`{"privateKey":` + tool + `,"publicKey":` + public + `}`, "kid-1"},
		"PKCS #8":                     {pem8, ""},
		"PKCS #1":                     {pem1, ""},
		"CRLF":                        {strings.ReplaceAll(pem8, "\n", "\r\n"), ""},
		`literal \n`:                  {strings.ReplaceAll(pem8, "\n", `\n`), ""},
		`literal \r\n`:                {strings.ReplaceAll(pem1, "\n", `\r\n`), ""},
		"quoted":                      {`"` + strings.ReplaceAll(pem8, "\n", `\n`) + `"`, ""},
		"base64 of PEM":               {base64.StdEncoding.EncodeToString([]byte(pem8)), ""},
		"base64 of PEM, wrapped":      {wrap(base64.StdEncoding.EncodeToString([]byte(pem8))), ""},
		"base64 of JWK":               {base64.StdEncoding.EncodeToString([]byte(withKid)), "kid-1"},
		"base64url of JWK, unpadded":  {base64.RawURLEncoding.EncodeToString([]byte(withKid)), "kid-1"},
		"white space around":          {"\n\t " + pem8 + " \n", ""},
		"byte order mark":             {"\ufeff" + tool, ""},
		"text before the PEM":         {"Bag Attributes\n  friendlyName: line\n" + pem8, ""},
		"certificate before the PEM":  {encodePEM("CERTIFICATE", []byte("whatever")) + pem8, ""},
		"JWK with line breaks inside": {strings.ReplaceAll(tool, ",", ",\n  "), ""},
		`JWK with literal \n inside`:  {strings.ReplaceAll(withKid, ",", `,\r\n  `), "kid-1"},
		"JWK quoted and escaped":      {`"` + strings.ReplaceAll(withKid, `"`, `\"`) + `"`, "kid-1"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := assertion.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if key.ID() != tt.kid {
				t.Errorf("ID = %q, want %q", key.ID(), tt.kid)
			}
			signed, err := key.Sign(newClaimsFor(key))
			if err != nil {
				t.Fatal(err)
			}
			verify(t, signed, &private.PublicKey)
		})
	}
}

func newClaimsFor(key *assertion.Key) assertion.Claims {
	c := newClaims()
	if key.ID() != "" {
		c.KeyID = ""
	}
	return c
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	return b.String() + s + "\n"
}

func TestParseRefuses(t *testing.T) {
	private := testKey(t)
	pem8 := pkcs8(t, private)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := jwk(private, "")
	encrypted := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"

	for name, tt := range map[string]struct{ text, want string }{
		"empty":                    {"", "is empty"},
		"white space":              {" \n", "is empty"},
		"word":                     {"hunter2", "neither a JWK nor PEM"},
		"word with a brace":        {"hunter{2", "neither a JWK nor PEM"},
		"braces":                   {strings.Repeat("{", 100), "not complete JSON"},
		"too large":                {strings.Repeat("A", 70_000), "too large"},
		"EC in PKCS #8":            {pkcs8(t, ec), "the key is EC"},
		"EC":                       {encodePEM("EC PRIVATE KEY", []byte{1}), "the key is EC"},
		"Ed25519":                  {pkcs8(t, ed), "the key is Ed25519"},
		"EC JWK":                   {`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}`, `JWK of type "EC"`},
		"public JWK":               {`{"kty":"RSA","n":"AQAB","e":"AQAB"}`, `public key (it has no "d")`},
		"JWK Set":                  {`{"keys":[` + good + `,` + jwk(secondKey(t), "") + `]}`, "JWK Set"},
		"pair without a key":       {`{"privateKey":"no"}`, `"privateKey" of the pair is not a JWK`},
		"pair with two kids":       {`{"privateKey":` + jwk(private, `,"kid":"a"`) + `,"publicKey":{"kid":"b"}}`, `two key IDs: "a" in the private key, "b" in the public key`},
		"JSON that is not a key":   {`{"type":"service_account"}`, `no "kty"`},
		"truncated JSON":           {good[:200], "not complete JSON"},
		"numeric kid":              {jwk(private, `,"kid":7`), `"kid" has the wrong type`},
		"use enc":                  {jwk(private, `,"use":"enc"`), `"use": "enc"`},
		"key_ops verify":           {jwk(private, `,"key_ops":["verify"]`), `do not allow "sign"`},
		"alg PS256":                {jwk(private, `,"alg":"PS256"`), `"PS256"; use one for RS256`},
		"damaged JWK":              {strings.Replace(good, `"p":"`, `"p":"BBBB`, 1), "damaged"},
		"JWK without primes":       {`{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}`, "damaged"},
		"encrypted PKCS #8":        {encodePEM("ENCRYPTED PRIVATE KEY", []byte{1}), "openssl pkey"},
		"encrypted PKCS #1":        {encrypted, "openssl pkey"},
		"certificate":              {encodePEM("CERTIFICATE", []byte{1}), "is a certificate"},
		"public PEM":               {encodePEM("PUBLIC KEY", []byte{1}), "public key; use the private one"},
		"OpenSSH":                  {encodePEM("OPENSSH PRIVATE KEY", []byte{1}), "OpenSSH"},
		"other PEM":                {encodePEM("DH PARAMETERS", []byte{1}), `"DH PARAMETERS"`},
		"PEM without END":          {pem8[:len(pem8)-40], "cut off"},
		"PEM with lines missing":   {pem8[:28] + pem8[28+2*65:], "no usable key"},
		"PEM with garbage":         {encodePEM("PRIVATE KEY", []byte("garbage")), "no usable key"},
		"token":                    {"eyJhbGciOiJSUzI1NiJ9.e30.abc", "neither a JWK nor PEM"},
		"base64 of something else": {base64.StdEncoding.EncodeToString([]byte("hello")), "neither a JWK nor PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := assertion.Parse([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Parse: %v; want an error that contains %q", err, tt.want)
			}
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("the error has more than one line: %q", err)
			}
			if secret := jwk(private, "")[40:80]; strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows key material: %q", err)
			}
		})
	}
}

func TestNewKeyRefuses(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, signer := range map[string]crypto.Signer{"nil": nil, "nil key": (*rsa.PrivateKey)(nil), "Ed25519": ed} {
		if _, err := assertion.NewKey(signer, ""); err == nil {
			t.Errorf("%s: NewKey returned no error", name)
		}
	}
}

func TestCheckSize(t *testing.T) {
	for _, bits := range []int{1024, 3072} {
		key, err := assertion.Parse([]byte(pkcs8(t, otherKey(t, bits))))
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Check(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("RSA-%d", bits)) {
			t.Errorf("Check of RSA-%d: %v", bits, err)
		}
	}
}

// tool runs a program that generates keys, if it is installed.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("LINEOAUTH_NEED_TOOLS") == "" {
		t.Skipf("%s is not installed", name)
	} else if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

const webCrypto = `
const {writeFileSync} = require('node:fs');
(async () => {
  const pair = await crypto.webcrypto.subtle.generateKey(
    {name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256'},
    true, ['sign', 'verify']);
  writeFileSync(process.argv[1], JSON.stringify(await crypto.webcrypto.subtle.exportKey('jwk', pair.privateKey)));
})();`

func TestKeysOfTools(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, file string){
		"openssl genpkey": func(t *testing.T, file string) {
			tool(t, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file)
		},
		"openssl rsa -traditional": func(t *testing.T, file string) {
			if err := os.WriteFile(file+".8", []byte(pkcs8(t, testKey(t))), 0o600); err != nil {
				t.Fatal(err)
			}
			tool(t, "openssl", "rsa", "-traditional", "-in", file+".8", "-out", file)
		},
		"WebCrypto of Node": func(t *testing.T, file string) {
			tool(t, "node", "-e", "const crypto = require('node:crypto');"+webCrypto, file)
		},
		"lineoauth keygen": func(t *testing.T, file string) {
			tool(t, "go", "run", "github.com/lineoauth/lineoauth/cmd/lineoauth", "keygen", "--private-key", file, "--public-key", file+".pub")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "key")
			make(t, file)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			key, err := assertion.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := key.Sign(newClaims())
			if err != nil {
				t.Fatal(err)
			}
			verify(t, signed, key.Public())
		})
	}
}

func TestPublicJWK(t *testing.T) {
	text, err := assertion.PublicJWK(&testKey(t).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got["kty"] != "RSA" || got["alg"] != "RS256" || got["use"] != "sig" || got["kid"] != nil || got["d"] != nil || got["n"] == nil {
		t.Errorf("PublicJWK = %s", text)
	}
}

func FuzzParse(f *testing.F) {
	private := testKey(f)
	pem8 := pkcs8(f, private)
	for _, seed := range []string{
		"", "{", pem8, pem8[:300], strings.ReplaceAll(pem8, "\n", `\n`), jwk(private, ""),
		jwk(private, `,"kid":"k","use":"sig"`), `{"privateKey":{"kty":"RSA","d":"AQ"},"publicKey":{"kid":"k"}}`,
		`{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB","p":"Aw","q":"BQ"}`, `{"kty":"RSA","n":"","e":"","d":"","p":"","q":""}`,
		base64.StdEncoding.EncodeToString([]byte(pem8)), encodePEM("RSA PRIVATE KEY", []byte{0x30, 0}),
		`{"keys":[]}`, `{"kty":"RSA","d":null}`, `"'{}'"`, "-----BEGIN A-----\n-----END A-----",
	} {
		f.Add([]byte(seed))
	}
	for _, around := range wrappings {
		f.Add([]byte(around(jwk(otherKey(f, small), ""))))
	}
	for _, form := range forms(f) {
		for _, damage := range []string{"none", "blanks", "n", "escaped twice", "UTF-16LE"} {
			f.Add([]byte(damages[damage](form)))
		}
		f.Add([]byte(damages["no line breaks"](form[:len(form)*2/3])))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := assertion.Parse(data)
		if err != nil {
			if bytes.ContainsAny([]byte(err.Error()), "\n\r") {
				t.Errorf("the error has more than one line: %q", err)
			}
			return
		}
		c := assertion.Claims{ChannelID: "1", Audience: audience, Now: time.Unix(1, 0), Unchecked: true}
		if key.ID() == "" {
			c.KeyID = "k"
		}
		// A key may be too small to sign with, which is also an error.
		_, _ = key.Sign(c)
	})
}
