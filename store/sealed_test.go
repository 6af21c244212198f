package store_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

const (
	key    = "2173512004/v2.1/https://api.line.me"
	secret = "a secret value"
)

func newBlock(t testing.TB, fill byte) cipher.Block {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func newAEAD(t testing.TB, fill byte) cipher.AEAD {
	t.Helper()
	aead, err := cipher.NewGCM(newBlock(t, fill))
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func seal(t testing.TB, inner store.Store, aead cipher.AEAD) store.Store {
	t.Helper()
	s, err := store.Sealed(inner, aead)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// save puts a value in the place of whatever is there.
func save(t testing.TB, s store.Store, key, value string) (revision string) {
	t.Helper()
	entry, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	revision, err = s.Save(t.Context(), key, store.Update{Value: []byte(value), Replaces: entry.Revision, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func kept(t testing.TB, memory *store.Memory, key string) string {
	t.Helper()
	entry, err := memory.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(entry.Value)
}

func TestSealedRoundTrip(t *testing.T) {
	ownNonces, err := cipher.NewGCMWithRandomNonce(newBlock(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, aead := range map[string]cipher.AEAD{"GCM": newAEAD(t, 1), "GCM with nonces of its own": ownNonces} {
		memory := new(store.Memory)
		s := seal(t, memory, aead)
		seen := make(map[string]bool)
		for _, value := range []string{"", secret, secret, "\x00\xff"} {
			revision := save(t, s, key, value)
			entry, err := s.Load(t.Context(), key)
			if err != nil || string(entry.Value) != value || entry.Revision != revision || entry.Age < 0 {
				t.Errorf("%s: Load = %q in revision %q, aged %v, %v; want %q in revision %q", name, entry.Value, entry.Revision, entry.Age, err, value, revision)
			}
			data := kept(t, memory, key)
			if seen[data] || strings.Contains(data, secret) || strings.Contains(data, "YSBzZWNyZXQ") {
				t.Errorf("%s: the store keeps %q: in the clear, or with the nonce of another", name, data)
			}
			seen[data] = true
		}
	}
}

// What another key, or none, saved is no damage; what was changed is.
func TestSealedRefuses(t *testing.T) {
	record, err := store.Record{Key: key, Token: &store.Token{AccessToken: secret, ExpiresIn: 60, Left: 1}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sealedBy := func(fill byte, key string) string {
		memory := new(store.Memory)
		save(t, seal(t, memory, newAEAD(t, fill)), key, secret)
		return kept(t, memory, key)
	}
	mine := sealedBy(1, key)
	flip := func(field string) string {
		data := []byte(mine)
		at := strings.Index(mine, field) + len(field) + 8
		if data[at]++; !strings.ContainsRune("BCDEFGHIJKLMNOPQRSTUVWXYZbcdefghijklmnopqrstuvwxyz123456789", rune(data[at])) {
			data[at] = 'A' // another letter of Base64
		}
		return string(data)
	}
	for name, tt := range map[string]struct {
		value string
		want  error
	}{
		"in the clear":        {string(record), store.ErrSealed},
		"another key":         {sealedBy(2, key), store.ErrSealed},
		"newer":               {strings.Replace(mine, `"version":2`, `"version":3`, 1), store.ErrNewer},
		"changed":             {flip(`"sealed":"`), store.ErrCorrupt},
		"of another entry":    {sealedBy(1, "another"), store.ErrCorrupt},
		"cut":                 {`{"version":2,"sealed":"AAAA",` + mine[strings.Index(mine, `"check"`):], store.ErrCorrupt},
		"torn":                {mine[:len(mine)/2], store.ErrCorrupt},
		"foreign":             {secret, store.ErrCorrupt},
		"foreign JSON":        {`{"hello":"` + secret + `"}`, store.ErrCorrupt},
		"a check that is cut": {`{"version":2,"sealed":"AAAA","check":"AAAA"}`, store.ErrSealed},
	} {
		memory := new(store.Memory)
		revision := save(t, memory, key, tt.value)
		entry, err := seal(t, memory, newAEAD(t, 1)).Load(t.Context(), key)
		if !errors.Is(err, tt.want) || entry.Value != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: Load = %q, %v; want %v", name, entry.Value, err, tt.want)
		}
		if replaceable := entry.Revision == revision; replaceable != (tt.want == store.ErrCorrupt) { //nolint:errorlint // what the test wants
			t.Errorf("%s: %v comes with the revision %q", name, err, entry.Revision)
		}
	}
	// A damaged check harms nothing while the value opens.
	memory := new(store.Memory)
	save(t, memory, key, flip(`"check":"`))
	if entry, err := seal(t, memory, newAEAD(t, 1)).Load(t.Context(), key); string(entry.Value) != secret || err != nil {
		t.Errorf("with a damaged check: Load = %q, %v", entry.Value, err)
	}
}

// A process without the key knows a sealed value when it sees one.
func TestDecodeSealed(t *testing.T) {
	memory := new(store.Memory)
	record := store.Record{Key: key, Lost: 1}
	value, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := seal(t, memory, newAEAD(t, 1))
	save(t, s, key, string(value))
	if _, err := store.DecodeRecord(key, []byte(kept(t, memory, key))); !errors.Is(err, store.ErrSealed) || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("DecodeRecord of a sealed value: %v; want ErrSealed", err)
	}
	entry, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.DecodeRecord(key, entry.Value); got != record || err != nil {
		t.Errorf("DecodeRecord = %+v, %v; want %+v", got, err, record)
	}
}

// failing is a store whose Load fails, with something beside the error.
type failing struct {
	store.Store
	err error
}

func (f failing) Load(context.Context, string) (store.Entry, error) {
	return store.Entry{Value: []byte(secret), Revision: "1"}, f.err
}

func TestSealedInner(t *testing.T) {
	for _, want := range []error{store.ErrCorrupt, errors.New("no disk")} {
		entry, err := seal(t, failing{new(store.Memory), want}, newAEAD(t, 1)).Load(t.Context(), key)
		if !errors.Is(err, want) || entry.Value != nil || entry.Revision != "1" {
			t.Errorf("Load = %q in revision %q, %v; want %v, and the revision", entry.Value, entry.Revision, err, want)
		}
	}
	if _, ok := seal(t, new(store.Memory), newAEAD(t, 1)).(store.Watcher); !ok {
		t.Error("a sealed Watcher is none")
	}
	if _, ok := seal(t, struct{ store.Store }{new(store.Memory)}, newAEAD(t, 1)).(store.Watcher); ok {
		t.Error("a sealed store without Watch is a Watcher")
	}
}

func TestSealedInvalid(t *testing.T) {
	shortNonces, err := cipher.NewGCMWithNonceSize(newBlock(t, 1), 8)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"no store":     second(store.Sealed(nil, newAEAD(t, 1))),
		"no AEAD":      second(store.Sealed(new(store.Memory), nil)),
		"short nonces": second(store.Sealed(new(store.Memory), shortNonces)),
	} {
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v; want ErrInvalid", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// showing is a store that prints what it should not.
type showing struct{ *store.Memory }

func (showing) String() string   { return secret }
func (showing) GoString() string { return secret }

func TestSealedFormat(t *testing.T) {
	for _, inner := range []store.Store{showing{new(store.Memory)}, struct{ store.Store }{new(store.Memory)}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			if got := fmt.Sprintf(verb, seal(t, inner, newAEAD(t, 1))); got != fmt.Sprintf("sealed %T", inner) {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
}

// Reading the storage, here Memory, does not reveal a token.
func ExampleSealed() {
	block, err := aes.NewCipher(make([]byte, 32)) // the key is a secret of the bots
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	memory := new(store.Memory)
	sealed, err := store.Sealed(memory, aead)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := sealed.Save(ctx, "key", store.Update{Value: []byte("a token"), Lifetime: time.Hour}); err != nil {
		log.Fatal(err)
	}

	inside, err := sealed.Load(ctx, "key")
	if err != nil {
		log.Fatal(err)
	}
	outside, err := memory.Load(ctx, "key")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("with the key: %s\n", inside.Value)
	fmt.Println("without it:", bytes.Contains(outside.Value, []byte("a token")))
	// Output:
	// with the key: a token
	// without it: false
}
