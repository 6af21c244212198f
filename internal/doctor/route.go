package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// maxSkew is the accepted clock skew: an assertion expires after 29 of the 30 minutes
// that LINE allows.
const maxSkew = 30 * time.Second

// route records how far a request came.
type route struct {
	mu        sync.Mutex
	resolved  []net.IPAddr
	lookup    error
	connected string
	dial      error
	handshake error
	secured   bool
	began     map[string]bool
}

func (r *route) trace() *httptrace.ClientTrace {
	note := func(f func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		f()
	}
	r.began = make(map[string]bool)
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { note(func() { r.began["DNS"] = true }) },
		DNSDone:  func(i httptrace.DNSDoneInfo) { note(func() { r.resolved, r.lookup = i.Addrs, i.Err }) },
		ConnectDone: func(_, address string, err error) {
			note(func() {
				if err == nil {
					r.connected = address
				} else {
					r.dial = cmp.Or(r.dial, err)
				}
			})
		},
		TLSHandshakeStart: func() { note(func() { r.began["TLS"] = true }) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { note(func() { r.handshake, r.secured = err, err == nil }) },
	}
}

// checkRoute sends one request without credentials, and reports how far it came.
func (e *examination) checkRoute(ctx context.Context) {
	lines := []string{"proxy", "DNS", "TCP", "TLS", "clock"}
	if e.nowhere {
		for _, name := range lines {
			e.skip(name, "needs a valid base URL")
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	r := new(route)
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, r.trace()), http.MethodGet,
		strings.TrimSuffix(cmp.Or(e.settings.BaseURL, gen.DefaultServerURL), "/")+"/", nil)
	if err != nil { // parsed before
		return
	}
	proxy, variable, proxyErr := e.proxyFor(req)
	if proxyErr != nil {
		e.fail("proxy", proxyErr.Error(), "set it to the proxy's address, such as http://proxy.example:3128, with a password percent-encoded (%2F for /), or unset it")
		for _, name := range lines[1:] {
			e.skip(name, "needs a valid proxy")
		}
		return
	}
	begun := e.Now()
	rsp, err := e.transport.RoundTrip(req)
	if err == nil {
		_ = rsp.Body.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	host := req.URL.Hostname()
	on := e.checkProxy(proxy, variable, r, err)
	if proxy == nil {
		on = e.checkTCP(req.URL.Host, r, err, e.checkDNS(host, r, err))
	} else {
		e.skip("DNS", "the proxy resolves %s", host)
		e.skip("TCP", "the proxy connects to it")
	}
	on = e.checkTLS(req.URL, r, rsp, err, on)
	e.checkClock(rsp, begun, err, on)
}

// proxyFor returns the proxy for a request, and the variable that set it.
func (e *examination) proxyFor(req *http.Request) (proxy *url.URL, variable string, err error) {
	names := map[string][]string{"https": {"HTTPS_PROXY", "https_proxy"}, "http": {"HTTP_PROXY", "http_proxy"}}
	for _, scheme := range []string{"https", "http"} {
		for _, name := range names[scheme] {
			value := strings.TrimSpace(e.Getenv(name))
			if value == "" {
				continue
			}
			if !wire.IsProxy(value) {
				return nil, name, errors.New(name + " is not the address of a proxy")
			}
			if scheme == req.URL.Scheme && variable == "" {
				variable = name
			}
		}
	}
	proxy, err = http.ProxyFromEnvironment(req)
	if err != nil { // err contains the value, and any password in it
		err = errors.New(cmp.Or(variable, "a proxy variable") + " is not the address of a proxy")
	}
	return proxy, variable, err
}

func (e *examination) checkProxy(proxy *url.URL, variable string, r *route, err error) (on bool) {
	const name = "proxy"
	switch {
	case proxy == nil && variable == "":
		e.ok(name, "none")
	case proxy == nil:
		e.ok(name, "not used for this host, despite %s", variable)
	case err != nil && !r.began["TLS"]:
		found := fmt.Sprintf("the proxy of %s, %s, does not connect to LINE: %s", variable, proxy.Host, strings.TrimPrefix(err.Error(), "proxyconnect "))
		fix := "check its address and its rules; add LINE's host to NO_PROXY if it can be reached without"
		if strings.HasSuffix(err.Error(), http.StatusText(http.StatusProxyAuthRequired)) {
			fix = wire.AuthenticateProxy
		}
		e.fail(name, found, fix)
		return false
	default:
		e.ok(name, "%s, of %s", proxy.Host, variable)
	}
	return true
}

func (e *examination) checkDNS(host string, r *route, err error) bool {
	const name = "DNS"
	switch {
	case net.ParseIP(host) != nil:
		e.skip(name, "%s is an address", host)
	case r.lookup != nil:
		e.fail(name, r.lookup.Error(), "check the name, and the DNS of this machine; behind a proxy, set HTTPS_PROXY")
		return false
	case len(r.resolved) == 0 && err != nil && r.connected == "":
		e.fail(name, "no answer for "+host+": "+err.Error(), "check the DNS of this machine; behind a proxy, set HTTPS_PROXY")
		return false
	default:
		var addresses []string
		for _, address := range r.resolved {
			addresses = append(addresses, address.String())
		}
		e.ok(name, "%s", cmp.Or(strings.Join(addresses, " "), host))
	}
	return true
}

func (e *examination) checkTCP(address string, r *route, err error, on bool) bool {
	const name = "TCP"
	switch {
	case !on:
		e.skip(name, "needs an address")
		return false
	case r.connected == "":
		e.fail(name, cmp.Or(r.dial, err, errors.New("no connection to "+address)).Error(), "allow the connection: a firewall may block it; behind a proxy, set HTTPS_PROXY")
		return false
	}
	e.ok(name, "%s", r.connected)
	return true
}

func (e *examination) checkTLS(u *url.URL, r *route, rsp *http.Response, err error, on bool) bool {
	const name = "TLS"
	failed := r.handshake
	if failed == nil && !r.secured {
		failed = err
	}
	unknown, wrongName, badDate := new(x509.UnknownAuthorityError), new(x509.HostnameError), new(x509.CertificateInvalidError)
	switch {
	case !on:
		e.skip(name, "needs a connection")
		return false
	case u.Scheme != "https":
		e.skip(name, "the base URL is plain http")
	case failed == nil && rsp != nil && rsp.TLS != nil:
		certificate := rsp.TLS.PeerCertificates[0]
		e.ok(name, "%s, certified by %s", tls.VersionName(rsp.TLS.Version), cmp.Or(certificate.Issuer.CommonName, strings.Join(certificate.Issuer.Organization, " ")))
	case failed == nil:
		e.ok(name, "the certificate is valid")
	case errors.As(failed, unknown):
		found := failed.Error()
		if unknown.Cert != nil {
			found += fmt.Sprintf(": %q", wire.Redactor{}.Clean(unknown.Cert.Issuer.String()))
		}
		e.fail(name, found, e.trustAuthority())
		return false
	case errors.As(failed, wrongName):
		e.fail(name, failed.Error(), "another server answers: check the base URL, DNS and the proxy")
		return false
	case errors.As(failed, badDate) && badDate.Reason == x509.Expired:
		e.fail(name, failed.Error(), "set this machine's clock; if it is right, another server answers")
		return false
	default:
		e.fail(name, failed.Error(), "check the base URL and the proxy: the server does not speak TLS as LINE does")
		return false
	}
	return true
}

// trustAuthority says what to do about an unknown authority. Go passes over a file of
// SSL_CERT_FILE that it cannot use.
func (e *examination) trustAuthority() string {
	const variable = "SSL_CERT_FILE"
	path := e.Getenv(variable)
	if path == "" {
		return "install the certificates of authorities (package ca-certificates); if a proxy has one of its own, name the file by " + variable
	}
	text, err := os.ReadFile(path) //nolint:gosec // the user names the file
	switch {
	case err != nil:
		return fmt.Sprintf("name a file of certificates that can be read by %s: %v", variable, err)
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		return fmt.Sprintf("the file of %s has no certificate in PEM; put that of the authority there", variable)
	}
	return "add the authority's certificate to the file of " + variable + ", if it is that of your proxy"
}

func (e *examination) checkClock(rsp *http.Response, begun time.Time, err error, on bool) {
	const name = "clock"
	switch {
	case !on:
		e.skip(name, "LINE is not reachable")
		return
	case err != nil:
		e.fail(name, "LINE does not answer: "+err.Error(), "try again, and check LINE's status")
		return
	}
	e.reached = true
	now := e.Now()
	theirs, err := http.ParseTime(rsp.Header.Get("Date"))
	if err != nil {
		e.skip(name, "the answer has no Date header to compare with")
		return
	}
	// The Date is between the two times, in whole seconds.
	skew := now.Add(-now.Sub(begun) / 2).Sub(theirs.Add(time.Second / 2)).Round(time.Second)
	switch {
	case skew.Abs() <= maxSkew:
		e.ok(name, "as LINE's")
	case skew > 0:
		e.fail(name, fmt.Sprintf("it is %v ahead of LINE's", skew), "set this machine's clock, and synchronize it with NTP")
	default:
		e.fail(name, fmt.Sprintf("it is %v behind LINE's", -skew), "set this machine's clock, and synchronize it with NTP")
	}
}
