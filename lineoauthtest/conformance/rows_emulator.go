package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth"
)

// limit is the number of v2.1, and of short-lived, tokens that can be valid at once.
const limit = 30

// emulatorRows need an emulator, or more tokens than are issued on other servers.
func emulatorRows() []row {
	by := func(changes ...change) step { return ask(issueV21, grant(), byAssertion(), signed(changes...)) }
	invalidTokenExp := refused("invalid_client", "Invalid token_exp")
	thirtyDays, least := 30*24*time.Hour, 29*time.Second
	return []row{
		{name: "v2.1-issue-token-exp-30-days", strength: Documented, to: issueV21, issues: true,
			ask: by(validFor(thirtyDays)), want: issued(thirtyDays, "key_id")},
		{name: "v2.1-issue-token-exp-below-30-seconds", strength: Claimed, source: rustALC, to: issueV21, issues: true,
			ask: by(validFor(least)), want: invalidTokenExp.or(issued(least, "key_id"))},
		{name: "v2.1-issue-token-exp-zero", strength: Undocumented, to: issueV21, emulator: true, issues: true,
			ask: by(validFor(0)), want: invalidTokenExp},
		{name: "mini-app-issue-v2.1", strength: Documented, to: issueV21, emulator: true, issues: true,
			ask: asMINIApp(by()), want: refusedSomehow()},
		{name: "v2-verify-long-lived", strength: Documented, to: verifyV2, emulator: true,
			ask: verifyLongLived, want: verified(1 << 31)},
		{name: "v2.1-issue-31st", strength: Documented, to: issueV21, emulator: true, issues: true,
			ask: fillV21, want: limitReached()},
		{name: "v2.1-revoke-frees-place", strength: Documented, to: issueV21, emulator: true, issues: true,
			ask: then(revokeOne, by()), want: status(http.StatusOK)},
		{name: "short-lived-31st-revokes-oldest", strength: Documented, to: issueShort, emulator: true, issues: true,
			ask: fillShortLived, want: refused("invalid_request", "access_token invalid")},
		{name: "rate-limited", strength: Documented, to: verifyV2, emulator: true,
			ask: fault("rate-limited"), want: answered(http.StatusTooManyRequests, "The API rate limit has been exceeded. Try again later.")},
		{name: "server-error", strength: Documented, to: verifyV2, emulator: true,
			ask: fault("server-error"), want: status(http.StatusInternalServerError)},
		{name: "v2.1-verify-expired", strength: Documented, to: verifyV21, emulator: true,
			ask:  then(expireAll, ask(verifyV21, accessToken(leftV21))),
			want: refused("invalid_request", "The access token expired")},
		{name: "v2.1-revoke-expired", strength: Documented, to: revokeV21, emulator: true, want: emptyOK(),
			ask: then(expireAll, ask(revokeV21, clientID(ownID), clientSecret(ownSecret), accessToken(leftV21)))},
		{name: "v2-verify-expired", strength: Documented, to: verifyV2, emulator: true,
			ask:  then(expireAll, ask(verifyV2, accessToken(leftShortLived))),
			want: refused("invalid_request", "access_token invalid")},
		{name: "v2.1-expiry-frees-place", strength: Documented, to: issueV21, emulator: true, issues: true,
			ask: then(expireAll, by()), want: status(http.StatusOK)},
	}
}

// asMINIApp runs a step while the channel is that of a LINE MINI App, which has no
// v2.1 tokens.
func asMINIApp(ask step) step {
	return func(ctx context.Context, r *run) (*answer, error) {
		set := func(enabled string) error {
			to := endpoint("PUT /_emulator/channels/" + r.cfg.ChannelID + "/mini-app")
			_, err := admin(to, `{"enabled":`+enabled+`}`)(context.WithoutCancel(ctx), r)
			return err
		}
		if err := set("true"); err != nil {
			return nil, err
		}
		a, err := ask(ctx, r)
		return a, join(err, set("false"))
	}
}

