package conformance

import (
	"net/url"
	"time"

	"github.com/lineoauth/lineoauth"
)

const noKey = "Cannot find channel key that satisfies the conditions"

// unknownKey is an assertion with an unknown kid.
func unknownKey() param {
	return signed(headerField("kid", "6fd1ae4e-3b0a-4a52-8b6f-5c2f3d9e7a10"))
}

// statelessRows are those of POST /oauth2/v3/token.
func statelessRows() []row {
	const to = issueStateless
	badCredentials := refused("invalid_request", "Invalid 'client_credentials'.")
	return []row{
		{name: "stateless-by-secret-empty-assertion", strength: Claimed, source: pySDK, to: to, issues: true,
			ask:  ask(to, grant(), clientID(ownID), clientSecret(ownSecret), param{"client_assertion", text("")}, param{"client_assertion_type", text("")}),
			want: issued(statelessLifetime)},
		{name: "stateless-by-secret", strength: Documented, to: to, issues: true,
			ask:  ask(to, grant(), clientID(ownID), clientSecret(ownSecret)),
			want: issued(statelessLifetime)},
		{name: "stateless-by-assertion", strength: Documented, to: to, issues: true,
			ask:  ask(to, grant(), byAssertion(), signed()),
			want: issued(statelessLifetime)},
		{name: "stateless-by-assertion-empty-secret", strength: Undocumented, to: to, emulator: true, issues: true,
			ask:  ask(to, grant(), byAssertion(), signed(), clientID(text("")), clientSecret(text(""))),
			want: issued(statelessLifetime)},
		{name: "stateless-both-credentials", strength: Undocumented, to: to, emulator: true, issues: true,
			ask:  ask(to, grant(), byAssertion(), signed(), clientID(ownID), clientSecret(ownSecret)),
			want: missed()},
		{name: "stateless-field-order", strength: Documented, to: to, of: lineoauth.Stateless,
			want: inOrder("token_type", "access_token", "expires_in")},
		{name: "stateless-token-header", strength: Recorded, source: android, to: to, of: lineoauth.Stateless, want: jwsWithHeader()},
		{name: "stateless-token-payload", strength: Recorded, source: android, to: to, of: lineoauth.Stateless, want: payloadNotJSON()},
		{name: "stateless-no-credentials", strength: Documented, to: to, ask: ask(to, grant()), want: missed()},
		{name: "stateless-wrong-secret", strength: Documented, to: to,
			ask: ask(to, grant(), clientID(ownID), clientSecret(wrongSecret)), want: badCredentials},
		{name: "stateless-unknown-id", strength: Documented, to: to,
			ask: ask(to, grant(), clientID(unknownID), clientSecret(wrongSecret)), want: badCredentials},
		{name: "stateless-grant-type-missing", strength: Documented, to: to,
			ask: ask(to, clientID(ownID), clientSecret(ownSecret)), want: missed()},
		{name: "stateless-grant-type-wrong", strength: Documented, to: to,
			ask: ask(to, param{"grant_type", text("authorization_code")}, clientID(ownID), clientSecret(ownSecret)), want: missed()},
		{name: "stateless-assertion-type-wrong", strength: Documented, to: to,
			ask: ask(to, grant(), param{"client_assertion_type", text("urn:x")}, signed()), want: missed()},
		{name: "stateless-unknown-kid", strength: Documented, to: to,
			ask: ask(to, grant(), byAssertion(), unknownKey()), want: answered(404, noKey)},
		{name: "stateless-exp-past", strength: Documented, to: to,
			ask: ask(to, grant(), byAssertion(), signed(expiresIn(-time.Minute))), want: refused("invalid_client", "Invalid exp")},
	}
}

// assertionRows try assertions where no token is issued: GET /oauth2/v2.1/tokens/kid.
func assertionRows() []row {
	const to = listKeyIDs
	by := func(changes ...change) step { return ask(to, byAssertion(), signed(changes...)) }
	invalidExp := refused("invalid_client", "Invalid exp")
	invalid := refused("invalid_client", anyText)
	return []row{
		{name: "key-ids", strength: Documented, to: to, ask: by(), want: anyKeyIDs()},
		{name: "key-ids-without-token-exp", strength: Documented, to: to, ask: by(without("token_exp")), want: anyKeyIDs()},
		{name: "key-ids-assertion-missing", strength: Documented, to: to, ask: ask(to, byAssertion()), want: missed()},
		{name: "key-ids-camel-case", strength: Documented, to: to, want: missed(),
			ask: ask(to, param{"clientAssertionType", text(assertionType)}, param{"clientAssertion", assertionWith()})},
		{name: "key-ids-unknown-kid", strength: Documented, to: to, ask: ask(to, byAssertion(), unknownKey()), want: answered(404, noKey)},
		{name: "assertion-exp-25-minutes", strength: Recorded, source: zenn, to: to, ask: by(expiresIn(25 * time.Minute)), want: anyKeyIDs()},
		{name: "assertion-exp-30-minutes", strength: Documented, to: to, ask: by(expiresIn(30 * time.Minute)), want: anyKeyIDs(), or: invalidExp},
		{name: "assertion-exp-over-30-minutes", strength: Documented, to: to, ask: by(expiresIn(31 * time.Minute)), want: invalidExp},
		{name: "assertion-exp-past", strength: Documented, to: to, ask: by(expiresIn(-time.Minute)), want: invalidExp},
		{name: "assertion-exp-missing", strength: Documented, to: to, ask: by(without("exp")), want: invalid},
		{name: "assertion-extra-claims", strength: Claimed, to: to, ask: by(extraClaims), want: anyKeyIDs()},
		{name: "assertion-iss-of-another-channel", strength: Documented, to: to,
			ask: by(foreignIssuer), want: refused("invalid_client", "iss and clientId of key do not match")},
		{name: "assertion-sub-wrong", strength: Documented, to: to, ask: by(foreignSubject), want: invalid},
		{name: "assertion-aud-wrong", strength: Documented, to: to, ask: by(claim("aud", "https://example.com/")), want: invalid},
		{name: "assertion-aud-without-slash", strength: Documented, to: to, ask: by(audienceWithoutSlash), want: invalid},
		{name: "assertion-wrong-signature", strength: Documented, to: to, ask: by(wrongSignature), want: invalid},
		{name: "assertion-alg-rs512", strength: Documented, to: to, ask: by(headerField("alg", "RS512")), want: invalid},
		{name: "assertion-unsigned", strength: Documented, to: to, ask: by(headerField("alg", "none")), want: invalid},
		{name: "assertion-malformed", strength: Documented, to: to, want: invalid,
			ask: ask(to, byAssertion(), param{"client_assertion", text("dummy")})},
	}
}

