package lineoauthtest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
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
}

func newLine(t *testing.T) *line {
	t.Helper()
	srv := newServer(t)
	return (&line{T: t, srv: srv, fits: document(t)}).on(srv.Channel())
}

// document returns a check of 200 answers by their schema in the OpenAPI
// document.
func document(t *testing.T) func(method, path string, body any) error {
	t.Helper()
	doc, err := util.LoadSwagger("../api/channel-access-token.yml")
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
	return &line{l.T, l.srv, c, keyID, l.fits}
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
		values.Set(fields[i], fields[i+1])
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
	if len(text) > 0 {
		if got := rsp.Header.Get("Content-Type"); got != "application/json" {
			l.Errorf("%s %s: Content-Type %q", req.Method, req.URL.Path, got)
		}
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

// A row each for LINE's operations.
func TestOperations(t *testing.T) {
	for row, test := range map[string]func(l *line){
		"POST /oauth2/v3/token issueStatelessChannelToken": func(l *line) {
			l.expect(l.issueStateless(l.assertion()), issued(900))
			l.expect(l.statelessBySecret(l.channel.ID, l.channel.Secret), issued(900))
		},
		"GET /oauth2/v2.1/tokens/kid getsAllValidChannelAccessTokenKeyIds": func(l *line) {
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{}}})
			body, _ := l.issueV21(l.assertion()).Body.(map[string]any)
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{body["key_id"]}}})
		},
		"POST /oauth2/v2.1/token issueChannelTokenByJWT": func(l *line) {
			l.expect(l.issueV21(l.assertion("token_exp", 86400)), issued(86400, "key_id"))
		},
		"GET /oauth2/v2.1/verify verifyChannelTokenByJWT": func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 100_000)))
			l.srv.Advance(time.Hour - time.Minute)
			got := l.verifyV21(token)
			if body, _ := got.Body.(map[string]any); body["expires_in"].(float64) < 96_400 || body["expires_in"].(float64) > 96_460 {
				l.Errorf("expires_in = %v after 59 minutes", body["expires_in"])
			}
		},
		"POST /oauth2/v2.1/revoke revokeChannelTokenByJWT": func(l *line) {
			token := l.token(l.issueV21(l.assertion()))
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, token), ok)
			l.expect(l.verifyV21(token), refused("invalid_request", "*"))
		},
		"POST /v2/oauth/accessToken issueChannelToken": func(l *line) {
			l.expect(l.issueShort(l.channel.ID, l.channel.Secret), issued(2_592_000))
		},
		"POST /v2/oauth/verify verifyChannelToken": func(l *line) {
			l.expect(l.verifyV2(l.channel.IssueLongLivedToken().Reveal()), answer{200, map[string]any{
				"client_id": l.channel.ID, "expires_in": float64(3_138_007_489), "scope": "P CM"}})
		},
		"POST /v2/oauth/revoke revokeChannelToken": func(l *line) {
			token := l.token(l.issueShort(l.channel.ID, l.channel.Secret))
			l.expect(l.revokeV2(token), ok)
			l.expect(l.verifyV2(token), refused("invalid_request", "access_token invalid"))
		},
	} {
		t.Run(row, func(t *testing.T) { test(newLine(t)) })
	}
}

