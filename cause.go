package lineoauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
)

// checkNetwork is the advice where nothing tells more.
const checkNetwork = "check the network and the base URL"

// causeAdvice says what to do about a call that got no answer.
func (e *Error) causeAdvice() string {
	if e.ended {
		if errors.Is(e.Err, context.Canceled) {
			return ""
		}
		return "the caller's context ended before LINE answered; give it more time"
	}
	if advice := e.certificateAdvice(); advice != "" {
		return advice
	}
	bad, refused, unknown, op := new(badProxy), new(proxyRefusal), new(net.DNSError), new(net.OpError)
	atProxy := errors.As(e.Err, &op) && op.Op == "proxyconnect"
	status := e.proxyStatus()
	switch {
	case errors.As(e.Err, &bad):
		return "" // it says it itself
	case errors.As(e.Err, &refused):
		status = refused.status
		fallthrough
	case status != 0:
		if status == http.StatusProxyAuthRequired {
			return proxyAuthAdvice
		}
		return "the proxy refused to connect; ask who runs it, or leave it out with NO_PROXY"
	case atProxy:
		return "the proxy cannot be reached; check HTTPS_PROXY, or leave it out with NO_PROXY"
	case errors.As(e.Err, &unknown) && unknown.IsNotFound:
		return checkNetwork + ": DNS does not know the host " + shortName(unknown.Name)
	case errors.As(e.Err, &unknown):
		return checkNetwork + ": the name server did not answer for the host " + shortName(unknown.Name)
	}
	return checkNetwork
}

const proxyAuthAdvice = "the proxy asks for a user name and password; put them into HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT"

// certificateAdvice says what to do about the server's certificate.
func (e *Error) certificateAdvice() string {
	authority, other, invalid := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	roots := "RootCAs of the Transport's TLSClientConfig, or SSL_CERT_FILE,"
	if e.fromEnv {
		roots = "SSL_CERT_FILE"
	}
	switch {
	case errors.As(e.Err, &authority):
		who := "its authority"
		if authority.Cert != nil {
			who = fmt.Sprintf("the authority %q", shortName(authority.Cert.Issuer.String()))
		}
		return fmt.Sprintf("this machine does not trust %s; if it is that of your proxy or test server, set %s to its certificate, else something is between this machine and LINE", who, roots)
	case errors.As(e.Err, new(x509.SystemRootsError)):
		return "this machine has no certificates of authorities; install ca-certificates, or set " + roots + " to a file of them"
	case errors.As(e.Err, &other):
		return "whoever answered is not that host; check the base URL and the proxy"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or this machine's clock is wrong; set the clock right"
	case errors.As(e.Err, new(tls.RecordHeaderError)):
		return "whoever answered does not speak TLS; check the port and the scheme of the base URL"
	}
	return ""
}

// proxyStatus is the status by which a proxy refused to connect, of which net/http
// keeps the text alone.
func (e *Error) proxyStatus() int {
	clean := new(cleanError)
	if !e.unsent || !errors.As(e.Err, &clean) {
		return 0
	}
	err := clean.err()
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	for status := http.StatusBadRequest; status < 600; status++ {
		if text := http.StatusText(status); text != "" && err.Error() == text {
			return status
		}
	}
	return 0
}

// shortName makes what a server or name server said fit for an error.
func shortName(s string) string { return clean(s, strings.NewReplacer()) }

// errStatus is for an answer whose status is none of HTTP, such as 000.
var errStatus = errors.New("the answer's status is none of HTTP; something between this machine and LINE may have given it, check the base URL and the proxy")

// proxyRefusal is the answer of a proxy that does not connect.
type proxyRefusal struct {
	proxy  string
	status int
}

func (e *proxyRefusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the proxy %s answered %d %s", e.proxy, e.status, http.StatusText(e.status)))
}

// badProxy is a proxy variable that cannot be read.
type badProxy struct{ name string }

func (e *badProxy) Error() string {
	return e.name + " cannot be read as a proxy's address; set it to http://HOST:PORT, or unset it (net/http goes around such a proxy, or asks another)"
}

func (e *badProxy) Unwrap() error { return ErrInvalid }

// sayProxies has a transport report what net/http keeps to itself: how a proxy
// refused, and that a variable cannot be read, without which it would go around the
// proxy.
func sayProxies(t *http.Transport) {
	if t.OnProxyConnectResponse == nil {
		t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, rsp *http.Response) error {
			if rsp.StatusCode == http.StatusOK {
				return nil
			}
			return &proxyRefusal{proxy.Host, rsp.StatusCode}
		}
	}
	if reflect.ValueOf(t.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		return
	}
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		host := req.URL.Hostname()
		if name := unreadableProxy(strings.ToUpper(req.URL.Scheme) + "_PROXY"); name != "" && !isLoopback(host) && !excepted(host) {
			return nil, &badProxy{name}
		}
		return http.ProxyFromEnvironment(req)
	}
}

// unreadableProxy names the variable of a proxy, or its form in small letters, if
// it is none: net/http passes over it, or takes a part of it for the host.
func unreadableProxy(name string) string {
	for _, name := range []string{name, strings.ToLower(name)} {
		value := os.Getenv(name)
		switch {
		case value == "":
			continue
		case !strings.Contains(value, "://"):
			value = "http://" + value
		}
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
			return name
		}
		return ""
	}
	return ""
}

// excepted reports whether NO_PROXY names a host, or a domain that it is in.
func excepted(host string) bool {
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		for entry := range strings.SplitSeq(os.Getenv(name), ",") {
			entry = lower(strings.TrimSpace(entry))
			entry, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(entry, "*"), "."), ":")
			if h := lower(host); entry != "" && (h == entry || strings.HasSuffix(h, "."+entry)) || os.Getenv(name) == "*" {
				return true
			}
		}
	}
	return false
}
