//go:build unix || windows

package filestore_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store/filestore"
	"github.com/lineoauth/lineoauth/store/storetest"
)

const key = "2173512004/v2.1/https://api.line.me"

func newAEAD(t *testing.T, password string) cipher.AEAD {
	t.Helper()
	sum := sha256.Sum256([]byte(password))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func open(t *testing.T, dir string, aead cipher.AEAD) *filestore.Store {
	t.Helper()
	store, err := filestore.New(filestore.Config{Dir: dir, AEAD: aead})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// tempDir is a directory that only its owner can write to, as umasks may not say.
func tempDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "store")
}

func save(t *testing.T, store lineoauth.Store, revision, value string) {
	t.Helper()
	if err := store.Save(t.Context(), key, revision, []byte(value), time.Now().Add(time.Hour)); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// files are those of a directory whose names hold a part.
func files(t *testing.T, dir, part string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+part+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// file is the only one of its sort.
func file(t *testing.T, dir, part string) string {
	t.Helper()
	paths := files(t, dir, part)
	if len(paths) != 1 {
		t.Fatalf("%d files are named *%s*: %q", len(paths), part, paths)
	}
	return paths[0]
}

func TestConformance(t *testing.T) {
	for name, aead := range map[string]cipher.AEAD{"clear": nil, "encrypted": newAEAD(t, "a")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			storetest.Run(t, func(t *testing.T) func() lineoauth.Store {
				dir := tempDir(t)
				return func() lineoauth.Store { return open(t, dir, aead) }
			})
		})
	}
}

func TestDefaultDir(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other variables say it there")
	}
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	save(t, open(t, "", nil), "", "x")
	file(t, filepath.Join(cache, "lineoauth"), ".json")

	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := filestore.New(filestore.Config{}); !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), "name one") {
		t.Errorf("New without a home: %v", err)
	}
}

// A relative directory stays what it was.
func TestRelativeDir(t *testing.T) {
	parent := t.TempDir()
	t.Chdir(parent)
	store := open(t, "store", nil)
	t.Chdir(t.TempDir())
	save(t, store, "", "x")
	file(t, filepath.Join(parent, "store"), ".json")
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	dir := tempDir(t)
	store := open(t, dir, nil)
	save(t, store, "", "x")
	release, err := store.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	paths := append(files(t, dir, "token-"), dir)
	if len(paths) != 4 { // the token, its lock, the lease, and the directory
		t.Errorf("there are %q", paths)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, mode)
		}
	}
}

// Nobody but its user may write to the directory.
func TestOpenDir(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	dir := tempDir(t)
	store := open(t, dir, nil)
	save(t, store, "", "x")
	for _, mode := range []os.FileMode{0o770, 0o702} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, err := filestore.New(filestore.Config{Dir: dir})
		if !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "make its mode 0700") {
			t.Errorf("New of a directory with mode %04o: %v", mode, err)
		}
		if _, _, err := store.Load(t.Context(), key); !errors.Is(err, lineoauth.ErrInvalid) || errors.Is(err, lineoauth.ErrStoreCorrupt) {
			t.Errorf("Load in a directory with mode %04o: %v", mode, err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // what mkdir makes
		t.Fatal(err)
	}
	if value, _, err := store.Load(t.Context(), key); string(value) != "x" || err != nil {
		t.Errorf("Load in a directory that others can list: %q, %v", value, err)
	}
}

