package lineoauthtest_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// A row for each answer of the endpoints that verify and revoke.
func factsOfTokens() map[string]fact {
	invalid := refused("invalid_request", "access_token invalid")
	revoke := func(l *line, token string) answer { return l.revokeV21(l.channel.ID, l.channel.Secret, token) }
	short := func(l *line) string { return l.token(l.issueShort(l.channel.ID, l.channel.Secret)) }
	return map[string]fact{
		"v2.1-verify": {reference, func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 100_000)))
			l.srv.Advance(59 * time.Minute)
			got := l.verifyV21(token)
			l.expectOrder("client_id", "expires_in", "scope")
			body, _ := got.Body.(map[string]any)
			if left, _ := body["expires_in"].(float64); body["client_id"] != l.channel.ID || left < 96_400 || left > 96_460 {
				l.Errorf("after 59 minutes: %+v", got)
			}
		}},
		"v2.1-verify-expired": {reference, func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 30)))
			revoked := l.token(l.issueV21(l.assertion("token_exp", 30)))
			l.expect(revoke(l, revoked), ok)
			l.srv.Advance(30 * time.Second)
			l.expect(l.verifyV21(token), refused("invalid_request", "The access token expired"))
			l.expect(l.verifyV21(revoked), refused("invalid_request", "The access token expired"))
			stateless := l.token(l.issueStateless(l.assertion()))
			l.srv.Advance(30 * 24 * time.Hour)
			l.token(l.issueStateless(l.assertion()))
			l.expect(l.verifyV21(stateless), refused("invalid_request", "The access token expired"))
			l.expect(l.verifyV21(token), refused("invalid_request", "The access token expired"))
		}},
		"v2.1-verify-revoked": {reference, func(l *line) {
			token, other := l.token(l.issueV21(l.assertion())), l.token(l.issueV21(l.assertion()))
			l.expect(revoke(l, token), ok)
			l.expect(l.verifyV21(token), refused("invalid_request", "The access token revoked"))
			l.channel.RevokeToken(other)
			l.expect(l.verifyV21(other), refused("invalid_request", "The access token revoked"))
		}},
		"v2.1-verify-not-jws": {reference, func(l *line) {
			for _, token := range []string{opaque, short(l), "dummy", "a.b", "a.b.c.d"} {
				l.expect(l.verifyV21(token), refused("invalid_request", "The access token not JWS"))
			}
		}},
		"v2.1-verify-unknown": {undocumented, func(l *line) {
			own := l.token(l.issueV21(l.assertion()))
			for _, token := range []string{theirs, own[:len(own)-4] + "AAAA", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"} {
				l.expect(l.verifyV21(token), refused("invalid_request", "*"))
			}
		}},
		"v2.1-verify-unreadable": {androidSDK, func(l *line) {
			for _, token := range []string{"a.b.c", "..", "eyJhbGciOiJIUzI1NiJ9..", "AAAA.AAAA.AAAA", "e30.e30.e30", theirs + "\n"} {
				l.expect(l.verifyV21(token), answer{400, map[string]any{"message": "failed to parse"}})
			}
		}},
		"v2.1-revoke": {reference, func(l *line) {
			token := l.token(l.issueV21(l.assertion()))
			l.expect(revoke(l, token), ok)
			if got := l.verifyV21(token); got.Status != 400 {
				l.Errorf("the token: %+v", got)
			}
		}},
		"v2.1-revoke-twice": {reference, func(l *line) {
			token := l.token(l.issueV21(l.assertion()))
			l.expect(revoke(l, token), ok)
			l.expect(revoke(l, token), ok)
		}},
		"v2.1-revoke-expired": {reference, func(l *line) {
			token := l.token(l.issueV21(l.assertion("token_exp", 30)))
			l.srv.Advance(time.Minute)
			l.expect(revoke(l, token), ok)
		}},
		"v2.1-revoke-unknown": {reference, func(l *line) {
			for _, token := range []string{theirs, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", newLine(l.T).token(l.issueV21(l.assertion()))} {
				l.expect(revoke(l, token), ok)
			}
		}},
		"v2.1-revoke-another-form": {undocumented, func(l *line) { l.expect(revoke(l, "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2ln"), ok) }},
		"v2.1-revoke-another-channel": {undocumented, func(l *line) {
			token, other := l.token(l.issueV21(l.assertion())), l.another().channel
			l.expect(l.revokeV21(other.ID, other.Secret, token), ok)
			if got := l.verifyV21(token); got.Status != 200 {
				l.Errorf("the token: %+v", got)
			}
		}},
		"v2.1-revoke-not-jws": {reference, func(l *line) {
			for _, token := range []string{short(l), l.channel.IssueLongLivedToken().Reveal()} {
				l.expect(revoke(l, token), refused("invalid_request", "The access token not JWS"))
			}
		}},
		"v2.1-revoke-other-parts": {undocumented, func(l *line) {
			for _, token := range []string{"a.b", "a.b.c.d"} {
				l.expect(revoke(l, token), refused("invalid_request", "The access token not JWS"))
			}
		}},
		"v2.1-revoke-malformed": {reference, func(l *line) {
			for _, token := range []string{"a.b.c", "..", "AAAA.AAAA.AAAA", "eyJhbGciOiJIUzI1NiJ9.e30.", theirs + "\n", theirs + "\r\n", strings.Replace(theirs, ".", "\n.", 1)} {
				l.expect(revoke(l, token), refused("invalid_request", "The access token malformed"))
			}
		}},
		"v2.1-revoke-dummy": {chooTodoBot, func(l *line) {
			for _, token := range []string{"dummy", "no token", "foo", "test", "opaque", opaque, short(l) + "\n", short(l)[4:]} {
				l.expect(revoke(l, token), refused("invalid_request", "The access token malformed"))
			}
		}},
		"v2.1-revoke-wrong-secret": {undocumented, func(l *line) {
			l.expect(l.revokeV21(l.channel.ID, "wrong", theirs), refused("invalid_client", "invalid client_secret"))
		}},
		"v2.1-revoke-wrong-secret-keeps-token": {undocumented, func(l *line) {
			token := l.token(l.issueV21(l.assertion()))
			l.expect(l.revokeV21(l.channel.ID, "wrong", token), refused("invalid_client", "invalid client_secret"))
			l.expectScope(l.verifyV21(token), "profile chat_message.write")
		}},
		"v2.1-revoke-unknown-id": {undocumented, func(l *line) {
			for _, id := range []string{"1", "99999999999"} {
				l.expect(l.revokeV21(id, l.channel.Secret, theirs), refused("invalid_client", "invalid client_secret"))
			}
		}},
		"v2.1-revoke-client-id-missing": {omniauthLine, func(l *line) {
			bad := refused("invalid_request", "client_id is required.")
			l.expect(l.do("POST", "/oauth2/v2.1/revoke", "client_secret", l.channel.Secret, "access_token", theirs), bad)
			l.expect(l.revokeV21("", l.channel.Secret, theirs), bad)
			l.expect(l.do("POST", "/oauth2/v2.1/revoke"), bad)
		}},
		"v2.1-revoke-client-id-not-a-number": {omniauthLine, func(l *line) {
			for _, id := range []string{"abc", "-1", "1a1", " ", l.channel.ID + "x"} {
				l.expect(l.revokeV21(id, l.channel.Secret, theirs), refused("invalid_request", "client_id is required."))
			}
		}},
		"v2.1-verify-stateless": {undocumented, func(l *line) {
			l.expectScope(l.verifyV21(l.token(l.issueStateless(l.assertion()))), "profile chat_message.write")
		}},
		"stateless-not-revocable": {undocumented, func(l *line) {
			token := l.token(l.issueStateless(l.assertion()))
			l.expect(revoke(l, token), ok)
			if got := l.verifyV21(token); got.Status != 200 {
				l.Errorf("after a revocation: %+v", got)
			}
		}},
		"v2-verify": {reference, func(l *line) {
			l.expect(l.verifyV2(short(l)), answer{200, map[string]any{"client_id": l.channel.ID, "expires_in": float64(2_591_999), "scope": "P CM"}})
		}},
		"v2-verify-unknown": {omniauthLine, func(l *line) { l.expect(l.verifyV2(opaque), invalid) }},
		"v2-verify-revoked": {omniauthLine, func(l *line) {
			token := short(l)
			l.expect(l.revokeV2(token), ok)
			l.expect(l.verifyV2(token), invalid)
		}},
		"v2-verify-expired": {reference, func(l *line) {
			token := short(l)
			l.srv.Advance(30 * 24 * time.Hour)
			l.expect(l.verifyV2(token), invalid)
		}},
		"v2-verify-bad-format": {omniauthLine, func(l *line) {
			for _, token := range []string{theirs, "a b", "=a", "ü", l.token(l.issueV21(l.assertion()))} {
				l.expect(l.verifyV2(token), refused("invalid_request", "access_token in invalid format"))
			}
		}},
		"v2-revoke": {reference, func(l *line) {
			token := short(l)
			l.expect(l.revokeV2(token), ok)
			l.expect(l.verifyV2(token), invalid)
		}},
		"v2-revoke-unknown": {omniauthLine, func(l *line) { l.expect(l.revokeV2(opaque), ok) }},
		"v2-revoke-twice": {reference, func(l *line) {
			token := short(l)
			l.expect(l.revokeV2(token), ok)
			l.expect(l.revokeV2(token), ok)
		}},
		"v2-revoke-bad-format": {omniauthLine, func(l *line) {
			for _, token := range []string{"a b", theirs} {
				if l.revokeV2(token); l.text != `{"error":"invalid_request"}` {
					l.Errorf("answer = %s", l.text)
				}
			}
		}},
	}
}