// A row each for LINE's types of token.
func TestTokenTypes(t *testing.T) {
	for row, test := range map[string]func(l *line){
		"v2.1": func(l *line) {
			var first string
			for range 30 {
				token := l.token(l.issueV21(l.assertion()))
				if first == "" {
					first = token
				}
				if strings.Count(token, ".") != 2 {
					l.Fatalf("%s is no JWS", token)
				}
			}
			limit := answer{400, map[string]any{"message": "The maximum number of access tokens has already been issued"}}
			l.expect(l.issueV21(l.assertion()), limit)
			l.expect(l.another().issueV21(l.assertion()), limit) // the assertion says whose it is
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, first), ok)
			l.expect(l.issueV21(l.assertion()), issued(3600, "key_id"))
			l.srv.Advance(time.Hour)
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{}}})
			l.expect(l.issueV21(l.assertion()), issued(3600, "key_id"))
		},
		"stateless": func(l *line) {
			var first string
			for range 100 {
				first = l.token(l.statelessBySecret(l.channel.ID, l.channel.Secret))
			}
			if strings.Count(first, ".") != 2 {
				l.Errorf("%s is no JWS", first)
			}
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, first), ok)
			if got := l.verifyV21(first); got.Status != 200 {
				l.Errorf("after a revocation: %+v", got)
			}
			l.srv.Advance(15 * time.Minute)
			l.expect(l.verifyV21(first), refused("invalid_request", "The access token expired"))
		},
		"short-lived": func(l *line) {
			var tokens []string
			for range 31 {
				token := l.token(l.issueShort(l.channel.ID, l.channel.Secret))
				if strings.Contains(token, ".") || !strings.Contains(token, "/") || !strings.Contains(token, "+") || !strings.HasSuffix(token, "=") {
					l.Fatalf("%s does not test a client's encoding", token)
				}
				tokens = append(tokens, token)
			}
			l.expect(l.verifyV2(tokens[0]), refused("invalid_request", "access_token invalid"))
			for _, token := range tokens[1:] {
				if got := l.verifyV2(token); got.Status != 200 {
					l.Fatalf("a younger token: %+v", got)
				}
			}
			l.srv.Advance(30 * 24 * time.Hour)
			l.expect(l.verifyV2(tokens[30]), refused("invalid_request", "access_token invalid"))
		},
		"long-lived": func(l *line) {
			first := l.channel.IssueLongLivedToken().Reveal()
			second := l.channel.IssueLongLivedToken().Reveal()
			l.expect(l.verifyV2(first), refused("invalid_request", "access_token invalid"))
			l.srv.Advance(365 * 24 * time.Hour)
			if got := l.verifyV2(second); got.Status != 200 {
				l.Errorf("after a year: %+v", got)
			}
			l.expect(l.revokeV2(second), ok)
			l.expect(l.verifyV2(second), refused("invalid_request", "access_token invalid"))
		},
		"counts are per type": func(l *line) {
			for range 30 {
				l.token(l.issueV21(l.assertion()))
			}
			for range 30 {
				l.token(l.issueShort(l.channel.ID, l.channel.Secret))
			}
			l.token(l.issueStateless(l.assertion()))
		},
	} {
		t.Run(row, func(t *testing.T) { test(newLine(t)) })
	}
}

