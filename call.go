package lineoauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/gen"
)

// LINE's answers have a few hundred bytes.
const maxAnswer = 1 << 20

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
	askedAt time.Time
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
		return nil, nil, ans.bad(fmt.Errorf("the answer is not the JSON that was expected: %w", err))
	}
	result := r.GetJSON200()
	if result == nil {
		return nil, nil, ans.bad(fmt.Errorf("the answer is %s, not JSON; something between this machine and LINE may have given it, check the base URL and the proxy", ans.mediaType()))
	}
	if c.cfg.DisallowUnknownFields {
		d := json.NewDecoder(bytes.NewReader(ans.body))
		d.DisallowUnknownFields()
		if err := d.Decode(new(T)); err != nil {
			return nil, nil, ans.bad(fmt.Errorf("the answer does not fit the OpenAPI document: %w", err))
		}
	}
	return result, ans, nil
}

// exchange sends one request; the answer that it returns has status 200.
func (c *Client) exchange(ctx context.Context, cl call, do send) (*answer, error) {
	var timeout error
	if c.cfg.Timeout > 0 {
		timeout = fmt.Errorf("no answer within %v: %w", c.cfg.Timeout, context.DeadlineExceeded)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.cfg.Timeout, timeout)
		defer cancel()
	}
	api := c.apis[cl.op]
	if api == nil {
		api = c.api
	}
	askedAt := c.cfg.Now()
	rsp, err := do(ctx, api)
	if err != nil {
		if context.Cause(ctx) == timeout {
			err = timeout
		}
		return nil, &Error{Operation: cl.op, Err: cl.cleanError(err)}
	}
	defer func() { _ = rsp.Body.Close() }()

	ans := &answer{call: cl, Response: rsp, askedAt: askedAt}
	ans.body, err = io.ReadAll(io.LimitReader(rsp.Body, maxAnswer+1))
	rsp.Body = io.NopCloser(bytes.NewReader(ans.body))
	switch {
	case err != nil && context.Cause(ctx) == timeout:
		return nil, ans.bad(timeout)
	case err != nil:
		return nil, ans.bad(fmt.Errorf("the answer broke off: %w", err))
	case len(ans.body) > maxAnswer:
		return nil, ans.bad(fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	case rsp.StatusCode != http.StatusOK:
		return nil, ans.refusal()
	}
	return ans, nil
}

// refusal reads an answer that is not 200.
func (a *answer) refusal() *Error {
	if a.StatusCode >= 300 && a.StatusCode < 400 {
		return a.bad(fmt.Errorf("a redirect to %s, which is not followed, for it would carry the secret along; check the base URL", a.redirectHost()))
	}
	var said gen.ErrorResponse
	if json.Unmarshal(a.body, &said) != nil {
		return a.bad(fmt.Errorf("%s that is no error of LINE's; something between this machine and LINE may have given it", a.mediaType()))
	}
	e := a.bad(nil)
	secrets := a.redactor()
	e.Code = clean(said.Error, secrets)
	e.Description = clean(said.ErrorDescription, secrets)
	e.Message = clean(said.Message, secrets)
	for _, d := range said.Details {
		e.Details = append(e.Details, ErrorDetail{Message: clean(d.Message, secrets), Property: clean(d.Property, secrets)})
	}
	return e
}

// bad returns the error of an answer that is of no use, because of err.
func (a *answer) bad(err error) *Error {
	return &Error{
		Operation:   a.op,
		StatusCode:  a.StatusCode,
		RequestID:   clean(a.Header.Get("X-Line-Request-Id"), a.redactor()),
		RetryAfter:  retryAfter(a.Header.Get("Retry-After"), a.askedAt),
		Err:         a.cleanError(err),
		byAssertion: a.byAssertion,
	}
}

// token returns the token of the answer, unless it is none.
func (a *answer) token(kind Kind, accessToken, tokenType, keyID string, expiresIn int32) (*Token, error) {
	switch {
	case accessToken == "":
		return nil, a.bad(errors.New("the answer holds no access_token"))
	case expiresIn <= 0:
		return nil, a.bad(fmt.Errorf("the answer says expires_in %d, which is not in the future", expiresIn))
	}
	return &Token{
		AccessToken: NewSecret(accessToken),
		TokenType:   tokenType,
		Kind:        kind,
		KeyID:       keyID,
		ExpiresIn:   int64(expiresIn),
		IssuedAt:    a.askedAt,
	}, nil
}

func (a *answer) mediaType() string {
	if t, _, err := mime.ParseMediaType(a.Header.Get("Content-Type")); err == nil {
		return t
	}
	return "a body of unknown type"
}

func (a *answer) redirectHost() string {
	if to, err := a.Location(); err == nil {
		return to.Host
	}
	return "nowhere"
}

// cleanError frees a cause from the URL, which may carry the token or
// assertion, and from whatever else the request must not show.
func (cl call) cleanError(err error) error {
	if err == nil {
		return nil
	}
	where := ""
	var ue *url.Error
	for errors.As(err, &ue) {
		if u, parseErr := url.Parse(ue.URL); parseErr == nil {
			where = u.Host + u.Path + ": "
		}
		err = ue.Err
	}
	return &cleanError{where + clean(err.Error(), cl.redactor()), err}
}

// redactor takes what the request carries out of a text, plain and as it
// stands in a query or form.
func (cl call) redactor() *strings.Replacer {
	var pairs []string
	for _, s := range cl.secrets {
		if s != "" {
			pairs = append(pairs, s, masked, url.QueryEscape(s), masked, url.PathEscape(s), masked)
		}
	}
	return strings.NewReplacer(pairs...)
}

// retryAfter reads a Retry-After header, in seconds or as a date.
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(header, 10, 64); err == nil && n > 0 {
		return seconds(n)
	}
	if t, err := http.ParseTime(header); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}
