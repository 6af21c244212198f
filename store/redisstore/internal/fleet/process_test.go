//go:build unix

package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// asProcess has the test binary be one process of a fleet.
const asProcess = "LINEOAUTH_FLEET_PROCESS"

func TestMain(m *testing.M) {
	logging.Disable() // go-redis logs each connection that fails
	if os.Getenv(asProcess) != "" {
		if err := process(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The tests wait most of the time.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// settings are a process's first line of input, as JSON.
type settings struct {
	BaseURL, ChannelID, PrivateKey, KeyID string

	Dir            string        // of the file store, or
	Redis          string        // the address of Redis
	User           string        // there, whose password is the same
	LeaseTime      time.Duration // there
	RefreshTimeout time.Duration
	MaxAttempts    int
	Apart          time.Duration // its clock is ahead of all others by this
	// Once has it end with its first token, or without one.
	Once bool
	// Waits has each of its calls wait for a token. There may then be none.
	Waits bool
}

// order is any further line of input. With the first one the process begins.
type order struct {
	Ahead time.Duration // of its clock
}

// report is a line of output. A key ID stands for its token.
type report struct {
	Ready       bool
	Issuing     bool   // a request for a token is on its way
	KeyID       string // of a token that is new here
	Refreshed   bool   // with a token that this process issued
	Gap         string // there is no valid token at this moment
	StoreFailed string
	Asked       int           // since the last report
	Calls       int           // of the store, so far
	Took        time.Duration // until the first token was there
}

// process asks for a token every few milliseconds, until its input ends.
func process(stdin io.Reader, stdout io.Writer) error {
	lines := bufio.NewScanner(stdin)
	var set settings
	if !lines.Scan() {
		return lines.Err()
	} else if err := json.Unmarshal(lines.Bytes(), &set); err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(stdout)
	tell := func(r report) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(r)
	}
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(set.Apart + time.Duration(ahead.Load())) }

	shared, err := set.open()
	if err != nil {
		return err
	}
	var calls atomic.Int32
	key, err := lineoauth.ParseKey([]byte(set.PrivateKey))
	if err != nil {
		return err
	}
	client, err := lineoauth.New(lineoauth.Config{
		BaseURL:     set.BaseURL,
		ChannelID:   set.ChannelID,
		Key:         key,
		KeyID:       set.KeyID,
		MaxAttempts: set.MaxAttempts,
		Timeout:     time.Minute, // the machine may be busy
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if isIssue(r) {
				tell(report{Issuing: true})
			}
			return http.DefaultTransport.RoundTrip(r)
		}),
		Now: now, MaxClockSkew: 24 * time.Hour,
		OnEvent: func(e lineoauth.Event) {
			switch e.Kind {
			case lineoauth.EventStoreFailed:
				tell(report{StoreFailed: e.Err.Error()})
			case lineoauth.EventRefreshed:
				tell(report{Refreshed: true})
			}
		},
	})
	if err != nil {
		return err
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: count(shared, &calls), RefreshTimeout: set.RefreshTimeout})
	if err != nil {
		return err
	}
	defer source.Close()
	tell(report{Ready: true})

	ctx, cancel := context.WithCancel(context.Background())
	begin := make(chan struct{})
	go func() {
		defer cancel()
		begun := false
		for lines.Scan() {
			var o order
			if json.Unmarshal(lines.Bytes(), &o) != nil {
				return
			}
			ahead.Store(int64(o.Ahead))
			if !begun {
				begun = true
				close(begin)
			}
		}
	}()
	select {
	case <-begin:
	case <-ctx.Done():
		return nil
	}
	begun := time.Now()
	token, err := source.Token(ctx)
	switch {
	case err != nil && set.Once:
		tell(report{Gap: err.Error()})
		return nil
	case err != nil:
		return err
	}
	tell(report{KeyID: token.KeyID, Calls: int(calls.Load()), Took: time.Since(begun)})
	if set.Once {
		return nil
	}
	ask := ctx
	if !set.Waits {
		// A context that has ended lets no call wait.
		atOnce, end := context.WithCancel(ctx)
		end()
		ask = atOnce
	}
	last := token.KeyID
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for asked := 1; ; asked++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		switch token, err := source.Token(ask); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			tell(report{Gap: err.Error()})
		case !now().Before(token.ExpiresAt()):
			tell(report{Gap: ended})
		case token.KeyID != last:
			last = token.KeyID
			tell(report{KeyID: last})
		}
		if asked == 20 {
			tell(report{Asked: asked, Calls: int(calls.Load())})
			asked = 0
		}
	}
}

// ended is the gap of a process that was given a token which has expired.
const ended = "the token has expired"

// isIssue reports whether a request is one for a token.
func isIssue(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/oauth2/v2.1/token") }

func (s settings) open() (store.Store, error) {
	if s.Dir != "" {
		return filestore.New(filestore.Config{Dir: s.Dir})
	}
	client := redis.NewClient(&redis.Options{Addr: s.Redis, Username: s.User, Password: s.User, ContextTimeoutEnabled: true})
	return redisstore.New(redisstore.Config{Client: client, LeaseTime: s.LeaseTime})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counted counts the calls of a store.
type counted struct {
	store.Store
	calls *atomic.Int32
}

type countedWatcher struct {
	counted
	watcher store.Watcher
}

func count(s store.Store, calls *atomic.Int32) store.Store {
	c := counted{s, calls}
	if watcher, ok := s.(store.Watcher); ok {
		return countedWatcher{c, watcher}
	}
	return c
}

func (c counted) Load(ctx context.Context, key string) (store.Entry, error) {
	c.calls.Add(1)
	return c.Store.Load(ctx, key)
}

func (c counted) Save(ctx context.Context, key string, update store.Update) (string, error) {
	c.calls.Add(1)
	return c.Store.Save(ctx, key, update)
}

func (c counted) Lease(ctx context.Context, key string, ttl time.Duration) (func(), error) {
	c.calls.Add(1)
	return c.Store.Lease(ctx, key, ttl)
}

func (c countedWatcher) Watch(ctx context.Context, key string, changed func()) error {
	c.calls.Add(1)
	return c.watcher.Watch(ctx, key, changed)
}
