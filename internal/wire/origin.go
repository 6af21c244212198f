package wire

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Origin is whom a URL leads to, in the form in which it is compared.
type Origin struct{ Scheme, Host, Port string }

// OriginOf returns the origin of a URL, unless that is of no use for a token: of
// another scheme than http, or with a host that is not ASCII, of which only the
// transport's rules say what it stands for.
func OriginOf(u *url.URL) (_ Origin, ok bool) {
	o := Origin{u.Scheme, Lower(u.Hostname()), portOf(u)}
	if IsLoopback(o.Host) {
		o.Host = strings.TrimSuffix(o.Host, ".")
	}
	return o, (o.Scheme == "https" || o.Scheme == "http") && o.Host != "" && IsASCII(o.Host)
}

// portOf is a URL's port, by its scheme if it has none.
func portOf(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		return "443"
	case u.Scheme == "http":
		return "80"
	}
	return port
}

// IsLoopback reports whether a URL's host is this machine, by its name or an
// address. Other names could resolve to anywhere.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return isLocalhost(host) || ip != nil && ip.IsLoopback()
}

func isLocalhost(host string) bool {
	return Lower(strings.TrimSuffix(host, ".")) == "localhost"
}

// IsPort reports whether the port of a parsed URL, which may have none, exists.
func IsPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil
}

// LocalName writes localhost in a base URL as net/http knows it. With a final dot, Go
// asks DNS, which may name any machine; with capital letters, it asks a proxy.
func LocalName(base string) string {
	u, err := url.Parse(base)
	if err != nil || !Localize(u) {
		return base
	}
	return u.String()
}

// Localize is LocalName for a URL, which it changes, and reports whether it did.
func Localize(u *url.URL) bool {
	if host := u.Hostname(); host == "localhost" || !isLocalhost(host) {
		return false
	}
	u.Host = strings.Replace(Lower(u.Host), ".", "", 1)
	return true
}

// Lower puts the letters of ASCII in lower case. Unicode has others whose lower
// case is one of those, such as the dotted I, or that fold to one, such as the long
// s; they make another name.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// IsASCII reports whether a text is one of ASCII alone.
func IsASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
