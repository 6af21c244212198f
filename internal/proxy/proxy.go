package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// contentHost serves the content that users sent, and large uploads.
//
// https://developers.line.biz/en/reference/messaging-api/#domain-name
const contentHost = "api-data.line.me"

// contentPath matches the paths of contentHost.
var contentPath = regexp.MustCompile(`^/v2/bot/(message/[^/]+/content(/.*)?|richmenu/[^/]+/content|audienceGroup/upload/byFile)$`)

const (
	// maxRepeat is the size up to which a body is kept, so that the request can be sent
	// again with a new token. Bodies that are larger, or of unknown length, are streamed.
	maxRepeat = 256 << 10
	// clientGone is the status, in logs and metrics, of a request that the client canceled.
	clientGone = 499
)

// Config configures a [Proxy].
type Config struct {
	// Source provides the tokens. Required.
	Source *lineoauth.Source
	// BaseURL is that of the source's client. If it is empty or LINE's own, content
	// is served by api-data.line.me.
	BaseURL string
	// Transport sends the requests. nil means NewTransport().
	Transport http.RoundTripper
	// Hosts are the allowed host names, in addition to those of loopback.
	Hosts []string
	// Now is the clock of the source's client. nil means [time.Now].
	Now func() time.Time
	// Log receives a line of JSON for each request. nil means no log.
	Log io.Writer
}

// Proxy is an [http.Handler]. It is created by [New] and safe for concurrent use.
type Proxy struct {
	source  *lineoauth.Source
	now     func() time.Time
	api     *url.URL
	data    *url.URL
	hosts   []string
	line    *lineoauth.Transport
	reverse *httputil.ReverseProxy
	own     *http.ServeMux // the proxy's own endpoints
	log     *slog.Logger   // nil means no log

	mu       sync.Mutex
	statuses map[int]uint64 // requests by status
}

// New returns a proxy.
func New(cfg Config) (*Proxy, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = gen.DefaultServerURL
	}
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	api, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, errors.New("the base URL is not a URL")
	}
	data := api
	if "https://"+strings.TrimSuffix(strings.ToLower(api.Host), ":443") == gen.DefaultServerURL {
		data = &url.URL{Scheme: "https", Host: contentHost}
	}
	p := &Proxy{
		source:   cfg.Source,
		now:      cfg.Now,
		api:      api,
		data:     data,
		line:     &lineoauth.Transport{Source: cfg.Source, Base: cfg.Transport},
		statuses: make(map[int]uint64),
	}
	for _, host := range cfg.Hosts {
		p.hosts = append(p.hosts, plainHost(host))
	}
	if cfg.Log != nil {
		p.log = slog.New(slog.NewJSONHandler(cfg.Log, nil))
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:       p.rewrite,
		Transport:     tokens{p},
		FlushInterval: -1, // flush immediately
		BufferPool:    new(buffers),
		ErrorHandler:  p.fail,
		ErrorLog:      log.New(io.Discard, "", 0), // p.log logs each request
	}
	p.routeOwn()
	return p, nil
}

// NewTransport returns a transport for many concurrent requests: over HTTP/2 if the
// server supports it, otherwise over kept-alive connections. It does not decompress
// bodies.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   1024,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Pings detect a connection that broke silently.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	wire.ReportProxies(t)
	return t
}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, text := p.refusal(r)
	if status == 0 && strings.HasPrefix(r.URL.Path, "/_proxy/") {
		p.own.ServeHTTP(w, r)
		return
	}
	a := &answer{ResponseWriter: w, begun: time.Now()}
	whole := false
	defer func() {
		if !whole && a.err == nil {
			a.err = brokenOff(r)
		}
		p.done(a, r)
	}()
	if status != 0 {
		a.message(status, text)
	} else {
		p.forward(a, r)
	}
	whole = true
}

var (
	errEnded  = errors.New("the proxy ended before the whole answer was sent")
	errStatus = errors.New("the answer's status is not an HTTP status; something between this machine and LINE may have given it, check the base URL and the proxy")
)

// brokenOff is the reason why an answer is incomplete.
func brokenOff(r *http.Request) error {
	if hasEnded(r) {
		return errEnded
	}
	if r.Context().Err() != nil {
		return errors.New("the client did not wait for the whole answer")
	}
	return errors.New("LINE's answer broke off")
}

// hasEnded reports whether the proxy ended before a request did.
func hasEnded(r *http.Request) bool { return errors.Is(context.Cause(r.Context()), errEnded) }

