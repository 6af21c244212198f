package conformance

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth"
)

// noLifetime is LINE's error for an assertion without a lifetime.
const noLifetime = "JWT payload must contain token_exp"

// v21Rows are those of POST /oauth2/v2.1/token and GET /oauth2/v2.1/verify.
func v21Rows() []row {
	const to = issueV21
	by := func(changes ...change) step { return ask(to, grant(), byAssertion(), signed(changes...)) }
	invalidTokenExp := refused("invalid_client", "Invalid token_exp")
	verify := func(v value) step { return ask(verifyV21, accessToken(v)) }
	return []row{
		{name: "v2.1-issue", strength: Documented, to: to, issues: true, ask: by(), want: issued(v21Lifetime, "key_id")},
		{name: "v2.1-issue-field-order", strength: Recorded, source: zenn, to: to, of: lineoauth.V21,
			want: inOrder("access_token", "token_type", "expires_in", "key_id")},
		{name: "v2.1-token-header", strength: Recorded, source: android, to: to, of: lineoauth.V21, want: jwsWithHeader()},
		{name: "v2.1-token-payload", strength: Recorded, source: android, to: to, of: lineoauth.V21, want: payloadNotJSON()},
		{name: "v2.1-key-id-form", strength: Documented, to: to, of: lineoauth.V21,
			want: keyIDForm()},
		{name: "v2.1-issue-token-exp-missing", strength: Recorded, source: rustALC, to: to, ask: by(without("token_exp")),
			want: refused("invalid_client", noLifetime), or: refused(anyText, noLifetime).or(answered(400, noLifetime))},
		{name: "v2.1-issue-token-exp-over-30-days", strength: Recorded, source: rustALC, to: to,
			ask: by(validFor(30*24*time.Hour + time.Second)), want: invalidTokenExp},
		{name: "v2.1-issue-token-exp-absolute", strength: Recorded, source: rustALC, to: to, ask: by(absoluteTokenExp), want: invalidTokenExp},
		{name: "v2.1-issue-exp-past", strength: Documented, to: to, ask: by(expiresIn(-time.Minute)), want: refused("invalid_client", "Invalid exp")},
		{name: "v2.1-issue-unknown-kid", strength: Documented, to: to,
			ask: ask(to, grant(), byAssertion(), unknownKey()), want: answered(404, noKey)},
		{name: "v2.1-issue-grant-type-missing", strength: Documented, to: to, ask: ask(to, byAssertion(), signed()), want: missed()},
		{name: "v2.1-issue-assertion-missing", strength: Documented, to: to, ask: ask(to, grant(), byAssertion()), want: missed()},
		{name: "key-ids-lists-issued", strength: Documented, to: listKeyIDs, ask: askForKeyID, want: keyIDs(" that has the key_id", hasFirstKeyID)},

		{name: "v2.1-verify", strength: Documented, to: verifyV21, ask: verify(firstV21), want: verified(0)},
		{name: "v2.1-verify-scope-words", strength: Documented, to: verifyV21, ask: verify(firstV21),
			want: scope("words such as profile chat_message.write", `^[a-z][a-z_.]*( [a-z][a-z_.]*)*$`)},
		{name: "v2.1-verify-stateless", strength: Undocumented, to: verifyV21, ask: verify(firstStateless), want: verified(0)},
		{name: "v2.1-verify-unknown", strength: Documented, to: verifyV21, ask: verify(wellFormed), want: refused("invalid_request", anyText)},
		{name: "v2.1-verify-not-jws", strength: Documented, to: verifyV21, ask: verify(opaque),
			want: refused("invalid_request", "The access token not JWS"), or: refused("invalid_request", "JWS format error")},
		{name: "v2.1-verify-unreadable", strength: Recorded, source: android, to: verifyV21, ask: verify(text(unreadable)),
			want: answered(400, "failed to parse"), or: refused("invalid_request", anyText)},
		{name: "v2.1-verify-token-missing", strength: Documented, to: verifyV21, ask: ask(verifyV21), want: missed()},
		{name: "v2.1-verify-camel-case", strength: Documented, to: verifyV21,
			ask: ask(verifyV21, param{"accessToken", firstV21}), want: missed()},
	}
}

