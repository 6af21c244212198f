package filestore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/internal/envelope"
)

const (
	// maxSize is larger than any token.
	maxSize = 1 << 20
	// lockPoll is the time between attempts to acquire a briefly held lock.
	lockPoll = 5 * time.Millisecond
)

// entry is the files of one key.
type entry struct {
	store *Store
	key   string
	name  string // prefix of their names
	path  string // the value's file
}

// entry returns the entry of a key, unless ctx has ended or the directory is not
// safe.
func (s *Store) entry(ctx context.Context, key string) (*entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	if err := s.checkDir(); err != nil {
		return nil, err
	}
	name := nameOf(key)
	return &entry{s, key, name, filepath.Join(s.dir, name+".json")}, nil
}

// nameOf returns a file name with the channel and the kind of a key, for readability,
// and a hash, since keys may contain any character and file systems may ignore case.
func nameOf(key string) string {
	const longest = 40
	channel, rest, _ := strings.Cut(key, "/")
	kind, _, _ := strings.Cut(rest, "/")
	readable := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, channel+"-"+kind)
	hash := sha256.Sum256([]byte(key))
	return fmt.Sprintf("token-%s-%x", readable[:min(len(readable), longest)], hash[:16])
}

func (e *entry) load(ctx context.Context) (store.Entry, error) {
	data, saved, err := e.read(ctx)
	if data == nil || err != nil {
		return store.Entry{}, err
	}
	found, err := envelope.Open(e.key, data)
	if err != nil {
		return store.Entry{}, fmt.Errorf("filestore: %s: %w", e.path, err)
	}
	return store.Entry{Value: found.Value, Revision: found.Revision, Age: e.age(saved)}, nil
}

// revision returns what Save compares: empty if there is no file, an error that
// matches [store.ErrConflict] if it holds no value that can be replaced.
func (e *entry) revision(ctx context.Context) (string, error) {
	data, _, err := e.read(ctx)
	if err == nil && data == nil {
		return "", nil
	}
	var found envelope.Envelope
	if err == nil {
		found, err = envelope.Open(e.key, data)
	}
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNewer) {
		return "", fmt.Errorf("filestore: %s: %w", e.path, store.ErrConflict)
	}
	return found.Revision, err
}

// read returns the bytes of the value's file, and when they were written. They
// are nil if there is no file.
func (e *entry) read(ctx context.Context) (data []byte, written time.Time, err error) {
	data, written, err = e.store.readFile(e.path)
	for attempts := 1; retry(ctx, err, attempts); attempts++ {
		data, written, err = e.store.readFile(e.path)
	}
	switch {
	case err == nil:
		return data, written, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, time.Time{}, nil
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrInvalid):
		return nil, time.Time{}, fmt.Errorf("filestore: %s: %w", e.path, err)
	}
	return nil, time.Time{}, failure(err)
}

func (s *Store) readFile(path string) (data []byte, written time.Time, err error) {
	// Opening may block if it is not a regular file.
	info, err := os.Lstat(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, fmt.Errorf("%w: it is not a regular file (%v)", store.ErrCorrupt, info.Mode().Type())
	}
	f, err := os.Open(path) //nolint:gosec // the path is the store's own
	if foreign := checkUser(info); errors.Is(err, fs.ErrPermission) && foreign != nil && !s.anyMode {
		return nil, time.Time{}, fmt.Errorf("%w: %w", store.ErrCorrupt, foreign)
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = f.Close() }()
	if info, err = f.Stat(); err != nil {
		return nil, time.Time{}, err
	}
	if err := s.checkFile(f, info); errors.Is(err, errMode) { // a fault of the file system
		return nil, time.Time{}, fmt.Errorf("%w: %w; %s", store.ErrInvalid, err, ownAdvice)
	} else if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	data, err = io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(data) > maxSize {
		return nil, time.Time{}, fmt.Errorf("%w: it is larger than %d bytes", store.ErrCorrupt, maxSize)
	}
	return data, info.ModTime(), nil
}

// checkFile ensures that no other user has created or changed the file, or can from now on.
func (s *Store) checkFile(f *os.File, info fs.FileInfo) error {
	if s.anyMode {
		return nil
	}
	return repaired(checkFileOwner, info, func() error { return f.Chmod(0o600) }, f.Stat)
}

