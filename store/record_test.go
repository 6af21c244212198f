package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth/store"
)

const accessToken = "the-access-token"

func full() store.Record {
	return store.Record{
		Key: "key",
		Token: &store.Token{
			AccessToken: accessToken, TokenType: "Bearer", Kind: "v2.1", KeyID: "kid", ExpiresIn: 2592000,
			IssuedAt: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), Left: 2591999000,
		},
		Revoked: "abc", Issuing: "def", Lost: 3, Hold: 600000,
	}
}

func TestRecord(t *testing.T) {
	for _, want := range []store.Record{full(), {Key: "key"}} {
		value, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.DecodeRecord("key", value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// The encoding is what processes of other versions read.
func TestEncoding(t *testing.T) {
	value, err := full().Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":2,"key":"key","token":{"access_token":"the-access-token","token_type":"Bearer","type":"v2.1",` +
		`"key_id":"kid","expires_in":2592000,"issued_at":"2026-11-25T00:00:00Z","left_ms":2591999000},` +
		`"revoked":"abc","issuing":"def","lost":3,"hold_ms":600000}`
	if string(value) != want {
		t.Errorf("%s\nwant\n%s", value, want)
	}
	if _, err := store.DecodeRecord("key", []byte(strings.Replace(want, `"lost"`, `"added":true,"lost"`, 1))); err != nil {
		t.Errorf("with a field that a later version added: %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	token := func(change string) string {
		return `{"version":2,"key":"key","token":{"access_token":"` + accessToken + `","expires_in":100,"left_ms":100` + change + `}}`
	}
	for name, tt := range map[string]struct {
		value string
		want  error
	}{
		"nothing":            {"", store.ErrCorrupt},
		"null":               {"null", store.ErrCorrupt},
		"a string":           {`"` + accessToken + `"`, store.ErrCorrupt},
		"a part":             {token("")[:90], store.ErrCorrupt},
		"more":               {token("") + "}", store.ErrCorrupt},
		"no version":         {`{"key":"key"}`, store.ErrCorrupt},
		"the first version":  {`{"version":1,"key":"key"}`, store.ErrCorrupt},
		"a newer version":    {`{"version":3,"key":"key"}`, store.ErrNewer},
		"a newer, other one": {`{"version":3,"key":7,"token":"` + accessToken + `","lost":[]}`, store.ErrNewer},
		"another key":        {`{"version":2,"key":"other"}`, store.ErrCorrupt},
		"no token":           {token(`,"access_token":""`), store.ErrCorrupt},
		"no life":            {token(`,"expires_in":0`), store.ErrCorrupt},
		"a negative life":    {token(`,"expires_in":-1`), store.ErrCorrupt},
		"negative left":      {token(`,"left_ms":-1`), store.ErrCorrupt},
		"more left":          {token(`,"left_ms":100001`), store.ErrCorrupt},
		"a life of ages":     {token(fmt.Sprintf(`,"expires_in":%d,"left_ms":%[1]d`, int64(math.MaxInt64))), store.ErrCorrupt},
		"a longer life":      {token(`,"expires_in":10000000000,"left_ms":10000000000000`), store.ErrCorrupt},
		"negative losses":    {`{"version":2,"key":"key","lost":-1}`, store.ErrCorrupt},
		"a negative hold":    {`{"version":2,"key":"key","hold_ms":-1}`, store.ErrCorrupt},
		"a hold of ages":     {`{"version":2,"key":"key","hold_ms":10000000000000}`, store.ErrCorrupt},
		"another type":       {`{"version":2,"key":"key","lost":"` + accessToken + `"}`, store.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := store.DecodeRecord("key", []byte(tt.value))
			if !errors.Is(err, tt.want) || !cmp.Equal(r, store.Record{}) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), accessToken) {
				t.Errorf("the error shows what it read: %v", err)
			}
		})
	}
}

// Tokens are not printed, in whatever way they get to a log.
func TestTokensAreNotPrinted(t *testing.T) {
	r := full()
	for _, v := range []any{r.Token, *r.Token, r, &r, []any{r}, map[string]store.Token{"a": *r.Token}, struct{ T store.Token }{*r.Token}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, accessToken) || strings.Contains(got, fmt.Sprintf("%x", accessToken)) {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
	if got := fmt.Sprint(r.Token); got != "v2.1 token kid" {
		t.Errorf("it prints as %q", got)
	}
}

func TestID(t *testing.T) {
	a, b := store.Token{AccessToken: "a"}, store.Token{AccessToken: "b"}
	if a.ID() == b.ID() || a.ID() != (&store.Token{AccessToken: "a", KeyID: "kid"}).ID() || strings.Contains(full().Token.ID(), accessToken) {
		t.Error("an ID does not stand for its token")
	}
}

func FuzzDecodeRecord(f *testing.F) {
	value, _ := full().Encode()
	f.Add(value)
	f.Add([]byte(`{"version":3}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := store.DecodeRecord("key", value)
		if err != nil {
			if errors.Is(err, store.ErrCorrupt) == errors.Is(err, store.ErrNewer) {
				t.Errorf("it is both or none: %v", err)
			}
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		same, err := store.DecodeRecord("key", again)
		if err != nil || !cmp.Equal(r, same) {
			t.Errorf("%s\nbecame\n%s: %v", value, again, err)
		}
		if hold := time.Duration(r.Hold) * time.Millisecond; hold.Milliseconds() != r.Hold {
			t.Errorf("a hold of %d ms", r.Hold)
		}
		if r.Token != nil && !json.Valid(again) {
			t.Error("no JSON")
		}
	})
}

// Whatever holds a token shows none.
func TestNothingPrintsAToken(t *testing.T) {
	token := store.Token{AccessToken: accessToken, Kind: "v2.1"}
	memory := new(store.Memory)
	if _, err := memory.Save(t.Context(), "key", store.Update{Value: []byte(accessToken)}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{token, &token, store.Record{Token: &token}, &store.Record{Token: &token}, memory} {
		var printed strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&printed, verb, v)
		}
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&printed, nil)).Info("x", "v", v)
		if strings.Contains(printed.String(), accessToken) || strings.Contains(printed.String(), fmt.Sprintf("%x", accessToken)) {
			t.Errorf("%T shows its token:\n%s", v, &printed)
		}
	}
}
