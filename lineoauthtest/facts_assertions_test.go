package lineoauthtest_test

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A row for each thing that can be right or wrong with an assertion.
func factsOfAssertions() map[string]fact {
	invalidClient := refused("invalid_client", "*")
	noKey := answer{404, map[string]any{"message": "Cannot find channel key that satisfies the conditions"}}
	return map[string]fact{
		"assertion-iss-of-another-channel": {reference, func(l *line) {
			other := l.another().channel.ID
			l.each(l.assertion("iss", other, "sub", other), refused("invalid_client", "iss and clientId of key do not match"))
		}},
		"assertion-exp-past": {reference, func(l *line) {
			for _, exp := range []int64{0, l.srv.Now().Add(-time.Second).Unix()} {
				l.each(l.assertion("exp", exp), refused("invalid_client", "Invalid exp"))
			}
			old := l.assertion()
			l.srv.Advance(29 * time.Minute)
			l.each(old, refused("invalid_client", "Invalid exp"))
		}},
		"assertion-exp-over-30-minutes": {zenn, func(l *line) {
			l.each(l.assertion("exp", l.srv.Now().Add(30*time.Minute+5*time.Second).Unix()), refused("invalid_client", "Invalid exp"))
		}},
		"assertion-exp-missing": {undocumented, func(l *line) { l.each(l.assertion("exp", nil), invalidClient) }},
		"assertion-exp-25-minutes": {zenn, func(l *line) {
			l.expect(l.issueV21(l.assertion("exp", l.srv.Now().Add(25*time.Minute).Unix())), issued(3600, "key_id"))
		}},
		"assertion-exp-30-minutes": {reference, func(l *line) {
			l.expect(l.issueV21(l.assertion("exp", l.srv.Now().Add(30*time.Minute).Unix())), issued(3600, "key_id"))
		}},
		"v2.1-issue-token-exp-30-days": {reference, func(l *line) {
			l.expect(l.issueV21(l.assertion("token_exp", 2_592_000)), issued(2_592_000, "key_id"))
		}},
		"v2.1-issue-token-exp-over-30-days": {rustALC, func(l *line) {
			l.expect(l.issueV21(l.assertion("token_exp", 2_592_001)), refused("invalid_client", "Invalid token_exp"))
		}},
		"v2.1-issue-token-exp-absolute": {rustALC, func(l *line) {
			at := l.srv.Now().Add(time.Hour)
			for _, exp := range []any{at.Unix(), float64(at.UnixMilli()) / 1000, at.UnixNano(), json.Number("1e19"), json.Number("1e30"), json.Number("1e400")} {
				l.expect(l.issueV21(l.assertion("token_exp", exp)), refused("invalid_client", "Invalid token_exp"))
			}
		}},
		// The text was recorded (rust-alc-api, 2026-04), the code was not.
		"v2.1-issue-token-exp-missing": {undocumented, func(l *line) {
			for _, none := range []string{l.assertion("token_exp", nil), l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, l.keyID, map[string]any{
				"iss": l.channel.ID, "sub": l.channel.ID, "aud": "https://api.line.me/", "exp": l.srv.Now().Add(time.Minute).Unix(), "token_exp": nil})} {
				l.expect(l.issueV21(none), refused("invalid_client", "JWT payload must contain token_exp"))
			}
			for _, other := range []string{"TOKEN_EXP", "Token_Exp", "token_exp "} {
				l.expect(l.issueV21(l.assertion("token_exp", nil, other, 60)), refused("invalid_client", "JWT payload must contain token_exp"))
			}
		}},
		"key-ids-without-token-exp": {reference, func(l *line) {
			for _, assertion := range []string{l.assertion("token_exp", nil), l.assertion()} {
				l.expect(l.issueStateless(assertion), issued(900))
				l.expect(l.keyIDs(assertion), answer{200, map[string]any{"kids": []any{}}})
			}
		}},
		"v2.1-issue-token-exp-zero": {undocumented, func(l *line) {
			for _, exp := range []any{0, -1, 1.5, "3600", "1e19", true, []int{60}, json.Number("-1e30")} {
				l.expect(l.issueV21(l.assertion("token_exp", exp)), invalidClient)
			}
			l.each(l.assertion("token_exp", -1), invalidClient)
			l.expect(l.issueStateless(l.assertion("token_exp", 2_592_001)), invalidClient)
			l.expect(l.keyIDs(l.assertion("token_exp", 2_592_001)), invalidClient)
		}},
		// LINE's reference has no least lifetime; 30 s were claimed (rust-alc-api, 2026-04).
		"v2.1-issue-token-exp-below-30-seconds": {undocumented, func(l *line) {
			l.expect(l.issueV21(l.assertion("token_exp", 29)), issued(29, "key_id"))
			l.expect(l.issueV21(l.assertion("token_exp", 1)), issued(1, "key_id"))
		}},
		"v2.1-issue-token-exp-30-seconds": {rustALC, func(l *line) { l.expect(l.issueV21(l.assertion("token_exp", 30)), issued(30, "key_id")) }},
		"assertion-wrong-signature": {undocumented, func(l *line) {
			other := jose.SigningKey{Algorithm: jose.RS256, Key: otherKey(l.T)}
			l.each(l.sign(other, l.keyID, l.claims()), invalidClient)
			good := l.assertion()
			l.each(good[:len(good)-4]+"AAAA", invalidClient)
		}},
		"assertion-alg-rs512": {undocumented, func(l *line) {
			for _, alg := range []jose.SignatureAlgorithm{jose.RS384, jose.RS512, jose.PS256} {
				l.each(l.sign(jose.SigningKey{Algorithm: alg, Key: testKey(l.T)}, l.keyID, l.claims()), invalidClient)
			}
			l.each(l.sign(jose.SigningKey{Algorithm: jose.HS256, Key: publicJWK(l.T)}, l.keyID, l.claims()), invalidClient)
		}},
		"assertion-unsigned": {undocumented, func(l *line) {
			_, rest, _ := strings.Cut(l.assertion(), ".")
			payload, _, _ := strings.Cut(rest, ".")
			l.each("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."+payload+".", invalidClient)
		}},
		"assertion-aud-wrong": {undocumented, func(l *line) {
			for _, aud := range []any{"https://access.line.me/", "", nil, []string{"https://api.line.me/"}} {
				l.each(l.assertion("aud", aud), invalidClient)
			}
		}},
		"assertion-aud-without-slash": {undocumented, func(l *line) { l.each(l.assertion("aud", "https://api.line.me"), invalidClient) }},
		"assertion-sub-wrong": {undocumented, func(l *line) {
			l.each(l.assertion("sub", "1"), invalidClient)
			l.each(l.assertion("sub", nil), invalidClient)
		}},
		"assertion-malformed": {undocumented, func(l *line) {
			for _, text := range []string{"x", "x.y.z", "e30.e30.", l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, 7, l.claims()),
				l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, nil, l.claims())} {
				l.each(text, invalidClient)
			}
			good := l.assertion()
			for _, end := range []string{"\n", "\r\n", " ", "\t", "=", "."} {
				for _, at := range []int{len(good), len(good) - 10, 10} {
					l.each(good[:at]+end+good[at:], invalidClient)
				}
			}
		}},
		"assertion-extra-claims": {"first-hand claims", func(l *line) {
			l.expect(l.issueV21(l.assertion("iat", l.srv.Now().Unix(), "jti", "x")), issued(3600, "key_id"))
			// Names differ by their letters' case, too.
			l.expect(l.issueV21(l.assertion("Sub", "alice", "AUD", "web", "EXP", 1, "ISS", "x", "i\u017fs", "y", "Token_Exp", "z")), issued(3600, "key_id"))
		}},
		"v2.1-issue-unknown-kid": {reference, func(l *line) { l.expect(l.issueV21(l.unknownKid()), noKey) }},
		"stateless-unknown-kid":  {reference, func(l *line) { l.expect(l.issueStateless(l.unknownKid()), noKey) }},
		"key-ids-unknown-kid":    {reference, func(l *line) { l.expect(l.keyIDs(l.unknownKid()), noKey) }},
		"key-ids":                {reference, func(l *line) { l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{}}}) }},
		"key-ids-lists-issued": {reference, func(l *line) {
			body, _ := l.issueV21(l.assertion()).Body.(map[string]any)
			l.token(l.issueStateless(l.assertion()))
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{body["key_id"]}}})
		}},
		"key-ids-after-revoke": {reference, func(l *line) {
			token := l.token(l.issueV21(l.assertion()))
			l.expect(l.revokeV21(l.channel.ID, l.channel.Secret, token), ok)
			l.expect(l.keyIDs(l.assertion()), answer{200, map[string]any{"kids": []any{}}})
		}},
	}
}

func (l *line) unknownKid() string {
	l.Helper()
	return l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: testKey(l.T)}, "11111111-2222-4333-8444-555555555555", l.claims())
}
