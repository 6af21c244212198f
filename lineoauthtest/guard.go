package lineoauthtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/gen"
)

const (
	maxBody = 1 << 20
	// stall is how long a client may take to send a body, and to read one write.
	stall = 30 * time.Second
)

// lineHosts are LINE's hosts of the emulated endpoints.
var lineHosts = []string{strings.TrimPrefix(gen.DefaultServerURL, "https://"), "api-data.line.me"}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$`)

// AllowHost makes the server accept requests for another host, such as its name in a
// compose network: a name or an IP address, without port.
//
// A web page can reach a server on loopback under a name of its own, by rebinding DNS.
// So a request that comes by a socket and without TLS has to be for localhost, a
// loopback address, the address that it was sent to, one of LINE's hosts, or a host
// that is allowed. Others are refused with 403, and so are those from web pages of
// another origin.
func (s *Server) AllowHost(name string) error {
	if _, err := netip.ParseAddr(name); err != nil && !hostName.MatchString(name) {
		return fmt.Errorf("lineoauthtest: %q is not a host name; use one such as emulator, without scheme, port and path", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[canonicalHost(name)] = true
	return nil
}

// canonicalHost returns the canonical form of a host, for comparison.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return asciiLower(strings.TrimSuffix(host, "."))
}

// asciiLower converts only ASCII to lower case: Unicode has other letters that map to
// k and i.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, text)
}

// refuseForeign refuses requests that a web page may have sent.
func (s *Server) refuseForeign(r *http.Request) *refusal {
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || asciiLower(u.Host) != asciiLower(r.Host) {
			return messageRefusal(http.StatusForbidden, "the emulator refuses web pages; send the request without the Origin header")
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return messageRefusal(http.StatusForbidden, "the emulator refuses web pages; type the address into the browser, or send the request without the Sec-Fetch-Site header")
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	if s.answersTo(canonicalHost(host), r) {
		return nil
	}
	if hostName.MatchString(host) && len(host) < 256 {
		return messageRefusal(http.StatusForbidden, fmt.Sprintf("the host %s is not allowed; use lineoauth serve --allow-host %s, or in Go Server.AllowHost", host, host))
	}
	return messageRefusal(http.StatusForbidden, "this host is not allowed; use lineoauth serve --allow-host, or in Go Server.AllowHost")
}

func (s *Server) answersTo(host string, r *http.Request) bool {
	came, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if came == nil || came.Network() == "pipe" || came.Network() == "unix" || r.TLS != nil {
		return true // web pages cannot connect in memory, nor with TLS under their own host name
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		own, err := netip.ParseAddrPort(came.String())
		if addr.IsLoopback() || err == nil && own.Addr().Unmap().WithZone("") == addr.WithZone("") {
			return true
		}
	}
	for _, name := range append(lineHosts, "localhost") {
		if host == name {
			return true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[host]
}

// body is a request's buffered body.
type body struct {
	*bytes.Reader
	text []byte
}

func (body) Close() error { return nil }

// takeBody reads the body, after which net/http notices a client that disconnects.
func takeBody(w http.ResponseWriter, r *http.Request) *refusal {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	tooLarge := new(http.MaxBytesError)
	switch {
	case errors.As(err, &tooLarge):
		return messageRefusal(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes; send less", maxBody))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return messageRefusal(http.StatusRequestTimeout, fmt.Sprintf("the body did not arrive within %v", stall))
	case err != nil:
		return messageRefusal(http.StatusBadRequest, "cannot read the body")
	}
	r.Body = body{bytes.NewReader(text), text}
	return nil
}

// timeoutWriter drops a client that does not read.
type timeoutWriter struct{ http.ResponseWriter }

// Unwrap allows a fault to hijack the connection.
func (w timeoutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w timeoutWriter) wait() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(stall)) // an httptest.ResponseRecorder has none
}

func (w timeoutWriter) WriteHeader(status int) {
	w.wait()
	w.ResponseWriter.WriteHeader(status)
}

func (w timeoutWriter) Write(p []byte) (int, error) {
	w.wait()
	return w.ResponseWriter.Write(p)
}

// admit refuses requests of web pages and with invalid bodies; otherwise it buffers
// the body.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	bad := s.refuseForeign(r)
	if r.Body == nil || r.Body == http.NoBody {
		r.Body = http.NoBody
	} else {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(stall)) // an httptest.ResponseRecorder has none
		if bad == nil {
			bad = takeBody(w, r)
		}
		if bad == nil {
			_ = control.SetReadDeadline(time.Time{})
		}
	}
	if bad != nil {
		// The deadline remains for the rest of the body, which net/http reads.
		w.Header().Set("Connection", "close")
		bad.write(w)
	}
	return bad == nil
}