// A row each for the ways in which LINE refuses, and for its edges.
func TestErrorBodies(t *testing.T) {
	const (
		opaque = "AAAA+/=="
		theirs = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
	)
	missing := refused("invalid_request", "some parameters missed or invalid")
	unknownKey := answer{404, map[string]any{"message": "Cannot find channel key that satisfies the conditions"}}
	invalidClient := refused("invalid_client", "*")
	// each asks all three operations that take an assertion.
	each := func(l *line, assertion string, want answer) {
		l.Helper()
		for _, ask := range []func(string) answer{l.issueV21, l.issueStateless, l.keyIDs} {
			l.expect(ask(assertion), want)
		}
	}
	for row, test := range map[string]func(l *line){
		"v2.1 issue, 30 live tokens": func(l *line) {
			for range 30 {
				l.token(l.issueV21(l.assertion()))
			}
			l.expect(l.issueV21(l.assertion()), answer{400, map[string]any{"message": "The maximum number of access tokens has already been issued"}})
		},
		"assertion: issuer is not the key's channel": func(l *line) {
			other := l.another().channel.ID
			each(l, l.assertion("iss", other, "sub", other), refused("invalid_client", "iss and clientId of key do not match"))
		},
		"assertion expired, or exp over 30 minutes ahead": func(l *line) {
			now := l.srv.Now()
			for _, exp := range []int64{0, now.Add(-time.Second).Unix(), now.Add(30*time.Minute + 5*time.Second).Unix()} {
				each(l, l.assertion("exp", exp), refused("invalid_client", "Invalid exp"))
			}
			each(l, l.assertion("exp", nil), refused("invalid_client", "Invalid exp"))
			old := l.assertion()
			l.srv.Advance(29 * time.Minute)
			each(l, old, refused("invalid_client", "Invalid exp"))
		},
		"exp exactly 30 minutes ahead and token_exp exactly 30 days": func(l *line) {
			l.expect(l.issueV21(l.assertion("exp", l.srv.Now().Add(30*time.Minute).Unix(), "token_exp", 2_592_000)), issued(2_592_000, "key_id"))
			l.expect(l.issueV21(l.assertion("token_exp", 1)), issued(1, "key_id"))
		},
		"assertion: signature": func(l *line) {
			other := jose.SigningKey{Algorithm: jose.RS256, Key: otherKey(l.T)}
			each(l, l.sign(other, l.keyID, l.claims()), invalidClient)
			good := l.assertion()
			each(l, good[:len(good)-4]+"AAAA", invalidClient)
		},
		"assertion: alg other than RS256": func(l *line) {
			for _, alg := range []jose.SignatureAlgorithm{jose.RS384, jose.RS512, jose.PS256} {
				each(l, l.sign(jose.SigningKey{Algorithm: alg, Key: testKey(l.T)}, l.keyID, l.claims()), invalidClient)
			}
			each(l, l.sign(jose.SigningKey{Algorithm: jose.HS256, Key: publicJWK(l.T)}, l.keyID, l.claims()), invalidClient)
		},
		"assertion: unsigned": func(l *line) {
			_, rest, _ := strings.Cut(l.assertion(), ".")
			payload, _, _ := strings.Cut(rest, ".")
			each(l, "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."+payload+".", invalidClient)
		},
		"assertion: aud": func(l *line) {
			for _, aud := range []any{"https://api.line.me", "https://access.line.me/", "", nil, []string{"https://api.line.me/"}} {
				each(l, l.assertion("aud", aud), invalidClient)
			}
		},
		"assertion: sub not equal to iss": func(l *line) {
			each(l, l.assertion("sub", "1"), invalidClient)
			each(l, l.assertion("sub", nil), invalidClient)
		},
		"assertion: token_exp over 30 days": func(l *line) {
			each(l, l.assertion("token_exp", 2_592_001), invalidClient)
			each(l, l.assertion("token_exp", -1), invalidClient)
			each(l, l.assertion("token_exp", 1.5), invalidClient)
		},
		"assertion: token_exp missing": func(l *line) {
			l.expect(l.issueV21(l.assertion("token_exp", nil)), invalidClient)
			l.expect(l.issueStateless(l.assertion("token_exp", nil)), issued(900))
			if got := l.keyIDs(l.assertion("token_exp", nil)); got.Status != 200 {
				l.Errorf("key IDs: %+v", got)
			}
		},
		"assertion: malformed": func(l *line) {
			for _, text := range []string{"x", "x.y.z", "e30.e30.", l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, 7, l.claims()),
				l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, nil, l.claims())} {
				each(l, text, invalidClient)
			}
		},
		"assertion: iat is allowed": func(l *line) {
			l.expect(l.issueV21(l.assertion("iat", l.srv.Now().Unix())), issued(3600, "key_id"))
		},
		"kid not registered in the channel": func(l *line) {
			each(l, l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, "nobody's", l.claims()), unknownKey)
		},
		"stateless by secret: wrong ID or secret": func(l *line) {
			wrong := refused("invalid_request", "Invalid 'client_credentials'.")
			l.expect(l.statelessBySecret("1", l.channel.Secret), wrong)
			l.expect(l.statelessBySecret(l.channel.ID, "wrong"), wrong)
			l.expect(l.statelessBySecret(l.channel.ID, l.another().channel.Secret), wrong)
		},
		"short-lived: unknown channel ID": func(l *line) {
			l.expect(l.issueShort("1", l.channel.Secret), refused("invalid_client", "invalid client_id"))
		},
		"short-lived: wrong secret": func(l *line) {
			l.expect(l.issueShort(l.channel.ID, "wrong"), refused("invalid_client", "invalid client_secret"))
		},
		"a required parameter is missing or malformed": func(l *line) {
			for path, fields := range map[string][]string{
				"POST /oauth2/v2.1/token":     {"grant_type", "client_assertion_type", "client_assertion"},
				"GET /oauth2/v2.1/tokens/kid": {"client_assertion_type", "client_assertion"},
				"GET /oauth2/v2.1/verify":     {"access_token"},
				"POST /oauth2/v2.1/revoke":    {"client_id", "client_secret", "access_token"},
				"POST /v2/oauth/accessToken":  {"grant_type", "client_id", "client_secret"},
				"POST /v2/oauth/verify":       {"access_token"},
				"POST /v2/oauth/revoke":       {"access_token"},
				"POST /oauth2/v3/token":       {"grant_type", "client_id", "client_secret"},
			} {
				good := map[string]string{"grant_type": "client_credentials", "client_assertion_type": assertionType, "client_assertion": l.assertion(),
					"access_token": opaque, "client_id": l.channel.ID, "client_secret": l.channel.Secret}
				method, path, _ := strings.Cut(path, " ")
				for _, without := range fields {
					for _, empty := range []bool{false, true} {
						var rest []string
						for _, name := range fields {
							if name != without {
								rest = append(rest, name, good[name])
							} else if empty {
								rest = append(rest, name, "")
							}
						}
						if got := l.do(method, path, rest...); !cmp.Equal(got, missing) {
							l.Errorf("%s without %s (empty: %v): %+v", path, without, empty, got)
						}
					}
				}
			}
			l.expect(l.do("POST", "/oauth2/v2.1/token", "grant_type", "password", "client_assertion_type", assertionType, "client_assertion", l.assertion()), missing)
			l.expect(l.do("POST", "/oauth2/v2.1/token", "grant_type", "client_credentials", "client_assertion_type", "jwt", "client_assertion", l.assertion()), missing)
		},
		"stateless: both credentials, or the other's fields empty": func(l *line) {
			fields := []string{"grant_type", "client_credentials", "client_id", l.channel.ID, "client_secret", l.channel.Secret}
			l.expect(l.do("POST", "/oauth2/v3/token", append(fields, "client_assertion", l.assertion(), "client_assertion_type", assertionType)...), missing)
			l.expect(l.do("POST", "/oauth2/v3/token", append(fields, "client_assertion", "")...), missing)
			l.expect(l.do("POST", "/oauth2/v3/token", append(fields, "client_assertion", "", "client_assertion_type", "")...), missing)
		},
		"v2.1 verify: expired token": func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 2)))
			l.srv.Advance(2 * time.Second)
			l.expect(l.verifyV21(token), refused("invalid_request", "The access token expired"))
		},
		"v2.1 verify or revoke: not a JWS": func(l *line) {
			for _, token := range []string{opaque, l.token(l.issueShort(l.channel.ID, l.channel.Secret)), "a.b"} {
				l.expect(l.verifyV21(token), refused("invalid_request", "The access token not JWS"))
				l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, token), refused("invalid_request", "The access token not JWS"))
			}
		},
		"v2.1 revoke: malformed JWS": func(l *line) {
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, "a.b.c"), refused("invalid_request", "The access token malformed"))
		},
		"v2.1 verify of a revoked or unknown token": func(l *line) {
			token := l.token(l.issueV21(l.assertion()))
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, token), ok)
			l.expect(l.verifyV21(token), refused("invalid_request", "*"))
			l.expect(l.verifyV21(theirs), refused("invalid_request", "*"))
		},
		"v2.1 revoke of a token that is unknown, expired or already revoked": func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 60)))
			expired := l.token(l.issueV21(l.assertion("token_exp", 1)))
			l.srv.Advance(time.Second)
			for _, token := range []string{token, token, expired, theirs} {
				l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, token), ok)
			}
		},
		"v2.1 revoke with a wrong channel ID or secret": func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 60)))
			other := l.another().channel
			l.expect(l.revokeV21("1", l.channel.Secret, token), refused("invalid_client", "invalid client_secret"))
			l.expect(l.revokeV21(l.channel.ID, "wrong", token), refused("invalid_client", "invalid client_secret"))
			l.expect(l.revokeV21(other.ID, other.Secret, token), ok)
			if got := l.verifyV21(token); got.Status != 200 {
				l.Errorf("the token: %+v", got)
			}
		},
		"v2 verify: unknown, revoked or expired token": func(l *line) {
			revoked, expired := l.token(l.issueShort(l.channel.ID, l.channel.Secret)), l.token(l.issueShort(l.channel.ID, l.channel.Secret))
			l.expect(l.revokeV2(revoked), ok)
			l.expect(l.verifyV2(revoked), refused("invalid_request", "access_token invalid"))
			l.srv.Advance(30 * 24 * time.Hour)
			for _, token := range []string{opaque, expired} {
				l.expect(l.verifyV2(token), refused("invalid_request", "access_token invalid"))
			}
		},
		"v2 verify: badly formatted token": func(l *line) {
			for _, token := range []string{theirs, "a b", "=a", "ü"} {
				l.expect(l.verifyV2(token), refused("invalid_request", "access_token in invalid format"))
			}
		},
		"v2 revoke: unknown token": func(l *line) {
			l.expect(l.revokeV2(opaque), ok)
		},
		"v2 revoke: badly formatted token": func(l *line) {
			l.expect(l.revokeV2("a b"), refused("invalid_request", "*"))
		},
		"over the rate limit": func(l *line) {
			l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited})
			l.expect(l.verifyV2(opaque), answer{429, map[string]any{"message": "*"}})
		},
		"server trouble": func(l *line) {
			l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
			l.expect(l.verifyV2(opaque), answer{500, map[string]any{"message": "*"}})
		},
	} {
		t.Run(row, func(t *testing.T) { test(newLine(t)) })
	}
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
		t.Errorf("%d tokens are alive, 6 were issued", live)
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
	for _, authorization := range []string{"", "Bearer", "Bearer x", "Basic " + short, "Bearer " + short, "Bearer " + stateless} {
		l.expect(ask("GET", "/v2/bot/info", authorization, ""), unauthorized)
		l.expect(ask("POST", "/v2/bot/message/push", authorization, push), unauthorized)
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
		t.Errorf("live tokens (-want +got):\n%s", diff)
	}
	l.srv.Advance(time.Hour)
	if got := len(l.srv.State().Tokens); got != 2 {
		t.Errorf("%d tokens are alive after an hour", got)
	}
}
