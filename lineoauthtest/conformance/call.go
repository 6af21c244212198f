package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/wire"
)

const (
	maxBody = 64 << 10
	maxText = 200 // letters of one text of a server in a report
	masked  = "[redacted]"
	// minSecret is the minimum length of a secret; a word of a test secret does not count.
	minSecret = 8
	formType  = "application/x-www-form-urlencoded"
)

// endpoint is a method and a path.
type endpoint string

const (
	issueStateless endpoint = "POST /oauth2/v3/token"
	listKeyIDs     endpoint = "GET /oauth2/v2.1/tokens/kid"
	issueV21       endpoint = "POST /oauth2/v2.1/token"
	verifyV21      endpoint = "GET /oauth2/v2.1/verify"
	revokeV21      endpoint = "POST /oauth2/v2.1/revoke"
	issueShort     endpoint = "POST /v2/oauth/accessToken"
	verifyV2       endpoint = "POST /v2/oauth/verify"
	revokeV2       endpoint = "POST /v2/oauth/revoke"
	botInfo        endpoint = "GET /v2/bot/info"
	emulatorState  endpoint = "GET /_emulator/state"
	emulatorClock  endpoint = "POST /_emulator/clock"
	emulatorFault  endpoint = "POST /_emulator/faults"
)

// issues is the kind of token that an endpoint issues, if any.
func (e endpoint) issues() lineoauth.Kind {
	switch e {
	case issueStateless:
		return lineoauth.Stateless
	case issueV21:
		return lineoauth.V21
	case issueShort:
		return lineoauth.ShortLived
	}
	return ""
}

func (e endpoint) isOAuth() bool {
	return strings.Contains(string(e), " /oauth2/") || strings.Contains(string(e), " /v2/oauth/")
}

// request is one request in the raw.
type request struct {
	to          endpoint
	query       url.Values
	contentType string
	body        string
	header      http.Header
	// form has the sent fields, which determine what the run revokes.
	form url.Values
}

// answer is the server's answer.
type answer struct {
	to     endpoint
	status int
	header http.Header
	body   []byte
	fields map[string]any // of a body that is a JSON object
}

// text returns a field of the body that is a string, else "".
func (a *answer) text(name string) string {
	s, _ := a.fields[name].(string)
	return s
}

// call sends one request. A token that it is issued is noted, to be revoked at the
// end; so the answer to a request for one is awaited also when ctx ends.
func (r *run) call(ctx context.Context, q request) (*answer, error) {
	kind := q.to.issues()
	if kind != "" {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	method, path, _ := strings.Cut(string(q.to), " ")
	target := strings.TrimSuffix(r.cfg.BaseURL, "/") + path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	req.Header.Set("User-Agent", "lineoauth-conformance")
	r.requests++
	a, err := r.roundTrip(req, q.to)
	switch {
	case err != nil && kind != "":
		r.lost[kind]++
		return nil, err
	case err != nil:
		return nil, err
	case kind != "" && a.status == http.StatusOK:
		r.noteIssued(kind, q, a)
	case a.status == http.StatusOK:
		r.noteRevoked(q)
	}
	return a, nil
}

// roundTrip follows no redirect, which would carry secrets elsewhere.
func (r *run) roundTrip(req *http.Request, to endpoint) (*answer, error) {
	rsp, err := wire.RoundTrip(r.cfg.Transport, req)
	if err != nil {
		return nil, err
	}
	defer rsp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(rsp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(rsp.Header.Get("Date")); err == nil {
		r.skew = date.Sub(r.clock())
	}
	a := &answer{to: to, status: rsp.StatusCode, header: rsp.Header, body: body}
	_ = json.Unmarshal(body, &a.fields) // a body that is not an object has no fields
	r.seen = append(r.seen, a)
	return a, nil
}

// clock is the client's clock, which the server's may differ from.
func (r *run) clock() time.Time {
	if r.cfg.Now == nil {
		return time.Now()
	}
	return r.cfg.Now()
}

// now is the server's time as far as its answers tell, at most a second behind it.
func (r *run) now() time.Time { return r.clock().Add(r.skew) }

// describe returns a short description of an answer, without possible secrets.
func (r *run) describe(a *answer) string {
	kind := fmt.Sprint(a.status)
	switch {
	case len(a.body) == 0:
		return kind + ", empty body"
	case a.fields == nil:
		return kind + ", a body that is not a JSON object (" + r.clean(a.header.Get("Content-Type")) + ")"
	}
	var said []string
	if code, ok := a.fields["error"]; ok {
		said = append(said, r.clean(fmt.Sprint(code)))
	}
	if text, ok := a.fields["error_description"]; ok {
		said = append(said, r.clean(fmt.Sprint(text)))
	}
	if message, ok := a.fields["message"]; ok {
		said = append(said, "message: "+r.clean(fmt.Sprint(message)))
	}
	if len(said) > 0 {
		return kind + " " + strings.Join(said, ": ")
	}
	kind += " with " + r.clean(strings.Join(fieldOrder(a.body), ", "))
	if left, ok := a.integer("expires_in"); ok {
		kind += fmt.Sprintf("; expires_in %d", left)
	}
	return kind
}

// requestID is an answer's, which is fit to be shown.
func (r *run) requestID(a *answer) string {
	id := a.header.Get("X-Line-Request-Id")
	if !requestIDs.MatchString(id) {
		return ""
	}
	return r.redact(id)
}

var (
	requestIDs = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
	longWords  = regexp.MustCompile(`[A-Za-z0-9+/=_.%-]{30,}`)
)

// clean makes what a server wrote fit for a report: none of the run's secrets, no
// word so long that it may be one, no control characters, and not too long.
func (r *run) clean(s string) string {
	s = longWords.ReplaceAllString(r.redact(s), masked)
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			return ' '
		}
		return c
	}, s)
	if letters := []rune(s); len(letters) > maxText {
		s = string(letters[:maxText]) + "…"
	}
	return s
}

// redact removes the run's secrets from a text.
func (r *run) redact(s string) string {
	for _, secret := range r.secrets {
		if len(secret) <= len(s) {
			s = strings.ReplaceAll(s, secret, masked)
		}
	}
	return s
}

// hide keeps a text out of the report, also URL-encoded, and in any case.
func (r *run) hide(secret string) string {
	if len(secret) < minSecret {
		return secret
	}
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ToUpper(secret), strings.ToLower(secret)}
	slices.Sort(forms)
	r.secrets = append(r.secrets, slices.Compact(forms)...)
	return secret
}
