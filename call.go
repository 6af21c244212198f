package lineoauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/lineoauth/lineoauth/internal/wire"
)

const (
	// The longest that the first wait before another attempt can be, and any; if
	// LINE asks for a longer one, the call fails at once.
	firstRetry = 500 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// call is one call of an operation.
type call struct {
	op       Operation
	request  func(cl *call, server string) (*http.Request, error) // by package gen
	by       proof
	validFor time.Duration // of the token that an assertion asks for
	token    string        // that the call is about

	current           *Credentials // that Config.Credentials returned
	channelID         string       // set by do; the requests need it
	assertion, secret string       // that prove who calls; see prove
	asserted          bool         // by the assertion, even if that is empty

	attempts, lost int // since the credentials are these; of them, whose answers were lost
	delays         *backoff.ExponentialBackOff
}

// proof is by what a channel proves that it is the one that calls.
type proof int

const (
	byNothing proof = iota
	bySecret
	byAssertion
	byEither // by an assertion, where there is a key
)

// do makes a call: again after what may pass; once more with another assertion, if
// LINE finds that one outdated; and likewise if it refuses the credentials, and there
// are others by now. The answer that it returns has status 200.
func (c *Client) do(ctx context.Context, cl *call) (*answer, error) {
	cl.channelID = c.cfg.ChannelID
	if err := c.lookUpCredentials(ctx, cl); err != nil {
		return nil, err
	}
	var failed *Error // of the last attempt
	for signedAnew, renewed := false, false; ; {
		a, err := c.prove(ctx, cl)
		if err != nil && !renewed && c.replaced(ctx, cl, err) {
			renewed = true
			continue
		}
		if err != nil && failed != nil {
			failed.unproved = true
			failed.Err = join([]error{failed.Err, fmt.Errorf("on the next attempt: %w", err)})
			return nil, failed
		}
		if err != nil {
			return nil, err
		}
		server, ok := c.servers[cl.op]
		if !ok {
			server = c.server
		}
		req, err := cl.request(cl, server)
		if err != nil {
			return nil, fmt.Errorf("lineoauth: %w", err)
		}
		if authorization := c.cfg.Authorization.Reveal(); authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		cl.attempts++
		ans := &answer{call: cl, client: c, askedAt: c.cfg.Now().Round(0)} // wall time continues while a machine is suspended
		ans.Answer = wire.Do(ctx, c.cfg.Transport, req, c.cfg.Timeout)
		failed = ans.failed()
		switch {
		case failed == nil:
			return ans, nil
		case a != nil && !signedAnew && c.outdated(ctx, a, failed):
			signedAnew, cl.attempts, cl.lost = true, 0, 0
		case !renewed && c.replaced(ctx, cl, failed):
			signedAnew, renewed, cl.attempts, cl.lost = false, true, 0, 0
		case !c.again(ctx, cl, failed):
			return nil, failed
		}
	}
}

// again waits until a failed call is worth another attempt, if that may help.
func (c *Client) again(ctx context.Context, cl *call, failed *Error) bool {
	if failed.lost() {
		cl.lost++
	}
	// A token whose answer was lost counts until it expires.
	if cl.attempts >= c.attempts || ctx.Err() != nil || !failed.temporary() || cl.op.isLimited() && cl.lost > 1 {
		return false
	}
	if cl.delays == nil {
		cl.delays = &backoff.ExponentialBackOff{
			// Full jitter: from nothing to twice the interval.
			RandomizationFactor: 1,
			InitialInterval:     firstRetry / 2,
			Multiplier:          2,
			MaxInterval:         maxRetry / 2,
		}
	}
	delay := max(cl.delays.NextBackOff(), failed.RetryAfter)
	if deadline, ok := ctx.Deadline(); failed.RetryAfter > maxRetry || ok && time.Until(deadline) < delay {
		return false
	}
	told := *failed // which OnEvent may keep
	c.emit(ctx, Event{Kind: EventRetried, Err: &told, Wait: delay})
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		failed.Err = join([]error{failed.Err, fmt.Errorf("while waiting to try again: %w", ctx.Err())})
		return false
	}
}

