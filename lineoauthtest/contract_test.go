package lineoauthtest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

const formType = "application/x-www-form-urlencoded"

// line asks a server in the raw, as a client in any language would.
type line struct {
	*testing.T
	srv     *lineoauthtest.Server
	channel *lineoauthtest.Channel
	keyID   string
	fits    func(method, path string, body any) error

	// The last answer's.
	text   string
	header http.Header
}

func newLine(t *testing.T) *line {
	t.Helper()
	srv := newServer(t)
	return (&line{T: t, srv: srv, fits: document(t)}).on(srv.Channel())
}

// parsed is the document, read once: that takes longer than most tests here.
var parsed = once(util.LoadSwagger, "../api/channel-access-token.yml")

func once[T any](load func(string) (T, error), path string) func() (T, error) {
	return sync.OnceValues(func() (T, error) { return load(path) })
}

// document returns a check of 200 answers by their schema in the OpenAPI
// document.
func document(t *testing.T) func(method, path string, body any) error {
	t.Helper()
	doc, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return func(method, path string, body any) error {
		item := doc.Paths.Find(path)
		if item == nil {
			return nil // not one of its paths
		}
		media := item.GetOperation(method).Responses.Status(200).Value.Content["application/json"]
		if media == nil {
			if body != nil {
				return errors.New("a body where the document has none")
			}
			return nil
		}
		return media.Schema.Value.VisitJSON(body)
	}
}

// on is the same server as another channel sees it.
func (l *line) on(c *lineoauthtest.Channel) *line {
	l.Helper()
	keyID, err := c.RegisterKey("", publicJWK(l.T))
	if err != nil {
		l.Fatal(err)
	}
	return &line{T: l.T, srv: l.srv, channel: c, keyID: keyID, fits: l.fits}
}

func (l *line) another() *line {
	l.Helper()
	c, err := l.srv.AddChannel("", "")
	if err != nil {
		l.Fatal(err)
	}
	return l.on(c)
}

// answer is a status and body; JSON numbers in it are float64.
type answer struct {
	Status int
	Body   any
}

func refused(code, description string) answer {
	return answer{400, map[string]any{"error": code, "error_description": description}}
}

var ok = answer{Status: 200} // with an empty body

func (l *line) do(method, path string, fields ...string) answer {
	l.Helper()
	values := make(url.Values)
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	body, query := values.Encode(), ""
	if method == http.MethodGet {
		body, query = "", "?"+body
	}
	req, err := http.NewRequestWithContext(l.Context(), method, l.srv.URL+path+query, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	req.Header.Set("Content-Type", formType)
	return l.send(req)
}

func (l *line) send(req *http.Request) answer {
	l.Helper()
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.Fatal(err)
	}
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	if err != nil {
		l.Fatal(err)
	}
	if rsp.Header.Get("X-Line-Request-Id") == "" {
		l.Errorf("%s %s: no X-Line-Request-Id", req.Method, req.URL.Path)
	}
	a := answer{Status: rsp.StatusCode}
	l.text, l.header = string(text), rsp.Header
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a.Body); err != nil {
			l.Fatalf("%s: %v", text, err)
		}
	}
	if a.Status == http.StatusOK {
		if err := l.fits(req.Method, req.URL.Path, a.Body); err != nil {
			l.Errorf("%s %s: %v", req.Method, req.URL.Path, err)
		}
	}
	return a
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func (l *line) issueV21(assertion string) answer {
	l.Helper()
	return l.do("POST", "/oauth2/v2.1/token", "grant_type", "client_credentials",
		"client_assertion_type", assertionType, "client_assertion", assertion)
}

func (l *line) issueStateless(assertion string) answer {
	l.Helper()
	return l.do("POST", "/oauth2/v3/token", "grant_type", "client_credentials",
		"client_assertion_type", assertionType, "client_assertion", assertion)
}

func (l *line) statelessBySecret(id, secret string) answer {
	l.Helper()
	return l.do("POST", "/oauth2/v3/token", "grant_type", "client_credentials", "client_id", id, "client_secret", secret)
}

// each asks all three operations that take an assertion.
func (l *line) each(assertion string, want answer) {
	l.Helper()
	for _, ask := range []func(string) answer{l.issueV21, l.issueStateless, l.keyIDs} {
		l.expect(ask(assertion), want)
	}
}

