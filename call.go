package lineoauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/lineoauth/lineoauth/gen"
)

const (
	// LINE's answers have a few hundred bytes, and a few fields.
	maxAnswer = 1 << 20
	maxFields = 100

	// What is shorter is no secret, and stands in too many words.
	minSecret = 6

	// The longest that the first wait before another try can be, and any; if
	// LINE asks for a longer one, the call fails at once.
	firstRetry = 500 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// call is what the way of a request depends on.
type call struct {
	op          Operation
	byAssertion bool
	secrets     []string // what the request carries and no error may show
}

// send makes the request by the generated client.
type send func(context.Context, *gen.Client) (*http.Response, error)

// answer is a response whose whole body is in memory.
type answer struct {
	call
	*http.Response
	body    []byte
	memory  memoryBody // of body
	fields  []field    // of a JSON object
	askedAt time.Time
	tries   int
}

// parsed is a generated response type whose 200 answer is a T.
type parsed[T any] interface{ GetJSON200() *T }

// fetch makes a call whose answer is a T.
func fetch[T any, R parsed[T]](ctx context.Context, c *Client, cl call, do send, parse func(*http.Response) (R, error)) (*T, *answer, error) {
	ans, err := c.exchange(ctx, cl, do)
	if err != nil {
		return nil, nil, err
	}
	r, err := parse(ans.Response)
	if err != nil {
		if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) && wrong.Field != "" {
			err = fmt.Errorf("%s is a JSON %s", wrong.Field, wrong.Value)
		}
		return nil, nil, ans.strange(fmt.Errorf("the answer is not the JSON that was expected: %w", err))
	}
	result := r.GetJSON200()
	if result == nil && string(bytes.TrimSpace(ans.body)) == "null" {
		return nil, nil, ans.strange(errors.New("the answer is the JSON null"))
	}
	if result == nil {
		return nil, nil, ans.strange(fmt.Errorf("the answer is %s, not JSON", ans.mediaType()))
	}
	if ans.fields, err = fieldsOf(ans.body); err != nil {
		return nil, nil, ans.strange(err)
	}
	if c.cfg.DisallowUnknownFields {
		d := json.NewDecoder(bytes.NewReader(ans.body))
		d.DisallowUnknownFields()
		if err := d.Decode(new(T)); err != nil {
			return nil, nil, ans.bad(fmt.Errorf("the answer does not fit the OpenAPI document (DisallowUnknownFields): %w", err))
		}
	}
	return result, ans, nil
}

// finish makes a call whose answer is empty.
func (c *Client) finish(ctx context.Context, cl call, do send) (*answer, error) {
	ans, err := c.exchange(ctx, cl, do)
	if err != nil {
		return nil, err
	}
	if said := string(bytes.TrimSpace(ans.body)); said != "" && said != "{}" {
		return nil, ans.strange(fmt.Errorf("the answer should be empty, but is %s", ans.mediaType()))
	}
	return ans, nil
}

// field is one of a JSON object.
type field struct {
	name []byte
	null bool
}

// has reports whether the answer has a field other than null, whatever the case
// of its letters, as encoding/json reads names.
func (a *answer) has(name string) bool {
	return slices.ContainsFunc(a.fields, func(f field) bool { return !f.null && bytes.EqualFold(f.name, []byte(name)) })
}

// fieldsOf tells the fields of an object. It refuses a field that comes twice, of
// which encoding/json takes the last and others the first. The body is known to
// be JSON.
func fieldsOf(body []byte) ([]field, error) {
	if !bytes.HasPrefix(afterSpace(body), []byte("{")) {
		return nil, nil
	}
	fields := make([]field, 0, 4)
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			literal := body[i : i+stringEnd(body[i:])]
			i += len(literal) - 1
			value, named := bytes.CutPrefix(afterSpace(body[i+1:]), []byte(":"))
			if depth != 1 || !named {
				continue
			}
			name, err := fieldName(literal)
			if err != nil {
				return nil, err
			}
			if len(fields) == maxFields { // each is compared with all before it
				return nil, fmt.Errorf("the answer has more than %d fields", maxFields)
			}
			if slices.ContainsFunc(fields, func(f field) bool { return bytes.EqualFold(f.name, name) }) {
				return nil, fmt.Errorf("the answer has the field %q twice", name)
			}
			fields = append(fields, field{name, bytes.HasPrefix(afterSpace(value), []byte("null"))})
		}
	}
	return fields, nil
}

func afterSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// stringEnd is the length of the JSON string with which text begins.
func stringEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func fieldName(literal []byte) ([]byte, error) {
	if bytes.IndexByte(literal, '\\') < 0 {
		return literal[1 : len(literal)-1], nil
	}
	var name string
	err := json.Unmarshal(literal, &name)
	return []byte(name), err
}