// prove gives a call the credentials that it needs, in place of those of an earlier
// attempt. It returns the assertion if that was signed here.
func (c *Client) prove(ctx context.Context, cl *call) (*signedAssertion, error) {
	cl.assertion, cl.secret, cl.asserted = "", "", false
	cr := c.credentials(cl)
	switch {
	case cl.by == byNothing:
		return nil, nil
	case cl.by == bySecret:
		cl.secret = cr.ChannelSecret.Reveal()
		return nil, c.require(string(cl.op), cr, needChannelID, needSecret)
	case cl.by == byEither && cr.Key == nil && c.assertion == nil:
		cl.secret = cr.ChannelSecret.Reveal()
		return nil, c.require(string(cl.op), cr, needChannelID, needSecretOrKey)
	case c.assertion == nil:
		a, err := c.sign(ctx, cl)
		if err == nil {
			cl.assertion, cl.asserted = a.text.Reveal(), true
		}
		return a, err
	case c.assertion.IsZero() && !c.cfg.SkipChecks:
		return nil, fmt.Errorf("lineoauth: %w: the given assertion is empty", ErrInvalid)
	case cl.validFor != 0 && cl.validFor != anyLife:
		return nil, fmt.Errorf("lineoauth: %w: the given assertion already contains the lifetime of the token; pass 0", ErrInvalid)
	}
	cl.assertion, cl.asserted = c.assertion.Reveal(), true
	return nil, nil
}

// answer is what became of a call.
type answer struct {
	*wire.Answer
	call    *call
	client  *Client
	askedAt time.Time
	fields  []wire.Field // of a JSON object
}

// failed returns the error of an answer that is not 200, or none at all.
func (a *answer) failed() *Error {
	switch {
	case a.Err != nil:
		return a.failure(a.Err)
	case a.StatusCode < 100 || a.StatusCode > 599:
		return a.failure(errStatus)
	case len(a.Bytes) > wire.MaxAnswer:
		return a.unexpected(fmt.Errorf("the answer has more than %d bytes", wire.MaxAnswer))
	case a.StatusCode != http.StatusOK:
		return a.refusal()
	}
	return nil
}

// redactor takes out of a text what the request carries.
func (a *answer) redactor() wire.Redactor {
	secrets := []string{a.call.token, a.call.assertion}
	if a.call.secret != "" { // also as credentials of HTTP Basic
		secrets = append(secrets, a.call.secret, a.call.channelID+":"+a.call.secret)
	}
	if authorization := a.client.cfg.Authorization.Reveal(); authorization != "" {
		_, credential, _ := strings.Cut(authorization, " ")
		secrets = append(secrets, authorization, credential)
		if basic, err := base64.StdEncoding.DecodeString(credential); err == nil {
			_, password, _ := strings.Cut(string(basic), ":")
			secrets = append(secrets, string(basic), password)
		}
	}
	return wire.NewRedactor(secrets...)
}

// failure returns the error of an answer that is of no use, because of err.
func (a *answer) failure(err error) *Error {
	redactor := a.redactor()
	e := &Error{
		Operation:   a.call.op,
		Attempts:    a.call.attempts,
		Err:         redactor.Error(err),
		byAssertion: a.call.asserted,
		unsent:      a.Unsent,
		ended:       a.Ended,
		fromEnv:     a.client.cfg.fromEnv,
	}
	if a.Response != nil {
		e.StatusCode = a.StatusCode
		e.RequestID = redactor.Clean(a.Header.Get("X-Line-Request-Id"))
		e.RetryAfter = a.RetryAfter(a.askedAt)
		e.serverTime = a.Date()
		e.cut = a.Err != nil
	}
	return e
}

