package lineoauthtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest/internal/api"
)

const (
	maxForm = 64 << 10

	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	invalidClient  = "invalid_client"
	invalidRequest = "invalid_request"
	missing        = "some parameters missed or invalid"
)

// handler implements the operations of the OpenAPI document.
type handler struct {
	*Server
	api.Unanswered // the operations without a method here
}

func (s *Server) routeOperations(answers api.ServerInterface) {
	wrapper := &api.ServerInterfaceWrapper{Handler: answers, ErrorHandlerFunc: badParameter}
	for _, route := range api.Routes() {
		s.mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { route.Serve(wrapper, w, r) })
	}
}

// unanswered refuses a request for an operation that a newer document has added.
func unanswered(w http.ResponseWriter, r *http.Request) {
	bad := messageRefusal(http.StatusNotImplemented, fmt.Sprintf("the emulator has no answer to %s (%s) yet; a newer version of lineoauth may have one", operations[r.Pattern], r.Pattern))
	bad.undocumented = true
	bad.write(w)
}

// The answers of the operations, with fields in LINE's order.
type (
	issuedStateless struct {
		TokenType   string `json:"token_type"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	issuedShort struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	issuedV21 struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
		KeyID       string `json:"key_id"`
	}
	verified struct {
		ClientID  string `json:"client_id"`
		ExpiresIn int64  `json:"expires_in"`
		Scope     string `json:"scope"`
	}
	listed struct {
		Kids []string `json:"kids"`
	}
)

// chosen is an answer with status 200 where LINE's is unknown.
type chosen struct{ body any }

// refusal is an answer other than 200.
type refusal struct {
	status       int
	body         api.ErrorResponse
	undocumented bool // LINE's answer is unknown, or partly
}

func oauthRefusal(code, description string) *refusal {
	return &refusal{status: http.StatusBadRequest, body: api.ErrorResponse{Error: code, ErrorDescription: description}}
}

func chosenRefusal(code, description string) *refusal {
	bad := oauthRefusal(code, description)
	bad.undocumented = true
	return bad
}

func messageRefusal(status int, message string) *refusal {
	return &refusal{status: status, body: api.ErrorResponse{Message: message}}
}

func (r *refusal) write(w http.ResponseWriter) {
	mark(w, r.undocumented)
	writeJSON(w, r.status, r.body)
}

// mark records in the state whether the answer was chosen.
func mark(w http.ResponseWriter, undocumented bool) {
	if watched, ok := w.(*watchedWriter); ok {
		watched.undocumented = undocumented
	}
}

func badParameter(w http.ResponseWriter, r *http.Request, _ error) {
	bad := oauthRefusal(invalidRequest, missing)
	bad.undocumented = repeats(r.URL.Query())
	bad.write(w)
}

// repeats reports whether a field is repeated, which RFC 6749 forbids.
func repeats(fields url.Values) bool {
	return slices.ContainsFunc(fieldNames, func(name string) bool { return len(fields[name]) > 1 })
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil { // such as a year of five digits
		status = http.StatusInternalServerError
		text.Reset()
		_ = e.Encode(api.ErrorResponse{Message: err.Error()})
	}
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n"))) // the client may have disconnected
}

// answer writes the answer of decide. Only decide runs under the server's lock: a
// slow client must not block others.
func (s *Server) answer(w http.ResponseWriter, bad *refusal, decide func() (any, *refusal)) {
	var body any
	if bad == nil {
		s.mu.Lock()
		body, bad = decide()
		s.mu.Unlock()
	}
	choice, ours := body.(chosen)
	if ours {
		body = choice.body
	}
	mark(w, ours)
	switch {
	case bad != nil:
		bad.write(w)
	case body != nil:
		writeJSON(w, http.StatusOK, body)
	}
}

// readForm returns the named fields of a form, all of which are required.
func readForm(w http.ResponseWriter, r *http.Request, names ...string) (url.Values, *refusal) {
	bad := oauthRefusal(invalidRequest, missing)
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, bad
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil {
		return nil, bad
	}
	if repeats(r.PostForm) {
		return nil, chosenRefusal(invalidRequest, missing)
	}
	for _, name := range names {
		if value := r.PostForm.Get(name); value == "" || name == "grant_type" && value != grantType {
			return nil, bad
		}
	}
	return r.PostForm, nil
}

// IssueStatelessChannelToken accepts an assertion or a channel secret.
func (h handler) IssueStatelessChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type")
	h.answer(w, bad, func() (any, *refusal) {
		c, bad := h.authenticate(form)
		if bad != nil {
			return nil, bad
		}
		return c.issue(lineoauth.Stateless, h.now(), statelessLifetime).issued(), nil
	})
}

// authenticate accepts exactly one of the two credentials. An empty field of the
// other counts as absent (line-bot-sdk-python issue 823, 2025-07).
func (h handler) authenticate(form url.Values) (*Channel, *refusal) {
	kind, text := form.Get("client_assertion_type"), form.Get("client_assertion")
	id, secret := form.Get("client_id"), form.Get("client_secret")
	switch byAssertion, bySecret := kind+text != "", id+secret != ""; {
	case byAssertion && bySecret:
		return nil, chosenRefusal(invalidRequest, missing)
	case byAssertion:
		c, _, bad := h.checkAssertion(kind, text, false)
		return c, bad
	case id == "" || secret == "":
		return nil, oauthRefusal(invalidRequest, missing)
	}
	c := h.channels[id]
	if c == nil || c.Secret != secret {
		return nil, oauthRefusal(invalidRequest, "Invalid 'client_credentials'.")
	}
	return c, nil
}

// IssueChannelTokenByJWT issues a v2.1 token, unless there are too many.
func (h handler) IssueChannelTokenByJWT(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type", "client_assertion_type", "client_assertion")
	h.answer(w, bad, func() (any, *refusal) {
		c, validFor, bad := h.checkAssertion(form.Get("client_assertion_type"), form.Get("client_assertion"), true)
		switch {
		case bad != nil:
			return nil, bad
		case c.miniApp:
			return nil, chosenRefusal("unauthorized_client", "The channel cannot have tokens of this type")
		case len(c.live(lineoauth.V21, h.now())) == maxLive:
			return nil, messageRefusal(http.StatusBadRequest, "The maximum number of access tokens has already been issued")
		}
		answer := c.issue(lineoauth.V21, h.now(), validFor).issued()
		if validFor < leastValidFor {
			return chosen{answer}, nil
		}
		return answer, nil
	})
}

// leastValidFor is the minimum token_exp that LINE reportedly accepts (rust-alc-api,
// 2026-04); its reference has none.
const leastValidFor = 30 * time.Second

// GetsAllValidChannelAccessTokenKeyIds lists the valid v2.1 tokens.
func (h handler) GetsAllValidChannelAccessTokenKeyIds(w http.ResponseWriter, _ *http.Request, params api.GetsAllValidChannelAccessTokenKeyIdsParams) {
	h.answer(w, nil, func() (any, *refusal) {
		c, _, bad := h.checkAssertion(params.ClientAssertionType, params.ClientAssertion, false)
		if bad != nil {
			return nil, bad
		}
		live := listed{Kids: []string{}}
		for _, t := range c.live(lineoauth.V21, h.now()) {
			live.Kids = append(live.Kids, t.keyID)
		}
		if c.miniApp {
			return chosen{live}, nil
		}
		return live, nil
	})
}

// VerifyChannelTokenByJWT verifies v2.1 and stateless tokens.
func (h handler) VerifyChannelTokenByJWT(w http.ResponseWriter, _ *http.Request, params api.VerifyChannelTokenByJWTParams) {
	h.answer(w, nil, func() (any, *refusal) { return h.verifyJWS(params.AccessToken) })
}

func (h handler) verifyJWS(text string) (any, *refusal) {
	t := h.find(text)
	expiresAt, own := h.jws.expiry(text)
	jws, _ := isWellFormed(text)
	switch {
	case t != nil && t.kind == lineoauth.V21:
		return h.verification(t), nil
	case t != nil && t.kind == lineoauth.Stateless:
		return chosen{h.verification(t)}, nil
	case text == "":
		return nil, oauthRefusal(invalidRequest, missing)
	case strings.Count(text, ".") != 2:
		return nil, oauthRefusal(invalidRequest, "The access token not JWS")
	case !jws:
		// line-sdk-android issue 98, 2020-12.
		return nil, messageRefusal(http.StatusBadRequest, "failed to parse")
	case !own:
		return nil, chosenRefusal(invalidRequest, "The access token invalid")
	case !h.now().Before(expiresAt):
		return nil, oauthRefusal(invalidRequest, "The access token expired")
	}
	return nil, oauthRefusal(invalidRequest, "The access token revoked")
}

// RevokeChannelTokenByJWT revokes a v2.1 token.
func (h handler) RevokeChannelTokenByJWT(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r)
	h.answer(w, bad, func() (any, *refusal) {
		id, secret, text := form.Get("client_id"), form.Get("client_secret"), form.Get("access_token")
		c := h.channels[id]
		jws, likeLINEs := isWellFormed(text)
		switch {
		case strings.Trim(id, "0123456789") != "" || id == "":
			// omniauth-line, 2026-09-03.
			return nil, oauthRefusal(invalidRequest, "client_id is required.")
		case secret == "" || text == "":
			return nil, oauthRefusal(invalidRequest, missing)
		case c == nil || c.Secret != secret:
			return nil, chosenRefusal(invalidClient, "invalid client_secret")
		case !jws && isOpaque(text):
			return nil, oauthRefusal(invalidRequest, "The access token not JWS")
		case !jws && strings.Contains(text, ".") && strings.Count(text, ".") != 2:
			return nil, chosenRefusal(invalidRequest, "The access token not JWS")
		case !jws:
			// Also for a text that is not a token (a test of choo-todo-bot against LINE).
			return nil, oauthRefusal(invalidRequest, "The access token malformed")
		}
		t := h.find(text)
		switch {
		case t == nil && likeLINEs:
			return nil, nil
		case t == nil || t.channel != c || t.kind != lineoauth.V21:
			return chosen{}, nil
		}
		c.revoke(t)
		return nil, nil
	})
}

// IssueChannelToken issues a short-lived token, and revokes the oldest one if there
// are too many.
func (h handler) IssueChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type", "client_id", "client_secret")
	h.answer(w, bad, func() (any, *refusal) {
		id := form.Get("client_id")
		c := h.channels[id]
		if !isChannelID(id) {
			// omniauth-line, 2026-09-03.
			return nil, oauthRefusal(invalidRequest, "some parameters in the wrong format")
		}
		if c == nil {
			return nil, oauthRefusal(invalidClient, "invalid client_id")
		}
		if c.Secret != form.Get("client_secret") {
			return nil, oauthRefusal(invalidClient, "invalid client_secret")
		}
		if live := c.live(lineoauth.ShortLived, h.now()); len(live) == maxLive {
			c.revoke(live[0])
		}
		return c.issue(lineoauth.ShortLived, h.now(), shortLifetime).issued(), nil
	})
}

// VerifyChannelToken verifies opaque tokens.
func (h handler) VerifyChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "access_token")
	h.answer(w, bad, func() (any, *refusal) {
		text := form.Get("access_token")
		if !hasOpaqueLetters(text) {
			return nil, oauthRefusal(invalidRequest, "access_token in invalid format")
		}
		t := h.find(text)
		if t == nil {
			return nil, oauthRefusal(invalidRequest, "access_token invalid")
		}
		return h.verification(t), nil
	})
}

// RevokeChannelToken revokes an opaque token.
func (h handler) RevokeChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "access_token")
	h.answer(w, bad, func() (any, *refusal) {
		text := form.Get("access_token")
		if !hasOpaqueLetters(text) {
			return nil, oauthRefusal(invalidRequest, "") // omniauth-line, 2026-09-03
		}
		if t := h.find(text); t != nil {
			t.channel.revoke(t)
		}
		return nil, nil
	})
}

func hasOpaqueLetters(text string) bool {
	return strings.Trim(strings.TrimRight(text, "="), base64Letters) == ""
}

const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func (t *token) issued() any {
	const bearer = "Bearer"
	expiresIn := int64(t.expiresAt.Sub(t.issuedAt) / time.Second)
	switch t.kind {
	case lineoauth.V21:
		return issuedV21{t.text, bearer, expiresIn, t.keyID}
	case lineoauth.Stateless:
		return issuedStateless{bearer, t.text, expiresIn}
	}
	return issuedShort{t.text, expiresIn, bearer}
}

func (h handler) verification(t *token) verified {
	v := verified{t.channel.ID, int64(t.expiresAt.Sub(h.now()) / time.Second), "P CM"}
	if t.isJWS() {
		v.Scope = "profile chat_message.write"
	}
	return v
}
