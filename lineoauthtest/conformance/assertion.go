package conformance

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha512" // for RS512
	"encoding/base64"
	"encoding/json"
	"maps"
	"time"

	"github.com/lineoauth/lineoauth/gen"
)

// assertion is a client assertion before it is signed.
type assertion struct {
	header, claims map[string]any
	wrongSignature bool
}

// change modifies an assertion that LINE accepts.
type change func(r *run, a *assertion)

func claim(name string, v any) change {
	return func(_ *run, a *assertion) { a.claims[name] = v }
}

func without(name string) change {
	return func(_ *run, a *assertion) { delete(a.claims, name) }
}

func headerField(name string, v any) change {
	return func(_ *run, a *assertion) { a.header[name] = v }
}

// expiresIn sets exp, relative to the server's time.
func expiresIn(d time.Duration) change {
	return func(r *run, a *assertion) { a.claims["exp"] = r.now().Add(d).Unix() }
}

func validFor(d time.Duration) change { return claim("token_exp", int64(d/time.Second)) }

func wrongSignature(_ *run, a *assertion) { a.wrongSignature = true }

// assertionWith signs an assertion for the run's channel.
func assertionWith(changes ...change) value {
	return func(r *run) (string, error) {
		id, err := ownID(r)
		if err != nil {
			return "", err
		}
		if r.cfg.Key == nil {
			return "", untried("needs the private key")
		}
		if r.keyID == "" {
			return "", untried("needs the key ID")
		}
		a := &assertion{
			header: map[string]any{"alg": "RS256", "typ": "JWT", "kid": r.keyID},
			claims: map[string]any{
				"iss": id, "sub": id,
				"aud":       gen.DefaultServerURL + "/",
				"exp":       r.now().Add(20 * time.Minute).Unix(),
				"token_exp": int64(v21Lifetime / time.Second),
			},
		}
		for _, c := range changes {
			c(r, a)
		}
		return r.sign(a)
	}
}

func (r *run) sign(a *assertion) (string, error) {
	header, err := json.Marshal(a.header)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(a.claims)
	if err != nil {
		return "", err
	}
	base64url := base64.RawURLEncoding.EncodeToString
	signing := base64url(header) + "." + base64url(claims)
	var signature []byte
	switch hash := crypto.SHA256; {
	case a.wrongSignature:
		signature = random(256)
		signature[0] = 0 // smaller than the modulus
	case a.header["alg"] == "none":
	default:
		if a.header["alg"] == "RS512" {
			hash = crypto.SHA512
		}
		h := hash.New()
		h.Write([]byte(signing))
		if signature, err = r.cfg.Key.Sign(rand.Reader, h.Sum(nil), hash); err != nil {
			return "", untried("the private key does not sign: " + r.clean(err.Error()))
		}
	}
	return r.hide(signing + "." + base64url(signature)), nil
}

// extraClaims are claims that an assertion may have in addition to LINE's.
func extraClaims(r *run, a *assertion) {
	maps.Copy(a.claims, map[string]any{"iat": r.now().Unix(), "jti": "lineoauth-conformance", "app": "lineoauth-conformance"})
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// audienceWithoutSlash names LINE as no assertion of LINE's examples does.
func audienceWithoutSlash(_ *run, a *assertion) { a.claims["aud"] = gen.DefaultServerURL }
