package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/internal/envelope"
)

// Config configures a [Store]. The zero value is ready to use.
type Config struct {
	// Dir is the directory of the files. It is created if it does not exist.
	// Empty means the folder lineoauth in [os.UserCacheDir], which needs HOME or
	// XDG_CACHE_HOME on Unix; where a service or cron lacks them, set Dir.
	Dir string
	// AnyMode accepts a directory and files that other users can read or change,
	// for file systems without owners and modes, as on WSL and on some volumes of
	// NFS and Kubernetes. Seal such a store with [store.Sealed].
	AnyMode bool
}

// Store is a [store.Store] in a directory. It is safe for concurrent use.
type Store struct {
	dir     string
	anyMode bool

	mu     sync.Mutex
	leases map[string]string // the last seen lease file of each entry
}

var _ store.Store = (*Store)(nil)

// New returns the store of a directory. If other users can write to a directory of
// this user, its mode is changed to 0700. New returns an error that matches
// [store.ErrInvalid] if the directory cannot be created, if it belongs to another
// user, or if others can write to it and its mode cannot be changed. On a system
// without file locks, the error also matches [errors.ErrUnsupported].
func New(cfg Config) (*Store, error) {
	if err := checkLocks(); err != nil {
		return nil, fmt.Errorf("filestore: %w: %w", store.ErrInvalid, err)
	}
	dir := cfg.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("filestore: %w: there is no default directory (%w); set Dir", store.ErrInvalid, err)
		}
		dir = filepath.Join(cache, "lineoauth")
	}
	// The working directory may change later.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w: %w", store.ErrInvalid, err)
	}
	s := &Store{dir: dir, anyMode: cfg.AnyMode, leases: make(map[string]string)}
	if err := s.checkDir(); err != nil {
		return nil, err
	}
	return s, nil
}

// Format prints the store's directory, under every verb.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "file store in %s", s.dir)
}

// Load implements [store.Store]. The error names a value that it quarantines. The age
// is unknown if the clock has been set back since the value was saved; a step of less
// than two seconds, or while no process used the store, is not detected.
func (s *Store) Load(ctx context.Context, key string) (store.Entry, error) {
	e, err := s.entry(ctx, key)
	if err != nil {
		return store.Entry{}, err
	}
	found, reason := e.load(ctx)
	if !errors.Is(reason, store.ErrCorrupt) {
		return found, reason
	}
	var aside string
	unlock, err := e.lock(ctx)
	if err == nil {
		defer unlock()
		// Another process may have quarantined it, and saved a value.
		if found, reason = e.load(ctx); errors.Is(reason, store.ErrCorrupt) {
			aside, err = e.quarantine(ctx)
		}
	}
	if err != nil {
		// The next Load finds it again, so the error must not match ErrCorrupt.
		return store.Entry{}, fmt.Errorf("%v; remove it, since it cannot be renamed: %w", reason, err) //nolint:errorlint // see above
	}
	if aside != "" {
		reason = fmt.Errorf("%w; it was renamed to %s: inspect it, and delete it", reason, filepath.Base(aside))
	}
	return found, reason
}

// Save implements [store.Store]. The file remains after the value's lifetime, until
// it is replaced.
func (s *Store) Save(ctx context.Context, key string, update store.Update) (revision string, err error) {
	e, err := s.entry(ctx, key)
	if err != nil {
		return "", err
	}
	next := envelope.New(key, update)
	data, err := next.Encode()
	if err != nil {
		return "", fmt.Errorf("filestore: %w", err)
	}
	if len(data) > maxSize {
		return "", fmt.Errorf("filestore: %w: a file of %d bytes is larger than %d", store.ErrInvalid, len(data), maxSize)
	}
	temp, err := e.write(data)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(temp) }() // unless it was renamed
	unlock, err := e.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	now, err := e.revision(ctx)
	if err != nil {
		return "", err
	}
	if now != update.Replaces {
		return "", fmt.Errorf("filestore: %s: %w", e.path, store.ErrConflict)
	}
	err = os.Rename(temp, e.path)
	for attempts := 1; retry(ctx, err, attempts); attempts++ {
		err = os.Rename(temp, e.path)
	}
	if err != nil {
		return "", failure(err)
	}
	e.setMark(time.Now())
	if err := syncDir(s.dir); err != nil {
		return "", failure(err)
	}
	return next.Revision, nil
}

// checkDir creates the directory if it does not exist, and ensures that no other user
// can create files in it.
func (s *Store) checkDir() error {
	info, err := os.Stat(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(s.dir, 0o700); err == nil {
			info, err = os.Stat(s.dir)
		}
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", s.dir)
	}
	if err != nil {
		return fmt.Errorf("filestore: %w: %w; set Dir to a directory that this user can write to%s", store.ErrInvalid, err, advice(err))
	}
	if s.anyMode {
		return nil
	}
	err = repaired(checkDirOwner, info, func() error { return os.Chmod(s.dir, 0o700) }, func() (fs.FileInfo, error) { return os.Stat(s.dir) }) //nolint:gosec // a directory's mode
	if err != nil {
		return fmt.Errorf("filestore: %w: the directory %s: %w; %s", store.ErrInvalid, s.dir, err, ownAdvice)
	}
	return nil
}

// errMode is returned for a file or directory whose mode has to be changed.
var errMode = errors.New("other users can read or change it")

// ownAdvice is what to do if files cannot be private to this user.
const ownAdvice = "set Dir to a directory of this user, or set AnyMode and seal the store with store.Sealed; " +
	"on a Kubernetes volume with an fsGroup, set Dir to a new directory on it, and fsGroupChangePolicy: OnRootMismatch"

// repaired checks an owner and a mode. It changes the mode if necessary: Kubernetes,
// for example, gives a volume's fsGroup access to its files at each start.
func repaired(check func(fs.FileInfo) error, info fs.FileInfo, chmod func() error, stat func() (fs.FileInfo, error)) error {
	err := check(info)
	if !errors.Is(err, errMode) {
		return err
	}
	if failed := chmod(); failed != nil {
		return fmt.Errorf("%w, and the mode cannot be changed: %w", err, failed)
	}
	if info, err = stat(); err != nil {
		return err
	}
	if err = check(info); errors.Is(err, errMode) {
		return fmt.Errorf("%w, and changing the mode has no effect", err)
	}
	return err
}
