package assertion_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

// publicJWK returns the public key of a private one.
func publicJWK(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	text, err := assertion.PublicJWK(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("PUBLIC KEY", der)
}

func certificate(t testing.TB, key *rsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "line"}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// notations are the ways to write one or several private keys in a text.
func notations(t testing.TB) map[string]func(keys ...*rsa.PrivateKey) string {
	join := func(separator string, write func(*rsa.PrivateKey) string) func(keys ...*rsa.PrivateKey) string {
		return func(keys ...*rsa.PrivateKey) string {
			var texts []string
			for _, key := range keys {
				texts = append(texts, write(key))
			}
			return strings.Join(texts, separator)
		}
	}
	one := func(key *rsa.PrivateKey) string { return jwk(key, "") }
	pair := func(key *rsa.PrivateKey) string {
		return `{"privateKey":` + one(key) + `,"publicKey":` + publicJWK(t, key) + `}`
	}
	set := func(keys ...*rsa.PrivateKey) string { return `{"keys":[` + join(",", one)(keys...) + `]}` }
	return map[string]func(keys ...*rsa.PrivateKey) string{
		"PKCS #8": join("", func(key *rsa.PrivateKey) string { return pkcs8(t, key) }),
		"PKCS #1": join("", func(key *rsa.PrivateKey) string {
			return encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
		}),
		"PEM and JWK": join("", func(key *rsa.PrivateKey) string { return pkcs8(t, key) + one(key) }),
		"JWKs":        join("\n", one),
		"JWKs, n":     join("n", func(key *rsa.PrivateKey) string { return strings.ReplaceAll(one(key), ",", ",n  ") }),
		"array":       func(keys ...*rsa.PrivateKey) string { return "[" + join(",", one)(keys...) + "]" },
		"pairs":       join("\n", pair),
		"JWK Set":     set,
		"JWK Sets":    join("\n", func(key *rsa.PrivateKey) string { return set(key) }),
		"other names": join("\n", func(key *rsa.PrivateKey) string {
			return `{"private_key":` + one(key) + `,"public_key":` + publicJWK(t, key) + `}`
		}),
		"PEM in JSON": join("\n", func(key *rsa.PrivateKey) string { return fmt.Sprintf(`{"private_key":%q}`, pkcs8(t, key)) }),
		"JWK in JSON": join("\n", func(key *rsa.PrivateKey) string { return fmt.Sprintf(`{"LINE_PRIVATE_KEY":%q}`, one(key)) }),
	}
}

// Of several private keys, the one that fits LINE is used; two that fit are refused.
func TestSeveralKeys(t *testing.T) {
	first, other, less, more := testKey(t), secondKey(t), otherKey(t, 1024), otherKey(t, 3072)
	for name, write := range notations(t) {
		for which, keys := range map[string][]*rsa.PrivateKey{
			"one":             {first},
			"twice":           {first, first},
			"smaller before":  {less, first},
			"larger before":   {more, first},
			"smaller after":   {first, less},
			"among others":    {less, first, more, first},
			"two":             {first, other},
			"two and another": {less, first, other},
			"none that fits":  {less, more},
		} {
			key, err := assertion.Parse([]byte(write(keys...)))
			switch {
			case strings.HasPrefix(which, "two") || strings.HasPrefix(which, "none"):
				want := fmt.Sprintf("has %d private keys; use only the one whose public key is registered with LINE", len(keys))
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s, %s: %v; want %q", name, which, err, want)
				}
			case err != nil:
				t.Errorf("%s, %s: %v", name, which, err)
			case !key.Public().Equal(&first.PublicKey):
				t.Errorf("%s, %s: another key", name, which)
			}
		}
	}
}