// What is no token of the store is refused, kept, and made up for.
func TestRefused(t *testing.T) {
	write := func(data string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(string(f(data)))(t, path)
		}
	}
	mode := func(mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if runtime.GOOS == "windows" {
				t.Skip("access lists decide there")
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"torn":     {change(func(data []byte) []byte { return data[:len(data)/2] }), "torn"},
		"empty":    {write(""), "torn"},
		"foreign":  {write("hunter2"), "something else wrote it"},
		"tampered": {change(func(data []byte) []byte { data[len(data)/2] ^= 1; return data }), ""},
		"too large": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 1<<20+1); err != nil {
				t.Fatal(err)
			}
		}, "larger than 1048576 bytes"},
		"another key": {func(t *testing.T, path string) {
			t.Helper()
			dir := tempDir(t)
			other := open(t, dir, nil)
			if err := other.Save(t.Context(), key+"/", "", []byte("x"), time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file(t, dir, ".json"), path); err != nil {
				t.Fatal(err)
			}
		}, "another channel"},
		"link": {func(t *testing.T, path string) {
			t.Helper()
			target := filepath.Join(t.TempDir(), "elsewhere")
			if err := os.Rename(path, target); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, path); err != nil {
				t.Skip(err)
			}
		}, "no regular file (L---------)"},
		"directory": {func(t *testing.T, path string) {
			t.Helper()
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "no regular file (d---------)"},
		"readable by others": {mode(0o640), "other users can read or change it (mode 0640)"},
		"writable by others": {mode(0o602), "other users can read or change it (mode 0602)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			store := open(t, dir, nil)
			revision := ""
			var kept []string
			for round := 1; round <= 2; round++ {
				save(t, store, revision, "a token")
				_, revision, _ = store.Load(t.Context(), key)
				path := file(t, dir, ".json")
				tt.spoil(t, path)
				spoilt, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := store.Save(t.Context(), key, revision, []byte("late"), time.Now()); !errors.Is(err, lineoauth.ErrStoreConflict) {
					t.Errorf("Save over it: %v; want ErrStoreConflict", err)
				}

				_, revision, err = store.Load(t.Context(), key)
				if !errors.Is(err, lineoauth.ErrStoreCorrupt) || revision != "" {
					t.Fatalf("Load = revision %q, %v; want ErrStoreCorrupt", revision, err)
				}
				refused := slices.DeleteFunc(files(t, dir, ".refused-"), func(path string) bool { return slices.Contains(kept, path) })
				if len(refused) != 1 {
					t.Fatalf("after %d times there are %q besides %q", round, refused, kept)
				}
				kept = append(kept, refused...)
				if aside, err := os.Lstat(refused[0]); err != nil || !os.SameFile(aside, spoilt) {
					t.Errorf("what was set aside is something else: %v", err)
				}
				for _, part := range []string{path, tt.want, filepath.Base(refused[0])} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q is not in the error: %v", part, err)
					}
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error shows what it read: %v", err)
				}
				if value, revision, err := store.Load(t.Context(), key); value != nil || revision != "" || err != nil {
					t.Errorf("the next Load = %q, %q, %v; want nothing", value, revision, err)
				}
			}
		})
	}
}

// Of many who find it at once, one sets it aside.
func TestRefusedByMany(t *testing.T) {
	dir := tempDir(t)
	save(t, open(t, dir, nil), "", "x")
	path := file(t, dir, ".json")
	for round := range 20 {
		if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var refused atomic.Int32
		for range 8 {
			store := open(t, dir, nil)
			wg.Go(func() {
				_, revision, err := store.Load(t.Context(), key)
				if errors.Is(err, lineoauth.ErrStoreCorrupt) {
					refused.Add(1)
				} else if revision != "" || err != nil {
					t.Errorf("Load = %q, %v", revision, err)
				}
			})
		}
		wg.Wait()
		if n := refused.Load(); n != 1 {
			t.Errorf("%d of 8 say that they set it aside", n)
		}
		if kept := files(t, dir, ".refused-"); len(kept) != round+1 {
			t.Errorf("after %d times, %d are kept", round+1, len(kept))
		}
	}
}

// Whoever has another key, or none, takes nothing away from the others.
func TestAnotherAEAD(t *testing.T) {
	for name, aeads := range map[string][2]cipher.AEAD{
		"another key": {newAEAD(t, "a"), newAEAD(t, "b")},
		"no key":      {newAEAD(t, "a"), nil},
		"not sealed":  {nil, newAEAD(t, "a")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			mine, other := open(t, dir, aeads[0]), open(t, dir, aeads[1])
			save(t, mine, "", "a token")
			_, _, err := other.Load(t.Context(), key)
			if err == nil || errors.Is(err, lineoauth.ErrStoreCorrupt) || !strings.Contains(err.Error(), file(t, dir, ".json")) {
				t.Errorf("Load: %v", err)
			}
			if err := other.Save(t.Context(), key, "", []byte("x"), time.Now()); !errors.Is(err, lineoauth.ErrStoreConflict) {
				t.Errorf("Save: %v", err)
			}
			if value, _, err := mine.Load(t.Context(), key); string(value) != "a token" || err != nil {
				t.Errorf("then Load of its owner = %q, %v", value, err)
			}
		})
	}
}