// verifyLongLived verifies a token that LINE issues only in its console, and revokes it.
func verifyLongLived(ctx context.Context, r *run) (*answer, error) {
	issued, err := admin(endpoint("POST /_emulator/channels/"+r.cfg.ChannelID+"/long-lived"), "{}")(ctx, r)
	if err != nil {
		return nil, err
	}
	token := text(r.hide(issued.text("access_token")))
	a, err := ask(verifyV2, accessToken(token))(ctx, r)
	_, failed := ask(revokeV2, accessToken(token))(context.WithoutCancel(ctx), r)
	return a, join(err, failed)
}

// fillV21 issues v2.1 tokens until the server refuses.
func fillV21(ctx context.Context, r *run) (a *answer, err error) {
	signed, err := assertionWith()(r) // once, since it takes longer than a request
	if err != nil {
		return nil, err
	}
	for range limit + 1 {
		if a, err = ask(issueV21, grant(), byAssertion(), param{"client_assertion", text(signed)})(ctx, r); err != nil {
			return nil, err
		}
		if a.status != http.StatusOK {
			break
		}
	}
	return a, r.countValid(ctx)
}

// limitReached expects a refusal once the limit of tokens is reached.
func limitReached() expect {
	full := answered(http.StatusBadRequest, "The maximum number of access tokens has already been issued")
	return expect{
		text: fmt.Sprintf("%s, with %d valid", full.text, limit),
		ok:   func(r *run, a *answer) bool { return full.ok(r, a) && r.valid == limit },
		got:  func(r *run, a *answer) string { return fmt.Sprintf("%s, with %d valid", r.describe(a), r.valid) },
	}
}

// countValid returns the emulator's number of v2.1 tokens of the channel.
func (r *run) countValid(ctx context.Context) error {
	a, err := r.call(ctx, request{to: emulatorState})
	if err != nil {
		return err
	}
	var state struct {
		Tokens []struct {
			ChannelID string         `json:"channel_id"`
			Kind      lineoauth.Kind `json:"kind"`
		} `json:"tokens"`
	}
	if err := json.Unmarshal(a.body, &state); err != nil {
		return untried("the emulator's state is not readable")
	}
	r.valid = 0
	for _, t := range state.Tokens {
		if t.ChannelID == r.cfg.ChannelID && t.Kind == lineoauth.V21 {
			r.valid++
		}
	}
	return nil
}

func revokeOne(ctx context.Context, r *run) (*answer, error) {
	return ask(revokeV21, clientID(ownID), clientSecret(ownSecret), accessToken(leftV21))(ctx, r)
}

// fillShortLived issues one token more than the limit, and verifies the first.
func fillShortLived(ctx context.Context, r *run) (*answer, error) {
	var oldest string
	for range limit + 1 {
		a, err := ask(issueShort, grant(), clientID(ownID), clientSecret(ownSecret))(ctx, r)
		if err != nil || a.status != http.StatusOK {
			return a, err
		}
		if oldest == "" {
			oldest = a.text("access_token")
		}
	}
	return ask(verifyV2, accessToken(text(oldest)))(ctx, r)
}

// fault injects a fault into the emulator, and runs a step that it affects.
func fault(kind string) step {
	return then(
		admin(emulatorFault, `{"fault":"`+kind+`","operation":"verifyChannelToken"}`),
		ask(verifyV2, accessToken(opaque)))
}

// expireAll advances the emulator's clock until every token has expired.
func expireAll(ctx context.Context, r *run) (*answer, error) {
	if !r.expired {
		if _, err := admin(emulatorClock, `{"advance":"744h"}`)(ctx, r); err != nil {
			return nil, err
		}
		r.expired = true
	}
	// The answer's Date is the new time.
	return r.call(ctx, request{to: emulatorState})
}

// Tokens that were not revoked: the oldest v2.1 one, for none that was issued past the
// limit is to be relied on; the latest short-lived one, for the oldest made room for it.
func leftV21(r *run) (string, error) { return left(lineoauth.V21, r.tokens) }
func leftShortLived(r *run) (string, error) {
	latestFirst := slices.Clone(r.tokens)
	slices.Reverse(latestFirst)
	return left(lineoauth.ShortLived, latestFirst)
}

func left(kind lineoauth.Kind, tokens []*token) (string, error) {
	for _, t := range tokens {
		if t.kind == kind && !t.revoked {
			return t.text, nil
		}
	}
	return "", untried("needs a " + string(kind) + " token, and none is left")
}
