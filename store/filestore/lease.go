package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/lineoauth/lineoauth/store"
)

const (
	leaseSuffix = ".lease"
	tempSuffix  = ".tmp"
	// tempAge is longer than a process takes from creating a file to its rename.
	tempAge = time.Hour
)

// Lease implements [store.Store]. The lease of a process that exits, in whatever way,
// is free immediately; that of a process that is suspended or hangs, after ttl.
//
// A lease is a file that its holder has locked and whose name contains the time at
// which it ends. A lock alone would outlive its time in a suspended process, and a
// time alone would outlive its holder.
func (s *Store) Lease(ctx context.Context, key string, ttl time.Duration) (release func(), err error) {
	e, err := s.entry(ctx, key)
	if err != nil {
		return nil, err
	}
	// Processes that wait for a lease poll it often, so this is cheap while it is
	// unchanged.
	if path := s.lastHolder(e.name); path != "" {
		if held, err := e.isHeld(path); held && err == nil {
			return nil, fmt.Errorf("filestore: %s: %w", path, store.ErrLeased)
		}
	}
	unlock, err := e.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	holder, err := e.sweep()
	s.setLastHolder(e.name, holder)
	if err != nil {
		return nil, err
	}
	if holder != "" {
		return nil, fmt.Errorf("filestore: %s: %w", holder, store.ErrLeased)
	}
	name := fmt.Sprintf("%s.%d-%s%s", e.name, time.Now().Add(ttl).UnixMilli(), rand.Text(), leaseSuffix)
	lease := flock.New(filepath.Join(s.dir, name), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	if ok, err := lease.TryLock(); err != nil {
		_ = os.Remove(lease.Path())
		return nil, lockError(ctx, lease, err)
	} else if !ok {
		return nil, fmt.Errorf("filestore: %w", store.ErrLeased)
	}
	// The file is this holder's own, so a late release does not affect the next holder.
	return sync.OnceFunc(func() {
		_ = lease.Unlock()
		_ = os.Remove(lease.Path())
	}), nil
}

func (s *Store) lastHolder(name string) (path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases[name]
}

func (s *Store) setLastHolder(name, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == "" {
		delete(s.leases, name)
	} else {
		s.leases[name] = path
	}
}

// sweep removes files of exited processes, and returns the file of the current
// holder, if any. The entry is locked.
func (e *entry) sweep() (holder string, err error) {
	files, err := os.ReadDir(e.store.dir)
	if err != nil {
		return "", failure(err)
	}
	for _, file := range files {
		rest, ok := strings.CutPrefix(file.Name(), e.name+".")
		if !ok {
			continue
		}
		path := filepath.Join(e.store.dir, file.Name())
		switch filepath.Ext(rest) {
		case tempSuffix:
			if info, err := file.Info(); err == nil && time.Since(info.ModTime()) > tempAge {
				_ = os.Remove(path)
			}
		case leaseSuffix:
			held, err := e.isHeld(path)
			if err != nil {
				return "", failure(err)
			}
			if held {
				return path, nil
			}
			_ = os.Remove(path) // on Windows, that of a suspended process remains for now
		}
	}
	return "", nil
}

// isHeld reports whether a lease has time left, and whether the process that
// locked it is running.
func (e *entry) isHeld(path string) (bool, error) {
	rest := strings.TrimPrefix(filepath.Base(path), e.name+".")
	text, _, _ := strings.Cut(rest, "-")
	if until, _ := strconv.ParseInt(text, 10, 64); time.Now().UnixMilli() >= until {
		return false, nil
	}
	if e.store.isForeign(path) {
		return false, nil
	}
	// A shared lock, so that observers do not mistake each other for the holder.
	lock := flock.New(path, flock.SetFlag(os.O_RDWR))
	ok, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) { // released just now
		return false, nil
	}
	if err != nil || !ok {
		return err == nil, err
	}
	return false, lock.Unlock()
}
