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

	"github.com/lineoauth/lineoauth"
)

const (
	leaseSuffix = ".lease"
	tempSuffix  = ".tmp"
	// tempAge is more than a process takes between a file and its rename.
	tempAge = time.Hour
)

// Lease implements [lineoauth.Store]. A process that ends in whatever way frees
// its lease at once, and one that is stopped or hangs does so after ttl.
//
// A lease is a file that its holder has locked and whose name says until when. A
// lock alone would outlive its time in a stopped process, and a time alone its
// holder.
func (s *Store) Lease(ctx context.Context, key string, ttl time.Duration) (release func(), err error) {
	e, err := s.entry(ctx, key)
	if err != nil {
		return nil, err
	}
	var lease *flock.Flock
	err = e.locked(ctx, func() error {
		if err := e.sweep(); err != nil {
			return err
		}
		name := fmt.Sprintf("%s.%d-%s%s", e.name, time.Now().Add(ttl).UnixMilli(), rand.Text(), leaseSuffix)
		lease = flock.New(filepath.Join(s.dir, name), flock.SetFlag(os.O_CREATE|os.O_RDWR))
		if ok, err := lease.TryLock(); err != nil {
			_ = os.Remove(lease.Path())
			return lockError(ctx, lease, err)
		} else if !ok {
			return fmt.Errorf("filestore: %w", lineoauth.ErrStoreLeased)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The file is this holder's own, so a late release takes nothing from the next.
	return sync.OnceFunc(func() {
		_ = lease.Unlock()
		_ = os.Remove(lease.Path())
	}), nil
}

// sweep removes what dead processes left behind. The error matches
// [lineoauth.ErrStoreLeased] if one that is alive has the lease.
func (e *entry) sweep() error {
	files, err := os.ReadDir(e.store.dir)
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	now := time.Now()
	for _, file := range files {
		rest, ok := strings.CutPrefix(file.Name(), e.name+".")
		if !ok {
			continue
		}
		path := filepath.Join(e.store.dir, file.Name())
		switch filepath.Ext(rest) {
		case tempSuffix:
			if info, err := file.Info(); err == nil && now.Sub(info.ModTime()) > tempAge {
				_ = os.Remove(path)
			}
		case leaseSuffix:
			text, _, _ := strings.Cut(rest, "-")
			if until, _ := strconv.ParseInt(text, 10, 64); now.UnixMilli() < until {
				held, err := isLocked(path)
				if err != nil {
					return fmt.Errorf("filestore: %w", err)
				}
				if held {
					return fmt.Errorf("filestore: %s: %w", path, lineoauth.ErrStoreLeased)
				}
			}
			_ = os.Remove(path) // on Windows, one of a stopped process stays for now
		}
	}
	return nil
}

// isLocked reports whether a process that is alive has locked a file.
func isLocked(path string) (bool, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDWR))
	ok, err := lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) { // released just now
		return false, nil
	}
	if err != nil || !ok {
		return true, err
	}
	return false, lock.Unlock()
}
