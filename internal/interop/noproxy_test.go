package interop

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http/httpproxy"

	"github.com/lineoauth/lineoauth/internal/wire"
)

// noProxyNames are hosts, and near misses of them, for both sides of the comparison.
var noProxyNames = []string{
	"line.me", "api.line.me", "API.Line.me", "a.b.line.me", "ine.me", "me", "line.me.", "other.example", "notlocalhost", "localhost", "localhost.example", "xn--bcher-kva.example",
	"10.0.0.1", "10.0.0.10", "10.0.1.1", "0.0.0.0", "127.0.0.1", "127.1", "010.0.0.1", "1.2.3.4.5",
	"::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2001:db8::1", "2001:DB8:0::1", "2001:db8:1::1", "fe80::1", "fe80::1%25eth0", "::1%25lo",
}

var (
	noProxyPorts = []string{"", "", "", ":", ":443", ":80", ":8443", ":0443", ":x"}
	noProxyMasks = []string{"/0", "/8", "/24", "/32", "/33", "/64", "/128", "/", "/x", "/24:443"}
	noProxyStart = []string{"", "", "", "", ".", "*.", "*", "..", ".*.", " ", "\t", "[", "https://"}
	noProxyOther = []string{"", " ", "*", " * ", "*:443", ".", "..", "*.", ":443", "[]:443", "[]", "[::1", ",", "line.me;other.example", "line.me other.example"}
)

// noProxyEntry is an entry of NO_PROXY, which is often malformed.
func noProxyEntry(r *rand.Rand) string {
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	name := strings.Replace(pick(noProxyNames), "%25", "%", 1)
	bracketed := name
	if strings.Contains(name, ":") {
		bracketed = "[" + name + "]"
	}
	switch n := r.IntN(40); {
	case n == 0:
		return pick(noProxyOther)
	case n < 8:
		return name + pick(noProxyMasks)
	case n < 12:
		return name
	}
	return pick(noProxyStart) + bracketed + pick(noProxyPorts) + pick([]string{"", "", " "})
}

// A NO_PROXY means to our check what it means to net/http, which has the same code as
// golang.org/x/net.
func TestNoProxy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	direct, compared := 0, 0
	for range 5_000 {
		entries := make([]string, r.IntN(4))
		for i := range entries {
			entries[i] = noProxyEntry(r)
		}
		list := strings.Join(entries, ",")
		proxyFor := (&httpproxy.Config{HTTPProxy: "http://p", HTTPSProxy: "http://p", NoProxy: list}).ProxyFunc()
		for _, host := range noProxyNames {
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			u, err := url.Parse([]string{"https", "http"}[r.IntN(2)] + "://" + host + []string{"", "", ":", ":443", ":80", ":8443"}[r.IntN(6)])
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := proxyFor(u)
			if err != nil {
				t.Fatal(err)
			}
			got := wire.GoesDirect(list, u)
			if want := proxy == nil; got != want {
				t.Fatalf("NO_PROXY=%q %s: direct %t, but net/http %t", list, u, got, want)
			}
			if compared++; got {
				direct++
			}
		}
	}
	if direct < compared/10 || direct > compared*9/10 {
		t.Errorf("%d of %d are direct", direct, compared)
	}
}
