package lineoauth_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/pipe"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

var update = flag.Bool("update", false, "rewrite docs/faults.md")

// fault is what can happen to a call between this machine and LINE.
type fault struct {
	name string
	// answer stands in for LINE, who is there to ask.
	answer func(w http.ResponseWriter, r *http.Request, line http.Handler)
	// reach, when there is no one to answer, is the base URL and the way there.
	reach func(t *testing.T) (base string, transport http.RoundTripper)
	// strikes reports whether the fault is one for the operation; nil means all.
	strikes func(lineoauth.Operation) bool
	// want is part of the error; "" if the call succeeds.
	want  string
	cause func(error) bool // of the error
	slow  bool             // only the timeout ends the call, or the caller
	used  bool             // it strikes a connection that has served a call
	// caller is the context of a caller who goes first; nil means the timeout's.
	caller func(context.Context) (context.Context, context.CancelFunc)
	again  bool // the client sends the call again
	kept   bool // the connection is kept
}

const (
	stolen  = "stolen-by-an-attacker"
	waiting = 100 * time.Millisecond // for an answer that does not come
)

func (f *fault) hits(op lineoauth.Operation) bool { return f.strikes == nil || f.strikes(op) }

func issues(op lineoauth.Operation) bool { return strings.HasPrefix(string(op), "issue") }
func revokes(op lineoauth.Operation) bool {
	return strings.HasPrefix(string(op), "revoke")
}
func verifies(op lineoauth.Operation) bool { return strings.HasPrefix(string(op), "verify") }
func answers(op lineoauth.Operation) bool  { return !revokes(op) }
func expires(op lineoauth.Operation) bool  { return issues(op) || verifies(op) }

// emulated is a fault of the emulator's.
func emulated(f lineoauthtest.Fault) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, line http.Handler) {
		line.(*lineoauthtest.Server).Inject(f)
		line.ServeHTTP(w, r)
	}
}

// said is an answer that has nothing to do with the question.
func said(status int, body string, header ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// edited is LINE's answer with its body changed.
func edited(change func(body []byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, line http.Handler) {
		rec := httptest.NewRecorder()
		line.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rec.Code)
		_, _ = w.Write(change(rec.Body.Bytes()))
	}
}

// field is LINE's answer with a field that has another value, as JSON; "" takes
// the field out.
func field(names []string, value string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return edited(func(body []byte) []byte {
		var fields map[string]json.RawMessage
		if json.Unmarshal(body, &fields) != nil {
			return body
		}
		for _, name := range names {
			if _, ok := fields[name]; ok && value == "" {
				delete(fields, name)
			} else if ok {
				fields[name] = json.RawMessage(value)
			}
		}
		// Written manually: json.Marshal would fix the value.
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(&b, ",%q:%s", name, fields[name])
		}
		return []byte("{" + strings.TrimPrefix(b.String(), ",") + "}")
	})
}

var theToken = []string{"access_token", "client_id", "kids"}