func (l *line) keyIDs(assertion string) answer {
	l.Helper()
	return l.do("GET", "/oauth2/v2.1/tokens/kid", "client_assertion_type", assertionType, "client_assertion", assertion)
}

func (l *line) issueShort(id, secret string) answer {
	l.Helper()
	return l.do("POST", "/v2/oauth/accessToken", "grant_type", "client_credentials", "client_id", id, "client_secret", secret)
}

func (l *line) verifyV21(token string) answer {
	l.Helper()
	return l.do("GET", "/oauth2/v2.1/verify", "access_token", token)
}

func (l *line) verifyV2(token string) answer {
	l.Helper()
	return l.do("POST", "/v2/oauth/verify", "access_token", token)
}

func (l *line) revokeV21(id, secret, token string) answer {
	l.Helper()
	return l.do("POST", "/oauth2/v2.1/revoke", "client_id", id, "client_secret", secret, "access_token", token)
}

func (l *line) revokeV2(token string) answer {
	l.Helper()
	return l.do("POST", "/v2/oauth/revoke", "access_token", token)
}

// token returns the access token of an answer that must hold one.
func (l *line) token(a answer) string {
	l.Helper()
	body, _ := a.Body.(map[string]any)
	token, _ := body["access_token"].(string)
	if a.Status != 200 || token == "" {
		l.Fatalf("no token was issued: %+v", a)
	}
	return token
}

// expect compares an answer; a "*" in want stands for any string.
func (l *line) expect(got, want answer) {
	l.Helper()
	anyString := cmp.FilterValues(func(a, b any) bool { return a == "*" || b == "*" }, cmp.Ignore())
	if diff := cmp.Diff(want, got, anyString); diff != "" {
		l.Errorf("answer (-want +got):\n%s", diff)
	}
}

// claims are those of a good assertion, but for the changes.
func (l *line) claims(changes ...any) map[string]any {
	claims := map[string]any{
		"iss": l.channel.ID, "sub": l.channel.ID, "aud": "https://api.line.me/",
		"exp": l.srv.Now().Add(29 * time.Minute).Unix(), "token_exp": 3600,
	}
	for i := 0; i < len(changes); i += 2 {
		claims[changes[i].(string)] = changes[i+1]
		if changes[i+1] == nil {
			delete(claims, changes[i].(string))
		}
	}
	return claims
}

// assertion signs claims by a library that this project does not sign with.
func (l *line) assertion(changes ...any) string {
	l.Helper()
	return l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, l.keyID, l.claims(changes...))
}

func (l *line) sign(key jose.SigningKey, kid any, claims map[string]any) string {
	l.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != nil {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		l.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		l.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		l.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		l.Fatal(err)
	}
	return text
}

func issued(expiresIn float64, more ...string) answer {
	body := map[string]any{"access_token": "*", "token_type": "Bearer", "expires_in": expiresIn}
	for _, name := range more {
		body[name] = "*"
	}
	return answer{200, body}
}

// The bodies of a JSON or multipart request, and a form that lost its type.
func TestFormsAlone(t *testing.T) {
	l := newLine(t)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {l.channel.ID}, "client_secret": {l.channel.Secret}}.Encode()
	for contentType, status := range map[string]int{
		formType: 200, formType + "; charset=UTF-8": 200, "APPLICATION/x-www-form-urlencoded": 200,
		"application/json": 400, "multipart/form-data; boundary=x": 400, "text/plain": 400, "": 400,
	} {
		for _, path := range []string{"/oauth2/v3/token", "/v2/oauth/accessToken"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.srv.URL+path, strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", contentType)
			if got := l.send(req); got.Status != status {
				t.Errorf("%s, type %q: %+v", path, contentType, got)
			}
		}
	}
	if live := len(l.srv.State().Tokens); live != 6 {
		t.Errorf("%d tokens are valid, 6 were issued", live)
	}
}

