package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

func TestMemoryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := new(store.Memory)
		save(t, memory, key, "x")
		release, err := memory.Lease(t.Context(), key, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - 1)
		if entry, err := memory.Load(t.Context(), key); entry.Age != time.Minute-1 || err != nil {
			t.Errorf("Load = an age of %v, %v; want a minute", entry.Age, err)
		}
		if _, err := memory.Lease(t.Context(), key, time.Minute); !errors.Is(err, store.ErrLeased) {
			t.Errorf("before the lease ends: %v; want ErrLeased", err)
		}
		time.Sleep(time.Nanosecond)
		next, err := memory.Lease(t.Context(), key, time.Minute)
		if err != nil {
			t.Fatalf("after the lease ended: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		changes := 0
		go func() { _ = memory.Watch(ctx, key, func() { changes++ }) }()
		synctest.Wait()
		release() // too late
		next()
		synctest.Wait()
		next()
		synctest.Wait()
		if changes != 2 {
			t.Errorf("a watch reports %d changes; want its begin and the release of a lease", changes)
		}
		cancel()
	})
}

// Of two that save, the second has not seen what the first one saved.
func ExampleMemory() {
	ctx := context.Background()
	memory := new(store.Memory)
	if _, err := memory.Save(ctx, "key", store.Update{Value: []byte("first"), Lifetime: time.Hour}); err != nil {
		log.Fatal(err)
	}
	_, err := memory.Save(ctx, "key", store.Update{Value: []byte("second"), Lifetime: time.Hour})
	fmt.Println("conflict:", errors.Is(err, store.ErrConflict))

	entry, err := memory.Load(ctx, "key")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(entry.Value))
	_, err = memory.Save(ctx, "key", store.Update{Value: []byte("second"), Replaces: entry.Revision, Lifetime: time.Hour})
	fmt.Println("seen before:", err)
	// Output:
	// conflict: true
	// first
	// seen before: <nil>
}
