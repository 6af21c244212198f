package lineoauth

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/lineoauth/lineoauth/gen"
)

// contentHost is where LINE's Messaging API has what users sent; the other
// host is the OpenAPI document's.
const contentHost = "api-data.line.me"

// origin is whom a URL leads to, in the form in which it is compared.
type origin struct{ scheme, host, port string }

// originOf returns the origin of a URL, unless that is of no use for a token: of
// another scheme than http, or with a host that is not ASCII, of which only the
// transport's rules say what it stands for.
func originOf(u *url.URL) (_ origin, ok bool) {
	o := origin{u.Scheme, lower(u.Hostname()), u.Port()}
	if isLoopback(o.host) {
		o.host = strings.TrimSuffix(o.host, ".")
	}
	switch {
	case o.port != "":
	case o.scheme == "https":
		o.port = "443"
	case o.scheme == "http":
		o.port = "80"
	}
	return o, (o.scheme == "https" || o.scheme == "http") && o.host != "" && isASCII(o.host)
}

// serves reports whether an origin gets tokens, unless a Transport says otherwise.
func (s *shared) serves(to origin) bool {
	if to.host == contentHost {
		line, err := url.Parse(gen.DefaultServerURL)
		if err != nil {
			return false
		}
		of, _ := originOf(line)
		return s.own == of && to == origin{of.scheme, contentHost, of.port}
	}
	return to == s.own
}

// isLoopback reports whether a URL's host is this machine, by its name or an
// address. Other names could resolve to anywhere.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return lower(strings.TrimSuffix(host, ".")) == "localhost" || ip != nil && ip.IsLoopback()
}

// looksUpLocally takes the final dot off localhost in a base URL. With it, Go asks
// DNS, which may name any machine.
func looksUpLocally(base string) string {
	u, err := url.Parse(base)
	if err != nil || !strings.HasSuffix(u.Hostname(), ".") || !isLoopback(u.Hostname()) {
		return base
	}
	u.Host = strings.Replace(u.Host, ".", "", 1)
	return u.String()
}

// lower puts the letters of ASCII in lower case. Unicode has others whose lower
// case is one of those, such as the dotted I, or that fold to one, such as the long
// s; they make another name.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// judged is what checkTLS said of a transport, which it copies to look at.
type judged struct {
	transport *http.Transport
	err       error
}

// checkBase is checkTLS for a Transport's Base, once.
func (s *shared) checkBase(base http.RoundTripper) error {
	t, ok := base.(*http.Transport)
	if !ok || base == s.cfg.Transport {
		return nil
	}
	if last := s.base.Load(); last != nil && last.transport == t {
		return last.err
	}
	err := checkTLS("Base", t)
	s.base.Store(&judged{t, err})
	return err
}
