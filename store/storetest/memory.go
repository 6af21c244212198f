package storetest

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/lineoauth/lineoauth"
)

// Memory is a [lineoauth.StoreWatcher] for tests and for sources of one process:
// what it holds ends with the process. The zero Memory is empty and ready.
type Memory struct {
	mu       sync.Mutex
	entries  map[string]memoryEntry
	saves    int
	leases   map[string]*memoryLease
	watchers map[*memoryWatcher]struct{}
}

type memoryEntry struct {
	value    []byte
	revision string
}

type memoryLease struct{ until time.Time }

type memoryWatcher struct {
	key    string
	notice chan struct{}
}

var _ lineoauth.StoreWatcher = (*Memory)(nil)

// Load implements [lineoauth.Store].
func (m *Memory) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	return bytes.Clone(e.value), e.revision, nil
}

// Save implements [lineoauth.Store]. It keeps what has expired.
func (m *Memory) Save(ctx context.Context, key, revision string, value []byte, _ time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key].revision != revision {
		return lineoauth.ErrStoreConflict
	}
	if m.entries == nil {
		m.entries = make(map[string]memoryEntry)
	}
	m.saves++
	m.entries[key] = memoryEntry{bytes.Clone(value), strconv.Itoa(m.saves)}
	for w := range m.watchers {
		if w.key == key {
			w.notify()
		}
	}
	return nil
}

// Lease implements [lineoauth.Store].
func (m *Memory) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if held := m.leases[key]; held != nil && now.Before(held.until) {
		return nil, lineoauth.ErrStoreLeased
	}
	if m.leases == nil {
		m.leases = make(map[string]*memoryLease)
	}
	lease := &memoryLease{now.Add(ttl)}
	m.leases[key] = lease
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.leases[key] == lease {
			delete(m.leases, key)
		}
	}, nil
}

// Watch implements [lineoauth.StoreWatcher].
func (m *Memory) Watch(ctx context.Context, key string, changed func()) error {
	w := &memoryWatcher{key, make(chan struct{}, 1)}
	w.notify()
	m.mu.Lock()
	if m.watchers == nil {
		m.watchers = make(map[*memoryWatcher]struct{})
	}
	m.watchers[w] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, w)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.notice:
			changed()
		}
	}
}

func (w *memoryWatcher) notify() {
	select {
	case w.notice <- struct{}{}:
	default: // one that is to come says all
	}
}
