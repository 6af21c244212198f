package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth/store/redisstore"
)

// watching is a watch in a goroutine.
type watching struct {
	changes chan struct{}
	ended   chan error
	stop    context.CancelFunc
}

func watch(t *testing.T, s *redisstore.Store, key string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{make(chan struct{}, 100), make(chan error, 1), cancel}
	go func() { w.ended <- s.Watch(ctx, key, func() { w.changes <- struct{}{} }) }()
	return w
}

// await waits for a change.
func (w *watching) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-w.changes:
	case err := <-w.ended:
		t.Fatalf("Watch ended: %v", err)
	case <-time.After(waitLimit):
		t.Fatalf("Watch does not tell %s", what)
	}
}

// end ends a watch that nothing else has ended.
func (w *watching) end(t *testing.T) {
	t.Helper()
	w.stop()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v; want context.Canceled", err)
	}
}
