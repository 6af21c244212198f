package wire

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
)

// proxyRefusal is the answer of a proxy that does not connect.
type proxyRefusal struct {
	proxy  string
	status int
}

func (e *proxyRefusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the proxy %s answered %d %s", e.proxy, e.status, http.StatusText(e.status)))
}

// UnreadableProxy is the error of a proxy variable that cannot be read.
type UnreadableProxy struct{ name string }

func (e *UnreadableProxy) Error() string {
	return e.name + " cannot be read as a proxy's address; set it to http://HOST:PORT, with a password percent-encoded (%2F for /), or unset it (net/http goes around such a proxy, or asks another)"
}

// ReportProxies has a transport report what net/http keeps to itself: how a proxy
// refused, and that a variable cannot be read, without which it would go around the
// proxy. Requests to this machine go to no proxy.
func ReportProxies(t *http.Transport) {
	if t.OnProxyConnectResponse == nil {
		t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, rsp *http.Response) error {
			if rsp.StatusCode == http.StatusOK {
				return nil
			}
			return &proxyRefusal{proxy.Host, rsp.StatusCode}
		}
	}
	if !byEnvironment(t) {
		return
	}
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if IsLoopback(req.URL.Hostname()) { // of whose names net/http knows only one
			return nil, nil
		}
		if err := checkProxy(req.URL); err != nil {
			return nil, err
		}
		return http.ProxyFromEnvironment(req)
	}
}

// RoundTrip sends a request by a transport. One of the caller's that asks the environment
// for proxies sends nothing if the variable cannot be read, like that of ReportProxies.
func RoundTrip(transport http.RoundTripper, req *http.Request) (*http.Response, error) {
	if t, ok := transport.(*http.Transport); ok && byEnvironment(t) {
		if err := checkProxy(req.URL); err != nil {
			if req.Body != nil {
				_ = req.Body.Close()
			}
			return nil, err
		}
	}
	return transport.RoundTrip(req)
}

func byEnvironment(t *http.Transport) bool {
	return reflect.ValueOf(t.Proxy).Pointer() == reflect.ValueOf(http.ProxyFromEnvironment).Pointer()
}

// checkProxy returns an error if a URL's proxy is unknown.
func checkProxy(u *url.URL) error {
	name := ""
	switch u.Scheme {
	case "https":
		name = unreadable("HTTPS_PROXY", "https_proxy")
	case "http":
		name = unreadable("HTTP_PROXY", "http_proxy")
	}
	if name == "" || GoesDirect(cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy")), u) {
		return nil
	}
	return &UnreadableProxy{name}
}

// unreadable names the first variable that is set, if that is no proxy: net/http passes
// over it, or takes a part of it for the host.
func unreadable(names ...string) string {
	for _, name := range names {
		switch value := os.Getenv(name); {
		case value == "":
			continue
		case !IsProxy(value):
			return name
		}
		return ""
	}
	return ""
}

// IsProxy reports whether a value of HTTPS_PROXY or HTTP_PROXY is a proxy's address.
// One with an @ after its host is not: a password with a slash or a question mark would
// end in the host's name, and so be looked up.
func IsProxy(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	return err == nil && u.Hostname() != "" && IsPort(u.Port()) && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) &&
		!strings.Contains(u.Path+u.RawQuery+u.Fragment, "@")
}

// GoesDirect reports whether net/http sends a request for a URL to no proxy, by a list
// as in NO_PROXY; a host of this machine needs no entry. Names beyond ASCII match as
// they are written.
func GoesDirect(list string, u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	addr, _ := netip.ParseAddr(host) // with a zone, which net.ParseIP refuses
	ip := net.IP(addr.AsSlice())     // nil for a name
	if IsLoopback(host) || ip.IsLoopback() {
		return true
	}
	for entry := range strings.SplitSeq(list, ",") {
		if exempts(strings.ToLower(strings.TrimSpace(entry)), host, portOf(u), ip) {
			return true
		}
	}
	return false
}

// exempts reports whether an entry of NO_PROXY is for a host, or a domain that it is in.
func exempts(entry, host, port string, ip net.IP) bool {
	if entry == "*" {
		return true
	}
	if _, network, err := net.ParseCIDR(entry); err == nil {
		return network.Contains(ip)
	}
	name, only, err := net.SplitHostPort(entry)
	if err != nil {
		name, only = entry, ""
	}
	if name == "" || only != "" && only != port {
		return false
	}
	if own := net.ParseIP(name); own != nil || ip != nil {
		return own.Equal(ip)
	}
	if strings.HasPrefix(name, "*.") {
		name = name[1:]
	}
	if name[0] == '.' { // subdomains alone
		return strings.HasSuffix(host, name)
	}
	return host == name || strings.HasSuffix(host, "."+name)
}
