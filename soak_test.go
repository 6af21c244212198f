package lineoauth_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

var soak = flag.Duration("soak", time.Second, "how long TestSoak lasts")

// 200 goroutines use tokens that live a third of a second, of an emulator that errs
// on every tenth answer.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	const callers, speed, every = 200, 2700, 5 * time.Millisecond
	line := lineoauthtest.NewUnstartedServer()
	t.Cleanup(line.Close)
	cfg := line.Config()
	faults := []lineoauthtest.Fault{
		{Kind: lineoauthtest.ServerError}, {Kind: lineoauthtest.RateLimited, RetryAfter: "3"}, {Kind: lineoauthtest.NotJSON},
		{Kind: lineoauthtest.Endless}, {Kind: lineoauthtest.Redirect}, {Kind: lineoauthtest.ResetBefore}, {Kind: lineoauthtest.ResetAfter},
		{Kind: lineoauthtest.CutBody}, {Kind: lineoauthtest.Delayed, Delay: 20 * time.Millisecond}, {Kind: lineoauthtest.WrongDate, Skew: time.Hour},
	}
	var struck, refused atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rand.IntN(10) == 0 {
			struck.Add(1)
			line.Inject(faults[rand.IntN(len(faults))])
		}
		answer := &statusRecorder{ResponseWriter: w}
		line.ServeHTTP(answer, r) // panics if a fault cuts the answer, which then is no refusal to the client
		if answer.status == http.StatusBadRequest {
			refused.Add(1)
		}
	}))
	t.Cleanup(front.Close)

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.BaseURL, cfg.Transport = front.URL, transport
	var tokens, failures, unsigned, late atomic.Int64
	cfg.OnEvent = func(e lineoauth.Event) {
		switch e.Kind {
		case lineoauth.EventIssued, lineoauth.EventRefreshed:
			tokens.Add(1)
		case lineoauth.EventRefreshFailed, lineoauth.EventRetried:
			failures.Add(1)
			if errors.Is(e.Err, lineoauth.ErrInvalidAssertion) {
				unsigned.Add(1)
			}
			if errors.Is(e.Err, context.DeadlineExceeded) { // perhaps before a request was sent
				late.Add(1)
			}
		}
	}
	client := retrying(t, cfg)
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}

	var all sync.WaitGroup
	var liveUntil, calls, errs atomic.Int64
	stop := make(chan struct{})
	all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				line.Advance((speed - 1) * every)
			case <-stop:
				return
			}
		}
	})
	for range callers {
		all.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-stop:
					return
				}
				until, now := liveUntil.Load(), line.Now()
				token, err := source.Token(t.Context())
				calls.Add(1)
				switch {
				case err != nil && line.Now().UnixNano() < until:
					t.Errorf("an error while a token was valid: %v", err)
				case err != nil:
					errs.Add(1)
				case !now.Before(token.ExpiresAt()):
					t.Errorf("a token that had expired for %v", now.Sub(token.ExpiresAt()))
				default:
					// By the source's own measure: at this speed, a moment between two looks
					// at the clock is long.
					expires := source.Stats().ExpiresAt.UnixNano()
					for until < expires && !liveUntil.CompareAndSwap(until, expires) {
						until = liveUntil.Load()
					}
				}
			}
		})
	}
	<-time.After(*soak / 10) // the goroutines and connections that it takes are there
	goroutines, heap := used()
	<-time.After(*soak - *soak/10)
	for tokens.Load() == 0 && !t.Failed() { // on a busy machine
		<-time.After(10 * time.Millisecond)
	}
	moreGoroutines, moreHeap := used()
	close(stop)
	all.Wait()
	// A refresh may be under way, of which there is no event if it is cut short.
	counted := func() int64 { return int64(line.State().Calls[lineoauth.OpIssueStatelessChannelToken]) }
	// At this speed an assertion is valid for less than a Retry-After here. When
	// it is refused, another is signed and sent, of which there is no event.
	reported := func() int64 { return tokens.Load() + failures.Load() + refused.Load() - unsigned.Load() }
	for waits := 0; counted() > reported() || counted() < reported()-late.Load(); waits++ {
		if waits == 6000 {
			t.Errorf("the emulator counted %d issues, the source %d, %d of which may not have been sent", counted(), reported(), late.Load())
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}

	t.Logf("%v: %d calls, %d tokens, %d failed issues, %d faults, %d errors without a valid token; goroutines %d, later %d; heap %d KiB, later %d KiB",
		*soak, calls.Load(), tokens.Load(), failures.Load(), struck.Load(), errs.Load(), goroutines, moreGoroutines, heap>>10, moreHeap>>10)
	if moreGoroutines > goroutines+10 {
		t.Errorf("%d goroutines became %d", goroutines, moreGoroutines)
	}
	if moreHeap > heap+4<<20 {
		t.Errorf("%d bytes of heap became %d", heap, moreHeap)
	}
	if tokens.Load() < int64(*soak/(2*time.Second)) {
		t.Errorf("%d tokens", tokens.Load())
	}
}

// statusRecorder records the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// used returns the goroutines, and the bytes of heap after a collection.
func used() (goroutines int, heap uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}
