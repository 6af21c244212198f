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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store/filestore"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// asProcess has the test binary be one process of a fleet.
const asProcess = "LINEOAUTH_FLEET_PROCESS"

func TestMain(m *testing.M) {
	logging.Disable() // go-redis tells of each connection that fails
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
	LeaseTime      time.Duration // there
	RefreshTimeout time.Duration
	// Once has it end with its first token.
	Once bool
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
	Gap         string // there is no live token at this moment
	StoreFailed string
	Asked       int // since the last report
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
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }

	store, err := set.open()
	if err != nil {
		return err
	}
	key, err := lineoauth.ParseKey([]byte(set.PrivateKey))
	if err != nil {
		return err
	}
	client, err := lineoauth.New(lineoauth.Config{
		BaseURL:   set.BaseURL,
		ChannelID: set.ChannelID,
		Key:       key,
		KeyID:     set.KeyID,
		Timeout:   time.Minute, // the machine may be busy
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			tell(report{Issuing: true})
			return http.DefaultTransport.RoundTrip(r)
		}),
		Now: now,
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
	source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: store, RefreshTimeout: set.RefreshTimeout})
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
	token, err := source.Token(ctx)
	if err != nil {
		return err
	}
	tell(report{KeyID: token.KeyID})
	if set.Once {
		return nil
	}
	// A context that has ended lets no call wait.
	atOnce, end := context.WithCancel(ctx)
	end()
	last := token.KeyID
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for asked := 1; ; asked++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		switch token, err := source.Token(atOnce); {
		case err != nil:
			tell(report{Gap: err.Error()})
		case !now().Before(token.ExpiresAt()):
			tell(report{Gap: "the token has ended"})
		case token.KeyID != last:
			last = token.KeyID
			tell(report{KeyID: last})
		}
		if asked == 20 {
			tell(report{Asked: asked})
			asked = 0
		}
	}
}

func (s settings) open() (lineoauth.Store, error) {
	if s.Dir != "" {
		return filestore.New(filestore.Config{Dir: s.Dir})
	}
	client := redis.NewClient(&redis.Options{Addr: s.Redis, ContextTimeoutEnabled: true})
	return redisstore.New(redisstore.Config{Client: client, LeaseTime: s.LeaseTime})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
