package storetest_test

import (
	"testing"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/storetest"
)

// In a test file, the function is TestConformance(t *testing.T). It has no
// output to check: it passes, or the test fails.
func ExampleRun() {
	_ = func(t *testing.T) {
		storetest.Run(t, func(*testing.T) func() store.Store {
			memory := new(store.Memory) // an empty storage
			return func() store.Store { return memory }
		})
	}
}