func TestSameKey(t *testing.T) {
	private := testKey(t)
	pem8, pem1 := pkcs8(t, private), encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private))
	for name, tt := range map[string]struct{ text, kid, err string }{
		"PKCS #1 and PKCS #8": {pem1 + pem8, "", ""},
		"PEM and JWK":         {pem8 + jwk(private, `,"kid":"a"`), "a", ""},
		"JWK and PEM":         {jwk(private, `,"kid":"a"`) + pem8, "a", ""},
		"kid in one":          {jwk(private, "") + jwk(private, `,"kid":"a"`), "a", ""},
		"kid in both":         {jwk(private, `,"kid":"a"`) + jwk(private, `,"kid":"a"`), "a", ""},
		"two kids":            {jwk(private, `,"kid":"a"`) + jwk(private, `,"kid":"b"`), "", `two key IDs: "a" and "b"`},
		"two PEMs":            {pem8 + pkcs8(t, secondKey(t)), "", "the PEM has 2 private keys"},
		"PEM and other JWK":   {pem8 + jwk(secondKey(t), ""), "", "the text has 2 private keys"},
	} {
		key, err := assertion.Parse([]byte(tt.text))
		if err != nil || tt.err != "" {
			if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v; want %q", name, err, tt.err)
			}
		} else if key.ID() != tt.kid {
			t.Errorf("%s: key ID %q, want %q", name, key.ID(), tt.kid)
		}
	}
}

// What is beside a private key neither hides it nor why it is unusable.
func TestBesideKey(t *testing.T) {
	private := testKey(t)
	pem8, full := pkcs8(t, private), jwk(private, "")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]struct{ text, want string }{
		"PEM":           {pem8, ""},
		"JWK":           {full, ""},
		"Set":           {`{"keys":[` + full + `]}`, ""},
		"pair":          {`{"privateKey":` + full + `,"publicKey":` + publicJWK(t, private) + `}`, ""},
		"encrypted":     {encodePEM("ENCRYPTED PRIVATE KEY", []byte{1}), "encrypted"},
		"cut PEM":       {pem8[:900], "cut off"},
		"cut label":     {"-----BEGIN PRIVATE KEY\n", "five dashes"},
		"cut JWK":       {full[:900], "not complete JSON"},
		"damaged JWK":   {strings.Replace(full, `"p":"`, `"p":"BBBB`, 1), "damaged"},
		"enc JWK":       {jwk(private, `,"use":"enc"`), `"use": "enc"`},
		"damaged pair":  {`{"privateKey":"no"}`, `"privateKey" of the pair`},
		"numeric kid":   {jwk(private, `,"kid":7`), `"kid" has the wrong type`},
		"Set of an enc": {`{"keys":[` + publicJWK(t, private) + `,` + jwk(private, `,"use":"enc"`) + `]}`, `"use": "enc"`},
	}
	foreign := map[string]struct{ text, want string }{
		"EC in PKCS #8": {pkcs8(t, ec), "the key is EC"},
		"EC":            {encodePEM("EC PRIVATE KEY", sec1), "the key is EC"},
		"EC JWK":        {`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}`, `JWK of type "EC"`},
		"OpenSSH":       {encodePEM("OPENSSH PRIVATE KEY", []byte{1}), "OpenSSH"},
	}
	others := map[string]struct{ text, want string }{
		"certificate":     {encodePEM("CERTIFICATE", certificate(t, private)), "certificate"},
		"public PEM":      {publicPEM(t, &private.PublicKey), "public key"},
		"public JWK":      {publicJWK(t, private) + "\n", "public key"},
		"public Set":      {`{"keys":[` + publicJWK(t, private) + `]}`, "without a private RSA key"},
		"EC PARAMETERS":   {encodePEM("EC PARAMETERS", []byte{6, 1, 1}), "EC PARAMETERS"},
		"JSON":            {`{"channel":1}` + "\n", `no "kty"`},
		"smaller key":     {pkcs8(t, otherKey(t, small)), ""},
		"smaller key JWK": {jwk(otherKey(t, small), ""), ""},
	}
	check := func(name, text, want string) {
		t.Helper()
		key, err := assertion.Parse([]byte(text))
		switch {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v; want %q", name, err, want)
		case want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want == "" && !key.Public().Equal(&private.PublicKey):
			t.Errorf("%s: another key", name)
		}
		for _, secret := range []string{pem8[100:112], between(full, `"d":"`)[:12], between(full, `"p":"`)[:12]} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows the key: %v", name, err)
			}
		}
	}
	for name, key := range keys {
		for beside, other := range others {
			check(beside+" before "+name, other.text+key.text, key.want)
			check(beside+" after "+name, key.text+"\n"+other.text, key.want)
		}
		for beside, other := range foreign {
			check(beside+" before "+name, other.text+key.text, key.want)
			check(beside+" after "+name, key.text+"\n"+other.text, key.want)
		}
	}
	for name, key := range foreign {
		for _, beside := range []string{"certificate", "public PEM", "public JWK", "EC PARAMETERS", "JSON"} {
			check(beside+" before "+name, others[beside].text+key.text, key.want)
			check(beside+" after "+name, key.text+"\n"+others[beside].text, key.want)
		}
	}
}