func html(status int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return said(status, "<html><title>Log in</title></html>", "Content-Type", "text/html; charset=utf-8")
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[T error](err error) bool { return errors.As(err, new(T)) }

// stall never ends an answer.
func stall(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	_, _ = io.Copy(io.Discard, r.Body) // only then does net/http notice that the client goes
	<-r.Context().Done()
}

const something = "something between this machine and LINE may have given it, check the base URL and the proxy"

var faults = []fault{
	{name: "connection refused", reach: closedPort, want: "connection refused; check the network and the base URL", cause: as[*net.OpError], again: true},
	{name: "no such host", reach: nameServerThatAnswers(nxDomain), want: "no such host; check the network and the base URL", cause: as[*net.DNSError], again: true},
	{name: "the name server fails", reach: nameServerThatAnswers(servFail), want: "the name server did not answer", cause: as[*net.DNSError], again: true},
	{name: "a certificate of an unknown authority", reach: selfSigned, want: "certificate signed by unknown authority", cause: as[x509.UnknownAuthorityError]},
	{name: "a certificate of another host", reach: ofAnotherHost, want: "the server that answered is not that host", cause: as[x509.HostnameError]},
	{name: "a certificate that has expired", reach: expired, want: "synchronize the clock (NTP)", cause: as[x509.CertificateInvalidError]},
	{name: "no TLS where TLS should be", reach: noTLS, want: "does not speak TLS", cause: as[tls.RecordHeaderError], again: true},
	{name: "HTTPS_PROXY cannot be read", reach: unreadable, want: "HTTPS_PROXY cannot be read", cause: is(lineoauth.ErrInvalid)},
	{name: "a proxy that is not there", reach: noProxy, want: "the proxy cannot be reached", cause: as[*net.OpError], again: true},
	{name: "a proxy that asks for a password", reach: proxyThatAnswers(407), want: "the proxy asks for a user name and password", again: true},
	{name: "a proxy that asks for a password, of plain http", reach: plainProxy, want: "the proxy asks for a user name and password"},
	{name: "a proxy that refuses", reach: proxyThatAnswers(403), want: "the proxy refused to connect", again: true},
	{name: "the status 000", want: "status is not an HTTP status", again: true,
		answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 000 \r\nContent-Length: 2\r\n\r\n{}")
			_ = conn.Close()
		}},
	{name: "the connection breaks before LINE takes the request", want: "check the network", again: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.ResetBefore})},
	{name: "the connection breaks after LINE took the request", want: "check the network", again: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.ResetAfter})},
	{name: "the server hangs up", want: "EOF; check the network", cause: is(io.EOF), again: true,
		answer: func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }},
	{name: "no answer in time", want: "no answer within 100ms", cause: is(context.DeadlineExceeded), slow: true, again: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Hour})},
	{name: "the connection goes silent after another call; the next call has a new one", want: "no answer within 100ms", cause: is(context.DeadlineExceeded), slow: true, used: true, again: true, answer: unanswered},
	{name: "the caller's deadline ends before the answer", want: "the caller's context ended before LINE answered; give it more time", cause: is(context.DeadlineExceeded), slow: true, caller: inTime, answer: unanswered},
	{name: "the caller's deadline ends in the middle of the answer", want: "the answer broke off: context deadline exceeded", cause: is(context.DeadlineExceeded), slow: true, caller: inTime,
		answer: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { stall(w, r) }},
	{name: "the caller cancels", want: "context canceled", cause: is(context.Canceled), slow: true, caller: canceled, answer: unanswered},
	{name: "the answer's body does not come in time", want: "the answer broke off: no answer within 100ms", cause: is(context.DeadlineExceeded), slow: true,
		answer: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { stall(w, r) }},
	{name: "the answer breaks off", want: "the answer broke off: unexpected EOF; check the network", cause: is(io.ErrUnexpectedEOF),
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.CutBody})},
	{name: "the answer does not end", want: "more than 1048576 bytes; " + something,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.Endless})},
	{name: "a gzip bomb", want: "more than 1048576 bytes; " + something,
		answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb())
		}},

	{name: "200 with a page of HTML", want: something, answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.NotJSON}), kept: true},
	{name: "200 with an empty object", want: "the answer has no", strikes: answers, answer: said(200, "{}"), kept: true},
	{name: "200 with nothing", want: "unexpected end of JSON input", strikes: answers, answer: said(200, ""), kept: true},
	{name: "200 with an empty object, where nothing is expected", strikes: revokes, kept: true,
		answer: edited(func([]byte) []byte { return []byte("{}") })},
	{name: "200 without what was asked for", want: "the answer has no", strikes: answers, answer: field(theToken, ""), kept: true},
	{name: "200 with null for what was asked for", want: "the answer has no", strikes: answers, answer: field(theToken, "null"), kept: true},
	{name: "200 with an object for what was asked for", want: "not the JSON that was expected", strikes: answers, answer: field(theToken, "{}"), kept: true},
	{name: "expires_in is 0", want: "expires_in 0, which is not positive", strikes: issues, answer: field([]string{"expires_in"}, "0"), kept: true},
	{name: "expires_in is negative", want: "which is not positive", strikes: issues, answer: field([]string{"expires_in"}, "-900"), kept: true},
	{name: "expires_in of a verified token is 0", strikes: verifies, answer: field([]string{"expires_in"}, "0"), kept: true},
	{name: "a verified token without expires_in", want: "no expires_in of 0 or more", strikes: verifies, answer: field([]string{"expires_in"}, ""), kept: true},
	{name: "a verified token with null for expires_in", want: "no expires_in of 0 or more", strikes: verifies, answer: field([]string{"expires_in"}, "null"), kept: true},
	{name: "expires_in of a verified token is negative", want: "no expires_in of 0 or more", strikes: verifies, answer: field([]string{"expires_in"}, "-1"), kept: true},
	{name: "expires_in is huge", want: "not the JSON that was expected", strikes: expires, answer: field([]string{"expires_in"}, "1e30"), kept: true},
	{name: "expires_in is a string", want: "not the JSON that was expected", strikes: expires, answer: field([]string{"expires_in"}, `"900"`), kept: true},
	{name: "expires_in is a fraction", want: "not the JSON that was expected", strikes: expires, answer: field([]string{"expires_in"}, "899.5"), kept: true},
	{name: "token_type is not Bearer", want: "token_type is not Bearer", strikes: issues, answer: field([]string{"token_type"}, `"MAC"`), kept: true},
	{name: "a field comes twice", want: "twice; " + something, strikes: answers, kept: true,
		answer: edited(func(body []byte) []byte {
			return append([]byte(`{"access_token":"`+stolen+`","Client_ID":"`+stolen+`","kids":["`+stolen+`"],`), body[1:]...)
		})},
	{name: "a field comes twice, the attacker's last", want: "twice; " + something, strikes: answers, kept: true,
		answer: edited(func(body []byte) []byte {
			return append(bytes.TrimRight(body, "}\n"), `,"acce`+"\u017f\u017f"+`_token":"`+stolen+`","CLIENT_ID":"`+stolen+`","\u006bids":["`+stolen+`"]}`...)
		})},
	{name: "JSON nested a hundred thousand deep", want: "exceeded max depth", strikes: answers, kept: true,
		answer: edited(func(body []byte) []byte {
			return append([]byte(`{"x":`+strings.Repeat("[", 1e5)+strings.Repeat("]", 1e5)+","), body[1:]...)
		})},
	{name: "two JSON objects", want: "not the JSON that was expected", strikes: answers, kept: true,
		answer: edited(func(body []byte) []byte { return append(body, body...) })},
	{name: "a token that is not UTF-8", want: "characters that a Bearer token cannot have", strikes: issues, answer: field(theToken, "\"\xff\xfe\""), kept: true},
	{name: "a token with a line break", want: "characters that a Bearer token cannot have", strikes: issues, answer: field(theToken, `"a\r\nX-Header: b"`), kept: true},
	{name: "a token that a shell would run", want: "characters that a Bearer token cannot have", strikes: issues, answer: field(theToken, `"x;touch${IFS}pwned"`), kept: true},
	{name: "a key ID with a line break", want: "characters that a Bearer token cannot have", answer: field([]string{"key_id"}, `"a\nb"`), kept: true,
		strikes: func(op lineoauth.Operation) bool { return op == lineoauth.OpIssueChannelTokenByJWT }},
	{name: "JSON in UTF-16", want: "not the JSON that was expected", strikes: answers, kept: true,
		answer: func(w http.ResponseWriter, r *http.Request, line http.Handler) {
			rec := httptest.NewRecorder()
			line.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", "application/json; charset=UTF-16")
			for _, u := range utf16.Encode([]rune(rec.Body.String())) {
				_, _ = w.Write([]byte{byte(u), byte(u >> 8)})
			}
		}},
	{name: "204", want: "only 200 is a success; " + something, answer: said(204, ""), kept: true},
	{name: "202 with a token", want: "only 200 is a success; " + something, kept: true,
		answer: said(202, `{"access_token":"`+stolen+`","token_type":"Bearer","expires_in":900,"key_id":"k","client_id":"1","kids":[]}`)},
	{name: "a redirect", want: "a redirect to elsewhere.invalid/", kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.Redirect})},
	{name: "304", want: "a redirect to nowhere", answer: said(304, ""), kept: true},
	{name: "400 with a page of HTML", want: "text/html that is not an error of LINE's; " + something, answer: html(400), kept: true},
	{name: "404 with a page of HTML", want: "text/html that is not an error of LINE's; " + something, answer: html(404), kept: true},
	{name: "401 whose body does not come in time", want: "LINE answered 401: the answer broke off: no answer within 100ms", cause: is(context.DeadlineExceeded), slow: true,
		answer: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { w.WriteHeader(401); stall(w, r) }},
	{name: "401 whose body does not end", want: "more than 1048576 bytes; " + something,
		answer: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(401); flood(w) }},
	{name: "403 in LINE's shape", want: "LINE answered 403 Access denied", answer: said(403, `{"message":"Access denied"}`), kept: true},
	{name: "400 that repeats the request", want: "LINE answered 400", kept: true,
		answer: func(w http.ResponseWriter, r *http.Request, line http.Handler) {
			_ = r.ParseForm()
			heard := r.Form.Get("client_assertion") + " " + r.Form.Get("client_secret") + " " + r.Form.Get("access_token") + " " + r.Form.Encode()
			body, _ := json.Marshal(map[string]any{"error": "invalid", "message": heard, "details": []any{map[string]any{"property": heard}}})
			said(400, string(body), "X-Line-Request-Id", heard)(w, r, line)
		}},
	{name: "400 with 90 kilobytes of terminal control sequences", want: "LINE answered 400", kept: true,
		answer: said(400, `{"error":"`+strings.Repeat(`\u001b[2J\n`, 9_000)+`"}`)},
	{name: "500", want: "LINE has trouble; try again later", again: true, kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})},
	{name: "502 with a page of HTML", want: "LINE has trouble; try again later", again: true, answer: html(502), kept: true},
	{name: "429", want: "try again later", cause: is(lineoauth.ErrRateLimited), again: true, kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited})},
	{name: "429, Retry-After: 7", want: "try again in 7s", cause: is(lineoauth.ErrRateLimited), again: true, kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7"})},
	{name: "429, Retry-After: 3600", want: "try again in 1h0m0s", cause: is(lineoauth.ErrRateLimited), kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "3600"})},
	{name: "429, Retry-After: a date 20 seconds ahead", want: "try again in ", cause: is(lineoauth.ErrRateLimited), again: true, kept: true,
		answer: func(w http.ResponseWriter, r *http.Request, line http.Handler) {
			date := line.(*lineoauthtest.Server).Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)
			emulated(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: date})(w, r, line)
		}},
	{name: "429, Retry-After: nonsense", want: "try again later", cause: is(lineoauth.ErrRateLimited), again: true, kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "-1e9 moons"})},
	{name: "a Date that is a year off", kept: true,
		answer: emulated(lineoauthtest.Fault{Kind: lineoauthtest.WrongDate, Skew: 365 * 24 * time.Hour})},
	{name: "LINE refuses an assertion's exp, with a Date 30 days ahead", want: "Invalid exp", strikes: byKey, cause: is(lineoauth.ErrInvalidAssertion), kept: true,
		answer: func(w http.ResponseWriter, r *http.Request, line http.Handler) {
			date := line.(*lineoauthtest.Server).Now().Add(30 * 24 * time.Hour).UTC().Format(http.TimeFormat)
			said(400, refusal("invalid_client", "Invalid exp"), "Date", date)(w, r, line)
		}},
	{name: "a field that the OpenAPI document does not know", strikes: answers, kept: true,
		answer: edited(func(body []byte) []byte { return append([]byte(`{"news":[1,{"a":null}],`), body[1:]...) })},
	{name: "an HTTP/1.0 answer without a length", answer: func(w http.ResponseWriter, r *http.Request, line http.Handler) {
		rec := httptest.NewRecorder()
		line.ServeHTTP(rec, r)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "HTTP/1.0 %d OK\r\nContent-Type: application/json\r\n\r\n%s", rec.Code, rec.Body)
	}},
}

