package lineoauthtest

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/lineoauthtest/internal/api"
)

const (
	maxRemembered      = 100     // requests, and messages
	maxRememberedBytes = 4 << 20 // of all messages in total
	maskedValue        = "[redacted]"
)

// operations maps the server's routes to the names of their operations: those of the
// OpenAPI document, and those of the Messaging API.
var operations = func() map[string]lineoauth.Operation {
	all := map[string]lineoauth.Operation{
		"GET /v2/bot/info":                        OpGetBotInfo,
		"GET /v2/bot/profile/{userId}":            OpGetProfile,
		"POST /v2/bot/message/push":               OpPushMessage,
		"POST /v2/bot/message/reply":              OpReplyMessage,
		"POST /v2/bot/message/multicast":          OpMulticast,
		"POST /v2/bot/message/broadcast":          OpBroadcast,
		"GET /v2/bot/message/{messageId}/content": OpGetMessageContent,
	}
	for _, route := range api.Routes() {
		all[route.Pattern] = lineoauth.Operation(route.Operation)
	}
	return all
}()

// fieldNames are those of all fields that requests for the document's operations have.
var fieldNames = func() (names []string) {
	for _, route := range api.Routes() {
		names = append(names, route.Fields...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}()

// State is the server's state at one moment. It contains no secret.
type State struct {
	// Now is the server's time.
	Now time.Time `json:"now"`
	// Calls counts the requests to each operation, including those that failed by a
	// fault.
	Calls map[lineoauth.Operation]int `json:"calls"`
	// Channels are the server's channels, in the order of their IDs.
	Channels []ChannelState `json:"channels"`
	// Tokens are the valid tokens, by channel, kind and time of issue.
	Tokens []TokenState `json:"tokens"`
	// ForgottenTokens counts the stateless tokens that were dropped while they were
	// valid: the server keeps the last 100,000 of a channel, and treats others as
	// revoked.
	ForgottenTokens int `json:"forgotten_tokens"`
	// Requests are the last 100 requests to operations, oldest first.
	Requests []Request `json:"requests"`
	// Messages are the last 100 messages that bots sent, oldest first; fewer if
	// they have more than 4 MiB together.
	Messages []Message `json:"messages"`
	// Faults are the pending faults, in order.
	Faults []Fault `json:"faults"`
	// RateLimits reports whether LINE's rate limits apply; see [Server.LimitRates].
	RateLimits bool `json:"rate_limits"`
}

// ChannelState is a channel without its secret.
type ChannelState struct {
	// ChannelID is the channel's ID.
	ChannelID string `json:"channel_id"`
	// KeyIDs are the IDs of its public keys, in order of registration.
	KeyIDs []string `json:"key_ids"`
}

// TokenState is a token without its text.
type TokenState struct {
	// ChannelID is the channel that it was issued to.
	ChannelID string `json:"channel_id"`
	// Kind is the kind of token; [LongLived] among others.
	Kind lineoauth.Kind `json:"kind"`
	// KeyID names a v2.1 token; empty for the other kinds.
	KeyID string `json:"key_id,omitempty"`
	// IssuedAt is when it was issued, by the server's time.
	IssuedAt time.Time `json:"issued_at"`
	// ExpiresAt is when it expires, by the server's time; that of a long-lived token is
	// 99 years away.
	ExpiresAt time.Time `json:"expires_at"`
}

// Message is one message that a bot sent.
type Message struct {
	// ChannelID is the channel whose bot sent it.
	ChannelID string `json:"channel_id"`
	// Operation is how it was sent: [OpPushMessage], [OpReplyMessage],
	// [OpMulticast] or [OpBroadcast].
	Operation lineoauth.Operation `json:"operation"`
	// ID is the message's ID, as in the answer to a push or reply.
	ID string `json:"id"`
	// To is the recipient: a user, group or room, or a reply token. It is empty for a
	// multicast, which has Recipients, and for a broadcast.
	To string `json:"to"`
	// Recipients are the users that a multicast was sent to.
	Recipients []string `json:"recipients,omitempty"`
	// Message is the message object as the bot sent it.
	Message json.RawMessage `json:"message"`
}

// Request is one request to an operation, and its answer.
type Request struct {
	// Time is when it was received, by the server's time.
	Time time.Time `json:"time"`
	// Operation is the operation that was called.
	Operation lineoauth.Operation `json:"operation"`
	// Fields are the query or form, masked unless they cannot be secret.
	Fields url.Values `json:"fields,omitempty"`
	// Status is the answer's HTTP status, or 0 if there was none.
	Status int `json:"status"`
	// RequestID is the answer's X-Line-Request-Id.
	RequestID string `json:"request_id"`
	// Fault is the fault that was injected, if any.
	Fault FaultKind `json:"fault,omitempty"`
	// Undocumented reports that LINE's answer to such a request is not, or not fully,
	// known, and that the emulator chose one. Do not depend on it.
	Undocumented bool `json:"undocumented,omitempty"`
}

// State returns the server's current state.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	state := State{
		Now:             now,
		Calls:           maps.Clone(s.calls),
		Channels:        s.channelStates(),
		Tokens:          []TokenState{},
		ForgottenTokens: s.forgotten,
		Requests:        append([]Request{}, s.requests...),
		Messages:        append([]Message{}, s.messages...),
		Faults:          []Fault{},
		RateLimits:      s.limitRates,
	}
	for _, f := range s.faults {
		state.Faults = append(state.Faults, *f)
	}
	for _, c := range s.channels {
		for kind := range c.tokens {
			for _, t := range c.live(kind, now) {
				if !now.Before(t.expiresAt) {
					continue // the machine's clock was set back after the issue
				}
				state.Tokens = append(state.Tokens, TokenState{
					ChannelID: c.ID,
					Kind:      kind,
					KeyID:     t.keyID,
					IssuedAt:  t.issuedAt,
					ExpiresAt: t.expiresAt,
				})
			}
		}
	}
	slices.SortStableFunc(state.Tokens, func(a, b TokenState) int {
		return cmp.Or(cmp.Compare(a.ChannelID, b.ChannelID), cmp.Compare(a.Kind, b.Kind), a.IssuedAt.Compare(b.IssuedAt))
	})
	return state
}

