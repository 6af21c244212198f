package storetest_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/storetest"
)

func TestMemory(t *testing.T) {
	t.Parallel() // it waits most of the time
	storetest.Run(t, func(*testing.T) func() store.Store {
		memory := new(store.Memory)
		return func() store.Store { return memory }
	})
}

func TestWithoutWatch(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) func() store.Store {
		memory := struct{ store.Store }{new(store.Memory)}
		return func() store.Store { return memory }
	})
}

// A store without a clock, and whose Load takes nothing away.
type timeless struct{ store.Store }

func (s timeless) Load(ctx context.Context, key string) (store.Entry, error) {
	entry, err := s.Store.Load(ctx, key)
	if entry.Revision != "" {
		entry.Age = store.AgeUnknown
	}
	return entry, err
}

func TestWithoutAge(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) func() store.Store {
		memory := timeless{new(store.Memory)}
		return func() store.Store { return memory }
	})
}

func sealed(t *testing.T, inner store.Store, key byte) store.Store {
	t.Helper()
	block, err := aes.NewCipher([]byte("a key of 32 bytes for the tests" + string(key)))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Sealed(inner, aead)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealed(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) func() store.Store {
		memory := new(store.Memory)
		return func() store.Store { return sealed(t, memory, '1') }
	})
}

func TestSealedDamaged(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, func(t *testing.T) (func() store.Store, func(string)) {
		memory := new(store.Memory)
		damage := func(key string) {
			entry, err := memory.Load(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			other, err := memory.Load(t.Context(), "other")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sealed(t, memory, '1').Save(t.Context(), "other", store.Update{Value: []byte("x"), Replaces: other.Revision}); err != nil {
				t.Fatal(err)
			}
			// A value of another key, as anyone with write access to the store could
			// copy it.
			if other, err = memory.Load(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
			if _, err := memory.Save(t.Context(), key, store.Update{Value: other.Value, Replaces: entry.Revision}); err != nil {
				t.Fatal(err)
			}
		}
		return func() store.Store { return sealed(t, memory, '1') }, damage
	})
}