// unexpected is failure for an answer that LINE would not give.
func (a *answer) unexpected(err error) *Error {
	return a.failure(fmt.Errorf("%w; something between this machine and LINE may have given it, check the base URL and the proxy", err))
}

// parsed is a generated response type whose 200 answer is a T.
type parsed[T any] interface{ GetJSON200() *T }

// read returns the JSON of an answer, which parse of package gen reads, or the error
// of the call.
func read[T any, R parsed[T]](a *answer, failed error, parse func(*http.Response) (R, error)) (*T, error) {
	if failed != nil {
		return nil, failed
	}
	r, err := parse(a.Response)
	if err != nil {
		if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) && wrong.Field != "" {
			err = fmt.Errorf("%s is a JSON %s", wrong.Field, wrong.Value)
		}
		return nil, a.unexpected(fmt.Errorf("the answer is not the JSON that was expected: %w", err))
	}
	result := r.GetJSON200()
	if result == nil && string(bytes.TrimSpace(a.Bytes)) == "null" {
		return nil, a.unexpected(errors.New("the answer is the JSON null"))
	}
	if result == nil {
		return nil, a.unexpected(fmt.Errorf("the answer is %s, not JSON", a.MediaType()))
	}
	if a.fields, err = wire.Fields(a.Bytes); err != nil {
		return nil, a.unexpected(err)
	}
	if a.client.cfg.DisallowUnknownFields {
		if name := unknown(reflect.TypeFor[T](), a.fields); name != "" {
			return nil, a.failure(fmt.Errorf("the answer does not fit the OpenAPI document (DisallowUnknownFields): unknown field %q", name))
		}
	}
	return result, nil
}

// unknown returns the name of a field that a generated type has not, or "".
func unknown(t reflect.Type, fields []wire.Field) string {
	for _, f := range fields {
		if !slices.ContainsFunc(reflect.VisibleFields(t), func(known reflect.StructField) bool {
			name, _, _ := strings.Cut(known.Tag.Get("json"), ",")
			return strings.EqualFold(name, string(f.Name))
		}) {
			return string(f.Name)
		}
	}
	return ""
}

// empty fails unless the answer to a call is.
func (a *answer) empty() error {
	if text := string(bytes.TrimSpace(a.Bytes)); text != "" && text != "{}" {
		return a.unexpected(fmt.Errorf("the answer should be empty, but is %s", a.MediaType()))
	}
	return nil
}

// token returns the token that the answer's fields describe. It refuses fields that
// LINE would not send.
func (a *answer) token(kind Kind, accessToken, tokenType, keyID string, expiresIn int64) (*Token, error) {
	switch {
	case accessToken == "":
		return nil, a.unexpected(errors.New("the answer has no access_token"))
	case !isToken(accessToken) || keyID != "" && !isToken(keyID):
		return nil, a.unexpected(errors.New("the answer's access_token or key_id has characters that a Bearer token cannot have"))
	case expiresIn <= 0:
		return nil, a.unexpected(fmt.Errorf("the answer has expires_in %d, which is not positive", expiresIn))
	case tokenType != "" && tokenType != bearer && wire.Lower(tokenType) != "bearer":
		return nil, a.unexpected(errors.New("the answer's token_type is not Bearer"))
	case kind == V21 && keyID == "":
		return nil, a.unexpected(errors.New("the answer has no key_id"))
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

// verification returns what the answer reports of a token.
func (a *answer) verification(clientID, scope string, expiresIn int64) (*Verification, error) {
	given := slices.ContainsFunc(a.fields, func(f wire.Field) bool { return !f.Null && bytes.EqualFold(f.Name, []byte("expires_in")) })
	if clientID == "" || !given || expiresIn < 0 {
		return nil, a.unexpected(errors.New("the answer has no client_id, or no expires_in of 0 or more"))
	}
	return &Verification{ClientID: clientID, ExpiresIn: expiresIn, Scope: scope, VerifiedAt: a.askedAt}, nil
}
