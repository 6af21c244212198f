package conformance

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/wire"
)

const (
	// v21Lifetime is short, in case the process is killed before it revokes the token.
	v21Lifetime        = 30 * time.Minute
	statelessLifetime  = 15 * time.Minute
	shortLivedLifetime = 30 * 24 * time.Hour

	// CleanUp bounds how long [Run] revokes tokens after its context is done, in
	// addition to the duration of one request.
	CleanUp = 10 * time.Second
	// maxSilence is how many consecutive requests may get no answer.
	maxSilence = 3
)

// ErrNotRevoked is returned by [Run] when a token that it issued may still be valid.
var ErrNotRevoked = errors.New("a token is left")

// run is one Run.
type run struct {
	cfg      lineoauth.Config
	keyID    string
	timeout  time.Duration
	emulator bool

	// Unknown secrets, IDs and tokens, generated for this run.
	wrongSecret, opaque, jws string

	requests    int
	silent      int // consecutive requests without an answer
	unanswered  int
	skew        time.Duration // the server's clock against the client's
	seen        []*answer
	secrets     []string
	tokens      []*token
	answers     map[string]*answer         // by row
	first       map[lineoauth.Kind]*answer // the first with a token
	lost        map[lineoauth.Kind]int     // issues without an answer
	secretWorks bool
	valid       int  // v2.1 tokens, as the emulator counts them
	expired     bool // whether the emulator's clock was moved
}

// token is one that was issued.
type token struct {
	kind    lineoauth.Kind
	text    string
	revoked bool
}

// Run compares the server at cfg.BaseURL (by default LINE) with each fact. Rows whose
// credentials are missing in cfg are [Unknown]. Run uses the fields ChannelID,
// ChannelSecret, Key, KeyID, BaseURL, AllowPlainHTTP, Transport, Timeout and Now of
// cfg. A Timeout that is not positive means [lineoauth.DefaultTimeout]. Requests are
// not retried.
//
// A row that differs is not an error. The error is that of a cfg that [lineoauth.New]
// refuses (it matches [lineoauth.ErrInvalid], and nothing was sent), of ctx, of
// requests without an answer, or of tokens that could not be revoked; the report is nil
// only if nothing was learned. When ctx ends, Run awaits the answer to a request for a
// token, and takes up to [CleanUp] to revoke what was issued.
func Run(ctx context.Context, cfg lineoauth.Config) (report *Report, err error) {
	if _, err := lineoauth.New(cfg); err != nil {
		return nil, err
	}
	r := newRun(cfg)
	report = &Report{Server: r.cfg.BaseURL, Time: r.clock()}
	defer func() {
		if left := r.revokeAll(ctx); left != nil {
			err = join(err, fmt.Errorf("lineoauth: %w", left))
		}
		if report != nil {
			report.Requests = r.requests
		}
	}()
	probe, err := r.call(ctx, request{to: emulatorState})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("lineoauth: cannot reach the server (%s); check the network and the base URL", r.clean(err.Error()))
	}
	r.emulator = probe.status == http.StatusOK && probe.text("now") != "" && probe.fields["tokens"] != nil
	report.Emulator = r.emulator
	for _, row := range table() {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if r.silent == maxSilence {
			return report, fmt.Errorf("lineoauth: stopped before %s, for %d requests in a row got no answer; check the network, then run it again", row.name, maxSilence)
		}
		report.Rows = append(report.Rows, r.check(ctx, row))
	}
	if r.unanswered > 0 {
		return report, fmt.Errorf("lineoauth: %d requests got no answer; check the network, then run it again", r.unanswered)
	}
	return report, nil
}

func newRun(cfg lineoauth.Config) *run {
	if cfg.BaseURL == "" {
		cfg.BaseURL = gen.DefaultServerURL
	}
	cfg.BaseURL = wire.LocalName(cfg.BaseURL)
	if cfg.Transport == nil {
		cfg.Transport = wire.Default()
	}
	base64url := base64.RawURLEncoding.EncodeToString
	r := &run{
		cfg:         cfg,
		keyID:       cfg.KeyID,
		timeout:     cfg.Timeout,
		wrongSecret: hex.EncodeToString(random(16)),
		opaque:      base64.StdEncoding.EncodeToString(random(128)),
		jws:         base64url([]byte(jwsHeader)) + "." + base64url(random(128)) + "." + base64url(random(32)),
		answers:     make(map[string]*answer),
		first:       make(map[lineoauth.Kind]*answer),
		lost:        make(map[lineoauth.Kind]int),
	}
	if cfg.Key != nil && r.keyID == "" {
		r.keyID = cfg.Key.ID()
	}
	if r.timeout <= 0 {
		r.timeout = lineoauth.DefaultTimeout
	}
	r.hide(cfg.ChannelSecret.Reveal())
	return r
}

