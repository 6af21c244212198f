package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// Memory is a [Watcher] for tests, and for sources of one process: its values are
// lost with the process. The zero value is ready to use.
type Memory struct {
	mu      sync.Mutex
	entries map[string]memoryEntry
	leases  map[string]*memoryLease
	watches map[*memoryWatch]struct{}
	saves   int
}

type memoryEntry struct {
	value    []byte
	revision string
	saved    time.Time
}

type memoryLease struct {
	taken time.Time
	ttl   time.Duration
}

type memoryWatch struct {
	key    string
	notice chan struct{}
}

var _ Watcher = (*Memory)(nil)

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, key string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok {
		return Entry{}, nil
	}
	return Entry{Value: bytes.Clone(e.value), Revision: e.revision, Age: elapsed(e.saved)}, nil
}

// Save implements [Store]. Values remain after their lifetime.
func (m *Memory) Save(ctx context.Context, key string, update Update) (revision string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key].revision != update.Replaces {
		return "", ErrConflict
	}
	if m.entries == nil {
		m.entries = make(map[string]memoryEntry)
	}
	m.saves++
	revision = strconv.Itoa(m.saves)
	m.entries[key] = memoryEntry{bytes.Clone(update.Value), revision, time.Now()}
	m.notify(key)
	return revision, nil
}

// Lease implements [Store].
func (m *Memory) Lease(ctx context.Context, key string, ttl time.Duration) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.leases[key]; held != nil && elapsed(held.taken) < held.ttl {
		return nil, ErrLeased
	}
	if m.leases == nil {
		m.leases = make(map[string]*memoryLease)
	}
	lease := &memoryLease{time.Now(), ttl}
	m.leases[key] = lease
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.leases[key] == lease {
			delete(m.leases, key)
			m.notify(key)
		}
	}, nil
}

// Watch implements [Watcher]. It also calls changed when a lease is released.
func (m *Memory) Watch(ctx context.Context, key string, changed func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &memoryWatch{key, make(chan struct{}, 1)}
	w.notice <- struct{}{}
	m.mu.Lock()
	if m.watches == nil {
		m.watches = make(map[*memoryWatch]struct{})
	}
	m.watches[w] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watches, w)
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

// notify wakes the watches of a key. m.mu is held.
func (m *Memory) notify(key string) {
	for w := range m.watches {
		if w.key != key {
			continue
		}
		select {
		case w.notice <- struct{}{}:
		default: // a pending notice covers this one
		}
	}
}

// elapsed returns the time since t by the monotonic clock, which stops while the
// machine sleeps, or by the wall clock, which may be set back: whichever is larger.
func elapsed(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// Format prints nothing of what is stored, under every verb.
func (m *Memory) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "store in memory") }