func TestEncrypted(t *testing.T) {
	for _, aead := range []cipher.AEAD{nil, newAEAD(t, "a")} {
		dir := tempDir(t)
		store := open(t, dir, aead)
		save(t, store, "", "\xff\xff\xff\xff\xff\xff a token")
		data, err := os.ReadFile(file(t, dir, ".json"))
		if err != nil {
			t.Fatal(err)
		}
		// In Base64.
		if clear := strings.Contains(string(data), "////////"); clear != (aead == nil) {
			t.Errorf("with an AEAD: %t, the value stands there in the clear: %t", aead != nil, clear)
		}
		if text := fmt.Sprintf("%+v %#v %s", store, store, store); strings.Count(text, "file store in ") != 3 {
			t.Errorf("a store prints as %s", text)
		}
	}
}

// A newer version may share the directory.
func TestNewerFormat(t *testing.T) {
	dir := tempDir(t)
	store := open(t, dir, nil)
	save(t, store, "", "x")
	path := file(t, dir, ".json")
	newer := `{"lineoauth":2,"key":"` + key + `"}`
	if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Load(t.Context(), key); err == nil || errors.Is(err, lineoauth.ErrStoreCorrupt) {
		t.Errorf("Load: %v", err)
	}
	if data, err := os.ReadFile(path); string(data) != newer || err != nil {
		t.Errorf("then there is %q, %v", data, err)
	}
}

// What cannot be written is an error, and changes nothing. (Root may write
// anywhere, so there is something in the way.)
func TestDiskErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "store")} {
		if _, err := filestore.New(filestore.Config{Dir: path}); !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), dir) {
			t.Errorf("New: %v", err)
		}
	}

	store := open(t, tempDir(t), nil)
	if err := store.Save(t.Context(), key, "", make([]byte, 1<<20), time.Now()); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("Save of 1 MiB: %v", err)
	}

	dir = tempDir(t)
	store = open(t, dir, nil)
	save(t, store, "", "old")
	_, revision, _ := store.Load(t.Context(), key)
	lock := file(t, dir, ".lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), key, revision, []byte("new"), time.Now()); err == nil || errors.Is(err, lineoauth.ErrStoreConflict) {
		t.Errorf("Save without a lock: %v", err)
	}
	if _, err := store.Lease(t.Context(), key, time.Minute); err == nil || errors.Is(err, lineoauth.ErrStoreLeased) {
		t.Errorf("Lease without a lock: %v", err)
	}
	if value, _, err := store.Load(t.Context(), key); string(value) != "old" || err != nil {
		t.Errorf("Load without a lock = %q, %v", value, err)
	}
	path := file(t, dir, ".json")
	if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	// It is still there, so the caller must not take it for gone.
	if _, _, err := store.Load(t.Context(), key); err == nil || errors.Is(err, lineoauth.ErrStoreCorrupt) || !strings.Contains(err.Error(), "something else wrote it") {
		t.Errorf("Load of what cannot be set aside: %v", err)
	}
	if left := files(t, dir, ".tmp"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}

	// A directory that somebody removed is made anew.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	save(t, store, "", "new")
}

// A lock that another has for too long is waited for no longer than ctx allows.
func TestLockedOut(t *testing.T) {
	dir := tempDir(t)
	store := open(t, dir, nil)
	save(t, store, "", "old")
	defer lock(t, file(t, dir, ".lock"))()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := store.Save(ctx, key, "", []byte("x"), time.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Save: %v", err)
	}
	if value, _, err := store.Load(t.Context(), key); string(value) != "old" || err != nil {
		t.Errorf("Load = %q, %v", value, err)
	}
}

