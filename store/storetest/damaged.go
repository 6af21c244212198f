package storetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/store"
)

// RunDamaged tests what becomes of values that the store did not save, or that
// were damaged. It is as [Run], with a function that changes what is stored under
// a key, behind the store's back, so that Load should refuse it.
func RunDamaged(t *testing.T, empty func(t *testing.T) (open func() store.Store, damage func(key string))) {
	t.Helper()
	const secret = "a secret value"
	open, damage := empty(t)
	one, other := open(), open()
	replaces := ""
	for range 2 {
		revision := save(t, one, key, replaces, secret)
		damage(key)
		entry, err := other.Load(t.Context(), key)
		if !errors.Is(err, store.ErrCorrupt) || entry.Value != nil {
			t.Fatalf("Load of a damaged value = %d bytes, %v; want ErrCorrupt", len(entry.Value), err)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error contains the value: %v", err)
		}
		if replaces = entry.Revision; replaces != "" {
			continue // it can be replaced
		}
		if _, err := one.Save(t.Context(), key, update(revision, "late")); !errors.Is(err, store.ErrConflict) {
			t.Errorf("Save over a value that was quarantined: %v; want ErrConflict", err)
		}
		if entry := load(t, other, key); entry.Value != nil || entry.Revision != "" {
			t.Fatalf("after a damaged value was quarantined, Load = %q in revision %q; want nothing", entry.Value, entry.Revision)
		}
	}
	save(t, one, key, replaces, "good")
	if got := load(t, other, key); string(got.Value) != "good" {
		t.Errorf("after a damaged value was replaced, Load = %q", got.Value)
	}
}
