package lineoauthtest

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

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

// handler answers the operations of the OpenAPI document.
type handler struct {
	*Server
	// Has the operations that a newer document may add, none of which a request
	// ever reaches.
	api.ServerInterface
}

// What the operations answer, in LINE's order.
type (
	issued struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
		KeyID       string `json:"key_id,omitempty"`
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

// refusal is an answer other than 200.
type refusal struct {
	status int
	body   api.ErrorResponse
}

func oauthRefusal(code, description string) *refusal {
	return &refusal{http.StatusBadRequest, api.ErrorResponse{Error: code, ErrorDescription: description}}
}

func messageRefusal(status int, message string) *refusal {
	return &refusal{status, api.ErrorResponse{Message: message}}
}

func (r *refusal) write(w http.ResponseWriter) { writeJSON(w, r.status, r.body) }

func badParameter(w http.ResponseWriter, _ *http.Request, _ error) {
	oauthRefusal(invalidRequest, missing).write(w)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// answer writes what decide says, or refuses at once. Only decide runs under
// the server's lock: a slow client must not hold up the others.
func (s *Server) answer(w http.ResponseWriter, bad *refusal, decide func() (any, *refusal)) {
	var body any
	if bad == nil {
		s.mu.Lock()
		body, bad = decide()
		s.mu.Unlock()
	}
	switch {
	case bad != nil:
		bad.write(w)
	case body != nil:
		writeJSON(w, http.StatusOK, body)
	}
}

// readForm returns the named fields of a form, all of which must be there.
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
	for _, name := range names {
		if value := r.PostForm.Get(name); value == "" || name == "grant_type" && value != grantType {
			return nil, bad
		}
	}
	return r.PostForm, nil
}

// IssueStatelessChannelToken takes an assertion or a channel secret.
func (h handler) IssueStatelessChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type")
	h.answer(w, bad, func() (any, *refusal) {
		c, bad := h.authenticate(form)
		if bad != nil {
			return nil, bad
		}
		t := c.issue(lineoauth.Stateless, h.now(), statelessLifetime)
		return t.issued(), nil
	})
}

// authenticate takes exactly one of the two credentials, and no field of the
// other.
func (h handler) authenticate(form url.Values) (*Channel, *refusal) {
	byAssertion := form.Has("client_assertion") || form.Has("client_assertion_type")
	bySecret := form.Has("client_id") || form.Has("client_secret")
	if byAssertion == bySecret {
		return nil, oauthRefusal(invalidRequest, missing)
	}
	if byAssertion {
		c, _, bad := h.checkAssertion(form.Get("client_assertion_type"), form.Get("client_assertion"))
		return c, bad
	}
	if form.Get("client_id") == "" || form.Get("client_secret") == "" {
		return nil, oauthRefusal(invalidRequest, missing)
	}
	c := h.channels[form.Get("client_id")]
	if c == nil || c.Secret != form.Get("client_secret") {
		return nil, oauthRefusal(invalidRequest, "Invalid 'client_credentials'.")
	}
	return c, nil
}

// IssueChannelTokenByJWT issues a v2.1 token, unless there are too many.
func (h handler) IssueChannelTokenByJWT(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type", "client_assertion_type", "client_assertion")
	h.answer(w, bad, func() (any, *refusal) {
		c, said, bad := h.checkAssertion(form.Get("client_assertion_type"), form.Get("client_assertion"))
		switch {
		case bad != nil:
			return nil, bad
		case said.TokenExp < 1:
			return nil, oauthRefusal(invalidClient, "Invalid token_exp")
		case len(c.live(lineoauth.V21, h.now())) == maxLive:
			return nil, messageRefusal(http.StatusBadRequest, "The maximum number of access tokens has already been issued")
		}
		t := c.issue(lineoauth.V21, h.now(), time.Duration(said.TokenExp)*time.Second)
		return t.issued(), nil
	})
}

// GetsAllValidChannelAccessTokenKeyIds lists the live v2.1 tokens.
func (h handler) GetsAllValidChannelAccessTokenKeyIds(w http.ResponseWriter, _ *http.Request, params api.GetsAllValidChannelAccessTokenKeyIdsParams) {
	h.answer(w, nil, func() (any, *refusal) {
		c, _, bad := h.checkAssertion(params.ClientAssertionType, params.ClientAssertion)
		if bad != nil {
			return nil, bad
		}
		live := listed{Kids: []string{}}
		for _, t := range c.live(lineoauth.V21, h.now()) {
			live.Kids = append(live.Kids, t.keyID)
		}
		return live, nil
	})
}

