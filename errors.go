package lineoauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth/internal/wire"
)

// Errors that a program decides on. Test for them with [errors.Is].
var (
	// ErrInvalid is returned when this package refuses the configuration or an
	// argument; nothing was sent.
	ErrInvalid = errors.New("invalid configuration or argument")
	// ErrMissingCredentials is returned, together with ErrInvalid, when a call needs
	// a credential that the configuration lacks; nothing was sent.
	ErrMissingCredentials = errors.New("credentials are missing")
	// ErrTokenLimit is returned when the channel has 30 valid v2.1 tokens; see
	// https://developers.line.biz/en/reference/messaging-api/#issue-channel-access-token-v2-1
	ErrTokenLimit = errors.New("the channel has 30 valid tokens already")
	// ErrUnknownKey is returned when the key ID is not registered with the channel.
	ErrUnknownKey = errors.New("the key ID is not registered with the channel")
	// ErrInvalidAssertion is returned when LINE does not accept the assertion.
	ErrInvalidAssertion = errors.New("the assertion is not valid")
	// ErrInvalidCredentials is returned when the channel ID or secret is wrong.
	ErrInvalidCredentials = errors.New("the channel ID or secret is wrong")
	// ErrInvalidToken is returned when the token has expired, was revoked, or never was
	// one; not when LINE finds fault with the request.
	ErrInvalidToken = errors.New("the token is not valid")
	// ErrRateLimited is returned for too many requests; see [Error.RetryAfter], and
	// https://developers.line.biz/en/reference/messaging-api/#rate-limits
	ErrRateLimited = errors.New("too many requests")
	// ErrNotRevocable is returned when the token is still valid after its revocation,
	// as stateless tokens, and v2.1 tokens of another channel, are.
	ErrNotRevocable = errors.New("the token cannot be revoked")
)

// Error is a call that failed after the request was made: LINE refused it, or its
// answer was missing or unexpected. It contains no token, secret or assertion.
//
// https://developers.line.biz/en/reference/messaging-api/#error-responses
type Error struct {
	// Operation is the call that failed.
	Operation Operation
	// StatusCode is the HTTP status, 0 when no answer came.
	StatusCode int
	// Code and Description are LINE's error and error_description.
	Code, Description string
	// Message is LINE's message, in the Messaging API's shape of an error.
	Message string
	// Details are LINE's details in that shape, of which the first ten are kept.
	Details []ErrorDetail
	// RequestID is LINE's X-Line-Request-Id; name it when asking LINE.
	RequestID string
	// RetryAfter is how long LINE asks to wait; 0 when it does not ask.
	RetryAfter time.Duration
	// Attempts is how often the request was sent.
	Attempts int
	// Err is the cause when it is not a refusal by LINE, such as a
	// [net.OpError] or [context.DeadlineExceeded].
	Err error

	byAssertion bool
	fact        *fact // what LINE's answer means, once that was looked up
	judged      bool
	serverTime  time.Time // the answer's Date
	unsent      bool      // nothing left this machine
	cut         bool      // the answer began, and broke off
	ended       bool      // the caller's context did
	unproved    bool      // the next attempt got no credentials
	fromEnv     bool      // the configuration came from variables
}

// ErrorDetail describes what is wrong with one property of a request.
type ErrorDetail struct {
	// Message is what is wrong with Property; either may be empty.
	Message, Property string
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel error for LINE's answer.
func (e *Error) Is(target error) bool {
	f := e.known()
	return f != nil && target == f.is || target == ErrInvalid && errors.As(e.Err, new(*wire.UnreadableProxy))
}

// Error returns one line: what failed, LINE's answer, and what to do next.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lineoauth: %s: ", e.Operation)
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, "LINE answered %d", e.StatusCode)
		if text := e.text(); text != "" {
			b.WriteString(" " + text)
		}
		if e.RequestID != "" {
			b.WriteString(" (request ID " + e.RequestID + ")")
		}
	}
	if e.Err != nil {
		if e.StatusCode != 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	if advice := e.advice(); advice != "" {
		b.WriteString("; " + advice)
	}
	return b.String()
}

// text joins what LINE's answer contains.
func (e *Error) text() string {
	var parts []string
	for _, s := range []string{e.Code, e.Description, e.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, d := range e.Details {
		parts = append(parts, strings.TrimSpace(d.Property+" "+d.Message))
	}
	return strings.Join(parts, ": ")
}

func (e *Error) advice() string {
	var is error
	f := e.known()
	if f != nil && f.advice != "" {
		return f.advice
	} else if f != nil {
		is = f.is
	}
	switch is {
	case ErrTokenLimit: //nolint:errorlint // facts hold the sentinels themselves
		return "reuse a stored token, revoke one, or use stateless tokens, which have no limit"
	case ErrUnknownKey:
		return "register the public key in the LINE Developers Console and use the key ID that it shows for this channel"
	case ErrInvalidAssertion:
		return "check that the private key, the key ID and the channel ID belong together"
	case ErrInvalidCredentials:
		return "check the channel ID and the channel secret in the LINE Developers Console"
	case ErrInvalidToken:
		switch revoked := e.Operation == OpRevokeChannelToken || e.Operation == OpRevokeChannelTokenByJWT; {
		case revoked && (strings.HasSuffix(f.text, "expired") || strings.HasSuffix(f.text, "revoked")):
			return "nothing is left to revoke"
		case revoked:
			return "check that the token is copied whole"
		}
		return "issue a new token"
	case ErrRateLimited:
		if e.RetryAfter > 0 {
			return fmt.Sprintf("try again in %v", e.RetryAfter)
		}
		return "try again later"
	}
	switch {
	case errors.Is(e.Err, errStatus):
		return "" // the error contains it
	case e.StatusCode >= http.StatusInternalServerError && e.RetryAfter > 0:
		return fmt.Sprintf("LINE has trouble; try again in %v", e.RetryAfter)
	case e.StatusCode >= http.StatusInternalServerError:
		return "LINE has trouble; try again later"
	case e.StatusCode == 0:
		roots := "RootCAs of the Transport's TLSClientConfig, or SSL_CERT_FILE,"
		if e.fromEnv {
			roots = "SSL_CERT_FILE"
		}
		return wire.Advice(e.Err, e.unsent, e.ended, roots)
	case e.StatusCode == http.StatusProxyAuthRequired:
		return wire.AuthenticateProxy
	case e.StatusCode >= http.StatusBadRequest && e.Err == nil:
		return "LINE's reference explains it: https://developers.line.biz/en/reference/messaging-api/"
	}
	return ""
}

// maxDetails is how many details an error keeps.
const maxDetails = 10

// errStatus is for an answer whose status is not an HTTP status, such as 000.
var errStatus = errors.New("the answer's status is not an HTTP status; something between this machine and LINE may have given it, check the base URL and the proxy")

// temporary reports whether the same request may succeed later.
func (e *Error) temporary() bool {
	if wire.Final(e.Err) {
		return false
	}
	return e.StatusCode == 0 || e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= http.StatusInternalServerError
}

// lost reports whether LINE may have done what it was asked although the
// answer does not report it.
func (e *Error) lost() bool {
	switch e.StatusCode {
	case 0:
		return !e.unsent
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return e.StatusCode/100 == 2
}
