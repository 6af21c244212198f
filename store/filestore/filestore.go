package filestore

import (
	"context"
	"crypto/cipher"
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

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/envelope"
)

const (
	// maxSize is more than any token takes.
	maxSize = 1 << 20
	// lockPoll is the time between two tries for a lock that is held for a moment.
	lockPoll = 5 * time.Millisecond
)

// Config is what a [Store] is made from. Its zero value is good.
type Config struct {
	// Dir is the directory of the files. It is made if there is none. Empty means
	// the folder lineoauth in [os.UserCacheDir], which needs HOME or
	// XDG_CACHE_HOME on Unix; where a service or cron lacks them, name a directory.
	Dir string
	// AEAD encrypts what is on disk, and must be the same in all processes. Nonces
	// are chosen at random, so they should have 12 bytes at least, as with
	// [cipher.NewGCM]. nil means no encryption.
	AEAD cipher.AEAD
}

// Store is a [lineoauth.Store] in a directory. It is safe for concurrent use.
type Store struct {
	dir  string
	aead cipher.AEAD
}

var _ lineoauth.Store = (*Store)(nil)

// New returns the store of a directory. The error matches [lineoauth.ErrInvalid]:
// there is no such directory and none can be made, or it belongs to another user,
// or others can write to it. On a system without file locks it matches
// [errors.ErrUnsupported] as well.
func New(cfg Config) (*Store, error) {
	if err := checkLocks(); err != nil {
		return nil, fmt.Errorf("filestore: %w: %w", lineoauth.ErrInvalid, err)
	}
	dir := cfg.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("filestore: %w: there is no directory by default (%w); name one", lineoauth.ErrInvalid, err)
		}
		dir = filepath.Join(cache, "lineoauth")
	}
	// The working directory may change.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w: %w", lineoauth.ErrInvalid, err)
	}
	s := &Store{dir: dir, aead: cfg.AEAD}
	if err := s.checkDir(); err != nil {
		return nil, err
	}
	return s, nil
}

// Format prints the store without its AEAD, under every verb.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "file store in %s", s.dir)
}

// checkDir makes the directory if there is none, or none anymore.
func (s *Store) checkDir() error {
	err := os.MkdirAll(s.dir, 0o700)
	if err != nil {
		return fmt.Errorf("filestore: %w: %w; name a directory that this user can write to", lineoauth.ErrInvalid, err)
	}
	info, err := os.Stat(s.dir)
	if err == nil {
		err = checkDirOwner(info)
	}
	if err != nil {
		return fmt.Errorf("filestore: %w: the directory %s: %w", lineoauth.ErrInvalid, s.dir, err)
	}
	return nil
}

// Load implements [lineoauth.Store]. What it sets aside is named by the error,
// which matches [lineoauth.ErrStoreCorrupt]. A token that was encrypted in
// another way, or saved by a newer version of this package, is an error as well,
// but stays where it is.
func (s *Store) Load(ctx context.Context, key string) ([]byte, string, error) {
	e, err := s.entry(ctx, key)
	if err != nil {
		return nil, "", err
	}
	value, revision, reason := e.load(ctx)
	if !errors.Is(reason, lineoauth.ErrStoreCorrupt) {
		return value, revision, reason
	}
	var aside string
	err = e.locked(ctx, func() (err error) {
		// Another process may have set it aside by now, and saved a token.
		if value, revision, reason = e.load(ctx); errors.Is(reason, lineoauth.ErrStoreCorrupt) {
			aside, err = e.setAside(ctx)
		}
		return err
	})
	if err != nil {
		// The next Load finds it again, so the error must not match ErrStoreCorrupt.
		return nil, "", fmt.Errorf("%v; remove it, since it cannot be set aside: %w", reason, err) //nolint:errorlint // see above
	}
	if aside != "" {
		reason = fmt.Errorf("%w; it was set aside as %s: look at it, and delete it", reason, filepath.Base(aside))
	}
	return value, revision, reason
}

