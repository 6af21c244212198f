package lineoauth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// channels returns a pool of sources for channels of srv, which it makes, that
// share one key.
func channels(t testing.TB, srv *lineoauthtest.Server, max int) *lineoauth.Pool {
	t.Helper()
	base := srv.Config()
	pool := &lineoauth.Pool{MaxSources: max, New: func(_ context.Context, id string) (*lineoauth.Source, error) {
		cfg := base
		_, _ = srv.AddChannel(id, "secret-of-"+id) // it may be there
		cfg.ChannelID, cfg.ChannelSecret, cfg.Key = id, lineoauth.NewSecret("secret-of-"+id), nil
		client, err := lineoauth.New(cfg)
		if err != nil {
			return nil, err
		}
		return client.Source(lineoauth.SourceConfig{})
	}}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func TestPool(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		pool := channels(t, srv, 3)
		defer pool.Close()
		sources := make(map[string]*lineoauth.Source)
		for _, id := range []string{"1", "2", "3", "1"} {
			source, err := pool.Source(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if sources[id] != nil && sources[id] != source {
				t.Errorf("channel %s has two sources", id)
			}
			sources[id] = source
			get(t, source)
		}
		fourth, err := pool.Source(t.Context(), "4") // drops 2, which was not used for longest
		if err != nil {
			t.Fatal(err)
		}
		get(t, fourth)
		get(t, sources["2"]) // forgotten, but a caller that holds it can keep using it
		if again, err := pool.Source(t.Context(), "2"); err == nil && again == sources["2"] {
			t.Error("the pool still knows the source that it should have forgotten")
		}
		if n := pool.Len(); n != 3 {
			t.Errorf("Len = %d", n)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		if _, err := pool.Source(t.Context(), "1"); !errors.Is(err, lineoauth.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if _, err := fourth.Token(t.Context()); !errors.Is(err, lineoauth.ErrClosed) {
			t.Errorf("a source after Close: %v", err)
		}
	})
}

func TestPoolErrors(t *testing.T) {
	if _, err := new(lineoauth.Pool).Source(t.Context(), "1"); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("a pool without New: %v", err)
	}
	boom := errors.New("boom")
	pool := &lineoauth.Pool{New: func(context.Context, string) (*lineoauth.Source, error) { return nil, boom }}
	if _, err := pool.Source(t.Context(), "1"); !errors.Is(err, boom) || pool.Len() != 0 {
		t.Errorf("error = %v, Len = %d", err, pool.Len())
	}
}

func TestPoolClosedMeanwhile(t *testing.T) {
	client := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s3cret")})
	var pool *lineoauth.Pool
	pool = &lineoauth.Pool{New: func(context.Context, string) (*lineoauth.Source, error) {
		_ = pool.Close()
		return client.Source(lineoauth.SourceConfig{})
	}}
	if _, err := pool.Source(t.Context(), "1"); !errors.Is(err, lineoauth.ErrClosed) || pool.Len() != 0 {
		t.Errorf("error = %v, Len = %d", err, pool.Len())
	}
}

func TestPoolConcurrently(t *testing.T) {
	client := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s3cret")})
	pool := &lineoauth.Pool{MaxSources: 5, New: func(context.Context, string) (*lineoauth.Source, error) {
		return client.Source(lineoauth.SourceConfig{})
	}}
	defer pool.Close()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 200 {
				if _, err := pool.Source(t.Context(), fmt.Sprint((i+j)%9)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := pool.Len(); n != 5 {
		t.Errorf("Len = %d", n)
	}
}

// quick signs nothing real, but as much of it.
type quick struct{ *rsa.PrivateKey }

func (quick) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 256), nil
}

// What a channel costs beside the key: its client, source, assertion and token.
func BenchmarkPoolMemory(b *testing.B) {
	const n = 100_000
	key, err := lineoauth.NewKey(quick{testSigner(b)}, "Qx1pEXAMPLEkeyIDone1AA")
	if err != nil {
		b.Fatal(err)
	}
	transport := fixed(200, http.Header{"Content-Type": {"application/json"}},
		`{"access_token":"eyJhbGciOiJIUzI1NiJ9.`+strings.Repeat("x", 200)+`.c2ln","token_type":"Bearer","expires_in":900}`)
	pool := &lineoauth.Pool{MaxSources: n, New: func(_ context.Context, id string) (*lineoauth.Source, error) {
		client, err := lineoauth.New(lineoauth.Config{ChannelID: id, Key: key, Transport: transport})
		if err != nil {
			return nil, err
		}
		return client.Source(lineoauth.SourceConfig{})
	}}
	defer pool.Close()
	for b.Loop() {
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, goroutines := heap(), runtime.NumGoroutine()
		for i := range n {
			source, err := pool.Source(b.Context(), fmt.Sprint(1_000_000_000+i))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := source.Token(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/n, "B/channel")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
	}
}

// A source that was forgotten while New made it keeps no goroutine.
func TestPoolForgetsDuringNew(t *testing.T) {
	bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
		watched := &watchCount{Memory: new(store.Memory)}
		client := newClient(t, srv.Config())
		var pool *lineoauth.Pool
		made := 0
		pool = &lineoauth.Pool{New: func(_ context.Context, id string) (*lineoauth.Source, error) {
			if made++; made == 1 {
				pool.Forget(id)
			}
			return client.Source(lineoauth.SourceConfig{Store: watched})
		}}
		defer pool.Close()
		source, err := pool.Source(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		get(t, source)
		synctest.Wait()
		if n := watched.n.Load(); n != 0 {
			t.Errorf("a forgotten source has %d watches", n)
		}
		if next, err := pool.Source(t.Context(), "1"); err != nil || next == source {
			t.Errorf("the forgotten source is still there: %v", err)
		}
	})
}

// watchCount counts the watches of a store.
type watchCount struct {
	*store.Memory
	n atomic.Int32
}

func (w *watchCount) Watch(ctx context.Context, key string, changed func()) error {
	w.n.Add(1)
	defer w.n.Add(-1)
	return w.Memory.Watch(ctx, key, changed)
}

// Sources that New still makes do not count toward the limit, and one that it has
// just made is the last used: New is called once for each channel in use, if these
// are no more than MaxSources.
func TestPoolDuringNew(t *testing.T) {
	client := newClient(t, lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s3cret")})
	for limit := 1; limit <= 3; limit++ {
		for pending := range 5 {
			t.Run(fmt.Sprintf("%d of %d", pending, limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { poolDuringNew(t, client, limit, pending) })
			})
		}
	}
}

func poolDuringNew(t *testing.T, client *lineoauth.Client, limit, pending int) {
	t.Helper()
	var calls sync.Map // by channel
	pool := &lineoauth.Pool{MaxSources: limit, New: func(_ context.Context, id string) (*lineoauth.Source, error) {
		n, _ := calls.LoadOrStore(id, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		if strings.HasPrefix(id, "slow") {
			time.Sleep(10 * time.Second)
		}
		return client.Source(lineoauth.SourceConfig{})
	}}
	defer pool.Close()
	use := func(channel string, i int) {
		if _, err := pool.Source(t.Context(), fmt.Sprint(channel, i)); err != nil {
			t.Error(err)
		}
	}
	full := func() {
		t.Helper()
		if n := pool.Len(); n != limit {
			t.Errorf("Len = %d; want %d", n, limit)
		}
	}
	var wg sync.WaitGroup
	for i := range 2 * pending { // two callers for each
		wg.Go(func() { use("slow", i/2) })
	}
	synctest.Wait()
	for i := range 5 * limit {
		use("quick", i%limit)
	}
	full()
	wg.Wait()
	full()
	if pending <= limit {
		for i := range pending {
			use("slow", i)
		}
	}
	calls.Range(func(id, n any) bool {
		if n := n.(*atomic.Int32).Load(); n != 1 {
			t.Errorf("New was called %d times for %s", n, id)
		}
		return true
	})
}
