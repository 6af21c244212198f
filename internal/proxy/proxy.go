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

// contentHost has what users sent, and takes what is large.
//
// https://developers.line.biz/en/reference/messaging-api/#domain-name
const contentHost = "api-data.line.me"

// contentPath matches the paths of contentHost.
var contentPath = regexp.MustCompile(`^/v2/bot/(message/[^/]+/content(/.*)?|richmenu/[^/]+/content|audienceGroup/upload/byFile)$`)

const (
	// maxRepeat is the longest body that is kept, so that a request can be sent
	// again with another token. Longer ones are streamed.
	maxRepeat = 256 << 10
	// clientGone is the status, for logs and metrics, of a request whose client did
	// not wait for the answer.
	clientGone = 499
)

// Config configures a [Proxy].
type Config struct {
	// Source gives the tokens. It must be set.
	Source *lineoauth.Source
	// BaseURL is that of the source's client. Empty, or LINE's own, means that
	// contents come from api-data.line.me.
	BaseURL string
	// Transport carries the requests. nil means what NewTransport returns.
	Transport http.RoundTripper
	// Hosts are the names, besides those of loopback, under which it may be called.
	Hosts []string
	// Now is the clock of the source's client. nil means [time.Now].
	Now func() time.Time
	// Log receives a line of JSON for each request. nil means none.
	Log io.Writer
}

// Proxy is an [http.Handler]. It is made by [New] and safe for concurrent use.
type Proxy struct {
	source  *lineoauth.Source
	now     func() time.Time
	api     *url.URL
	data    *url.URL
	hosts   []string
	line    *lineoauth.Transport
	reverse *httputil.ReverseProxy
	own     *http.ServeMux // its own paths
	log     *slog.Logger   // nil for none

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
		FlushInterval: -1, // at once
		BufferPool:    new(buffers),
		ErrorHandler:  p.fail,
		ErrorLog:      log.New(io.Discard, "", 0), // each request is logged by p.log
	}
	p.routeOwn()
	return p, nil
}

// NewTransport returns what carries many requests at once: by HTTP/2 where the
// server has it, and else by connections that are kept. It leaves bodies as they
// are.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   1024,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// A connection that broke without a sign is found out by a ping.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
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

// brokenOff is why an answer ended before its end.
func brokenOff(r *http.Request) error {
	if r.Context().Err() != nil {
		return errors.New("the client did not wait for the whole answer")
	}
	return errors.New("LINE's answer broke off")
}

// refusal returns the answer to a request that is refused, and else 0.
func (p *Proxy) refusal(r *http.Request) (status int, text string) {
	host := plainHost(r.Host)
	switch {
	case len(r.Header.Values("Origin")) > 0:
		return http.StatusForbidden, "the request has an Origin, as those of web pages have; the proxy is for programs"
	case !wire.IsLoopback(host) && !slices.Contains(p.hosts, host):
		return http.StatusForbidden, "the proxy is not called by this Host; call it as localhost, or allow the name by --allow-host"
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace: // which would return the token
		return http.StatusMethodNotAllowed, "the proxy passes on neither CONNECT nor TRACE"
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
		r.Header.Del("Expect") // the body is here
	}
	p.reverse.ServeHTTP(a, r)
}

func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	server := p.api
	if contentPath.MatchString(r.In.URL.EscapedPath()) {
		server = p.data
	}
	r.SetURL(server)
	r.Out.URL.RawQuery = r.In.URL.RawQuery // as it is, whatever LINE makes of it
	r.Out.GetBody = r.In.GetBody
}

// tokens sends requests with a token.
type tokens struct{ *Proxy }

// noTokenError is why there is no valid token.
type noTokenError struct{ error }

func (e *noTokenError) Unwrap() error { return e.error }

func (p tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := p.source.Token(r.Context()); err != nil {
		return nil, &noTokenError{err}
	}
	return p.line.RoundTrip(r)
}

// fail answers a request that got no answer from LINE.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	a, _ := w.(*answer) // which forward passed on
	a.err = err
	noToken := new(noTokenError)
	switch {
	case r.Context().Err() != nil:
		a.status = clientGone
	case errors.As(err, &noToken):
		a.Header().Set("Retry-After", strconv.Itoa(retryAfter(err)))
		a.message(http.StatusServiceUnavailable, "there is no valid channel access token: "+scrubbed(err))
	default:
		a.message(http.StatusBadGateway, "LINE gave no answer: "+scrubbed(err))
	}
}

// retryAfter is in how many seconds the next attempt may succeed.
func retryAfter(err error) int {
	if refused := new(lineoauth.Error); errors.As(err, &refused) && refused.RetryAfter > 0 {
		return int(math.Ceil(refused.RetryAfter.Seconds()))
	}
	return 1
}

// Serve answers the requests of a listener until ctx ends. It then finishes what is
// under way, for at most grace, and closes the listener.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	srv := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       5 * time.Minute,
		// OPTIONS * is refused as all requests are.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0),
	}
	var works sync.WaitGroup
	defer works.Wait()
	first, stop := context.WithCancel(ctx)
	defer stop()
	works.Go(func() { _, _ = p.source.Token(first) }) // so that the first request need not wait
	served := make(chan error, 1)
	works.Go(func() { served <- srv.Serve(l) })
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if srv.Shutdown(ending) != nil {
		_ = srv.Close()
	}
	p.line.CloseIdleConnections()
	return nil
}

// plainHost is a Host header's name in small letters, without its port.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// message answers in the shape of LINE's errors.
func (a *answer) message(status int, text string) {
	body, _ := json.Marshal(map[string]string{"message": "lineoauth proxy: " + text}) // strings marshal
	a.Header().Set("Content-Type", "application/json")
	a.WriteHeader(status)
	_, _ = a.Write(append(body, '\n'))
}

// buffers are what bodies are copied through.
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