// JavaScript's notation cannot be told from damage by n, so that TestDamagedKeys has
// no such form.
func TestOtherNotations(t *testing.T) {
	private := testKey(t)
	full := jwk(private, `,"kid":"k","key_ops":["sign"],"ext":true`)
	keys := strings.NewReplacer(`{"`, `{ `, `,"`, `, `, `":`, `: `)
	for name, text := range map[string]string{
		"JavaScript":                keys.Replace(full),
		"JavaScript, single quotes": strings.ReplaceAll(keys.Replace(full), `"`, "'"),
		"JavaScript, several lines": strings.ReplaceAll(strings.ReplaceAll(keys.Replace(full), ", ", ",\n  "), "}", ",\n}"),
		"JSON, trailing comma":      strings.ReplaceAll(full, "}", ",}"),
		"Python":                    strings.NewReplacer(`"`, `'`, "true", "True", ",", ", ").Replace(full),
		"Python, word processor":    strings.NewReplacer(`":`, `’:`, `",`, `’,`, `"`, `‘`, "true", "True").Replace(full),
		"a shell took the quotes":   strings.ReplaceAll(full, `"`, ""),
	} {
		for wrapping, around := range wrappings {
			key, err := assertion.Parse([]byte(around(text)))
			if err != nil {
				t.Errorf("%s, %s: %v", name, wrapping, err)
			} else if key.ID() != "k" || !key.Public().Equal(&private.PublicKey) {
				t.Errorf("%s, %s: key %q", name, wrapping, key.ID())
			}
		}
	}
	for name, tt := range map[string]struct{ text, want string }{
		"JavaScript": {strings.Replace(keys.Replace(full), ", ", ", // RSA\n", 1), "JavaScript or Python"},
		"Python":     {strings.NewReplacer(`"`, `'`, "true", "Yes()").Replace(full), "JavaScript or Python"},
		"no brace":   {full[1:], "no {"},
	} {
		if _, err := assertion.Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("damaged %s: %v; want %q", name, err, tt.want)
		}
	}
}

// The error says what DER is, also as base64.
func TestOtherDER(t *testing.T) {
	private := testKey(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	broken := x509.MarshalPKCS1PrivateKey(private)
	copy(broken[len(broken)-50:], make([]byte, 20))
	for name, tt := range map[string]struct {
		der  []byte
		want string
	}{
		"certificate":       {certificate(t, private), "is a certificate"},
		"public":            {der(x509.MarshalPKIXPublicKey(&private.PublicKey)), "use the private one"},
		"public PKCS #1":    {x509.MarshalPKCS1PublicKey(&private.PublicKey), "use the private one"},
		"public EC":         {der(x509.MarshalPKIXPublicKey(&ec.PublicKey)), "use the private one"},
		"EC in PKCS #8":     {der(x509.MarshalPKCS8PrivateKey(ec)), "the key is EC"},
		"EC":                {der(x509.MarshalECPrivateKey(ec)), "the key is EC"},
		"encrypted PKCS #8": {der(base64.StdEncoding.DecodeString("MBwwFgYJKoZIhvcNAQUNMAkGBCoDBAUCAQEEAgEC")), "is encrypted"},
		"PKCS #12":          {der(base64.StdEncoding.DecodeString("MBgCAQMwEwYJKoZIhvcNAQcBoAYEBDACAQE=")), "is PKCS #12"},
		"damaged":           {broken, "no usable key"},
	} {
		b64 := base64.StdEncoding.EncodeToString(tt.der)
		for form, text := range map[string]string{
			"DER":           string(tt.der),
			"base64":        b64,
			"wrapped":       wrap(b64),
			"quoted":        `"` + b64 + `"`,
			"line of .env":  "KEY=" + b64,
			"of PEM's":      encodePEM("PRIVATE KEY", tt.der),
			"without BEGIN": wrap(b64) + "-----END PRIVATE KEY-----\n",
		} {
			_, err := assertion.Parse([]byte(text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "RSA-2048") > 1 {
				t.Errorf("%s, %s: %v; want %q", name, form, err, tt.want)
			}
		}
	}
}