// refusal returns the status and message for a refused request, or 0.
func (p *Proxy) refusal(r *http.Request) (status int, text string) {
	host := plainHost(r.Host)
	switch {
	case len(r.Header.Values("Origin")) > 0:
		return http.StatusForbidden, "the request has an Origin header, like those of web pages; send it without one"
	case !wire.IsLoopback(host) && !slices.Contains(p.hosts, host):
		return http.StatusForbidden, "the request's Host is not allowed; use localhost, or allow the name with --allow-host"
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace: // TRACE would return the token
		return http.StatusMethodNotAllowed, "the methods CONNECT and TRACE are not supported; use another one"
	}
	return 0, ""
}

func (p *Proxy) forward(a *answer, r *http.Request) {
	if 0 < r.ContentLength && r.ContentLength <= maxRepeat {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			a.status, a.err = clientGone, fmt.Errorf("the request broke off: %w", err)
			panic(http.ErrAbortHandler)
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
		r.Header.Del("Expect") // the body is complete
	} else if r.ContentLength < 0 {
		body := &repeatable{source: r.Body}
		defer body.close() // what the server forbids after the answer
		r.GetBody = body.again
		r.Body, _ = r.GetBody()
	}
	p.reverse.ServeHTTP(a, r)
}

func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	server := p.api
	if contentPath.MatchString(r.In.URL.EscapedPath()) {
		server = p.data
	}
	r.SetURL(server)
	r.Out.URL.RawQuery = r.In.URL.RawQuery // unchanged, even if LINE refuses it
	r.Out.GetBody = r.In.GetBody
	// An upgrade may be ignored, and HTTP/2 has none. For a WebSocket, net/http connects
	// by HTTP/1.
	if !strings.EqualFold(r.Out.Header.Get("Upgrade"), "websocket") {
		r.Out.Header.Del("Connection")
		r.Out.Header.Del("Upgrade")
	}
	r.Out.Header.Del("Http2-Settings") // clients may not list it in Connection
}

// tokens is a transport that sets a token.
type tokens struct{ *Proxy }

// noTokenError is the error if there is no valid token.
type noTokenError struct{ error }

func (e *noTokenError) Unwrap() error { return e.error }

func (p tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := p.source.Token(r.Context()); err != nil {
		return nil, &noTokenError{err}
	}
	rsp, err := p.line.RoundTrip(r)
	if err == nil && (rsp.StatusCode < 100 || rsp.StatusCode > 999) { // for which WriteHeader panics
		_ = rsp.Body.Close()
		return nil, errStatus
	}
	return rsp, err
}

// fail answers a request that LINE did not answer.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	a, _ := w.(*answer) // forward set it
	a.err = err
	noToken := new(noTokenError)
	switch {
	case hasEnded(r):
		a.err = errEnded
		a.message(http.StatusBadGateway, "no answer from LINE: "+errEnded.Error())
	case r.Context().Err() != nil:
		a.status = clientGone
	case errors.As(err, &noToken):
		a.Header().Set("Retry-After", strconv.Itoa(retryAfter(err)))
		a.message(http.StatusServiceUnavailable, "no valid channel access token: "+scrubbed(err))
	default:
		a.message(http.StatusBadGateway, "no answer from LINE: "+scrubbed(err))
	}
}

// retryAfter returns the seconds until the next attempt.
func retryAfter(err error) int {
	if refused := new(lineoauth.Error); errors.As(err, &refused) && refused.RetryAfter > 0 {
		return int(math.Ceil(refused.RetryAfter.Seconds()))
	}
	return 1
}

// endWait is how long canceled requests have to be logged.
const endWait = 500 * time.Millisecond

// Serve answers the requests of a listener until ctx is done. It then waits for
// active requests, for at most grace, cancels the others, and closes the listener.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	srv := &http.Server{
		BaseContext:       func(net.Listener) context.Context { return base },
		Handler:           p,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       5 * time.Minute,
		// OPTIONS * goes through the handler like all requests.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0),
	}
	var works sync.WaitGroup
	defer works.Wait()
	first, stop := context.WithCancel(ctx)
	defer stop()
	works.Go(func() { _, _ = p.source.Token(first) }) // so that the first request does not wait
	served := make(chan error, 1)
	works.Go(func() { served <- srv.Serve(l) })
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	shutdown := func(wait time.Duration) error {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
		defer cancel()
		return srv.Shutdown(ending)
	}
	if shutdown(grace) != nil {
		cut(errEnded)
		if shutdown(endWait) != nil {
			_ = srv.Close()
		}
	}
	p.line.CloseIdleConnections()
	return nil
}

// plainHost returns a Host header's name in lower case, without the port.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// message answers in the format of LINE's errors.
func (a *answer) message(status int, text string) {
	body, _ := json.Marshal(map[string]string{"message": "lineoauth proxy: " + text}) // strings always marshal
	a.Header().Set("Content-Type", "application/json")
	a.WriteHeader(status)
	_, _ = a.Write(append(body, '\n'))
}

// buffers pools the buffers for copying bodies.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(buffer []byte) {
	if len(buffer) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buffer))
	}
}
