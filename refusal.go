package lineoauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/wire"
)

// fact is what one of LINE's refusals means. LINE does not guarantee the texts of
// its errors, so a text decides only where status and code do not, and one that is
// not listed here means nothing.
type fact struct {
	about  subject
	status int
	code   string // the field "error", or anything
	text   string // LINE's only text, anything or nothing; … stands for the rest of it
	is     error
	advice string // "": that of the sentinel
}

// subject is what a request carries, which LINE may find fault with.
type subject int

const (
	anySubject   subject = iota
	anAssertion          // a request with an assertion
	v21Assertion         // one for a v2.1 token
	aSecret              // a request for a token, or its revocation, with the secret
	statelessSecret
	shortSecret
	aToken // a request to verify or revoke a token
)

const (
	anything = "*"
	nothing  = ""
)

// facts are in the order in which they are compared; the first that fits decides. Each
// has its source.
var facts = []fact{
	// LINE's reference, "Rate limits".
	{anySubject, http.StatusTooManyRequests, anything, anything, ErrRateLimited, ""},
	// LINE's reference, "Issue channel access token v2.1".
	{v21Assertion, http.StatusBadRequest, anything, "The maximum number of access tokens…", ErrTokenLimit, ""},
	{anAssertion, http.StatusNotFound, anything, "Cannot find channel key…", ErrUnknownKey, ""},
	// An article on Zenn, 2023-03.
	{anAssertion, http.StatusBadRequest, "invalid_client", "Invalid exp", ErrInvalidAssertion, adviceOnExp},
	// rust-alc-api, 2026-04; which code goes with the second is not known.
	{anAssertion, http.StatusBadRequest, "invalid_client", "Invalid token_exp", ErrInvalidAssertion, adviceOnLifetime},
	{anAssertion, http.StatusBadRequest, anything, "JWT payload must contain token_exp", ErrInvalidAssertion, adviceOnLifetime},
	// LINE's reference, "Issue channel access token v2.1".
	{anAssertion, http.StatusBadRequest, "invalid_client", anything, ErrInvalidAssertion, ""},
	// LINE's reference, "Issue short-lived channel access token".
	{aSecret, http.StatusBadRequest, "invalid_client", anything, ErrInvalidCredentials, ""},
	// LINE's reference, "Issue stateless channel access token".
	{statelessSecret, http.StatusBadRequest, "invalid_request", "Invalid 'client_credentials'.", ErrInvalidCredentials, ""},
	// omniauth-line, 2026-09-03: of a channel ID that is unknown, or not a number.
	{shortSecret, http.StatusBadRequest, "invalid_request", "some parameters in the wrong format", ErrInvalidCredentials, ""},
	// LINE's reference, "Verify" and "Revoke channel access token v2.1"; which text an
	// unknown token gets is not known.
	{aToken, http.StatusBadRequest, "invalid_request", "The access token expired", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "The access token revoked", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "The access token invalid", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "The access token malformed", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "The access token not JWS", ErrInvalidToken, ""},
	// omniauth-line, 2026-09-03; the last two by analogy.
	{aToken, http.StatusBadRequest, "invalid_request", "access_token invalid", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "access_token in invalid format", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "access_token expired", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "access_token revoked", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", "JWS format error", ErrInvalidToken, ""},
	{aToken, http.StatusBadRequest, "invalid_request", nothing, ErrInvalidToken, ""},
}

const (
	adviceOnExp      = "synchronize this machine's clock (NTP)"
	adviceOnLifetime = "ask for a token that is valid for 30 days at most; token_exp is that in seconds, not a date"
)

// known returns what LINE's refusal means, or nil if that is not known.
func (e *Error) known() *fact {
	if e.judged {
		return e.fact
	}
	return e.judge(len(e.Details) > 0)
}

// judge is known for an error whose texts are as LINE wrote them; more is whether
// there are others.
func (e *Error) judge(more bool) *fact {
	i := slices.IndexFunc(facts, func(f fact) bool {
		return (f.status == e.StatusCode) && (f.code == anything || f.code == e.Code) && e.isAbout(f.about) && e.hasText(f.text, more)
	})
	if i < 0 {
		return nil
	}
	return &facts[i]
}

func (e *Error) isAbout(s subject) bool {
	op := e.Operation
	switch s {
	case anAssertion:
		return op == OpIssueChannelTokenByJWT || op == OpGetsAllValidChannelAccessTokenKeyIds || e.byAssertion
	case v21Assertion:
		return op == OpIssueChannelTokenByJWT
	case aSecret:
		return e.isAbout(statelessSecret) || e.isAbout(shortSecret) || op == OpRevokeChannelTokenByJWT
	case statelessSecret:
		return op == OpIssueStatelessChannelToken && !e.byAssertion
	case shortSecret:
		return op == OpIssueChannelToken
	case aToken:
		return op == OpVerifyChannelToken || op == OpVerifyChannelTokenByJWT || op == OpRevokeChannelToken || op == OpRevokeChannelTokenByJWT
	}
	return true
}

// fill is what makes a sentence of a text: has been revoked.
var fill = regexp.MustCompile(`\b(is|was|has|been|already|a) `)

// hasText reports whether want is LINE's only text.
func (e *Error) hasText(want string, more bool) bool {
	text := e.Description + e.Message
	switch prefix, open := strings.CutSuffix(want, "…"); {
	case want == anything:
		return true
	case want == nothing:
		return text == "" && !more
	case e.Description != "" && e.Message != "":
		return false
	case open:
		return strings.HasPrefix(text, prefix)
	}
	return text == want || fill.ReplaceAllString(strings.TrimSuffix(text, "."), "") == want
}

// refusal reads an answer that is not 200.
func (a *answer) refusal() *Error {
	switch a.StatusCode / 100 {
	case 2:
		return a.unexpected(errors.New("only 200 is a success"))
	case 3:
		return a.failure(errors.New("a redirect to " + a.Redirect() + ", which is not followed, because that would send the secret there; check the base URL"))
	}
	body, more, err := a.readRefusal()
	if err != nil && a.StatusCode >= http.StatusInternalServerError {
		return a.failure(err)
	} else if err != nil {
		return a.unexpected(err)
	}
	e := a.failure(nil)
	// By LINE's own texts, of which the secrets may have been a part.
	e.Code, e.Description, e.Message = body.Error, body.ErrorDescription, body.Message
	e.fact, e.judged = e.judge(more), true
	secrets := a.redactor()
	e.Code = secrets.Clean(body.Error)
	e.Description = secrets.Clean(body.ErrorDescription)
	e.Message = secrets.Clean(body.Message)
	for _, d := range body.Details[:min(len(body.Details), maxDetails)] {
		e.Details = append(e.Details, ErrorDetail{Message: secrets.Clean(d.Message), Property: secrets.Clean(d.Property)})
	}
	return e
}

// readRefusal returns what a body contains in LINE's shapes of an error, and whether
// it contains more than that.
func (a *answer) readRefusal() (body gen.ErrorResponse, more bool, err error) {
	if len(a.Bytes) == 0 {
		return body, false, nil
	}
	err = json.Unmarshal(a.Bytes, &body)
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) && wrong.Field != "" {
		more, err = true, nil // the other fields are there
	}
	if err != nil {
		return body, false, errors.New(a.MediaType() + " that is not an error of LINE's")
	}
	fields, err := wire.Fields(a.Bytes)
	if err != nil {
		return body, false, err
	}
	for _, f := range fields {
		switch string(f.Name) { // as LINE writes them; encoding/json takes other letters, too
		case "error", "error_description", "message":
		case "details":
			more = more || len(body.Details) > 0
		default:
			more = more || !f.Null
		}
	}
	return body, more, nil
}
