package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// checkNetwork is the advice where nothing else is known.
const checkNetwork = "check the network and the base URL"

// AuthenticateProxy is the advice on a proxy's 407.
const AuthenticateProxy = "the proxy asks for a user name and password; put them into HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT, percent-encoded (%40 for @); if they are there, the proxy refuses them"

// Advice says what to do about the Err of an [Answer] that did not come. roots is
// how certificates of authorities are set.
func Advice(err error, unsent, ended bool, roots string) string {
	if ended {
		if errors.Is(err, context.Canceled) {
			return ""
		}
		return "the caller's context ended before LINE answered; give it more time"
	}
	if advice := certificateAdvice(err, roots); advice != "" {
		return advice
	}
	refused, unknown, op := new(proxyRefusal), new(net.DNSError), new(net.OpError)
	status := 0
	switch {
	case errors.As(err, &refused):
		status = refused.status
	case unsent:
		status = proxyStatus(err)
	}
	switch {
	case errors.As(err, new(*UnreadableProxy)):
		return "" // it says it itself
	case status == http.StatusProxyAuthRequired:
		return AuthenticateProxy
	case status != 0:
		return "the proxy refused to connect; ask who runs it, or leave it out with NO_PROXY"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy cannot be reached; check HTTPS_PROXY, or leave it out with NO_PROXY"
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return checkNetwork + ": DNS does not know the host " + shortName(unknown.Name)
	case errors.As(err, &unknown):
		return checkNetwork + ": the name server did not answer for the host " + shortName(unknown.Name)
	}
	return checkNetwork
}

// certificateAdvice says what to do about the server's certificate.
func certificateAdvice(err error, roots string) string {
	authority, other, invalid := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	switch {
	case errors.As(err, &authority):
		who := "its authority"
		if authority.Cert != nil {
			who = fmt.Sprintf("the authority %q", shortName(authority.Cert.Issuer.String()))
		}
		return fmt.Sprintf("this machine does not trust %s; if it is that of your proxy or test server, set %s to its certificate, else something is between this machine and LINE", who, roots)
	case errors.As(err, new(x509.SystemRootsError)):
		return "this machine has no certificates of authorities; install ca-certificates, or set " + roots + " to a file of them"
	case errors.As(err, &other):
		return "the server that answered is not that host; check the base URL and the proxy"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or this machine's clock is wrong; synchronize the clock (NTP)"
	case errors.As(err, new(tls.RecordHeaderError)):
		return "the server that answered does not speak TLS; check the port and the scheme of the base URL"
	}
	return ""
}

// proxyStatus is the status by which a proxy refused to connect, of which net/http
// keeps the text alone.
func proxyStatus(err error) int {
	clean := new(cleanError)
	if !errors.As(err, &clean) {
		return 0
	}
	err = clean.err()
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
func shortName(s string) string { return Redactor{}.Clean(s) }

// Final reports whether a request that got no answer would get none again.
func Final(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(*UnreadableProxy))
}
