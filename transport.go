package lineoauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// contentHost is where LINE's Messaging API has what users sent; the other
// host is the OpenAPI document's.
const contentHost = "api-data.line.me"

// Transport is an [http.RoundTripper] that puts a valid token on every request to
// LINE:
//
//	bot, err := messaging_api.NewMessagingApiAPI("unused",
//		messaging_api.WithHTTPClient(&http.Client{Transport: &lineoauth.Transport{Source: source}}))
//
// A request to any other host goes through as it is, so that a redirect takes no token
// elsewhere. When LINE answers 401, [Source.Invalidate] asks LINE about the token; if
// that is no longer valid, the request is sent once more with another, if its body can
// be had again (as [http.NewRequest] arranges for the usual ones). The caller's request
// is not changed.
//
// https://developers.line.biz/en/reference/messaging-api/#domain-name
type Transport struct {
	// Source gives the tokens. It must be set.
	Source *Source
	// Base carries the requests. nil means the Transport of the source's client,
	// with its RootCAs and proxy. An [http.Transport] is refused where
	// [Config.Transport] would be. Do not change it after its first use.
	Base http.RoundTripper
	// Hosts are the hosts, in ASCII, with their port if it is not the scheme's default,
	// whose requests get a token. nil means the scheme, host and port of the client's
	// BaseURL, and LINE's host for content if BaseURL is LINE's.
	Hosts []string
}

// RoundTrip sends one request. If there is no token, it sends none, and the error
// is that of [Source.Token]. Without a Source, with a Base that is refused, or with a
// proxy variable that cannot be read, if Base is an [http.Transport] that reads it by
// [http.ProxyFromEnvironment], the error matches [ErrInvalid].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.Source == nil {
		closeBody(req)
		return nil, fmt.Errorf("lineoauth: %w: the Transport has no Source; set it", ErrInvalid)
	}
	if req.URL == nil || req.Header == nil {
		closeBody(req)
		return nil, fmt.Errorf("lineoauth: %w: the request has no URL or no Header", ErrInvalid)
	}
	base := t.base()
	if err := t.Source.line.client.checkBase(base); err != nil {
		closeBody(req)
		return nil, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	if !t.serves(req.URL) {
		return send(base, req)
	}
	token, err := t.Source.accessToken(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	rsp, err := send(base, withToken(req, token, req.Body))
	if err != nil || rsp == nil || rsp.StatusCode != http.StatusUnauthorized {
		return rsp, err
	}
	// If LINE cannot be asked, its 401 is of more use than the reason for that.
	replaced, _ := t.Source.Invalidate(req.Context(), token)
	if !replaced {
		return rsp, nil
	}
	body, ok := bodyAgain(req)
	if !ok {
		return rsp, nil
	}
	next, err := t.Source.accessToken(req.Context())
	if err != nil {
		_ = body.Close()
		return rsp, nil // likewise
	}
	_ = rsp.Body.Close() // unread: it may be slow, or have no end
	return send(base, withToken(req, next, body))
}

// send makes the error of a proxy variable that cannot be read match [ErrInvalid].
func send(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	rsp, err := wire.RoundTrip(base, req)
	if errors.As(err, new(*wire.UnreadableProxy)) {
		err = fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	return rsp, err
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return t.Source.line.client.cfg.Transport
}

// serves reports whether a URL is LINE's.
func (t *Transport) serves(u *url.URL) bool {
	client := t.Source.line.client
	to, ok := wire.OriginOf(u)
	if !ok || to.Scheme == "http" && !client.cfg.AllowPlainHTTP && !wire.IsLoopback(to.Host) {
		return false
	}
	if t.Hosts == nil {
		return client.serves(to)
	}
	return slices.ContainsFunc(t.Hosts, func(host string) bool {
		own, ok := wire.OriginOf(&url.URL{Scheme: to.Scheme, Host: host})
		return ok && own == to
	})
}

// CloseIdleConnections closes the idle connections of Base, for
// [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if t.Source == nil {
		return
	}
	if closer, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// withToken returns a copy of a request, with the header of a token.
func withToken(req *http.Request, token string, body io.ReadCloser) *http.Request {
	req = req.Clone(req.Context())
	wire.Localize(req.URL)
	req.Body = body
	req.Header.Set("Authorization", "Bearer "+token)
	return req
}

// bodyAgain returns a request's body for a second time, if it can be had.
func bodyAgain(req *http.Request) (io.ReadCloser, bool) {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return http.NoBody, true
	case req.GetBody == nil:
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// serves reports whether an origin gets tokens, unless a Transport has Hosts of its own.
func (s *shared) serves(to wire.Origin) bool {
	if to.Host == contentHost {
		line, err := url.Parse(gen.DefaultServerURL)
		if err != nil {
			return false
		}
		of, _ := wire.OriginOf(line)
		return s.own == of && to == wire.Origin{Scheme: of.Scheme, Host: contentHost, Port: of.Port}
	}
	return to == s.own
}

// judged is what [wire.CheckTLS] returned for a transport, which it copies to look at.
type judged struct {
	transport *http.Transport
	err       error
}

// checkBase is [wire.CheckTLS] for a Transport's Base, once.
func (s *shared) checkBase(base http.RoundTripper) error {
	t, ok := base.(*http.Transport)
	if !ok || base == s.cfg.Transport {
		return nil
	}
	if last := s.base.Load(); last != nil && last.transport == t {
		return last.err
	}
	err := wire.CheckTLS("Base", t)
	s.base.Store(&judged{t, err})
	return err
}
