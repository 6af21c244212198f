// Package wire makes one exchange with a server: it carries a request there,
// observes how far it came, and returns the whole answer. It knows nothing of
// tokens.
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// MaxAnswer is the size of the longest body that an answer may have.
const MaxAnswer = 1 << 20

// Answer is what a server answered, or why it did not.
type Answer struct {
	*http.Response        // nil if none came; its Body can be read once more
	Bytes          []byte // of the body, one more than MaxAnswer if it has more than that
	Err            error  // why there is no answer, or not all of it
	Unsent         bool   // nothing left this machine
	Ended          bool   // the caller's context ended, and not the timeout

	memory memoryBody
	trace  trace
}

// errTimeout marks the end of a context as this package's doing.
var errTimeout = errors.New("timeout")

// Do sends a request and reads the answer, within timeout if that is positive. It
// follows no redirect, which would hand a secret to the server that it points at.
func Do(ctx context.Context, transport http.RoundTripper, req *http.Request, timeout time.Duration) *Answer {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
		defer cancel()
	}
	a := new(Answer)
	t := &a.trace
	t.GetConn = func(string) { t.began.Store(true) }
	t.WroteHeaders = func() { t.written.Store(true) }
	rsp, err := RoundTrip(transport, req.WithContext(httptrace.WithClientTrace(ctx, &t.ClientTrace))) //nolint:bodyclose // below, by another name
	switch {
	case err != nil:
		err = fmt.Errorf("%s%s: %w", req.URL.Host, req.URL.Path, err) // without the query, which may hold a secret
	case rsp == nil || rsp.Body == nil:
		err = errors.New("the transport gave neither an answer nor an error")
	}
	if err != nil {
		a.Err, a.Unsent = explained(ctx, err, timeout), t.unsent(err)
		a.Ended = endedByCaller(ctx)
		return a
	}
	body := rsp.Body
	defer func() { _ = body.Close() }()
	a.Response = rsp
	a.Bytes, err = io.ReadAll(io.LimitReader(body, MaxAnswer+1))
	a.memory.Reset(a.Bytes)
	rsp.Body = &a.memory
	if err != nil {
		a.Err = fmt.Errorf("the answer broke off: %w", explained(ctx, err, timeout))
		if a.Ended = endedByCaller(ctx); !a.Ended {
			a.Err = fmt.Errorf("%w; check the network and try again", a.Err)
		}
	}
	return a
}

// endedByCaller reports whether the caller's context ended, and not the timeout.
func endedByCaller(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout)
}

// explained reports the timeout, or the end of the caller's context, in whose place
// net/http gives its cause.
func explained(ctx context.Context, err error, timeout time.Duration) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

// memoryBody is a response body that was read already.
type memoryBody struct{ bytes.Reader }

func (*memoryBody) Close() error { return nil }

// trace is how far a request came.
type trace struct {
	httptrace.ClientTrace
	began, written atomic.Bool
}

// unsent reports whether nothing of a request that failed left this machine. A
// transport of the caller's may trace nothing; what cannot be dialed was not sent.
func (t *trace) unsent(err error) bool {
	if t.began.Load() || t.written.Load() {
		return !t.written.Load()
	}
	dial := new(net.OpError)
	return errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, new(*UnreadableProxy))
}

// Date is the server's time, zero if the answer has none.
func (a *Answer) Date() time.Time {
	t, _ := http.ParseTime(a.Header.Get("Date")) // zero if there is none
	return t
}

// RetryAfter is how long the server asks to wait, in seconds or until a date by its
// clock; without one, by now.
func (a *Answer) RetryAfter(now time.Time) time.Duration {
	value := a.Header.Get("Retry-After")
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
		return Seconds(n)
	}
	if date := a.Date(); !date.IsZero() {
		now = date
	}
	if t, err := http.ParseTime(value); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

// Seconds stops at the longest duration that there is, some 292 years.
func Seconds(n int64) time.Duration {
	if n > int64(math.MaxInt64/time.Second) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Second
}

// MediaType is not put in lower case, in which a secret could be missed.
func (a *Answer) MediaType() string {
	t, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if t = strings.TrimSpace(t); t != "" {
		return t
	}
	return "a body of unknown type"
}

// Redirect is where the answer points, without a query.
func (a *Answer) Redirect() string {
	if to, err := a.Location(); err == nil {
		return to.Host + to.Path
	}
	return "nowhere"
}