// write writes and syncs data to a temporary file.
func (e *entry) write(data []byte) (path string, err error) {
	temp, err := os.CreateTemp(e.store.dir, e.name+".*"+tempSuffix) // 0600
	if err != nil {
		return "", failure(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	defer func() {
		if closeErr := temp.Close(); err == nil && closeErr != nil {
			err = failure(closeErr)
		}
	}()
	info, err := temp.Stat()
	if err != nil {
		return "", failure(err)
	}
	if err := e.store.checkFile(temp, info); err != nil {
		return "", fmt.Errorf("filestore: %w: a new file in %s: %w; %s", store.ErrInvalid, e.store.dir, err, ownAdvice)
	}
	if _, err := temp.Write(data); err != nil {
		return "", failure(err)
	}
	if err := temp.Sync(); err != nil {
		return "", failure(err)
	}
	return temp.Name(), nil
}

// failure returns an error of the file system, with what to do.
func failure(err error) error { return fmt.Errorf("filestore: %w%s", err, advice(err)) }

// lockPath is the file that is locked while a value is replaced.
func (e *entry) lockPath() string { return filepath.Join(e.store.dir, e.name+".lock") }

// lock acquires exclusive access for a short time, until unlock is called.
func (e *entry) lock(ctx context.Context) (unlock func(), err error) {
	if e.store.isForeign(e.lockPath()) {
		if err := e.replaceLock(ctx); err != nil {
			return nil, fmt.Errorf("filestore: %s is a link or another user's: %w; remove it", e.lockPath(), err)
		}
	}
	// Over NFS, a lock needs a file that is open for writing.
	lock := flock.New(e.lockPath(), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	if ok, err := lock.TryLockContext(ctx, lockPoll); !ok {
		return nil, lockError(ctx, lock, err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// isForeign reports whether a path is a link, or another user's file that this one cannot
// open. Root can open all of them, and shares the directory with its user.
func (s *Store) isForeign(path string) bool {
	info, err := os.Lstat(path)
	switch {
	case err != nil || s.anyMode:
		return false
	case info.Mode()&fs.ModeSymlink != 0:
		return true
	case checkUser(info) == nil:
		return false
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the path is the store's own
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}

// replaceLock replaces a foreign lock file by one with the same mark.
func (e *entry) replaceLock(ctx context.Context) error {
	// One process at a time, or it would replace the lock that another already holds.
	guard := flock.New(e.store.dir, flock.SetFlag(os.O_RDONLY))
	if ok, err := guard.TryLockContext(ctx, lockPoll); !ok {
		return err
	}
	defer func() { _ = guard.Unlock() }()
	if !e.store.isForeign(e.lockPath()) {
		return nil
	}
	path, err := e.write(nil)
	if err != nil {
		return err
	}
	if info, err := os.Stat(e.lockPath()); err == nil {
		_ = os.Chtimes(path, time.Time{}, info.ModTime())
	}
	if err := os.Rename(path, e.lockPath()); err != nil {
		_ = os.Remove(path)
		return err
	}
	return nil
}

func lockError(ctx context.Context, lock *flock.Flock, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("filestore: locking %s: %w; another process holds it and may be suspended; stop that process", lock.Path(), err)
	}
	return fmt.Errorf("filestore: locking %s: %w; set Dir to a writable directory on a file system with locks%s", lock.Path(), err, advice(err))
}

// quarantine renames a file that is not a valid value.
func (e *entry) quarantine(ctx context.Context) (path string, err error) {
	for at := time.Now().UTC(); ; at = at.Add(time.Nanosecond) {
		path = filepath.Join(e.store.dir, e.name+".refused-"+at.Format("20060102T150405.000000000Z"))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			err := os.Rename(e.path, path)
			for attempts := 1; retry(ctx, err, attempts); attempts++ {
				err = os.Rename(e.path, path)
			}
			if err != nil {
				return "", failure(err)
			}
			return path, nil
		} else if err != nil {
			return "", failure(err)
		}
	}
}

// retry waits a moment, and reports whether to repeat what Windows refused while
// others have the file open.
func retry(ctx context.Context, err error, attempts int) bool {
	const most = 400 // two seconds
	if attempts == most || !busy(err) {
		return false
	}
	timer := time.NewTimer(lockPoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
