package envelope_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/internal/envelope"
)

func wrap(t testing.TB, key, value string, lifetime time.Duration) (revision string, data []byte) {
	t.Helper()
	e := envelope.New(key, store.Update{Value: []byte(value), Lifetime: lifetime})
	data, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return e.Revision, data
}

func TestRoundTrip(t *testing.T) {
	for _, key := range []string{"key", "", "ä\x00\"revision\":\"x\"", "\xff"} {
		for _, value := range []string{"", "the value", "\x00\xff"} {
			revision, data := wrap(t, key, value, 1500*time.Microsecond)
			got, err := envelope.Open(key, data)
			if key == "\xff" { // JSON has no such text
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("Open of a key that is not UTF-8: %v", err)
				}
				continue
			}
			if err != nil || string(got.Value) != value || got.Revision != revision || got.Lifetime != 2 {
				t.Errorf("Open = %+v, %v; want %q in revision %s for 2 ms", got, err, value, revision)
			}
			if again, _ := wrap(t, key, value, 0); again == revision || revision == "" {
				t.Errorf("two saves have the revisions %q and %q", revision, again)
			}
		}
	}
}

func TestLifetime(t *testing.T) {
	for lifetime, want := range map[time.Duration]int64{
		-time.Hour: 1, 0: 1, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Hour: 3_600_000,
		math.MaxInt64: math.MaxInt64 / 1_000_000,
	} {
		if got := envelope.New("key", store.Update{Lifetime: lifetime}).Lifetime; got != want {
			t.Errorf("a lifetime of %v is kept as %d ms; want %d", lifetime, got, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	_, data := wrap(t, "key", "the value", time.Hour)
	replaced := func(old, with string) []byte {
		t.Helper()
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%q is not in %s", old, data)
		}
		return bytes.Replace(data, []byte(old), []byte(with), 1)
	}
	for name, tt := range map[string]struct {
		key  string
		data []byte
		want error
	}{
		"nothing":            {"key", nil, store.ErrCorrupt},
		"foreign":            {"key", []byte(`{"hello":"world"}`), store.ErrCorrupt},
		"torn":               {"key", data[:len(data)/2], store.ErrCorrupt},
		"another key":        {"other", data, store.ErrCorrupt},
		"key changed":        {"other", replaced(`"key":"key"`, `"key":"other"`), store.ErrCorrupt},
		"value changed":      {"key", replaced("dGhl", "dGhm"), store.ErrCorrupt},
		"lifetime changed":   {"key", replaced("3600000", "3600001"), store.ErrCorrupt},
		"revision changed":   {"key", replaced(`"revision":"`, `"revision":"A`), store.ErrCorrupt},
		"format of the past": {"key", replaced(`"lineoauth":2`, `"lineoauth":1`), store.ErrCorrupt},
		"newer format":       {"other", replaced(`"lineoauth":2`, `"lineoauth":3`), store.ErrNewer},
	} {
		e, err := envelope.Open(tt.key, tt.data)
		if !errors.Is(err, tt.want) || e.Value != nil || e.Revision != "" {
			t.Errorf("%s: Open = %+v, %v; want %v", name, e, err, tt.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	_, data := wrap(f, "key", "the value", time.Hour)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := envelope.Open("key", data); err != nil && (e.Value != nil || e.Revision != "") {
			t.Errorf("a value beside %v", err)
		}
	})
}