func TestMessagingAPI(t *testing.T) {
	l := newLine(t)
	ask := func(method, path, authorization, body string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, l.srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		req.Header.Set("Content-Type", "application/json")
		return l.send(req)
	}
	const push = `{"to":"U1","messages":[{"type":"text","text":"hi"},{"type":"text","text":"there"}]}`
	noToken := answer{401, map[string]any{"message": "Authorization header required. Must follow the scheme, 'Authorization: Bearer <ACCESS TOKEN>'"}}
	unauthorized := answer{401, map[string]any{"message": "Authentication failed. Confirm that the access token in the authorization header is valid."}}
	short := l.token(l.issueShort(l.channel.ID, l.channel.Secret))
	stateless := l.token(l.statelessBySecret(l.channel.ID, l.channel.Secret))
	for _, token := range []string{short, stateless, l.token(l.issueV21(l.assertion())), l.channel.IssueLongLivedToken().Reveal()} {
		l.expect(ask("GET", "/v2/bot/info", "Bearer "+token, ""), answer{200, map[string]any{
			"userId": "*", "basicId": "*", "displayName": "*", "chatMode": "bot", "markAsReadMode": "auto"}})
		l.expect(ask("POST", "/v2/bot/message/push", "Bearer "+token, push), answer{200, map[string]any{
			"sentMessages": []any{map[string]any{"id": "*"}, map[string]any{"id": "*"}}}})
	}
	l.expect(l.revokeV2(short), ok)
	l.srv.Advance(15 * time.Minute)
	for authorization, want := range map[string]answer{
		"": noToken, "Bearer": noToken, "Basic " + short: noToken,
		"Bearer x": unauthorized, "Bearer " + short: unauthorized, "Bearer " + stateless: unauthorized,
	} {
		l.expect(ask("GET", "/v2/bot/info", authorization, ""), want)
		l.expect(ask("POST", "/v2/bot/message/push", authorization, push), want)
	}
	if got := l.srv.State().Messages; len(got) != 8 || got[7].To != "U1" || got[7].ChannelID != l.channel.ID || string(got[7].Message) != `{"type":"text","text":"there"}` {
		t.Errorf("messages = %+v", got)
	}
	good := "Bearer " + l.token(l.issueShort(l.channel.ID, l.channel.Secret))
	l.expect(ask("POST", "/v2/bot/message/reply", good, strings.Replace(push, `"to"`, `"replyToken"`, 1)), answer{200, map[string]any{
		"sentMessages": []any{map[string]any{"id": "*"}, map[string]any{"id": "*"}}}})
	l.expect(ask("POST", "/v2/bot/message/reply", good, push), answer{400, map[string]any{"message": "The request body has 1 error(s)",
		"details": []any{map[string]any{"message": "May not be empty", "property": "replyToken"}}}})
	for body, want := range map[string]answer{
		"{": {400, map[string]any{"message": "*"}},
		`{"messages":[{}]}`: {400, map[string]any{"message": "The request body has 1 error(s)",
			"details": []any{map[string]any{"message": "May not be empty", "property": "to"}}}},
		`{"to":"U1"}`: {400, map[string]any{"message": "The request body has 1 error(s)",
			"details": []any{map[string]any{"message": "Size must be between 1 and 5", "property": "messages"}}}},
	} {
		l.expect(ask("POST", "/v2/bot/message/push", good, body), want)
	}
}

func TestKindsInState(t *testing.T) {
	l := newLine(t)
	l.token(l.issueShort(l.channel.ID, l.channel.Secret))
	l.token(l.issueV21(l.assertion()))
	l.channel.IssueLongLivedToken()
	l.token(l.issueStateless(l.assertion()))
	var got []lineoauth.Kind
	for _, token := range l.srv.State().Tokens {
		got = append(got, token.Kind)
		if (token.KeyID != "") != (token.Kind == lineoauth.V21) || token.ChannelID != l.channel.ID || !token.ExpiresAt.After(token.IssuedAt) {
			t.Errorf("token = %+v", token)
		}
	}
	if diff := cmp.Diff([]lineoauth.Kind{lineoauthtest.LongLived, lineoauth.ShortLived, lineoauth.Stateless, lineoauth.V21}, got); diff != "" {
		t.Errorf("valid tokens (-want +got):\n%s", diff)
	}
	l.srv.Advance(time.Hour)
	if got := len(l.srv.State().Tokens); got != 2 {
		t.Errorf("%d tokens are valid after an hour", got)
	}
}