// check returns the result of one row.
func (r *run) check(ctx context.Context, row row) Result {
	want := row.want
	if !r.emulator && row.or.ok != nil {
		want = want.or(row.or)
	}
	result := Result{
		Row: row.name, Endpoint: string(row.to), Strength: row.strength, Source: row.source,
		Verdict: Unknown, Expected: want.text, open: want.open,
	}
	a, err := r.answer(ctx, row)
	if err == nil && row.of != "" && want.of != "" && a.text(want.of) == "" {
		err = untried("the answer has no " + want.of)
	}
	switch {
	case err != nil && isUntried(err):
		result.Reason = err.Error()
		return result
	case err != nil:
		r.silent++
		r.unanswered++
		result.Reason = "no answer: " + r.clean(err.Error())
		return result
	case row.of == "" && row.every == nil:
		r.silent = 0
	}
	r.answers[row.name] = a
	describe := r.describe
	if want.got != nil {
		describe = func(a *answer) string { return want.got(r, a) }
	}
	result.Got, result.RequestID = describe(a), r.requestID(a)
	switch {
	case row.strength == Undocumented && !r.emulator:
		result.Reason = "LINE does not document it"
	case want.ok(r, a):
		result.Verdict = Agrees
	default:
		result.Verdict = Differs
	}
	return result
}

// answer returns the answer for a row, or an untried.
func (r *run) answer(ctx context.Context, row row) (*answer, error) {
	kind := row.to.issues()
	switch {
	case row.emulator && !r.emulator:
		return nil, untried("needs an emulator")
	case row.every != nil:
		return r.worst(row)
	case row.of != "" && r.first[row.of] == nil:
		return nil, untried(fmt.Sprintf("no %s token was issued", row.of))
	case row.of != "":
		return r.first[row.of], nil
	case row.issues && kind == lineoauth.V21 && !r.secretWorks:
		return nil, untried("needs a channel secret that works, to revoke the token again")
	case row.issues && !r.emulator && r.issued(kind):
		return nil, untried(fmt.Sprintf("needs a second %s token, which is issued on emulators only", kind))
	}
	return row.ask(ctx, r)
}

// worst returns the first answer that violates a row about all answers, otherwise any.
func (r *run) worst(row row) (last *answer, err error) {
	for _, a := range r.seen {
		if !row.every(a) {
			continue
		}
		last = a
		if !row.want.ok(r, a) {
			return a, nil
		}
	}
	if last == nil {
		return nil, untried("there was no such answer")
	}
	return last, nil
}

func (r *run) issued(kind lineoauth.Kind) bool { return r.first[kind] != nil || r.lost[kind] > 0 }

func (r *run) noteIssued(kind lineoauth.Kind, q request, a *answer) {
	if !r.cfg.ChannelSecret.IsZero() && q.form.Get("client_secret") == r.cfg.ChannelSecret.Reveal() {
		r.secretWorks = true
	}
	text := a.text("access_token")
	if text == "" {
		r.lost[kind]++
		return
	}
	if r.first[kind] == nil {
		r.first[kind] = a
	}
	r.tokens = append(r.tokens, &token{kind: kind, text: r.hide(text)})
}

// noteRevoked records a token as revoked after a valid request.
func (r *run) noteRevoked(q request) {
	right := q.to == revokeV2 || q.to == revokeV21 &&
		q.form.Get("client_id") == r.cfg.ChannelID && q.form.Get("client_secret") == r.cfg.ChannelSecret.Reveal()
	for _, t := range r.tokens {
		if right && t.text == q.form.Get("access_token") {
			t.revoked = true
		}
	}
}

// revokeAll revokes the remaining tokens, also after ctx is done.
func (r *run) revokeAll(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CleanUp)
	defer cancel()
	for _, kind := range []lineoauth.Kind{lineoauth.V21, lineoauth.ShortLived} {
		left, why := 0, ""
		for _, t := range r.tokens {
			if t.kind == kind && !t.revoked {
				if refused := r.revoke(ctx, t); refused != "" {
					left, why = left+1, refused
				}
			}
		}
		if left > 0 {
			err = join(err, fmt.Errorf("%w: could not revoke a %s token, one of %d (%s); it is valid until it expires", ErrNotRevoked, kind, left, why))
		}
		if r.lost[kind] > 0 {
			err = join(err, fmt.Errorf("%w: the answer to a request for a %s token had none; if one was issued, it is valid until it expires", ErrNotRevoked, kind))
		}
	}
	return err
}

// revoke revokes a token, or returns the reason why it could not.
func (r *run) revoke(ctx context.Context, t *token) (why string) {
	q := request{to: revokeV2, contentType: formType, form: url.Values{"access_token": {t.text}}}
	if t.kind == lineoauth.V21 {
		q.to = revokeV21
		q.form.Set("client_id", r.cfg.ChannelID)
		q.form.Set("client_secret", r.cfg.ChannelSecret.Reveal())
	}
	q.body = q.form.Encode()
	for range 2 { // the first request may be lost
		a, err := r.call(ctx, q)
		switch {
		case err != nil:
			why = r.clean(err.Error())
		case a.status == http.StatusOK:
			return ""
		default:
			why = r.describe(a)
		}
	}
	return why
}

func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return fmt.Errorf("%w; %w", errs[0], join(errs[1:]...))
}
