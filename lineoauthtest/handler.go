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
}

var _ api.ServerInterface = handler{}

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

func refuseMessage(w http.ResponseWriter, status int, message string) {
	messageRefusal(status, message).write(w)
}

func badParameter(w http.ResponseWriter, _ *http.Request, _ error) {
	oauthRefusal(invalidRequest, missing).write(w)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
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
		if r.PostForm.Get(name) == "" {
			return nil, bad
		}
	}
	return r.PostForm, nil
}

// IssueStatelessChannelToken takes an assertion or a channel secret.
func (h handler) IssueStatelessChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type")
	if bad != nil {
		bad.write(w)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var c *Channel
	byAssertion := form.Has("client_assertion") || form.Has("client_assertion_type")
	bySecret := form.Has("client_id") || form.Has("client_secret")
	switch {
	case byAssertion == bySecret || form.Get("grant_type") != grantType:
		bad = oauthRefusal(invalidRequest, missing)
	case byAssertion:
		c, _, bad = h.checkAssertion(form.Get("client_assertion_type"), form.Get("client_assertion"))
	case form.Get("client_id") == "" || form.Get("client_secret") == "":
		bad = oauthRefusal(invalidRequest, missing)
	default:
		if c = h.channels[form.Get("client_id")]; c == nil || c.Secret != form.Get("client_secret") {
			bad = oauthRefusal(invalidRequest, "Invalid 'client_credentials'.")
		}
	}
	if bad != nil {
		bad.write(w)
		return
	}
	t := c.issue(lineoauth.Stateless, h.now(), statelessLifetime)
	writeJSON(w, http.StatusOK, api.IssueStatelessChannelAccessTokenResponse{
		AccessToken: t.text,
		ExpiresIn:   int32(statelessLifetime / time.Second),
		TokenType:   "Bearer",
	})
}

// IssueChannelTokenByJWT issues a v2.1 token.
func (h handler) IssueChannelTokenByJWT(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type", "client_assertion_type", "client_assertion")
	if bad == nil && form.Get("grant_type") != grantType {
		bad = oauthRefusal(invalidRequest, missing)
	}
	if bad != nil {
		bad.write(w)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c, claims, bad := h.checkAssertion(form.Get("client_assertion_type"), form.Get("client_assertion"))
	if bad == nil {
		bad = claims.checkTokenExp()
	}
	if bad == nil && len(c.live(lineoauth.V21, h.now())) == maxLive {
		bad = messageRefusal(http.StatusBadRequest, "The maximum number of access tokens has already been issued")
	}
	if bad != nil {
		bad.write(w)
		return
	}
	t := c.issue(lineoauth.V21, h.now(), time.Duration(claims.TokenExp)*time.Second)
	writeJSON(w, http.StatusOK, api.IssueChannelAccessTokenResponse{
		AccessToken: t.text,
		ExpiresIn:   int32(claims.TokenExp),
		TokenType:   "Bearer",
		KeyID:       t.keyID,
	})
}

// GetsAllValidChannelAccessTokenKeyIds lists the live v2.1 tokens.
func (h handler) GetsAllValidChannelAccessTokenKeyIds(w http.ResponseWriter, _ *http.Request, params api.GetsAllValidChannelAccessTokenKeyIdsParams) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, _, bad := h.checkAssertion(params.ClientAssertionType, params.ClientAssertion)
	if bad != nil {
		bad.write(w)
		return
	}
	kids := []string{}
	for _, t := range c.live(lineoauth.V21, h.now()) {
		kids = append(kids, t.keyID)
	}
	writeJSON(w, http.StatusOK, api.ChannelAccessTokenKeyIdsResponse{Kids: kids})
}

// VerifyChannelTokenByJWT answers for v2.1 and stateless tokens.
func (h handler) VerifyChannelTokenByJWT(w http.ResponseWriter, _ *http.Request, params api.VerifyChannelTokenByJWTParams) {
	h.mu.Lock()
	defer h.mu.Unlock()
	expired, bad := h.readJWS(params.AccessToken)
	if bad != nil {
		bad.write(w)
		return
	}
	if expired {
		oauthRefusal(invalidRequest, "The access token expired").write(w)
		return
	}
	t := h.find(params.AccessToken)
	if t == nil {
		oauthRefusal(invalidRequest, "The access token is not known").write(w)
		return
	}
	h.writeVerification(w, t)
}

// RevokeChannelTokenByJWT revokes a v2.1 token.
func (h handler) RevokeChannelTokenByJWT(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "client_id", "client_secret", "access_token")
	if bad != nil {
		bad.write(w)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[form.Get("client_id")]
	if c == nil || c.Secret != form.Get("client_secret") {
		oauthRefusal(invalidClient, "invalid client_secret").write(w)
		return
	}
	if _, bad := h.readJWS(form.Get("access_token")); bad != nil {
		bad.write(w)
		return
	}
	if t := h.find(form.Get("access_token")); t != nil && t.channel == c && t.kind == lineoauth.V21 {
		c.revoke(t)
	}
}

// IssueChannelToken issues a short-lived token; it revokes the oldest one when
// there are too many.
func (h handler) IssueChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "grant_type", "client_id", "client_secret")
	if bad == nil && form.Get("grant_type") != grantType {
		bad = oauthRefusal(invalidRequest, missing)
	}
	if bad != nil {
		bad.write(w)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[form.Get("client_id")]
	if c == nil {
		oauthRefusal(invalidClient, "invalid client_id").write(w)
		return
	}
	if c.Secret != form.Get("client_secret") {
		oauthRefusal(invalidClient, "invalid client_secret").write(w)
		return
	}
	if live := c.live(lineoauth.ShortLived, h.now()); len(live) == maxLive {
		c.revoke(live[0])
	}
	t := c.issue(lineoauth.ShortLived, h.now(), lifetime)
	writeJSON(w, http.StatusOK, api.IssueShortLivedChannelAccessTokenResponse{
		AccessToken: t.text,
		ExpiresIn:   int32(lifetime / time.Second),
		TokenType:   "Bearer",
	})
}

// VerifyChannelToken answers for opaque tokens.
func (h handler) VerifyChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readOpaque(w, r)
	if bad != nil {
		bad.write(w)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.find(form.Get("access_token"))
	if t == nil {
		oauthRefusal(invalidRequest, "access_token invalid").write(w)
		return
	}
	h.writeVerification(w, t)
}

// RevokeChannelToken revokes an opaque token.
func (h handler) RevokeChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readOpaque(w, r)
	if bad != nil {
		bad.write(w)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.find(form.Get("access_token")); t != nil {
		t.channel.revoke(t)
	}
}

func (h handler) writeVerification(w http.ResponseWriter, t *token) {
	writeJSON(w, http.StatusOK, api.VerifyChannelAccessTokenResponse{
		ClientID:  t.channel.ID,
		ExpiresIn: int64(t.expiresAt.Sub(h.now()) / time.Second),
		Scope:     "P CM",
	})
}

func readOpaque(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	form, bad := readForm(w, r, "access_token")
	if bad == nil && strings.Trim(strings.TrimRight(form.Get("access_token"), "="), base64Letters) != "" {
		bad = oauthRefusal(invalidRequest, "access_token in invalid format")
	}
	return form, bad
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