// Save implements [lineoauth.Store]. It does not use expiresAt: the file stays
// until the next token takes its place.
func (s *Store) Save(ctx context.Context, key, revision string, value []byte, _ time.Time) error {
	e, err := s.entry(ctx, key)
	if err != nil {
		return err
	}
	data, err := envelope.Seal(s.aead, key, value)
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	if len(data) > maxSize {
		return fmt.Errorf("filestore: %w: %d bytes are more than a file may have, which is %d", lineoauth.ErrInvalid, len(data), maxSize)
	}
	temp, err := e.write(data)
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	defer func() { _ = os.Remove(temp) }() // unless it is in its place
	err = e.locked(ctx, func() error {
		now, err := e.read(ctx)
		if errors.Is(err, lineoauth.ErrStoreCorrupt) || err == nil && envelope.Revision(now) != revision {
			return fmt.Errorf("filestore: %s: %w", e.path, lineoauth.ErrStoreConflict)
		}
		if err != nil {
			return err
		}
		return e.rename(ctx, temp, e.path)
	})
	if err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}

// entry is the files of one key.
type entry struct {
	store *Store
	key   string
	name  string // what their names begin with
	path  string // of the token
}

// entry is where each call begins.
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

// nameOf has the channel and the kind of a key, for people, and a hash, since
// keys may hold anything and file systems may not tell capitals apart.
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

func (e *entry) load(ctx context.Context) ([]byte, string, error) {
	data, err := e.read(ctx)
	if data == nil || err != nil {
		return nil, "", err
	}
	value, err := envelope.Open(e.store.aead, e.key, data)
	if err != nil {
		return nil, "", fmt.Errorf("filestore: %s: %w", e.path, err)
	}
	return value, envelope.Revision(data), nil
}

// read returns the bytes of the token's file, nil if there is none.
func (e *entry) read(ctx context.Context) (data []byte, err error) {
	err = patiently(ctx, func() error {
		data, err = readFile(e.path)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, lineoauth.ErrStoreCorrupt) {
		return nil, fmt.Errorf("filestore: %s: %w", e.path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	return data, nil
}

func readFile(path string) ([]byte, error) {
	// Of what is no file, opening alone may block.
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is no regular file (%v)", lineoauth.ErrStoreCorrupt, before.Mode().Type())
	}
	f, err := os.Open(path) //nolint:gosec // the path is the store's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkFileOwner(info); err != nil {
		return nil, fmt.Errorf("%w: %w", lineoauth.ErrStoreCorrupt, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", lineoauth.ErrStoreCorrupt, maxSize)
	}
	return data, nil
}

// write puts data into a file that is not in its place yet, but on disk.
func (e *entry) write(data []byte) (path string, err error) {
	temp, err := os.CreateTemp(e.store.dir, e.name+".*"+tempSuffix) // 0600
	if err != nil {
		return "", err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		_ = os.Remove(temp.Name())
		return "", err
	}
	return temp.Name(), nil
}

// locked keeps all others out while it does something short.
func (e *entry) locked(ctx context.Context, do func() error) error {
	// Over NFS, a lock needs a file that is open for writing.
	lock := flock.New(filepath.Join(e.store.dir, e.name+".lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	if ok, err := lock.TryLockContext(ctx, lockPoll); !ok {
		return lockError(ctx, lock, err)
	}
	defer func() { _ = lock.Unlock() }()
	return do()
}

func lockError(ctx context.Context, lock *flock.Flock, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("filestore: locking %s: %w; another process has it, and may be stopped", lock.Path(), err)
	}
	return fmt.Errorf("filestore: locking %s: %w; the store needs a directory that it can write to, on a file system with locks", lock.Path(), err)
}

func (e *entry) rename(ctx context.Context, from, to string) error {
	if err := patiently(ctx, func() error { return os.Rename(from, to) }); err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}

// setAside moves what is in the place of the token out of the way.
func (e *entry) setAside(ctx context.Context) (path string, err error) {
	for at := time.Now().UTC(); ; at = at.Add(time.Nanosecond) {
		path = filepath.Join(e.store.dir, e.name+".refused-"+at.Format("20060102T150405.000000000Z"))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path, e.rename(ctx, e.path, path)
		} else if err != nil {
			return "", err
		}
	}
}

// patiently tries again what Windows refuses while others have the file open.
func patiently(ctx context.Context, do func() error) error {
	const tries = 400 // two seconds
	for try := 1; ; try++ {
		err := do()
		if try == tries || !busy(err) {
			return err
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