// observe answers a request to an operation, with the next fault, and records it
// before the client receives the answer.
func (s *Server) observe(w http.ResponseWriter, r *http.Request, op lineoauth.Operation, requestID string) {
	fault := s.begin(op)
	noted := Request{Operation: op, RequestID: requestID}
	if fault != nil {
		noted.Fault = fault.Kind
	}
	watched := &watchedWriter{ResponseWriter: w}
	watched.note = func(status int) {
		noted.Status, noted.Undocumented = status, watched.undocumented
		s.note(noted, r)
	}
	if bad := s.limit(op, r); fault == nil && bad != nil {
		bad.write(watched)
	} else if fault == nil {
		s.mux.ServeHTTP(watched, r)
	} else {
		strikes[fault.Kind](*fault, watched, r, s)
	}
	watched.end(http.StatusOK) // an empty answer
}

// begin counts a call and removes the next fault from the queue.
func (s *Server) begin(op lineoauth.Operation) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[op]++
	for i, f := range s.faults {
		if f.Operation != "" && f.Operation != op {
			continue
		}
		fault := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return &fault
	}
	return nil
}

func (s *Server) note(noted Request, r *http.Request) {
	noted.Fields = masked(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	noted.Time = s.now()
	if len(s.requests) == maxRemembered {
		s.requests = slices.Delete(s.requests, 0, 1)
	}
	s.requests = append(s.requests, noted)
}

// masked returns the query and the form, as far as it was read. A client may put a
// secret anywhere by mistake, even in place of a name.
func masked(r *http.Request) url.Values {
	fields := make(url.Values)
	for _, values := range []url.Values{r.URL.Query(), r.PostForm} {
		for name := range values {
			value := values.Get(name)
			switch {
			case name == "grant_type" && value == grantType,
				name == "client_assertion_type" && value == assertionType,
				name == "client_id" && len(value) <= 10 && assertion.CheckChannelID(value) == nil:
				fields.Set(name, value)
			case slices.Contains(fieldNames, name):
				fields.Set(name, maskedValue)
			default:
				fields.Set("[unknown]", maskedValue)
			}
		}
	}
	return fields
}

// watchedWriter records a request once its status is known.
type watchedWriter struct {
	http.ResponseWriter
	note         func(status int)
	undocumented bool // of the answer
}

// Unwrap allows a fault to hijack the connection.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watchedWriter) WriteHeader(status int) {
	w.end(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.end(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// end records the status, once. It is 0 if there is no answer.
func (w *watchedWriter) end(status int) {
	if w.note != nil {
		w.note(status)
		w.note = nil
	}
}