// revocationRows come after those that need the tokens.
func revocationRows() []row {
	const to = revokeV21
	by := func(id, secret, token value) step {
		return ask(to, clientID(id), clientSecret(secret), accessToken(token))
	}
	own := func(token value) step { return by(ownID, ownSecret, token) }
	badCredentials := refused("invalid_client", "invalid client_secret")
	noClientID := refused("invalid_request", "client_id is required.")
	malformed := refused("invalid_request", "The access token malformed")
	notJWS := refused("invalid_request", "The access token not JWS")
	refusedToken := refused("invalid_request", anyText)
	return []row{
		{name: "stateless-not-revocable", strength: Documented, to: botInfo, ask: then(own(firstStateless), askInfo(firstStateless)), want: status(200)},
		{name: "v2.1-revoke-wrong-secret", strength: Undocumented, to: to, ask: by(ownID, wrongSecret, firstV21), want: badCredentials},
		{name: "v2.1-revoke-wrong-secret-keeps-token", strength: Undocumented, to: verifyV21,
			ask: ask(verifyV21, accessToken(keptV21)), want: status(200)},
		{name: "v2.1-revoke-unknown-id", strength: Undocumented, to: to, ask: by(unknownID, wrongSecret, wellFormed), want: badCredentials},
		{name: "v2.1-revoke-client-id-missing", strength: Recorded, source: omniauth, to: to,
			ask: ask(to, clientSecret(wrongSecret), accessToken(wellFormed)), want: noClientID},
		{name: "v2.1-revoke-client-id-not-a-number", strength: Recorded, source: omniauth, to: to,
			ask: by(text("abc"), wrongSecret, wellFormed), want: noClientID},
		{name: "v2.1-revoke-secret-missing", strength: Documented, to: to, ask: ask(to, clientID(ownID), accessToken(wellFormed)), want: missed()},
		{name: "v2.1-revoke-token-missing", strength: Documented, to: to, ask: ask(to, clientID(ownID), clientSecret(ownSecret)), want: missed()},
		{name: "v2.1-revoke-unknown", strength: Documented, to: to, ask: own(wellFormed), want: emptyOK(), or: refusedToken},
		{name: "v2.1-revoke-malformed", strength: Documented, to: to, ask: own(text(unreadable)), want: malformed},
		{name: "v2.1-revoke-dummy", strength: Recorded, source: choo, to: to, ask: own(text("dummy")), want: malformed, or: notJWS},
		{name: "v2.1-revoke-not-jws", strength: Documented, to: to, ask: own(opaque), want: notJWS.or(malformed)},
		{name: "v2.1-revoke", strength: Documented, to: to, ask: own(firstV21), want: emptyOK()},
		{name: "v2.1-verify-revoked", strength: Documented, to: verifyV21, ask: ask(verifyV21, accessToken(revokedV21)),
			want: refused("invalid_request", "The access token revoked")},
		{name: "key-ids-after-revoke", strength: Documented, to: listKeyIDs, ask: askForRevokedKeyID,
			want: keyIDs(" without the key_id", func(r *run, kids []string) bool { return !hasFirstKeyID(r, kids) })},
		{name: "v2.1-revoke-twice", strength: Documented, to: to, ask: own(revokedV21), want: emptyOK(), or: refusedToken},

		{name: "v2-revoke-unknown", strength: Documented, to: revokeV2, ask: ask(revokeV2, accessToken(opaque)), want: emptyOK()},
		{name: "v2-revoke-bad-format", strength: Recorded, source: omniauth, to: revokeV2, ask: ask(revokeV2, accessToken(text("!"))),
			want: refused("invalid_request", "")},
		{name: "v2-revoke-token-missing", strength: Documented, to: revokeV2, ask: ask(revokeV2), want: missed()},
		{name: "v2-revoke", strength: Documented, to: revokeV2, ask: ask(revokeV2, accessToken(firstShortLived)), want: emptyOK()},
		{name: "v2-verify-revoked", strength: Documented, to: verifyV2, ask: ask(verifyV2, accessToken(revokedShortLived)),
			want: refused("invalid_request", "access_token invalid")},
		{name: "v2-revoke-twice", strength: Documented, to: revokeV2, ask: ask(revokeV2, accessToken(revokedShortLived)), want: emptyOK()},
		{name: "bot-revoked-token", strength: Recorded, source: probes, to: botInfo, ask: askInfo(revokedShortLived), want: authenticationFailed()},
	}
}

// The first token of each kind.
func firstStateless(r *run) (string, error)  { return r.firstToken(lineoauth.Stateless) }
func firstV21(r *run) (string, error)        { return r.firstToken(lineoauth.V21) }
func firstShortLived(r *run) (string, error) { return r.firstToken(lineoauth.ShortLived) }

func (r *run) firstToken(kind lineoauth.Kind) (string, error) {
	if a := r.first[kind]; a != nil && a.text("access_token") != "" {
		return a.text("access_token"), nil
	}
	return "", untried("needs a " + string(kind) + " token, and none was issued")
}

// Those, once the server said that it revoked them.
func revokedV21(r *run) (string, error)        { return r.revokedToken(lineoauth.V21) }
func revokedShortLived(r *run) (string, error) { return r.revokedToken(lineoauth.ShortLived) }

func (r *run) revokedToken(kind lineoauth.Kind) (string, error) {
	first, err := r.firstToken(kind)
	if err == nil && !slices.ContainsFunc(r.tokens, func(t *token) bool { return t.text == first && t.revoked }) {
		err = untried("needs a revoked " + string(kind) + " token")
	}
	return first, err
}

// keptV21 is the first token, unless it was revoked with a wrong secret.
func keptV21(r *run) (string, error) {
	if a := r.answers["v2.1-revoke-wrong-secret"]; a == nil || a.status == http.StatusOK {
		return "", untried("needs a refused revocation")
	}
	return firstV21(r)
}

func keyIDForm() expect {
	return field("key_id", "key_id of 22 letters of base64url", `^[A-Za-z0-9_-]{22}$`)
}

func hasFirstKeyID(r *run, kids []string) bool {
	return slices.Contains(kids, r.first[lineoauth.V21].text("key_id"))
}

// askForKeyID lists the key IDs, if there is one to search for.
func askForKeyID(ctx context.Context, r *run) (*answer, error) {
	if _, err := firstV21(r); err != nil {
		return nil, err
	}
	if !keyIDForm().ok(r, r.first[lineoauth.V21]) {
		return nil, untried("the v2.1 token has no key_id of the right form")
	}
	return ask(listKeyIDs, byAssertion(), signed())(ctx, r)
}

func askForRevokedKeyID(ctx context.Context, r *run) (*answer, error) {
	if _, err := revokedV21(r); err != nil {
		return nil, err
	}
	return askForKeyID(ctx, r)
}

// An absolute time where LINE expects a number of seconds from now.
func absoluteTokenExp(r *run, a *assertion) {
	a.claims["token_exp"] = r.now().Add(24 * time.Hour).Unix()
}

func foreignIssuer(r *run, a *assertion) {
	id, _ := unknownID(r) // never fails
	a.claims["iss"], a.claims["sub"] = id, id
}

func foreignSubject(r *run, a *assertion) { a.claims["sub"], _ = unknownID(r) }