// shortLivedRows are those of POST /v2/oauth/accessToken and /verify, and of what a
// valid token opens.
func shortLivedRows() []row {
	const to = issueShort
	wrongFormat := refused("invalid_request", "some parameters in the wrong format")
	by := func(id, secret value) step { return ask(to, grant(), clientID(id), clientSecret(secret)) }
	return []row{
		{name: "short-lived-issue", strength: Documented, to: to, issues: true, ask: by(ownID, ownSecret), want: issued(shortLivedLifetime)},
		{name: "short-lived-field-order", strength: Documented, to: to, of: lineoauth.ShortLived,
			want: inOrder("access_token", "expires_in", "token_type")},
		{name: "short-lived-token-form", strength: Claimed, source: scanner, to: to, of: lineoauth.ShortLived,
			want: field("access_token", "172 letters of base64 with =", `^[A-Za-z0-9+/]{170}[A-Za-z0-9+/=]=$`)},
		{name: "short-lived-wrong-secret", strength: Documented, to: to, ask: by(ownID, wrongSecret),
			want: refused("invalid_client", "invalid client_secret")},
		{name: "short-lived-unknown-id", strength: Documented, to: to, ask: by(unknownID, wrongSecret),
			want: refused("invalid_client", "invalid client_id"), or: wrongFormat},
		{name: "short-lived-id-not-a-number", strength: Recorded, source: omniauth, to: to, ask: by(text("abc"), wrongSecret), want: wrongFormat},
		{name: "short-lived-id-too-large", strength: Recorded, source: omniauth, to: to, ask: by(text("2147483648"), wrongSecret), want: wrongFormat},
		{name: "short-lived-secret-missing", strength: Documented, to: to, ask: ask(to, grant(), clientID(ownID)), want: missed()},
		{name: "short-lived-grant-type-missing", strength: Documented, to: to, ask: ask(to, clientID(ownID), clientSecret(ownSecret)), want: missed()},
		{name: "short-lived-basic-credentials", strength: Recorded, source: goOAuth2, to: to, ask: askBasic, want: missed()},

		{name: "v2-verify", strength: Documented, to: verifyV2, ask: ask(verifyV2, accessToken(firstShortLived)), want: verified(0)},
		{name: "v2-verify-scope-codes", strength: Recorded, source: omniauth, to: verifyV2, ask: ask(verifyV2, accessToken(firstShortLived)),
			want: scope("codes such as P CM", `^[A-Z]+( [A-Z]+)*$`)},
		{name: "v2-verify-charset", strength: Documented, to: verifyV2, want: verified(0),
			ask: askAs(verifyV2, formType+"; charset=UTF-8", url.Values.Encode, accessToken(firstShortLived))},
		{name: "v2-verify-json-body", strength: Documented, to: verifyV2, want: missed(), or: refusedSomehow(),
			ask: askAs(verifyV2, "application/json", encodeJSON, accessToken(firstShortLived))},
		{name: "v2-verify-multipart-body", strength: Documented, to: verifyV2, want: missed(), or: refusedSomehow(),
			ask: askAs(verifyV2, "multipart/form-data; boundary="+boundary, encodeMultipart, accessToken(firstShortLived))},
		{name: "v2-verify-unknown", strength: Documented, to: verifyV2, ask: ask(verifyV2, accessToken(opaque)),
			want: refused("invalid_request", "access_token invalid")},
		{name: "v2-verify-bad-format", strength: Documented, to: verifyV2, ask: ask(verifyV2, accessToken(text("!"))),
			want: refused("invalid_request", "access_token in invalid format")},
		{name: "v2-verify-token-missing", strength: Documented, to: verifyV2, ask: ask(verifyV2), want: missed()},

		{name: "bot-live-token", strength: Documented, to: botInfo, ask: askInfo(firstShortLived), want: status(200)},
		{name: "bot-wrong-token", strength: Recorded, source: probes, to: botInfo, ask: askInfo(opaque), want: authenticationFailed()},
		{name: "bot-no-authorization", strength: Recorded, source: laravel, to: botInfo, ask: askInfo(nil),
			want: answered(401, "Authorization header required. Must follow the scheme, 'Authorization: Bearer <ACCESS TOKEN>'")},
	}
}

func authenticationFailed() expect {
	return answered(401, "Authentication failed. Confirm that the access token in the authorization header is valid.")
}
