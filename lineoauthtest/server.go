package lineoauthtest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/pipe"
)

// Server is the emulator. It is created by [NewServer] or [NewUnstartedServer], and
// safe for concurrent use.
type Server struct {
	// URL is the base URL, "http://host:port", once the server is started.
	URL string
	// Listener is the listener of Start. nil means a free port of 127.0.0.1.
	Listener net.Listener

	mux    *http.ServeMux
	http   *http.Server
	pipe   *pipe.Listener
	memory *http.Transport
	served sync.WaitGroup

	jws *jwsForm

	mu         sync.Mutex
	channels   map[string]*Channel
	keys       map[string]registeredKey // by kid
	ownKeys    int                      // number of privateKeys in use by its channels
	hosts      map[string]bool          // set by AllowHost
	limitRates bool
	kept

	ownChannel func() *Channel
	closing    chan struct{} // closed by Close
	closeOnce  sync.Once
}

// kept is the state that Reset clears, in addition to that of channels.
type kept struct {
	offset    time.Duration
	byText    map[string]*token // valid tokens, and some expired ones
	forgotten int
	faults    []*Fault
	calls     map[lineoauth.Operation]int
	requests  []Request // the last ones, oldest first
	messages  []Message // oldest first
	buckets   map[bucketKey]bucket
	profiles  map[string]Profile
	contents  map[string]content
}

func newKept() kept {
	return kept{
		byText:   make(map[string]*token),
		calls:    make(map[lineoauth.Operation]int),
		buckets:  make(map[bucketKey]bucket),
		profiles: make(map[string]Profile),
		contents: make(map[string]content),
	}
}

// NewServer starts and returns a server on a free port of 127.0.0.1. The caller
// should call Close when finished. NewServer panics if it cannot listen, as
// [httptest.NewServer] does.
func NewServer() *Server {
	s := NewUnstartedServer()
	s.Start()
	return s
}

// NewUnstartedServer returns a server that does not listen yet. It answers through
// [Server.Transport], which is all that a test inside a [testing/synctest] bubble can
// use; Start adds a listener.
func NewUnstartedServer() *Server {
	s := &Server{
		mux:      http.NewServeMux(),
		pipe:     pipe.Listen(),
		jws:      newJWSForm(),
		channels: make(map[string]*Channel),
		keys:     make(map[string]registeredKey),
		hosts:    make(map[string]bool),
		kept:     newKept(),
		closing:  make(chan struct{}),
	}
	s.ownChannel = sync.OnceValue(s.newChannel)
	s.routeOperations(handler{s, unanswered})
	s.routeMessaging()
	for _, a := range adminEndpoints {
		s.mux.HandleFunc(a.pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(s, w, r) })
	}
	// Longer than clients keep idle connections, so that they do not see them close.
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, IdleTimeout: 3 * time.Minute, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.served.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.served.Done()
		}
	}}
	s.memory = &http.Transport{
		DialContext:     s.pipe.Dial,
		DialTLSContext:  s.pipe.Dial,
		IdleConnTimeout: 90 * time.Second,
	}
	s.serve(s.pipe)
	return s
}

// Start listens. It panics if that fails, or if the server is already started.
func (s *Server) Start() {
	if s.URL != "" {
		panic("lineoauthtest: the server is already started")
	}
	if s.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(fmt.Sprintf("lineoauthtest: cannot listen: %v", err))
		}
		s.Listener = l
	}
	s.URL = "http://" + s.Listener.Addr().String()
	s.serve(s.Listener)
}

func (s *Server) serve(l net.Listener) {
	s.served.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("lineoauthtest: %v", err))
		}
	})
}

// Close ends the server and all its connections, and waits until its goroutines have
// ended.
func (s *Server) Close() {
	s.memory.CloseIdleConnections()
	s.closeOnce.Do(func() { close(s.closing) })
	_ = s.http.Close()
	s.served.Wait()
}

// Transport returns an [http.RoundTripper] that sends every request to this server,
// whatever its host, without a socket.
func (s *Server) Transport() http.RoundTripper { return s.memory }

// Channel returns the server's own channel, which the first call creates.
func (s *Server) Channel() *Channel { return s.ownChannel() }

// Config returns a client configuration for the server's default channel, with its
// secret and a key; see [Channel.Config].
func (s *Server) Config() lineoauth.Config { return s.Channel().Config() }

func (s *Server) newChannel() *Channel {
	for {
		// The generated ID may be taken.
		if c, err := s.AddChannel("", ""); err == nil {
			return c
		}
	}
}

// Now returns the server's time.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now has no monotonic reading, which would stop while the machine sleeps, and differ
// from the clock that clients see.
func (s *Server) now() time.Time { return time.Now().Round(0).Add(s.offset) }

// maxAhead prevents overflows in computations with the server's time.
const maxAhead = 100 * 365 * 24 * time.Hour

// Advance advances the server's time by d: tokens age at once. It can be 100 years
// ahead of the machine's at most. A negative d does nothing.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.advance(min(d, maxAhead-s.offset)) // fails for a negative d
}

func (s *Server) advance(d time.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("the clock does not go back; advance it by a duration such as 15m, or reset the emulator")
	case d > maxAhead-s.offset:
		return fmt.Errorf("the clock can be at most 100 years ahead of the machine's; advance it by %v or less, or reset the emulator", maxAhead-s.offset)
	}
	s.offset += d
	return nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := setHeaders(w.Header(), r.URL.Path)
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	patient := timeoutWriter{w}
	defer patient.wait()
	w = patient
	if !s.admit(w, r) {
		return
	}

	handler, pattern := s.mux.Handler(r)
	op, ok := operations[pattern]
	switch {
	case !isClean(r.URL.Path): // the mux would redirect
		messageRefusal(http.StatusNotFound, http.StatusText(http.StatusNotFound)).write(w)
	case ok:
		s.observe(w, r, op, requestID)
	case strings.Contains(pattern, " "+adminPath):
		s.mux.ServeHTTP(w, r)
	default:
		// The mux answers 404 or 405 in plain text.
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		if allow := rec.Header().Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
		}
		lacking(rec.Code, r).write(w)
	}
}

func isClean(urlPath string) bool {
	clean := path.Clean(urlPath)
	return urlPath == clean || clean != "/" && urlPath == clean+"/"
}

// setHeaders sets the headers of LINE's answers at a path, including the request ID.
// Those of the OAuth endpoints were recorded by omniauth-line on 2026-09-03.
func setHeaders(header http.Header, path string) (requestID string) {
	if !strings.HasPrefix(path, "/oauth2/") && !strings.HasPrefix(path, "/v2/oauth/") {
		requestID = newUUID()
		header.Set("Content-Type", "application/json")
	} else {
		requestID = oauthRequestID()
		header.Set("Content-Type", "application/json;charset=UTF-8")
		header.Set("Cache-Control", "max-age=0, no-cache, no-store")
		header.Set("Pragma", "no-cache")
		header.Set("X-Content-Type-Options", "nosniff")
	}
	header.Set("X-Line-Request-Id", requestID)
	return requestID
}

// baseURL is the base URL for clients of this server.
func (s *Server) baseURL() string {
	if s.URL != "" {
		return s.URL
	}
	return gen.DefaultServerURL
}