// exchange sends a request, again if that may help; the answer that it returns
// has status 200.
func (c *Client) exchange(ctx context.Context, cl call, do send) (*answer, error) {
	delays := backoff.ExponentialBackOff{
		// Full jitter: from nothing to twice the interval.
		RandomizationFactor: 1,
		InitialInterval:     firstRetry / 2,
		Multiplier:          2,
		MaxInterval:         maxRetry / 2,
	}
	lost := 0
	if authorization := c.cfg.Authorization.Reveal(); authorization != "" {
		_, credential, _ := strings.Cut(authorization, " ")
		cl.secrets = append(slices.Clip(cl.secrets), authorization, credential)
		if basic, err := base64.StdEncoding.DecodeString(credential); err == nil {
			_, password, _ := strings.Cut(string(basic), ":")
			cl.secrets = append(cl.secrets, string(basic), password)
		}
	}
	for try := 1; ; try++ {
		ans, failed := c.try(ctx, cl, do)
		if failed == nil {
			ans.tries = try
			return ans, nil
		}
		failed.Attempts, failed.fromEnv = try, c.cfg.fromEnv
		if failed.lost() {
			lost++
		}
		// A token whose answer was lost takes a place until it expires.
		if try >= c.maxTries || ctx.Err() != nil || !failed.temporary() || cl.op.takesPlace() && lost > 1 {
			return nil, failed
		}
		delay := max(delays.NextBackOff(), failed.RetryAfter)
		if deadline, ok := ctx.Deadline(); failed.RetryAfter > maxRetry || ok && time.Until(deadline) < delay {
			return nil, failed
		}
		c.emit(ctx, Event{Kind: EventRetried, Err: failed, Wait: delay})
		if err := pause(ctx, delay); err != nil {
			failed.Err = join([]error{failed.Err, fmt.Errorf("while waiting to try again: %w", err)})
			return nil, failed
		}
	}
}

// pause waits, and fails if ctx ends earlier.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// temporary reports whether the same request may succeed later.
func (e *Error) temporary() bool {
	if errors.As(e.Err, new(*tls.CertificateVerificationError)) || errors.As(e.Err, new(*badProxy)) {
		return false
	}
	return e.StatusCode == 0 || e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= http.StatusInternalServerError
}

// lost reports whether LINE may have done what it was asked although the
// answer says nothing of it.
func (e *Error) lost() bool {
	switch e.StatusCode {
	case 0:
		return !e.unsent
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return e.StatusCode/100 == 2
}

// wire is how far a request came on its way.
type wire struct {
	httptrace.ClientTrace
	began, written atomic.Bool
}

func newWire() *wire {
	w := new(wire)
	w.GetConn = func(string) { w.began.Store(true) }
	w.WroteHeaders = func() { w.written.Store(true) }
	return w
}

// unsent reports whether nothing of a request that failed left this machine. A
// transport of the caller's may trace nothing; what cannot be dialed was not sent.
func (w *wire) unsent(err error) bool {
	if w.began.Load() || w.written.Load() {
		return !w.written.Load()
	}
	dial := new(net.OpError)
	return errors.As(err, &dial) && dial.Op == "dial"
}

// try sends a request once.
func (c *Client) try(ctx context.Context, cl call, do send) (*answer, *Error) {
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.cfg.Timeout, errTimeout)
		defer cancel()
	}
	api := c.apis[cl.op]
	if api == nil {
		api = c.api
	}
	askedAt := c.cfg.Now().Round(0) // wall time goes on while a machine is suspended
	wire := newWire()
	rsp, err := do(httptrace.WithClientTrace(ctx, &wire.ClientTrace), api)
	if err != nil {
		return nil, &Error{Operation: cl.op, Err: cl.cleanError(c.timedOut(ctx, err)), unsent: wire.unsent(err), ended: callerEnded(ctx)}
	}
	defer func() { _ = rsp.Body.Close() }()

	ans := &answer{call: cl, Response: rsp, askedAt: askedAt}
	ans.body, err = io.ReadAll(io.LimitReader(rsp.Body, maxAnswer+1))
	ans.memory.Reset(ans.body)
	rsp.Body = &ans.memory
	switch {
	case err != nil:
		err = fmt.Errorf("the answer broke off: %w", c.timedOut(ctx, err))
		if !callerEnded(ctx) {
			err = fmt.Errorf("%w; check the network and try again", err)
		}
		failed := ans.bad(err)
		failed.cut = true
		return nil, failed
	case rsp.StatusCode < 100 || rsp.StatusCode > 599:
		return nil, ans.bad(errStatus)
	case len(ans.body) > maxAnswer:
		return nil, ans.strange(fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	case rsp.StatusCode != http.StatusOK:
		return nil, ans.refusal()
	}
	return ans, nil
}

// errTimeout marks the end of a context as this package's doing.
var errTimeout = errors.New("timeout")

// callerEnded reports whether the caller's context ended, and not the client's
// timeout.
func callerEnded(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout)
}

