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
	// stall is how long a client may take to send a body, and to read what is
	// written at once.
	stall = 30 * time.Second
)

// lineHosts serve what the emulator has at LINE.
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

// canonicalHost returns a host as other spellings of it are compared.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return asciiLower(strings.TrimSuffix(host, "."))
}

// asciiLower makes capital letters small ones. Unicode has others that become k and i.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, text)
}

// refuseForeign refuses what a web page can have sent.
func (s *Server) refuseForeign(r *http.Request) *refusal {
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || asciiLower(u.Host) != asciiLower(r.Host) {
			return messageRefusal(http.StatusForbidden, "the emulator answers to no web page; send the request without the Origin header")
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return messageRefusal(http.StatusForbidden, "the emulator answers to no web page; type the address into the browser, or send the request without the Sec-Fetch-Site header")
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	if s.answersTo(canonicalHost(host), r) {
		return nil
	}
	if hostName.MatchString(host) && len(host) < 256 {
		return messageRefusal(http.StatusForbidden, fmt.Sprintf("the emulator does not answer to the host %s; start it with lineoauth serve --allow-host %s, in Go call Server.AllowHost", host, host))
	}
	return messageRefusal(http.StatusForbidden, "the emulator does not answer to this host; name it by lineoauth serve --allow-host, in Go by Server.AllowHost")
}

func (s *Server) answersTo(host string, r *http.Request) bool {
	came, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if came == nil || came.Network() == "pipe" || came.Network() == "unix" || r.TLS != nil {
		return true // no web page gets there; with TLS, by no name that is its own
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

// body is a request's body, all of which is there.
type body struct {
	*bytes.Reader
	text []byte
}

func (body) Close() error { return nil }

// takeBody reads the body, after which net/http notices that a client goes.
func takeBody(w http.ResponseWriter, r *http.Request) *refusal {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	tooLarge := new(http.MaxBytesError)
	switch {
	case errors.As(err, &tooLarge):
		return messageRefusal(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than the %d bytes that the emulator takes", maxBody))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return messageRefusal(http.StatusRequestTimeout, fmt.Sprintf("the body did not come within %v", stall))
	case err != nil:
		return messageRefusal(http.StatusBadRequest, "the body could not be read")
	}
	r.Body = body{bytes.NewReader(text), text}
	return nil
}

// patientWriter gives up a client that does not read.
type patientWriter struct{ http.ResponseWriter }

// Unwrap lets a fault take the connection.
func (w patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w patientWriter) wait() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(stall)) // a recorder has none
}

func (w patientWriter) WriteHeader(status int) {
	w.wait()
	w.ResponseWriter.WriteHeader(status)
}

func (w patientWriter) Write(p []byte) (int, error) {
	w.wait()
	return w.ResponseWriter.Write(p)
}

// admit refuses a request that the emulator does not look into, and else has its
// body ready.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	bad := s.refuseForeign(r)
	if r.Body == nil || r.Body == http.NoBody {
		r.Body = http.NoBody
	} else {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(stall)) // a recorder has none
		if bad == nil {
			bad = takeBody(w, r)
		}
		if bad == nil {
			_ = control.SetReadDeadline(time.Time{})
		}
	}
	if bad != nil {
		// The deadline stays, for what net/http reads of the body itself.
		w.Header().Set("Connection", "close")
		bad.write(w)
	}
	return bad == nil
}