// bomb is 8 MiB of spaces in as many KiB.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 8 {
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	_ = z.Close()
	return b.Bytes()
})

// subject is the calls of a client, each with a token of its own.
type subject struct {
	good  *lineoauth.Client
	heard []string // what no error may show
}

func (p *subject) reveal(t *testing.T, token *lineoauth.Token, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	p.heard = append(p.heard, token.AccessToken.Reveal())
	return token.AccessToken.Reveal()
}

// call returns the operation as a call that succeeds, and may be made again.
func (p *subject) call(t *testing.T, op lineoauth.Operation) func(context.Context, *lineoauth.Client) (any, error) {
	t.Helper()
	o := calls[slices.IndexFunc(calls, func(o operationCall) bool { return o.op == op })]
	var text string
	switch o.token {
	case lineoauth.V21:
		token, err := p.good.IssueChannelToken(t.Context(), time.Hour)
		text = p.reveal(t, token, err)
	case lineoauth.ShortLived:
		token, err := p.good.IssueShortLivedChannelToken(t.Context())
		text = p.reveal(t, token, err)
	}
	return func(ctx context.Context, c *lineoauth.Client) (any, error) { return o.call(ctx, c, text) }
}

// faulty is a network in which one operation meets a fault.
type faulty struct {
	base      string
	transport http.RoundTripper
	conns     atomic.Int32
}

