package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// fresh carries requests by a transport that it replaces once a request got no
// answer on a connection that had served others before: after a change of network
// such connections swallow everything, for as long as TCP believes in them, and
// with HTTP/2 all calls share one.
type fresh struct {
	new     func() *http.Transport
	current atomic.Pointer[http.Transport]
}

// Default returns the transport of all clients that have no other: a copy of
// [http.DefaultTransport] as the first of them found it.
func Default() http.RoundTripper { return shared() }

var shared = sync.OnceValue(func() http.RoundTripper {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // the program has its own way of doing things
	}
	f := &fresh{new: func() *http.Transport {
		t := base.Clone()
		if t.HTTP2 == nil {
			// A request without a deadline detects an unresponsive connection by this alone.
			t.HTTP2 = &http.HTTP2Config{SendPingTimeout: time.Second, PingTimeout: time.Second}
		}
		ReportProxies(t)
		return t
	}}
	f.current.Store(f.new())
	return f
})

// RoundTrip implements [http.RoundTripper].
func (f *fresh) RoundTrip(req *http.Request) (*http.Response, error) {
	var old atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { old.Store(c.Reused) },
	})
	transport := f.current.Load()
	rsp, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil && old.Load() && !errors.Is(err, context.Canceled) {
		f.replace(transport)
	}
	return rsp, err
}

// replace makes later requests dial again. Those in progress continue.
func (f *fresh) replace(transport *http.Transport) {
	if f.current.CompareAndSwap(transport, f.new()) {
		transport.CloseIdleConnections()
	}
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (f *fresh) CloseIdleConnections() { f.current.Load().CloseIdleConnections() }

// CheckTLS refuses a transport that does not know whom it talks to.
func CheckTLS(name string, transport http.RoundTripper) error {
	t, ok := transport.(*http.Transport)
	if !ok {
		return nil
	}
	cfg := t.Clone().TLSClientConfig // Clone, for the first use of a transport writes there
	switch {
	case cfg == nil:
		return nil
	case cfg.InsecureSkipVerify && cfg.VerifyConnection == nil && cfg.VerifyPeerCertificate == nil:
		return errors.New(name + " skips the verification of certificates, so that anyone could read the secrets; set RootCAs instead")
	case cfg.MinVersion != 0 && cfg.MinVersion < tls.VersionTLS12:
		return errors.New(name + " allows less than TLS 1.2; leave MinVersion at 0")
	}
	return nil
}
