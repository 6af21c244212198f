package wire

import (
	"context"
	"fmt"
	"net/http"
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
	if reflect.ValueOf(t.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		return
	}
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		host := req.URL.Hostname()
		if IsLoopback(host) { // of whose names net/http knows only one
			return nil, nil
		}
		if name := unreadable(strings.ToUpper(req.URL.Scheme) + "_PROXY"); name != "" && !excepted(host) {
			return nil, &UnreadableProxy{name}
		}
		return http.ProxyFromEnvironment(req)
	}
}

// unreadable names the variable of a proxy, or its form in small letters, if
// it is none: net/http passes over it, or takes a part of it for the host.
func unreadable(name string) string {
	for _, name := range []string{name, strings.ToLower(name)} {
		value := os.Getenv(name)
		switch {
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

// excepted reports whether NO_PROXY names a host, or a domain that it is in.
func excepted(host string) bool {
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		for entry := range strings.SplitSeq(os.Getenv(name), ",") {
			entry = Lower(strings.TrimSpace(entry))
			entry, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(entry, "*"), "."), ":")
			if h := Lower(host); entry != "" && (h == entry || strings.HasSuffix(h, "."+entry)) || os.Getenv(name) == "*" {
				return true
			}
		}
	}
	return false
}