func (f *fault) start(t *testing.T, line http.Handler) *faulty {
	var n faulty
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.answer(w, r, line) })
	switch {
	case f.reach != nil:
		n.base, n.transport = f.reach(t)
	case f.slow:
		l := pipe.Listen()
		srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: f.unused(handler, line), ConnContext: counting}} //nolint:gosec // it needs no timeouts
		srv.Start()
		t.Cleanup(srv.Close)
		n.base, n.transport = "https://line.example", &http.Transport{DialTLSContext: l.Dial}
	default:
		srv := httptest.NewUnstartedServer(handler)
		srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				n.conns.Add(1)
			}
		}
		srv.Start()
		t.Cleanup(srv.Close) // waits for every connection
		n.base, n.transport = srv.URL, &http.Transport{}
	}
	t.Cleanup((&http.Client{Transport: n.transport}).CloseIdleConnections)
	return &n
}

// Every fault, for every operation: the caller gets a typed error that says
// what to do, in time, without a secret; nothing is taken for a token that LINE
// did not give; the connection is used again where it can be; and a source
// keeps its valid token. What callers see is written down in docs/faults.md.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	line := lineoauthtest.NewServer()
	t.Cleanup(line.Close)
	channel, err := line.AddChannel("1234567890", "") // for what docs/faults.md shows
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]map[lineoauth.Operation]string, len(faults))
	for i, f := range faults {
		seen[i] = make(map[lineoauth.Operation]string)
		t.Run(f.name, func(t *testing.T) {
			line.Advance(31 * 24 * time.Hour) // so that all of the channel's places are free
			for _, op := range called() {
				if f.hits(op) {
					t.Run(string(op), func(t *testing.T) {
						f.with(t, channel, line, func(t *testing.T, channel *lineoauthtest.Channel, line *lineoauthtest.Server) {
							seen[i][op] = f.meet(t, channel, line, op)
						})
					})
				}
			}
			for kind, op := range map[lineoauth.Kind]lineoauth.Operation{
				lineoauth.Stateless:  lineoauth.OpIssueStatelessChannelToken,
				lineoauth.V21:        lineoauth.OpIssueChannelTokenByJWT,
				lineoauth.ShortLived: lineoauth.OpIssueChannelToken,
			} {
				if f.hits(op) && f.want != "" {
					t.Run("source of "+string(kind), func(t *testing.T) {
						f.with(t, channel, line, func(t *testing.T, channel *lineoauthtest.Channel, line *lineoauthtest.Server) {
							f.meetSource(t, channel, line, kind, op)
						})
					})
				}
			}
		})
	}
	through := make(map[string]string)
	for name, answer := range slowRefusals {
		t.Run("Transport, "+name, func(t *testing.T) {
			through[name] = fmt.Sprintf("the answer %d to the same request with another token", slowRefusal(t, answer))
		})
	}
	if !t.Failed() {
		compareFaults(t, seen, through)
	}
}

