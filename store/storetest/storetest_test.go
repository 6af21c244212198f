package storetest_test

import (
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() lineoauth.Store {
		store := new(storetest.Memory)
		return func() lineoauth.Store { return store }
	})
}

// A store that does not tell of changes is looked into.
func TestMemoryWithoutWatch(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() lineoauth.Store {
		store := struct{ lineoauth.Store }{new(storetest.Memory)}
		return func() lineoauth.Store { return store }
	})
}
