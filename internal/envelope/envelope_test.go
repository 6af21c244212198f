package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/envelope"
)

func newAEAD(t testing.TB, fill byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func seal(t testing.TB, aead cipher.AEAD, key, value string) []byte {
	t.Helper()
	data, err := envelope.Seal(aead, key, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	for _, aead := range []cipher.AEAD{nil, newAEAD(t, 1)} {
		for _, value := range []string{"", "the value", "\x00\xff"} {
			data := seal(t, aead, "key", value)
			if got, err := envelope.Open(aead, "key", data); err != nil || string(got) != value {
				t.Errorf("Open = %q, %v; want %q", got, err, value)
			}
		}
	}
	one, other := seal(t, newAEAD(t, 1), "key", "the value"), seal(t, newAEAD(t, 1), "key", "the value")
	if bytes.Equal(one, other) {
		t.Error("a value is encrypted twice with one nonce")
	}
	if strings.Contains(fmt.Sprintf("%q %s", one, one), "dGhlIHZhbHVl") {
		t.Error("an encrypted value stands in the clear")
	}
}

func TestRefuses(t *testing.T) {
	a, b := newAEAD(t, 1), newAEAD(t, 2)
	plain, sealed := seal(t, nil, "key", "the value"), seal(t, a, "key", "the value")
	for name, tt := range map[string]struct {
		aead cipher.AEAD
		key  string
		data []byte
		want error
	}{
		"nothing":            {nil, "key", nil, lineoauth.ErrStoreCorrupt},
		"foreign":            {nil, "key", []byte(`{"hello":"world"}`), lineoauth.ErrStoreCorrupt},
		"torn":               {nil, "key", plain[:len(plain)/2], lineoauth.ErrStoreCorrupt},
		"another key":        {nil, "other", plain, lineoauth.ErrStoreCorrupt},
		"value changed":      {nil, "key", bytes.Replace(plain, []byte("dGhl"), []byte("dGhm"), 1), lineoauth.ErrStoreCorrupt},
		"sealed, no key":     {nil, "key", sealed, envelope.ErrKey},
		"sealed by another":  {b, "key", sealed, envelope.ErrKey},
		"plain, with a key":  {a, "key", plain, envelope.ErrKey},
		"sealed, moved":      {a, "other", bytes.Replace(sealed, []byte(`"key":"key"`), []byte(`"key":"other"`), 1), lineoauth.ErrStoreCorrupt},
		"sealed, then cut":   {a, "key", cutValue(sealed), lineoauth.ErrStoreCorrupt},
		"sealed, too short":  {a, "key", bytes.Replace(sealed, sealed[bytes.Index(sealed, []byte(`"check"`)):], []byte(`"check":"AAAA"}`), 1), envelope.ErrKey},
		"format of the past": {nil, "key", bytes.Replace(plain, []byte(`"lineoauth":1`), []byte(`"lineoauth":0`), 1), lineoauth.ErrStoreCorrupt},
	} {
		value, err := envelope.Open(tt.aead, tt.key, tt.data)
		if !errors.Is(err, tt.want) || value != nil {
			t.Errorf("%s: Open = %q, %v; want %v", name, value, err, tt.want)
		}
	}
	newer := bytes.Replace(plain, []byte(`"lineoauth":1`), []byte(`"lineoauth":2`), 1)
	if _, err := envelope.Open(nil, "key", newer); err == nil || errors.Is(err, lineoauth.ErrStoreCorrupt) || !strings.Contains(err.Error(), "update it") {
		t.Errorf("a newer format: %v; want an error that is not about damage", err)
	}
}

// cutValue takes the first letters of an envelope's value away.
func cutValue(data []byte) []byte {
	const field = `"value":"`
	at := bytes.Index(data, []byte(field)) + len(field)
	return append(bytes.Clone(data[:at]), data[at+4:]...)
}

func FuzzOpen(f *testing.F) {
	aead := newAEAD(f, 1)
	f.Add(seal(f, nil, "key", "the value"))
	f.Add(seal(f, aead, "key", "the value"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, aead := range []cipher.AEAD{nil, aead} {
			if value, err := envelope.Open(aead, "key", data); err != nil && value != nil {
				t.Errorf("a value beside %v", err)
			}
		}
	})
}
