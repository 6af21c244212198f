package conformance_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

const (
	issueStateless = "POST /oauth2/v3/token"
	listKeyIDs     = "GET /oauth2/v2.1/tokens/kid"
	issueV21       = "POST /oauth2/v2.1/token"
	verifyV21      = "GET /oauth2/v2.1/verify"
	revokeV21      = "POST /oauth2/v2.1/revoke"
	issueShort     = "POST /v2/oauth/accessToken"
	verifyV2       = "POST /v2/oauth/verify"
	revokeV2       = "POST /v2/oauth/revoke"
	botInfo        = "GET /v2/bot/info"
)

// wrongBehaviours are deviations of an emulator from LINE, by the row that detects each.
var wrongBehaviours = map[string]func(f *front, x *exchange){
	"v2.1-token-header": func(f *front, x *exchange) {
		if token := x.field("access_token"); x.endpoint == issueV21 && token != "" {
			_, rest, _ := strings.Cut(token, ".")
			f.rename(x, base64url(`{"alg":"HS256","typ":"JWT"}`)+"."+rest)
		}
	},
	"v2.1-token-payload": func(f *front, x *exchange) {
		if token := x.field("access_token"); x.endpoint == issueV21 && token != "" {
			parts := strings.Split(token, ".")
			f.rename(x, parts[0]+"."+base64url(`{"jti":"`+parts[2]+`"}`)+"."+parts[2])
		}
	},
	"v2.1-key-id-form": func(_ *front, x *exchange) {
		if id := x.field("key_id"); id != "" {
			x.body = strings.ReplaceAll(x.body, id, id+"AAAA")
		}
	},
	"v2.1-issue-field-order": func(_ *front, x *exchange) {
		if id := x.field("key_id"); id != "" {
			x.body = `{"key_id":"` + id + `",` + strings.Replace(strings.TrimSpace(x.body)[1:], `,"key_id":"`+id+`"`, "", 1)
		}
	},
	"v2.1-verify-revoked": func(_ *front, x *exchange) {
		if strings.Contains(x.body, "The access token revoked") {
			x.refuse("invalid_request", "The access token is not known")
		}
	},
	"v2.1-verify-expired": func(_ *front, x *exchange) {
		if strings.Contains(x.body, "The access token expired") {
			x.refuse("invalid_request", "The access token has expired")
		}
	},
	"v2.1-revoke-twice": func(f *front, x *exchange) {
		if token := x.form.Get("access_token"); x.endpoint == revokeV21 && x.status == http.StatusOK {
			if f.done[token] {
				x.refuse("invalid_request", "The access token revoked")
			}
			f.done[token] = true
		}
	},
	"stateless-by-secret-empty-assertion": func(_ *front, x *exchange) {
		if x.endpoint == issueStateless && x.form.Has("client_assertion") && x.form.Get("client_assertion") == "" {
			x.refuse("invalid_request", "some parameters missed or invalid")
		}
	},
	"v2-revoke-bad-format": func(_ *front, x *exchange) {
		if x.endpoint == revokeV2 && x.form.Get("access_token") == "!" {
			x.refuse("invalid_request", "access_token in invalid format")
		}
	},
	"oauth-content-type": func(_ *front, x *exchange) {
		if x.endpoint == listKeyIDs {
			x.header.Set("Content-Type", "application/json")
		}
	},
	"oauth-request-id": func(_ *front, x *exchange) {
		if x.endpoint == verifyV2 {
			x.header.Set("X-Line-Request-Id", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		}
	},
	"bot-request-id": func(_ *front, x *exchange) {
		if x.endpoint == botInfo {
			x.header.Set("X-Line-Request-Id", "0123456789abcdef")
		}
	},
	"rate-limit-headers": func(_ *front, x *exchange) {
		if x.status == http.StatusTooManyRequests {
			x.header.Set("Retry-After", "1")
		}
	},
	"bot-no-authorization": func(_ *front, x *exchange) {
		if x.endpoint == botInfo && x.request.Header.Get("Authorization") == "" {
			x.body = `{"message":"Authentication failed. Confirm that the access token in the authorization header is valid."}`
		}
	},
	"short-lived-token-form": func(f *front, x *exchange) {
		if x.endpoint == issueShort && x.status == http.StatusOK {
			f.rename(x, strings.Trim(strings.NewReplacer("+", "", "/", "", `\`, "").Replace(x.field("access_token")), "="))
		}
	},
	"v2.1-verify-scope-words": func(_ *front, x *exchange) {
		x.body = strings.Replace(x.body, `"scope":"profile chat_message.write"`, `"scope":"P CM"`, 1)
	},
	"v2-verify-charset": func(_ *front, x *exchange) {
		if strings.Contains(x.request.Header.Get("Content-Type"), "charset") {
			x.status, x.body = http.StatusUnsupportedMediaType, ""
		}
	},
	"v2-verify-json-body": func(_ *front, x *exchange) {
		if x.request.Header.Get("Content-Type") == "application/json" && x.endpoint == verifyV2 {
			x.status, x.body = http.StatusOK, `{"client_id":"1","expires_in":1,"scope":"P"}`
		}
	},
	"key-ids-camel-case": func(_ *front, x *exchange) {
		if x.form.Has("clientAssertion") {
			x.status, x.body = http.StatusOK, `{"kids":[]}`
		}
	},
	"assertion-exp-30-minutes": func(f *front, x *exchange) {
		if x.endpoint == listKeyIDs && expiresIn(f, x) > 29*time.Minute && x.status == http.StatusOK {
			x.refuse("invalid_client", "Invalid exp")
		}
	},
	"short-lived-basic-credentials": func(_ *front, x *exchange) {
		if x.endpoint == issueShort && x.request.Header.Get("Authorization") != "" {
			x.status, x.body = http.StatusOK, `{"access_token":"AAAA","expires_in":2592000,"token_type":"Bearer"}`
		}
	},
	"v2.1-revoke-wrong-secret-keeps-token": func(f *front, x *exchange) {
		if x.endpoint == revokeV21 && x.form.Get("client_secret") != f.Channel().Secret {
			f.Channel().RevokeToken(x.form.Get("access_token"))
		}
	},
	"v2.1-issue-31st": func(_ *front, x *exchange) {
		if strings.Contains(x.body, "The maximum number") {
			x.status, x.body = http.StatusOK, `{"access_token":"eyJhbGciOiJIUzI1NiJ9.AAAA.AAAA","token_type":"Bearer","expires_in":1800,"key_id":"AAAAAAAAAAAAAAAAAAAAAA"}`
		}
	},
	"server-error": func(_ *front, x *exchange) {
		if x.status == http.StatusInternalServerError {
			x.status = http.StatusServiceUnavailable
		}
	},
}

func base64url(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// expiresIn returns the remaining lifetime of a request's assertion.
func expiresIn(f *front, x *exchange) time.Duration {
	parts := strings.Split(x.form.Get("client_assertion"), ".")
	var claims struct{ Exp int64 }
	if len(parts) == 3 {
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(text, &claims)
	}
	return time.Unix(claims.Exp, 0).Sub(f.Now())
}

// Each wrong behaviour is detected by its row, and by no other.
func TestWrongBehaviours(t *testing.T) {
	t.Parallel()
	for row, change := range wrongBehaviours {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			var f *front
			f, cfg := newFront(t, func(x *exchange) { change(f, x) })
			report, err := conformance.Run(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{row}, rows(report, conformance.Differs)); diff != "" {
				t.Errorf("rows that differ (-want +got):\n%s", diff)
			}
			if n := liveTokens(f.Server); n != 0 {
				t.Errorf("%d tokens remain", n)
			}
		})
	}
}