// with runs test, in a bubble with an emulator of its own if it waits for a timeout.
func (f *fault) with(t *testing.T, channel *lineoauthtest.Channel, line *lineoauthtest.Server, test func(*testing.T, *lineoauthtest.Channel, *lineoauthtest.Server)) {
	if !f.slow {
		test(t, channel, line)
		return
	}
	bubble(t, func(t *testing.T, line *lineoauthtest.Server) { test(t, line.Channel(), line) })
}

// timeout is that of a client. What must not wait for it is not to meet it on a
// machine that is busy.
func (f *fault) timeout() time.Duration {
	if f.slow && f.caller == nil {
		return waiting
	}
	return time.Minute
}

// calling returns the context of a call.
func (f *fault) calling(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.caller != nil {
		return f.caller(ctx)
	}
	return context.WithCancel(ctx)
}

// meet lets a client meet the fault and returns what the caller sees.
func (f *fault) meet(t *testing.T, channel *lineoauthtest.Channel, line *lineoauthtest.Server, op lineoauth.Operation) string {
	cfg := channel.Config()
	now := line.Now().Truncate(time.Second)
	cfg.Now = func() time.Time { return now }
	p := &subject{good: newClient(t, cfg), heard: []string{channel.Secret}}
	call := p.call(t, op)

	n := f.start(t, line)
	cfg.OperationURLs = map[lineoauth.Operation]string{op: n.base}
	cfg.Transport, cfg.Timeout = n.transport, f.timeout()
	client := newClient(t, cfg)
	if byKey(op) {
		signed, err := client.Assertion(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		p.heard = append(p.heard, signed.Reveal())
	}

	if f.used {
		if _, err := call(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := f.calling(t.Context())
	defer cancel()
	start := time.Now()
	result, err := call(ctx, client)
	if took := time.Since(start); f.slow && took != waiting {
		t.Errorf("it took %v", took)
	}
	if !f.slow && errors.Is(err, context.DeadlineExceeded) {
		t.Error("only the timeout ended the call")
	}
	f.check(t, op, result, err, p.heard)

	ctx, cancel = f.calling(t.Context())
	defer cancel()
	if _, err := call(ctx, client); (err != nil) != (f.want != "" && !f.used) {
		t.Errorf("the second time: %v", err)
	}
	if conns := n.conns.Load(); f.kept && conns != 1 {
		t.Errorf("two calls took %d connections", conns)
	}

	// Sent again or not; there is no need to wait until it is.
	ctx, cancel = f.calling(t.Context())
	defer cancel()
	again := false
	cfg.MaxAttempts = 3
	cfg.OnEvent = func(e lineoauth.Event) { again = again || e.Kind == lineoauth.EventRetried; cancel() }
	_, _ = call(ctx, newClient(t, cfg))
	if again != f.again {
		t.Errorf("sent again: %v", again)
	}
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "lineoauth: "+string(op)+": ")
}

func (f *fault) check(t *testing.T, op lineoauth.Operation, result any, err error, heard []string) {
	t.Helper()
	if f.want == "" {
		if err != nil {
			t.Errorf("error = %v", err)
		}
		return
	}
	var e *lineoauth.Error
	if result != nil || !errors.As(err, &e) {
		t.Fatalf("result %v, error %v", result, err)
	}
	if e.Operation != op || e.Attempts > 1 {
		t.Errorf("%s, %d attempts", e.Operation, e.Attempts)
	}
	if !strings.Contains(err.Error(), f.want) && !revokes(op) {
		t.Errorf("error = %v; want %q in it", err, f.want)
	}
	if f.cause != nil && !f.cause(err) {
		t.Errorf("its cause is missing: %v", err)
	}
	for ; err != nil; err = errors.Unwrap(err) {
		text := fmt.Sprintf("%s %+v %#v", err, err, err)
		if strings.ContainsAny(text, "\n\x1b") || len(text) > 6000 {
			t.Errorf("unfit for a log: %.400q", text)
		}
		for _, secret := range heard {
			if strings.Contains(text, secret) {
				t.Errorf("%T holds a secret: %s", err, text)
			}
		}
	}
}

// meetSource lets a source meet the fault when it has a valid token.
func (f *fault) meetSource(t *testing.T, channel *lineoauthtest.Channel, line *lineoauthtest.Server, kind lineoauth.Kind, op lineoauth.Operation) {
	n := f.start(t, line)
	var strikes atomic.Bool
	cfg := channel.Config()
	cfg.OperationURLs = map[lineoauth.Operation]string{op: n.base}
	cfg.Timeout = min(f.timeout(), 30*time.Second)
	cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		if strikes.Load() || f.used {
			return n.transport.RoundTrip(req)
		}
		return line.Transport().RoundTrip(req)
	})
	failed := make(chan error, 1)
	cfg.OnEvent = func(e lineoauth.Event) {
		if e.Kind == lineoauth.EventRefreshFailed {
			select {
			case failed <- e.Err:
			default: // one is enough
			}
		}
	}
	source, err := newClient(t, cfg).Source(lineoauth.SourceConfig{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	old, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	strikes.Store(true)
	line.Advance(old.ExpiresAt().Sub(line.Now()) - time.Minute)
	for _, when := range []string{"as the refresh begins", "when it has failed"} {
		if token, err := source.Token(t.Context()); err != nil || token != old {
			t.Errorf("%s: token %v, error %v", when, token, err)
		}
		select {
		case err := <-failed:
			if !as[*lineoauth.Error](err) {
				t.Errorf("error = %v", err)
			}
			failed <- err
		case <-time.After(time.Minute):
			t.Fatal("there was no refresh")
		}
	}
}

var (
	addresses  = regexp.MustCompile(`(127\.0\.0\.1:\d+->)?127\.0\.0\.1:\d+`)
	requestIDs = regexp.MustCompile(`request ID [0-9a-f]{16}`)
	// A second may pass between the client's look at its clock and the server's.
	twenty     = regexp.MustCompile("try again in (19|21)s")
	nameServer = regexp.MustCompile(` on \S+:53: `)
	paths      = regexp.MustCompile(`\b(api\.line\.me|line\.example|elsewhere\.invalid)(?:/[\w.]+)+`)
)

const faultsIntro = `# Errors by fault

What the tests observed for each operation, written by ` + "`make docs`" + `. Every error is a
` + "`*lineoauth.Error`" + ` and begins with ` + "`lineoauth: `" + ` and the operation, which are omitted
here. The timeout was 100 ms, with 1 attempt. *Retried* is the behavior with
` + "`Config.MaxAttempts`" + ` at its default. A ` + "`Source`" + ` with a valid token keeps it in all these
cases, and retries later.

| Fault | Error | Retried |
|---|---|---|
`

// throughIntro begins what a bot sees whose requests a Transport carries.
const throughIntro = `
## Requests of a bot

Through ` + "`Transport`" + `, after LINE revoked the token:

| Fault | The bot receives |
|---|---|
`

func compareFaults(t *testing.T, seen []map[lineoauth.Operation]string, through map[string]string) {
	var b strings.Builder
	b.WriteString(faultsIntro)
	for i, f := range faults {
		again := "no"
		if f.again {
			again = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.name, grouped(seen[i]), again)
	}
	b.WriteString(throughIntro)
	for _, name := range slices.Sorted(maps.Keys(through)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, through[name])
	}
	path := filepath.Join("docs", "faults.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(written), "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("docs/faults.md is out of date; make docs rewrites it (-written +seen):\n%s", diff)
	}
}

// grouped says once what several operations' callers see.
func grouped(seen map[lineoauth.Operation]string) string {
	var texts []string
	who := make(map[string][]string)
	for _, op := range called() {
		text, ok := seen[op]
		if !ok {
			continue
		}
		text = addresses.ReplaceAllString(text, "api.line.me")
		text = requestIDs.ReplaceAllString(text, "request ID …")
		text = nameServer.ReplaceAllString(text, ": ")
		text = twenty.ReplaceAllString(text, "try again in 20s")
		text = paths.ReplaceAllString(text, "$1/…")
		if text == "" {
			text = "the result"
		} else {
			if runes := []rune(text); len(runes) > 250 {
				text = string(runes[:250]) + "…"
			}
			text = "`" + strings.ReplaceAll(strings.ReplaceAll(text, "`", "'"), "|", `\|`) + "`"
		}
		if who[text] == nil {
			texts = append(texts, text)
		}
		who[text] = append(who[text], string(op))
	}
	if len(texts) == 1 {
		return texts[0]
	}
	for i, text := range texts {
		texts[i] = strings.Join(who[text], ", ") + ": " + text
	}
	return strings.Join(texts, "<br>")
}
