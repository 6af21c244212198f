package lineoauthtest_test

import "time"

// A row for each type of token, and for its limits.
func factsOfIssuing() map[string]fact {
	full := answer{400, map[string]any{"message": "The maximum number of access tokens has already been issued"}}
	fill := func(l *line) (first string) {
		for i := range 30 {
			if token := l.token(l.issueV21(l.assertion())); i == 0 {
				first = token
			}
		}
		return first
	}
	return map[string]fact{
		"v2.1-issue": {reference, func(l *line) { l.expect(l.issueV21(l.assertion("token_exp", 86400)), issued(86400, "key_id")) }},
		"v2.1-issue-31st": {reference, func(l *line) {
			fill(l)
			l.expect(l.issueV21(l.assertion()), full)
			l.expect(l.another().issueV21(l.assertion()), full) // the assertion says whose it is
		}},
		"v2.1-revoke-frees-place": {reference, func(l *line) {
			first := fill(l)
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, first), ok)
			l.expect(l.issueV21(l.assertion()), issued(3600, "key_id"))
			l.expect(l.issueV21(l.assertion()), full)
		}},
		"v2.1-expiry-frees-place": {reference, func(l *line) {
			fill(l)
			l.srv.Advance(time.Hour)
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{}}})
			fill(l)
		}},
		"stateless-by-assertion": {reference, func(l *line) { l.expect(l.issueStateless(l.assertion()), issued(900)) }},
		"stateless-by-secret":    {reference, func(l *line) { l.expect(l.statelessBySecret(l.channel.ID, l.channel.Secret), issued(900)) }},
		"stateless-no-limit": {reference, func(l *line) {
			for range 40 {
				l.token(l.statelessBySecret(l.channel.ID, l.channel.Secret))
			}
		}},
		"stateless-wrong-secret": {reference, func(l *line) {
			for _, secret := range []string{"wrong", l.another().channel.Secret} {
				l.expect(l.statelessBySecret(l.channel.ID, secret), refused("invalid_request", "Invalid 'client_credentials'."))
			}
		}},
		"stateless-unknown-id": {reference, func(l *line) {
			for _, id := range []string{"1", "abc", "99999999999"} {
				l.expect(l.statelessBySecret(id, l.channel.Secret), refused("invalid_request", "Invalid 'client_credentials'."))
			}
		}},
		"stateless-both-credentials": {undocumented, func(l *line) {
			bad := refused("invalid_request", "some parameters missed or invalid")
			l.expect(l.stateless(l.channel.ID, l.channel.Secret, assertionType, l.assertion()), bad)
			l.expect(l.stateless(l.channel.ID, l.channel.Secret, assertionType, ""), bad)
			l.expect(l.stateless(l.channel.ID, "", assertionType, l.assertion()), bad)
		}},
		"stateless-by-secret-empty-assertion": {pythonSDK, func(l *line) {
			l.expect(l.stateless(l.channel.ID, l.channel.Secret, "", ""), issued(900))
			l.expect(l.stateless(l.channel.ID, "wrong", "", ""), refused("invalid_request", "Invalid 'client_credentials'."))
			l.expect(l.stateless(l.channel.ID, "", "", ""), refused("invalid_request", "some parameters missed or invalid"))
			l.expect(l.stateless("", "", "", ""), refused("invalid_request", "some parameters missed or invalid"))
		}},
		"stateless-by-assertion-empty-secret": {pythonSDK, func(l *line) {
			l.expect(l.stateless("", "", assertionType, l.assertion()), issued(900))
		}},
		"short-lived-issue": {reference, func(l *line) { l.expect(l.issueShort(l.channel.ID, l.channel.Secret), issued(2_592_000)) }},
		"short-lived-31st-revokes-oldest": {reference, func(l *line) {
			var tokens []string
			for range 31 {
				tokens = append(tokens, l.token(l.issueShort(l.channel.ID, l.channel.Secret)))
			}
			l.expect(l.verifyV2(tokens[0]), refused("invalid_request", "access_token invalid"))
			for _, token := range tokens[1:] {
				if got := l.verifyV2(token); got.Status != 200 {
					l.Fatalf("a younger token: %+v", got)
				}
			}
		}},
		"short-lived-unknown-id": {reference, func(l *line) {
			for _, id := range []string{"1", "2147483647", "0"} {
				l.expect(l.issueShort(id, l.channel.Secret), refused("invalid_client", "invalid client_id"))
			}
		}},
		"short-lived-id-not-a-number": {omniauthLine, func(l *line) {
			for _, id := range []string{"abc", "-1", "+1", "1.0", "1e3", "0x1", l.channel.ID + "x", " " + l.channel.ID, "１"} {
				l.expect(l.issueShort(id, l.channel.Secret), refused("invalid_request", "some parameters in the wrong format"))
			}
		}},
		"short-lived-id-too-large": {omniauthLine, func(l *line) {
			for _, id := range []string{"2147483648", "4294967296", "99999999999999999999999"} {
				l.expect(l.issueShort(id, l.channel.Secret), refused("invalid_request", "some parameters in the wrong format"))
			}
		}},
		"short-lived-wrong-secret": {reference, func(l *line) {
			l.expect(l.issueShort(l.channel.ID, "wrong"), refused("invalid_client", "invalid client_secret"))
		}},
		"counts-per-type": {reference, func(l *line) {
			fill(l)
			for range 30 {
				l.token(l.issueShort(l.channel.ID, l.channel.Secret))
			}
			l.token(l.issueStateless(l.assertion()))
		}},
		"v2-verify-long-lived": {reference, func(l *line) {
			token := l.channel.IssueLongLivedToken().Reveal()
			l.expect(l.verifyV2(token), answer{200, map[string]any{"client_id": l.channel.ID, "expires_in": float64(3_138_007_489), "scope": "P CM"}})
			l.srv.Advance(365 * 24 * time.Hour)
			if got := l.verifyV2(token); got.Status != 200 {
				l.Errorf("after a year: %+v", got)
			}
			l.expect(l.revokeV2(token), ok)
			l.expect(l.verifyV2(token), refused("invalid_request", "access_token invalid"))
		}},
		"long-lived-one": {reference, func(l *line) {
			first := l.channel.IssueLongLivedToken().Reveal()
			second := l.channel.IssueLongLivedToken().Reveal()
			l.expect(l.verifyV2(first), refused("invalid_request", "access_token invalid"))
			l.expectScope(l.verifyV2(second), "P CM")
		}},
		"mini-app-no-v2.1": {undocumented, func(l *line) {
			l.channel.SetMINIApp(true)
			if got := l.issueV21(l.assertion()); got.Status != 400 {
				l.Errorf("answer = %+v", got)
			}
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{}}})
			l.channel.SetMINIApp(false)
			l.token(l.issueV21(l.assertion()))
		}},
		"mini-app-no-long-lived": {reference, func(l *line) {
			l.channel.SetMINIApp(true)
			if token := l.channel.IssueLongLivedToken(); !token.IsZero() {
				l.Error("the channel of a MINI App has a long-lived token")
			}
		}},
		"mini-app-stateless-and-short-lived": {reference, func(l *line) {
			l.channel.SetMINIApp(true)
			l.token(l.issueStateless(l.assertion()))
			l.token(l.statelessBySecret(l.channel.ID, l.channel.Secret))
			l.token(l.issueShort(l.channel.ID, l.channel.Secret))
		}},
	}
}

func (l *line) stateless(id, secret, kind, assertion string) answer {
	l.Helper()
	return l.do("POST", "/oauth2/v3/token", "grant_type", "client_credentials",
		"client_id", id, "client_secret", secret, "client_assertion_type", kind, "client_assertion", assertion)
}
