package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store/storetest"
)

// In a test file, the function is TestConformance(t *testing.T). It has no
// output to check: it passes, or the test fails.
func ExampleRun() {
	_ = func(t *testing.T) {
		storetest.Run(t, func(*testing.T) func() lineoauth.Store {
			store := new(storetest.Memory) // a storage with nothing in it
			return func() lineoauth.Store { return store }
		})
	}
}

// Of two who save, the one that was later has not seen what the first one saved.
func ExampleMemory() {
	ctx := context.Background()
	store := new(storetest.Memory)
	if err := store.Save(ctx, "key", "", []byte("first"), time.Now().Add(time.Hour)); err != nil {
		log.Fatal(err)
	}
	err := store.Save(ctx, "key", "", []byte("second"), time.Now().Add(time.Hour))
	fmt.Println("conflict:", errors.Is(err, lineoauth.ErrStoreConflict))

	value, revision, err := store.Load(ctx, "key")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(value))
	err = store.Save(ctx, "key", revision, []byte("second"), time.Now().Add(time.Hour))
	fmt.Println("seen before:", err)
	// Output:
	// conflict: true
	// first
	// seen before: <nil>
}
