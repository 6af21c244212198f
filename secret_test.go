package lineoauth_test

import (
	"bytes"
	"encoding/gob"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
)

// shown fails if a text has the planted secret, or the key, in any form in which Go
// prints a string, bytes or numbers.
func shown(t *testing.T, what, text string) {
	t.Helper()
	prime := testSigner(t).Primes[0]
	for _, s := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%d", []byte(planted)), prime.String(), fmt.Sprint(prime.Bits()[:4]), fmt.Sprint(uint64(prime.Bits()[0]))} {
		if strings.Contains(text, strings.Trim(s, "[]")) {
			t.Errorf("%s shows %.20s…:\n%.2000s", what, s, text)
		}
	}
}

// Secrets are compared by value, by go-cmp as by ==, and its reports do not show
// them, however hard it looks for the difference.
func TestCompareSecrets(t *testing.T) {
	type pair struct{ a, same, other any }
	key := func() *lineoauth.Key {
		key, err := lineoauth.ParseKey([]byte(testPEM(t)))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	private, err := otherSigner()
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := lineoauth.NewKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token := func(secret string) lineoauth.Token {
		return lineoauth.Token{AccessToken: lineoauth.NewSecret(secret), TokenType: "Bearer", IssuedAt: now}
	}
	config := func(change func(*lineoauth.Config)) lineoauth.Config {
		cfg := lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret(planted), Key: key(), KeyID: "k",
			Authorization: lineoauth.NewSecret("Bearer " + planted), Transport: http.DefaultTransport, Now: time.Now,
			OperationURLs: map[lineoauth.Operation]string{lineoauth.OpIssueChannelToken: "https://line.example"}}
		change(&cfg)
		return cfg
	}
	as := func(*lineoauth.Config) {}
	for name, p := range map[string]pair{
		"secret":              {lineoauth.NewSecret(planted), lineoauth.NewSecret(planted), lineoauth.NewSecret(planted + "2")},
		"no secret":           {lineoauth.NewSecret(""), lineoauth.Secret{}, lineoauth.NewSecret(planted)},
		"token":               {token(planted), token(planted), token(planted + "2")},
		"key":                 {key(), key(), otherKey},
		"config":              {config(as), config(as), config(func(c *lineoauth.Config) { c.ChannelSecret = lineoauth.NewSecret(planted + "2") })},
		"config: auth":        {config(as), config(as), config(func(c *lineoauth.Config) { c.Authorization = lineoauth.NewSecret(planted) })},
		"config: key":         {config(as), config(as), config(func(c *lineoauth.Config) { c.Key = otherKey })},
		"config: no key":      {config(as), config(as), config(func(c *lineoauth.Config) { c.Key = nil })},
		"config: URLs":        {config(as), config(as), config(func(c *lineoauth.Config) { c.OperationURLs = nil })},
		"config: attempts":    {config(as), config(as), config(func(c *lineoauth.Config) { c.MaxAttempts = 7 })},
		"config: transport":   {config(as), config(as), config(func(c *lineoauth.Config) { c.Transport = &http.Transport{} })},
		"config: no clock":    {config(as), config(as), config(func(c *lineoauth.Config) { c.Now = nil })},
		"config: func's type": {config(func(c *lineoauth.Config) { c.Transport = roundTrip(nil) }), config(func(c *lineoauth.Config) { c.Transport = roundTrip(nil) }), config(as)},
	} {
		if diff := cmp.Diff(p.a, p.same); diff != "" {
			t.Errorf("%s: not the same:\n%s", name, diff)
		}
		diff := cmp.Diff(p.a, p.other)
		if diff == "" {
			t.Errorf("%s: the same", name)
		}
		shown(t, name, diff)
	}
	if one, same := lineoauth.NewSecret(planted), lineoauth.NewSecret(planted); one != same {
		t.Error("== does not compare secrets by value")
	}
	if one, same := token(planted), token(planted); one != same || token(planted) == token(planted+"2") {
		t.Error("== does not compare by value")
	}
}

// Each field of a Config counts.
func TestConfigEqual(t *testing.T) {
	key, err := lineoauth.NewKey(testSigner(t), "")
	if err != nil {
		t.Fatal(err)
	}
	full := reflect.ValueOf(lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s"), Key: key, KeyID: "k", AssertionLifetime: 1, MaxClockSkew: 1,
		BaseURL: "u", OperationURLs: map[lineoauth.Operation]string{"a": "b"}, AllowPlainHTTP: true, Authorization: lineoauth.NewSecret("a"),
		Transport: http.DefaultTransport, Timeout: 1, MaxAttempts: 1, DisallowUnknownFields: true, SkipChecks: true,
		OnEvent: func(lineoauth.Event) {}, Credentials: lineoauth.CredentialsFromEnv(env()), Logger: slog.Default(), Now: time.Now})
	for i := range full.NumField() {
		field := full.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if full.Field(i).IsZero() {
			t.Errorf("this test does not know %s", field.Name)
		}
		var one lineoauth.Config
		reflect.ValueOf(&one).Elem().Field(i).Set(full.Field(i))
		if !one.Equal(one) || one.Equal(lineoauth.Config{}) || (lineoauth.Config{}).Equal(one) {
			t.Errorf("%s does not count, or is not what it is", field.Name)
		}
	}
}

// No encoding shows a secret; what it writes in the place of one is not taken for
// one again.
func TestEncodedSecrets(t *testing.T) {
	for name, v := range holders(t) {
		var b bytes.Buffer
		// Whatever has no exported fields, or a function, is an error.
		_ = gob.NewEncoder(&b).Encode(v)
		if text, err := xml.Marshal(v); err == nil {
			b.Write(text)
		}
		shown(t, name, b.String())
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(lineoauth.Token{AccessToken: lineoauth.NewSecret(planted), KeyID: "k"}); err != nil {
		t.Fatal(err)
	}
	shown(t, "gob", b.String())
	var token lineoauth.Token
	if err := gob.NewDecoder(&b).Decode(&token); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("a masked secret was decoded: %v", err)
	}
}