// VerifyChannelTokenByJWT answers for v2.1 and stateless tokens.
func (h handler) VerifyChannelTokenByJWT(w http.ResponseWriter, _ *http.Request, params api.VerifyChannelTokenByJWTParams) {
	h.answer(w, nil, func() (any, *refusal) {
		if t := h.find(params.AccessToken); t != nil && t.isJWS() {
			return h.verification(t), nil
		}
		expired, bad := h.readJWS(params.AccessToken)
		switch {
		case bad != nil:
			return nil, bad
		case expired:
			return nil, oauthRefusal(invalidRequest, "The access token expired")
		}
		return nil, oauthRefusal(invalidRequest, "The access token is not known")
	})
}

// RevokeChannelTokenByJWT revokes a v2.1 token.
func (h handler) RevokeChannelTokenByJWT(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "client_id", "client_secret", "access_token")
	h.answer(w, bad, func() (any, *refusal) {
		c := h.channels[form.Get("client_id")]
		if c == nil || c.Secret != form.Get("client_secret") {
			return nil, oauthRefusal(invalidClient, "invalid client_secret")
		}
		if _, bad := h.readJWS(form.Get("access_token")); bad != nil {
			return nil, bad
		}
		if t := h.find(form.Get("access_token")); t != nil && t.channel == c && t.kind == lineoauth.V21 {
			c.revoke(t)
		}
		return nil, nil
	})
}

// IssueChannelToken issues a short-lived token; it revokes the oldest one when
// there are too many.
func (h handler) IssueChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type", "client_id", "client_secret")
	h.answer(w, bad, func() (any, *refusal) {
		c := h.channels[form.Get("client_id")]
		if c == nil {
			return nil, oauthRefusal(invalidClient, "invalid client_id")
		}
		if c.Secret != form.Get("client_secret") {
			return nil, oauthRefusal(invalidClient, "invalid client_secret")
		}
		if live := c.live(lineoauth.ShortLived, h.now()); len(live) == maxLive {
			c.revoke(live[0])
		}
		t := c.issue(lineoauth.ShortLived, h.now(), shortLifetime)
		return t.issued(), nil
	})
}

// VerifyChannelToken answers for opaque tokens.
func (h handler) VerifyChannelToken(w http.ResponseWriter, r *http.Request) {
	token, bad := readOpaque(w, r)
	h.answer(w, bad, func() (any, *refusal) {
		t := h.find(token)
		if t == nil {
			return nil, oauthRefusal(invalidRequest, "access_token invalid")
		}
		return h.verification(t), nil
	})
}

// RevokeChannelToken revokes an opaque token.
func (h handler) RevokeChannelToken(w http.ResponseWriter, r *http.Request) {
	token, bad := readOpaque(w, r)
	h.answer(w, bad, func() (any, *refusal) {
		if t := h.find(token); t != nil {
			t.channel.revoke(t)
		}
		return nil, nil
	})
}

func (t *token) issued() issued {
	return issued{
		AccessToken: t.text,
		TokenType:   "Bearer",
		ExpiresIn:   int64(t.expiresAt.Sub(t.issuedAt) / time.Second),
		KeyID:       t.keyID,
	}
}

func (h handler) verification(t *token) verified {
	return verified{
		ClientID:  t.channel.ID,
		ExpiresIn: int64(t.expiresAt.Sub(h.now()) / time.Second),
		Scope:     "P CM",
	}
}

// readOpaque returns the token of a form that holds nothing else.
func readOpaque(w http.ResponseWriter, r *http.Request) (string, *refusal) {
	form, bad := readForm(w, r, "access_token")
	if bad != nil {
		return "", bad
	}
	token := form.Get("access_token")
	if strings.Trim(strings.TrimRight(token, "="), base64Letters) != "" {
		return "", oauthRefusal(invalidRequest, "access_token in invalid format")
	}
	return token, nil
}

const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// readJWS tells whether a token in JWS form is one of this server's that has
// expired, and refuses other forms.
func (s *Server) readJWS(text string) (expired bool, bad *refusal) {
	if text == "" {
		return false, oauthRefusal(invalidRequest, missing)
	}
	if strings.Count(text, ".") != 2 {
		return false, oauthRefusal(invalidRequest, "The access token not JWS")
	}
	parser := jwt.NewParser(jwt.WithoutClaimsValidation())
	var claims jwt.RegisteredClaims
	if _, _, err := parser.ParseUnverified(text, &claims); err != nil {
		return false, oauthRefusal(invalidRequest, "The access token malformed")
	}
	if _, err := parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return s.signingKey, nil }); err != nil {
		return false, nil
	}
	return claims.ExpiresAt != nil && !s.now().Before(claims.ExpiresAt.Time), nil
}
