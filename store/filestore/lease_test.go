//go:build unix || windows

package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
)

// No litter: neither of leases nor of saves.
func TestLitter(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", "old")
	path := strings.TrimSuffix(file(t, dir, ".json"), ".json")
	past, future := time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Hour).UnixMilli()
	litter := []string{
		fmt.Sprintf("%s.%d-A.lease", path, past),
		fmt.Sprintf("%s.%d-B.lease", path, future), // of an exited process, since it is not locked
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
	release, err := s.Lease(t.Context(), key, time.Minute)
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
	loads(t, s, "old")
}

// Who waits for a lease looks at its holder alone: it neither sweeps nor locks.
func TestWaiting(t *testing.T) {
	dir := tempDir(t)
	holder, waiting := open(t, dir), open(t, dir)
	release, err := holder.Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leased := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := waiting.Lease(ctx, key, time.Hour); !errors.Is(err, store.ErrLeased) {
			t.Errorf("Lease: %v; want ErrLeased", err)
		}
	}
	leased()
	unlock := lock(t, file(t, dir, ".lock"))
	leased()
	loads(t, waiting, "")
	unlock()
	release()
	if release, err = waiting.Lease(t.Context(), key, time.Hour); err != nil {
		t.Fatalf("Lease after its holder released it: %v", err)
	}
	release()
	if left := files(t, dir, ".lease"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// A process that is killed with the lease leaves it to the next at once.
func TestKilledHolder(t *testing.T) {
	dir := tempDir(t)
	holder := start(t, "lease", dir)
	holder.line(t)
	s := open(t, dir)
	if _, err := s.Lease(t.Context(), key, time.Hour); !errors.Is(err, store.ErrLeased) {
		t.Fatalf("Lease while another process has it: %v", err)
	}
	holder.kill(t)
	release, err := s.Lease(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatalf("Lease after its holder was killed: %v", err)
	}
	release()
	if left := files(t, dir, ".lease"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// While a process saves, and whenever it is killed, there is a whole token, and nothing
// locked.
func TestKilledWhileSaving(t *testing.T) {
	dir := tempDir(t)
	s := open(t, dir)
	save(t, s, "", strings.Repeat("x", 50_000))
	load := func() store.Entry {
		entry, err := s.Load(t.Context(), key)
		if err != nil || len(entry.Value) != 50_000 {
			t.Fatalf("Load = %d bytes, %v", len(entry.Value), err)
		}
		return entry
	}
	for round := range 10 {
		saver := start(t, "save", dir)
		saver.line(t)
		for range round + 1 { // so that each is killed at another step of its save
			load()
		}
		saver.kill(t)
		entry := load()
		save(t, s, entry.Revision, string(entry.Value))
	}
	for _, path := range files(t, dir, ".tmp") {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	release, err := s.Lease(t.Context(), key, time.Minute)
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
		if err := play(role, os.Args[1:]...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// play takes a lease until standard input ends, or saves until it is killed. It
// prints a line once it has the lease, or before it saves. Role use ends what it prints of
// each directory with a form feed.
func play(role string, dirs ...string) error {
	ctx := context.Background()
	if role == "use" {
		for _, dir := range dirs {
			if err := use(ctx, dir); err != nil {
				fmt.Println(err)
			}
			fmt.Print("\f")
		}
		return nil
	}
	s, err := filestore.New(filestore.Config{Dir: dirs[0]})
	if err != nil {
		return err
	}
	if role != "save" {
		ttl, err := time.ParseDuration(strings.TrimPrefix(role, "lease "))
		if err != nil {
			ttl = time.Hour
		}
		release, err := s.Lease(ctx, key, ttl)
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
		entry, err := s.Load(ctx, key)
		if err != nil {
			return err
		}
		fmt.Println("saving")
		if _, err := s.Save(ctx, key, update(entry.Revision, strings.Repeat(string(rune('0'+i%10)), 50_000))); err != nil {
			return err
		}
	}
}

type process struct {
	*exec.Cmd
	stdin  interface{ Close() error }
	stdout interface{ Read([]byte) (int, error) }
}

// use makes each call of a store, and loads again.
func use(ctx context.Context, dir string) error {
	s, err := filestore.New(filestore.Config{Dir: dir})
	if err != nil {
		return err
	}
	entry, err := s.Load(ctx, key)
	fmt.Printf("Load: %q, %v\n", entry.Value, err)
	release, err := s.Lease(ctx, key, time.Hour)
	if err != nil {
		return err
	}
	release()
	if _, err := s.Save(ctx, key, update(entry.Revision, "new")); err != nil {
		return err
	}
	entry, err = s.Load(ctx, key)
	fmt.Printf("Load: %q, %v\n", entry.Value, err)
	return err
}

// role returns the command of such a process.
func role(t *testing.T, name string, dirs ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, dirs...) // which kills it at the end
	cmd.Env = append(os.Environ(), roleEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

func start(t *testing.T, name, dir string) *process {
	t.Helper()
	cmd := role(t, name, dir)
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
