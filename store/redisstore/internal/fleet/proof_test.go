//go:build unix

package fleet

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store/redisstore/internal/redisserver"
)

// everyStore runs a test with files and with Redis. leaseTime is how long a
// process that is stopped keeps others from issuing.
func everyStore(t *testing.T, leaseTime time.Duration, test func(t *testing.T, f *fleet)) {
	t.Helper()
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		test(t, newFleet(t, settings{Dir: memoryDir(t) + "/store", RefreshTimeout: leaseTime}))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, newFleet(t, settings{Redis: redisserver.Start(t).Addr, LeaseTime: leaseTime}))
	})
}

// memoryDir returns a folder on no disk, if there is such a file system: a disk that other
// programs keep busy takes longer for a save than processes wait.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fleet") //nolint:usetesting // which knows only the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// delay lets the next issue take so long.
func (f *fleet) delay(d time.Duration) {
	f.line.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Operation: lineoauth.OpIssueChannelTokenByJWT, Delay: d})
}

func TestTwentyProcesses(t *testing.T) {
	t.Parallel()
	everyStore(t, 0, func(t *testing.T, f *fleet) {
		f.delay(500 * time.Millisecond) // so that all are there
		f.start(20)
		f.agree("on an empty store")
		f.wantIssues(1, "on an empty store")
		for period := range 5 {
			f.refresh()
			f.refreshed("after a refresh")
			f.wantIssues(period+2, "after a refresh")
		}
	})
}

func TestRestarts(t *testing.T) {
	t.Parallel()
	everyStore(t, 0, func(t *testing.T, f *fleet) {
		f.settings.Once = true
		for range 50 {
			m := f.start(1)[0]
			<-m.ended
			m.end()
			if !m.has(f.token()) {
				t.Fatalf("a restarted process has another token%s", f.trouble())
			}
		}
		f.wantIssues(1, "after 50 restarts")
	})
}

func TestKilledHolder(t *testing.T) {
	t.Parallel()
	const leaseTime = 2 * time.Second
	everyStore(t, leaseTime, func(t *testing.T, f *fleet) {
		f.settings.RefreshTimeout = time.Hour // it must not be what ends the lease
		f.start(5)
		f.agree("at first")
		f.delay(time.Hour)
		f.refresh()
		holder := f.holder(2)
		holder.kill()
		killed := time.Now()
		f.processes = f.without(holder)
		f.refreshed("after the holder was killed")
		t.Logf("another process took over after %v, with a lease of %v", time.Since(killed), leaseTime)
		f.wantIssues(3, "with the one that was killed")
		f.refresh() // nothing is left locked
		f.refreshed("after another refresh")
		f.wantIssues(4, "after another refresh")
	})
}

func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	// LINE has to issue the holder's token while it has the lease.
	everyStore(t, 5*time.Second, func(t *testing.T, f *fleet) {
		f.start(3)
		f.agree("at first")
		answer := f.hold()
		f.refresh()
		holder := f.holder(2)
		holder.stop()
		answer()
		f.eventually("the holder's own token is not issued", func() bool { return f.token() != f.newest })
		f.newest = f.token()
		f.refreshed("while the holder is stopped", f.without(holder)...)
		holder.signal(syscall.SIGCONT)
		f.agree("after the holder resumed")
		f.wantIssues(3, "with the holder's own")
		f.start(1) // finds the newer one
		f.agree("in the store")
		f.wantIssues(3, "with the holder's own")
		// If it could save its own, the others would put theirs back at once.
		holder.end()
		if holder.refreshed > 0 {
			t.Error("the holder saved its own token over the newer one")
		}
	})
}

// redisFleet is processes that share a Redis.
func redisFleet(t *testing.T, config ...string) (*fleet, *redisserver.Server) {
	t.Helper()
	server := redisserver.Start(t, config...)
	f := newFleet(t, settings{Redis: server.Addr, LeaseTime: 2 * time.Second})
	f.start(5)
	f.agree("at first")
	return f, server
}

// After each outage, the token is refreshed once, and none was issued in it.
func TestRedisOutages(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config []string
		down   func(*testing.T, *redisserver.Server)
		up     func(*testing.T, *redisserver.Server)
	}{
		"killed, with its data": {
			config: []string{"appendonly yes", "appendfsync always"},
			down:   func(_ *testing.T, s *redisserver.Server) { s.Kill() },
			up:     func(_ *testing.T, s *redisserver.Server) { s.Restart() },
		},
		"killed, without its data": {
			config: []string{"appendonly no", `save ""`},
			down:   func(_ *testing.T, s *redisserver.Server) { s.Kill() },
			up:     func(_ *testing.T, s *redisserver.Server) { s.Restart() },
		},
		"unreachable": {
			down: func(_ *testing.T, s *redisserver.Server) { s.Stop() },
			up:   func(_ *testing.T, s *redisserver.Server) { s.Continue() },
		},
		"full": {
			config: []string{"maxmemory-policy noeviction"},
			down:   func(t *testing.T, s *redisserver.Server) { configure(t, s, "maxmemory", "1") },
			up:     func(t *testing.T, s *redisserver.Server) { configure(t, s, "maxmemory", "0") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, server := redisFleet(t, tt.config...)
			down, due := time.Now(), f.due()
			f.ageStore(due)
			tt.down(t, server)
			f.advanceOthers(due) // so that a refresh is due in the outage
			f.allNoticed()
			f.advanceOthers(10 * time.Second) // so that they look again and again
			f.ask(40)
			f.wantIssues(1, "in the outage")
			tt.up(t, server)
			up := time.Now()
			f.refreshed("after the outage")
			t.Logf("the outage took %v, the refresh after it %v", up.Sub(down), time.Since(up))
			f.wantIssues(2, "after the outage")
		})
	}
}

func configure(t *testing.T, server *redisserver.Server, parameter, value string) {
	t.Helper()
	if err := server.Client().ConfigSet(t.Context(), parameter, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// A Redis that comes back empty gets the valid token back.
func TestRedisEmptied(t *testing.T) {
	t.Parallel()
	f, server := redisFleet(t, "appendonly no", `save ""`)
	server.Restart()
	client := server.Client()
	f.eventually("nobody puts the token back", func() bool {
		n, err := client.DBSize(t.Context()).Result()
		return err == nil && n > 0
	})
	f.start(1)
	f.agree("after Redis came back empty")
	f.wantIssues(1, "after Redis came back empty")
}

func TestRedisFlushed(t *testing.T) {
	t.Parallel()
	f, server := redisFleet(t)
	if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.start(2) // find nothing
	f.agree("after the flush")
	if n := f.issues(); n > 2 {
		t.Errorf("%d issues after a flush; want 1 more", n)
	}
	before := f.issues()
	f.refresh()
	f.refreshed("after the flush")
	f.wantIssues(before+1, "after a refresh")
}