// No litter: neither of leases nor of saves.
func TestLitter(t *testing.T) {
	dir := tempDir(t)
	store := open(t, dir, nil)
	save(t, store, "", "old")
	path := strings.TrimSuffix(file(t, dir, ".json"), ".json")
	past, future := time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Hour).UnixMilli()
	litter := []string{
		fmt.Sprintf("%s.%d-A.lease", path, past),
		fmt.Sprintf("%s.%d-B.lease", path, future), // of a dead process, since it is not locked
		path + ".x.lease",
		path + ".1.tmp",
	}
	others := []string{
		path + ".2.tmp", // young
		filepath.Join(dir, "token-another.1.tmp"),
		filepath.Join(dir, fmt.Sprintf("token-another.%d-C.lease", past)),
	}
	for _, path := range append(slices.Clone(litter), others...) {
		if err := os.WriteFile(path, []byte("half a tok"), 0o600); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(path, ".2.tmp") {
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	release, err := store.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "lease")
	held := slices.DeleteFunc(files(t, dir, ".lease"), func(path string) bool { return slices.Contains(others, path) })
	if len(held) != 1 {
		t.Fatalf("%q are held", held)
	}
	if err := os.Link(held[0], link); err != nil {
		t.Fatal(err)
	}
	release()
	release()
	lock(t, link)() // nobody has it open
	for _, path := range litter {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left", filepath.Base(path))
		}
	}
	for _, path := range others {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	if left := files(t, dir, ".lease"); len(left) != 1 {
		t.Errorf("%q are left", left)
	}
	if value, _, err := store.Load(t.Context(), key); string(value) != "old" || err != nil {
		t.Errorf("Load = %q, %v", value, err)
	}
}

// A process that is killed with the lease leaves it to the next at once.
func TestKilledHolder(t *testing.T) {
	dir := tempDir(t)
	holder := start(t, "lease", dir)
	holder.line(t)
	store := open(t, dir, nil)
	if _, err := store.Lease(t.Context(), key, time.Hour); !errors.Is(err, lineoauth.ErrStoreLeased) {
		t.Fatalf("Lease while another process has it: %v", err)
	}
	holder.kill(t)
	release, err := store.Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatalf("Lease after its holder was killed: %v", err)
	}
	release()
	if left := files(t, dir, ".lease"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// Whenever a process is killed, there is a whole token, and nothing locked.
func TestKilledWhileSaving(t *testing.T) {
	dir := tempDir(t)
	store := open(t, dir, nil)
	for round := range 10 {
		saver := start(t, "save", dir)
		for range round + 1 {
			saver.line(t)
		}
		saver.kill(t)
		value, revision, err := store.Load(t.Context(), key)
		if err != nil || len(value) != 50_000 {
			t.Fatalf("Load = %d bytes, %v", len(value), err)
		}
		save(t, store, revision, string(value))
	}
	for _, path := range files(t, dir, ".tmp") {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	release, err := store.Lease(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if all := files(t, dir, ""); len(all) != 2 {
		t.Errorf("there are %q; want the token and its lock", all)
	}
}

// lock takes a lock as another process would.
func lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	f := flock.New(path)
	if ok, err := f.TryLock(); !ok {
		t.Fatalf("locking %s: %v", path, err)
	}
	return func() { _ = f.Unlock() }
}

// A process of the tests is this program with a role.
const roleEnv = "FILESTORE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := play(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// play takes a lease until standard input ends, or saves until it is killed. It
// prints a line once it has the lease, or has saved.
func play(role, dir string) error {
	store, err := filestore.New(filestore.Config{Dir: dir})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if role != "save" {
		ttl, err := time.ParseDuration(strings.TrimPrefix(role, "lease "))
		if err != nil {
			ttl = time.Hour
		}
		release, err := store.Lease(ctx, key, ttl)
		if err != nil {
			return err
		}
		fmt.Println("leased")
		_, _ = os.Stdin.Read(make([]byte, 1))
		release()
		fmt.Println("released")
		return nil
	}
	for i := 0; ; i++ {
		_, revision, err := store.Load(ctx, key)
		if err != nil {
			return err
		}
		if err := store.Save(ctx, key, revision, fmt.Appendf(nil, "%050000d", i), time.Now()); err != nil {
			return err
		}
		fmt.Println("saved")
	}
}

type process struct {
	*exec.Cmd
	stdin  interface{ Close() error }
	stdout interface{ Read([]byte) (int, error) }
}

func start(t *testing.T, role, dir string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, dir) // which kills it at the end
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &process{cmd, stdin, stdout}
}

// line waits for one line.
func (p *process) line(t *testing.T) {
	t.Helper()
	for b := []byte{0}; b[0] != '\n'; {
		if _, err := p.stdout.Read(b); err != nil {
			t.Fatalf("the process ended: %v", err)
		}
	}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
}