// A row for each thing that is the same at several endpoints.
func factsOfRequests() map[string]fact {
	missing := refused("invalid_request", "some parameters missed or invalid")
	unauthorized := answer{401, map[string]any{"message": "Authentication failed. Confirm that the access token in the authorization header is valid."}}
	const oldSDKs = "line-bot-sdk-go before v8.20, line-bot-sdk-nodejs before 10.7"
	return map[string]fact{
		"parameter-missing": {golangOAuth2, func(l *line) {
			good := map[string]string{"grant_type": "client_credentials", "client_assertion_type": assertionType, "client_assertion": l.assertion(),
				"access_token": opaque, "client_id": l.channel.ID, "client_secret": l.channel.Secret}
			for path, fields := range map[string][]string{
				"POST /oauth2/v2.1/token":     {"grant_type", "client_assertion_type", "client_assertion"},
				"GET /oauth2/v2.1/tokens/kid": {"client_assertion_type", "client_assertion"},
				"GET /oauth2/v2.1/verify":     {"access_token"},
				"POST /oauth2/v2.1/revoke":    {"client_secret", "access_token"},
				"POST /v2/oauth/accessToken":  {"grant_type", "client_id", "client_secret"},
				"POST /v2/oauth/verify":       {"access_token"},
				"POST /v2/oauth/revoke":       {"access_token"},
				"POST /oauth2/v3/token":       {"grant_type", "client_id", "client_secret"},
			} {
				method, path, _ := strings.Cut(path, " ")
				for _, without := range fields {
					for _, given := range []map[string]string{{}, {without: ""}} { // left out, and empty
						for _, name := range append(slices.Clone(fields), "client_id") {
							if name != without && (name != "client_id" || slices.Contains(fields, "client_secret")) {
								given[name] = good[name]
							}
						}
						var rest []string
						for _, name := range slices.Sorted(maps.Keys(given)) {
							rest = append(rest, name, given[name])
						}
						if got := l.do(method, path, rest...); !cmp.Equal(got, missing) {
							l.Errorf("%s without %s (%v): %+v", path, without, len(given), got)
						}
					}
				}
			}
		}},
		"parameter-malformed": {reference, func(l *line) {
			l.expect(l.do("POST", "/oauth2/v2.1/token", "grant_type", "password", "client_assertion_type", assertionType, "client_assertion", l.assertion()), missing)
			l.expect(l.do("POST", "/oauth2/v2.1/token", "grant_type", "client_credentials", "client_assertion_type", "jwt", "client_assertion", l.assertion()), missing)
			l.expect(l.do("GET", "/oauth2/v2.1/tokens/kid", "client_assertion_type", "jwt", "client_assertion", l.assertion()), missing)
			l.expect(l.do("POST", "/v2/oauth/accessToken", "grant_type", "password", "client_id", l.channel.ID, "client_secret", l.channel.Secret), missing)
		}},
		// Each endpoint, with each of its fields, and the second value as good as the
		// first.
		"parameter-repeated": {undocumented, func(l *line) {
			token := l.token(l.issueShort(l.channel.ID, l.channel.Secret))
			for path, fields := range map[string][]string{
				"POST /oauth2/v2.1/token":     {"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", l.assertion()},
				"GET /oauth2/v2.1/tokens/kid": {"client_assertion_type", assertionType, "client_assertion", l.assertion()},
				"GET /oauth2/v2.1/verify":     {"access_token", theirs},
				"POST /oauth2/v2.1/revoke":    {"client_id", l.channel.ID, "client_secret", l.channel.Secret, "access_token", theirs},
				"POST /v2/oauth/accessToken":  {"grant_type", "client_credentials", "client_id", l.channel.ID, "client_secret", l.channel.Secret},
				"POST /v2/oauth/verify":       {"access_token", token},
				"POST /v2/oauth/revoke":       {"access_token", token},
				"POST /oauth2/v3/token":       {"grant_type", "client_credentials", "client_id", l.channel.ID, "client_secret", l.channel.Secret},
			} {
				method, path, _ := strings.Cut(path, " ")
				for i := 0; i < len(fields); i += 2 {
					twice := append(slices.Clone(fields), fields[i:i+2]...)
					if got := l.do(method, path, twice...); !cmp.Equal(got, missing) {
						l.Errorf("%s with two %s: %+v", path, fields[i], got)
					}
					if requests := l.srv.State().Requests; !requests[len(requests)-1].Undocumented {
						l.Errorf("%s with two %s is not marked", path, fields[i])
					}
				}
			}
		}},
		"v2.1-verify-camel-case": {oldSDKs, func(l *line) { l.expect(l.do("GET", "/oauth2/v2.1/verify", "accessToken", theirs), missing) }},
		"key-ids-camel-case": {oldSDKs, func(l *line) {
			l.expect(l.do("GET", "/oauth2/v2.1/tokens/kid", "clientAssertionType", assertionType, "clientAssertion", l.assertion()), missing)
		}},
		"short-lived-basic-credentials": {golangOAuth2, func(l *line) {
			for _, path := range []string{"/v2/oauth/accessToken", "/oauth2/v3/token"} {
				req := l.form(path, "grant_type=client_credentials")
				req.SetBasicAuth(l.channel.ID, l.channel.Secret)
				l.expect(l.send(req), missing)
			}
		}},
		"form-charset": {reference, func(l *line) {
			for _, contentType := range []string{formType + "; charset=UTF-8", formType + ";charset=utf-8", "APPLICATION/x-www-form-urlencoded"} {
				l.token(l.typed(contentType))
			}
		}},
		"form-json": {reference, func(l *line) {
			for _, contentType := range []string{"application/json", "text/plain", ""} {
				l.expect(l.typed(contentType), missing)
			}
		}},
		"form-multipart": {reference, func(l *line) { l.expect(l.typed("multipart/form-data; boundary=x"), missing) }},
		"bot-no-authorization": {laravelSDK, func(l *line) {
			want := answer{401, map[string]any{"message": "Authorization header required. Must follow the scheme, 'Authorization: Bearer <ACCESS TOKEN>'"}}
			for _, path := range []string{"GET /v2/bot/info", "POST /v2/bot/message/push", "POST /v2/bot/message/reply"} {
				method, path, _ := strings.Cut(path, " ")
				l.expect(l.bot(method, path, ""), want)
				l.expect(l.bot(method, path, "Bearer"), want)
				if !strings.Contains(l.text, "<ACCESS TOKEN>") { // unescaped
					l.Errorf("answer = %s", l.text)
				}
			}
		}},
		"bot-another-scheme": {undocumented, func(l *line) {
			basic := "Basic " + l.channel.IssueLongLivedToken().Reveal()
			for _, path := range []string{"/v2/bot/info", "/v2/bot/profile/U1", "/v2/bot/message/1/content"} {
				if got := l.bot("GET", path, basic); got.Status != 401 {
					l.Errorf("answer = %+v", got)
				}
			}
			for _, r := range l.srv.State().Requests {
				if !r.Undocumented {
					l.Errorf("%s is not marked", r.Operation)
				}
			}
		}},
		"bot-live-token": {reference, func(l *line) {
			if got := l.bot("GET", "/v2/bot/info", "Bearer "+l.token(l.issueShort(l.channel.ID, l.channel.Secret))); got.Status != 200 {
				l.Errorf("answer = %+v", got)
			}
		}},
		"bot-wrong-token": {zennOn401, func(l *line) {
			for _, token := range []string{"x", theirs, opaque} {
				l.expect(l.bot("GET", "/v2/bot/info", "Bearer "+token), unauthorized)
			}
		}},
		"bot-revoked-token": {zennOn401, func(l *line) {
			token := l.token(l.issueShort(l.channel.ID, l.channel.Secret))
			l.expect(l.revokeV2(token), ok)
			l.expect(l.bot("GET", "/v2/bot/info", "Bearer "+token), unauthorized)
		}},
		"rate-limited": {reference, func(l *line) {
			l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited})
			l.expect(l.verifyV2(opaque), answer{429, map[string]any{"message": "The API rate limit has been exceeded. Try again later."}})
			if got := l.header.Get("Retry-After"); got != "" {
				l.Errorf("Retry-After: %s", got)
			}
		}},
		"server-error": {reference, func(l *line) {
			l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError})
			l.expect(l.verifyV2(opaque), answer{500, map[string]any{"message": "*"}})
		}},
	}
}

func (l *line) form(path, body string) *http.Request {
	l.Helper()
	req, err := http.NewRequestWithContext(l.Context(), http.MethodPost, l.srv.URL+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	req.Header.Set("Content-Type", formType)
	return req
}

// typed asks for a short-lived token with a good body under a content type.
func (l *line) typed(contentType string) answer {
	l.Helper()
	req := l.form("/v2/oauth/accessToken", "grant_type=client_credentials&client_id="+l.channel.ID+"&client_secret="+l.channel.Secret)
	req.Header.Set("Content-Type", contentType)
	return l.send(req)
}