// timedOut says so if err comes from the client's own timeout, or from the end
// of the caller's context, in whose place net/http gives its cause.
func (c *Client) timedOut(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("no answer within %v: %w", c.cfg.Timeout, context.DeadlineExceeded)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

// memoryBody is a response body that was read already.
type memoryBody struct{ bytes.Reader }

func (*memoryBody) Close() error { return nil }

// doer sends the requests of the generated client. An http.Client would follow
// redirects, and thereby hand the secret to whoever they point at; it would
// also put the URL, which may hold a secret, into its errors.
type doer struct{ http.RoundTripper }

func (d doer) Do(req *http.Request) (*http.Response, error) {
	rsp, err := d.RoundTrip(req)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s%s: %w", req.URL.Host, req.URL.Path, err)
	case rsp == nil || rsp.Body == nil:
		return nil, errors.New("the transport gave neither an answer nor an error")
	}
	return rsp, nil
}

// bad returns the error of an answer that is of no use, because of err.
func (a *answer) bad(err error) *Error {
	return &Error{
		Operation:   a.op,
		StatusCode:  a.StatusCode,
		RequestID:   clean(a.Header.Get("X-Line-Request-Id"), a.redactor()),
		RetryAfter:  retryAfter(a.Header, a.askedAt),
		Attempts:    a.tries,
		Err:         a.cleanError(err),
		byAssertion: a.byAssertion,
		serverTime:  serverTime(a.Header.Get("Date")),
	}
}

// strange is bad for an answer that LINE would not give.
func (a *answer) strange(err error) *Error {
	return a.bad(fmt.Errorf("%w; something between this machine and LINE may have given it, check the base URL and the proxy", err))
}

func serverTime(date string) time.Time {
	t, _ := http.ParseTime(date) // zero if there is none
	return t
}

// token returns the token of the answer, unless it is none.
func (a *answer) token(kind Kind, accessToken, tokenType, keyID string, expiresIn int64) (*Token, error) {
	switch {
	case accessToken == "":
		return nil, a.strange(errors.New("the answer holds no access_token"))
	case !isToken(accessToken) || keyID != "" && !isToken(keyID):
		return nil, a.strange(errors.New("the answer's access_token or key_id has letters that a Bearer token cannot have"))
	case expiresIn <= 0:
		return nil, a.strange(fmt.Errorf("the answer says expires_in %d, which is not in the future", expiresIn))
	case tokenType != "" && tokenType != bearer && lower(tokenType) != "bearer":
		return nil, a.strange(errors.New("the answer's token_type is not Bearer"))
	}
	if kind == V21 && keyID == "" {
		return nil, a.strange(errors.New("the answer holds no key_id"))
	}
	return &Token{
		AccessToken: NewSecret(accessToken),
		TokenType:   bearer, // also where the answer has none, as the OpenAPI document says
		Kind:        kind,
		KeyID:       keyID,
		ExpiresIn:   expiresIn,
		IssuedAt:    a.askedAt,
	}, nil
}

// bearer is OAuth's token_type of all tokens.
const bearer = "Bearer"

// verification returns what the answer says of a token.
func (a *answer) verification(clientID, scope string, expiresIn int64) (*Verification, error) {
	if clientID == "" || !a.has("expires_in") || expiresIn < 0 {
		return nil, a.strange(errors.New("the answer holds no client_id, or no expires_in of 0 or more"))
	}
	return &Verification{ClientID: clientID, ExpiresIn: expiresIn, Scope: scope, VerifiedAt: a.askedAt}, nil
}

const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// isToken reports whether s is what a Bearer token can be (RFC 6750, section
// 2.1), which means nothing to a header, a shell or a terminal.
func isToken(s string) bool {
	letters := strings.TrimRight(s, "=")
	return letters != "" && strings.Trim(letters, tokenLetters) == ""
}

// mediaType is not put in lower case, in which the redactor could miss a secret.
func (a *answer) mediaType() string {
	t, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if t = strings.TrimSpace(t); t != "" {
		return t
	}
	return "a body of unknown type"
}

func (a *answer) redirect() string {
	if to, err := a.Location(); err == nil {
		return to.Host + to.Path
	}
	return "nowhere"
}

// cleanError frees a cause from the URL, which may carry the token or
// assertion, and from whatever else the request must not show.
func (cl call) cleanError(err error) error {
	if err == nil {
		return nil
	}
	text := clean(err.Error(), cl.redactor())
	var ue *url.Error
	for errors.As(err, &ue) { // from a transport of the caller's
		text = clean(ue.Err.Error(), cl.redactor())
		err = ue.Err
	}
	return &cleanError{text, func() error { return err }}
}

// redactor takes what the request carries out of a text, plain and as it
// stands in a query or form.
func (cl call) redactor() *strings.Replacer {
	var pairs []string
	for _, s := range cl.secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			pairs = append(pairs, form, masked, lowerHex(form), masked, strings.ToLower(form), masked)
		}
	}
	return strings.NewReplacer(pairs...)
}

var escapes = regexp.MustCompile("%[0-9A-F]{2}")

// lowerHex writes %2F as %2f.
func lowerHex(s string) string { return escapes.ReplaceAllStringFunc(s, strings.ToLower) }

// retryAfter reads a Retry-After header, in seconds or as a date by the server's
// clock.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
		return seconds(n)
	}
	if date := serverTime(header.Get("Date")); !date.IsZero() {
		now = date
	}
	if t, err := http.ParseTime(value); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}
