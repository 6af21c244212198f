package lineoauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
)

// ask makes a call, of which a server's first answer is seen.
func ask(ctx context.Context, c *lineoauth.Client, name string) error {
	o := calls[slices.IndexFunc(calls, func(o operationCall) bool { return o.name == name })]
	_, err := o.with(ctx, c, "assertion", o.text())
	return err
}

var (
	byAssertion = namesOf(func(o operationCall) bool { return o.byAssertion })
	ofTokens    = namesOf(func(o operationCall) bool { return o.token != "" })
	bySecret    = namesOf(func(o operationCall) bool { return !o.byAssertion && o.token == "" })
	allCalls    = slices.Concat(byAssertion, bySecret, ofTokens)
)

// refusing is a client of a server that always gives the same answer.
func refusing(t testing.TB, status int, body string) *lineoauth.Client {
	t.Helper()
	client, err := lineoauth.New(lineoauth.Config{
		ChannelID: "1", ChannelSecret: lineoauth.NewSecret("hunter2"), MaxAttempts: 1,
		Transport: fixed(status, http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, body),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func refusal(code, text string) string {
	return fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, text)
}

func message(text string) string { return fmt.Sprintf(`{"message":%q}`, text) }

// A row each for the refusals that LINE documents, or that were recorded of it: what
// they mean to the client, and what it advises.
func TestFacts(t *testing.T) {
	const reference = "LINE's reference"
	for row, tt := range map[string]struct {
		calls  []string
		status int
		body   string
		is     error
		advice string
		source string // project and date
	}{
		"rate-limited": {allCalls, 429, message("The API rate limit has been exceeded. Try again later."), lineoauth.ErrRateLimited, "try again later", reference},
		"server-error": {allCalls, 500, ``, nil, "LINE has trouble", reference},

		"v2.1-issue-31st":                                  {[]string{"v2.1"}, 400, message("The maximum number of access tokens has already been issued"), lineoauth.ErrTokenLimit, "stateless tokens", reference},
		"v2.1-issue-unknown-kid":                           {byAssertion, 404, message("Cannot find channel key that satisfies the conditions"), lineoauth.ErrUnknownKey, "register the public key", reference},
		"assertion-iss-of-another-channel":                 {byAssertion, 400, refusal("invalid_client", "iss and clientId of key do not match"), lineoauth.ErrInvalidAssertion, "belong together", reference},
		"assertion-exp-past":                               {byAssertion, 400, refusal("invalid_client", "Invalid exp"), lineoauth.ErrInvalidAssertion, "clock", "an article on Zenn, 2023-03"},
		"v2.1-issue-token-exp-over-30-days":                {byAssertion, 400, refusal("invalid_client", "Invalid token_exp"), lineoauth.ErrInvalidAssertion, "30 days", "rust-alc-api, 2026-04"},
		"v2.1-issue-token-exp-missing":                     {byAssertion, 400, refusal("invalid_client", "JWT payload must contain token_exp"), lineoauth.ErrInvalidAssertion, "token_exp", "rust-alc-api, 2026-04"},
		"v2.1-issue-token-exp-missing, by another code":    {byAssertion, 400, refusal("invalid_request", "JWT payload must contain token_exp"), lineoauth.ErrInvalidAssertion, "token_exp", "rust-alc-api, 2026-04"},
		"v2.1-issue-token-exp-missing, in the other shape": {byAssertion, 400, message("JWT payload must contain token_exp"), lineoauth.ErrInvalidAssertion, "token_exp", "rust-alc-api, 2026-04"},
		"assertion-wrong-signature":                        {byAssertion, 400, refusal("invalid_client", "anything else"), lineoauth.ErrInvalidAssertion, "belong together", reference},

		"stateless-wrong-secret":      {[]string{"stateless"}, 400, refusal("invalid_request", "Invalid 'client_credentials'."), lineoauth.ErrInvalidCredentials, "channel secret", reference},
		"short-lived-unknown-id":      {[]string{"short-lived"}, 400, refusal("invalid_client", "invalid client_id"), lineoauth.ErrInvalidCredentials, "channel ID", reference},
		"short-lived-wrong-secret":    {[]string{"short-lived"}, 400, refusal("invalid_client", "invalid client_secret"), lineoauth.ErrInvalidCredentials, "channel secret", reference},
		"short-lived-id-not-a-number": {[]string{"short-lived"}, 400, refusal("invalid_request", "some parameters in the wrong format"), lineoauth.ErrInvalidCredentials, "channel ID", "omniauth-line, 2026-09-03"},
		"parameter-missing":           {allCalls, 400, refusal("invalid_request", "some parameters missed or invalid"), nil, "reference", "golang/oauth2 issue 236, 2017"},

		"v2.1-verify-expired":           {[]string{"v2.1-verify"}, 400, refusal("invalid_request", "The access token expired"), lineoauth.ErrInvalidToken, "issue a new token", reference},
		"v2.1-verify-revoked":           {[]string{"v2.1-verify"}, 400, refusal("invalid_request", "The access token revoked"), lineoauth.ErrInvalidToken, "issue a new token", reference},
		"v2.1-verify-not-jws":           {[]string{"v2.1-verify"}, 400, refusal("invalid_request", "The access token not JWS"), lineoauth.ErrInvalidToken, "issue a new token", reference},
		"v2.1-verify-jws-format":        {[]string{"v2.1-verify"}, 400, refusal("invalid_request", "JWS format error"), lineoauth.ErrInvalidToken, "issue a new token", "omniauth-line, 2026-09-03"},
		"v2.1-verify-unreadable":        {[]string{"v2.1-verify"}, 400, message("failed to parse"), nil, "reference", "line-sdk-android issue 98, 2020-12"},
		"v2.1-revoke-not-jws":           {[]string{"v2.1-revoke"}, 400, refusal("invalid_request", "The access token not JWS"), lineoauth.ErrInvalidToken, "copied whole", reference},
		"v2.1-revoke-dummy":             {[]string{"v2.1-revoke"}, 400, refusal("invalid_request", "The access token malformed"), lineoauth.ErrInvalidToken, "copied whole", "choo-todo-bot"},
		"v2.1-revoke-revoked":           {[]string{"v2.1-revoke"}, 400, refusal("invalid_request", "The access token revoked"), lineoauth.ErrInvalidToken, "nothing is left to revoke", "LINE's reference"},
		"v2.1-revoke-wrong-secret":      {[]string{"v2.1-revoke"}, 400, refusal("invalid_client", "invalid client_secret"), lineoauth.ErrInvalidCredentials, "channel secret", "undocumented"},
		"v2.1-revoke-client-id-missing": {[]string{"v2.1-revoke", "v2.1-verify"}, 400, refusal("invalid_request", "client_id is required."), nil, "", "omniauth-line, 2026-09-03"},
		"v2-verify-unknown":             {[]string{"v2-verify"}, 400, refusal("invalid_request", "access_token invalid"), lineoauth.ErrInvalidToken, "issue a new token", "omniauth-line, 2026-09-03"},
		"v2-verify-bad-format":          {[]string{"v2-verify"}, 400, refusal("invalid_request", "access_token in invalid format"), lineoauth.ErrInvalidToken, "issue a new token", "omniauth-line, 2026-09-03"},
		"v2-revoke-bad-format":          {[]string{"v2-revoke"}, 400, `{"error":"invalid_request"}`, lineoauth.ErrInvalidToken, "copied whole", "omniauth-line, 2026-09-03"},
	} {
		for _, call := range tt.calls {
			t.Run(row+"/"+call, func(t *testing.T) {
				err := ask(t.Context(), refusing(t, tt.status, tt.body), call)
				only(t, err, tt.is)
				if !strings.Contains(err.Error(), tt.advice) || tt.source == "" {
					t.Errorf("error = %v; want %q in it", err, tt.advice)
				}
			})
		}
	}
	// The lifetime is at fault, not the key.
	for _, text := range []string{"Invalid token_exp", "JWT payload must contain token_exp"} {
		if err := ask(t.Context(), refusing(t, 400, refusal("invalid_client", text)), "v2.1"); strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What does not say that the token is not valid is never taken for that.
func TestTokensAreNotCondemnedByOtherTexts(t *testing.T) {
	const listed = "The access token expired"
	for name, tt := range map[string]struct {
		status int
		body   string
	}{
		"client_id":            {400, refusal("invalid_request", "client_id is required.")},
		"wrong format":         {400, refusal("invalid_request", "some parameters in the wrong format")},
		"parameters missed":    {400, refusal("invalid_request", "some parameters missed or invalid")},
		"a new text":           {400, refusal("invalid_request", "Token service is under maintenance")},
		"another case":         {400, refusal("invalid_request", strings.ToLower(listed))},
		"capitals":             {400, refusal("invalid_request", strings.ToUpper(listed))},
		"a space before":       {400, refusal("invalid_request", " "+listed)},
		"a line break before":  {400, refusal("invalid_request", "\n"+listed)},
		"two spaces within":    {400, refusal("invalid_request", "The  access token expired")},
		"a longer word":        {400, refusal("invalid_request", "The access tokens of this channel cannot be verified now")},
		"a service":            {400, refusal("invalid_request", "The access token service is under maintenance")},
		"an unfinished check":  {400, refusal("invalid_request", "The access token could not be checked. Try again later.")},
		"a doubt":              {400, refusal("invalid_request", "The access token expired or could not be checked")},
		"a denial":             {400, refusal("invalid_request", "The access token is not expired")},
		"a parameter":          {400, refusal("invalid_request", "access_token is required.")},
		"a longer name":        {400, refusal("invalid_request", "access_token_type is required.")},
		"the text later":       {400, refusal("invalid_request", "Cannot tell: The access token expired")},
		"the text much later":  {400, refusal("invalid_request", strings.Repeat("x", 400)+listed)},
		"a text of spaces":     {400, refusal("invalid_request", " ")},
		"a message alone":      {400, message(listed)},
		"failed to parse":      {400, message("failed to parse")},
		"a message beside":     {400, `{"error":"invalid_request","message":"client_id is required."}`},
		"a message besides":    {400, `{"error":"invalid_request","error_description":"` + listed + `","message":"client_id is required."}`},
		"details alone":        {400, `{"error":"invalid_request","details":[{"message":"client_id is required."}]}`},
		"a description object": {400, `{"error":"invalid_request","error_description":{"text":"client_id is required."}}`},
		"a description list":   {400, `{"error":"invalid_request","error_description":["client_id is required."]}`},
		"a message object":     {400, `{"error":"invalid_request","message":{"text":"client_id is required."}}`},
		"a details text":       {400, `{"error":"invalid_request","details":"client_id is required."}`},
		"another field":        {400, `{"error":"invalid_request","error_uri":"https://example.com/client_id"}`},
		"another field's case": {400, `{"error":"invalid_request","errorDescription":"client_id is required."}`},
		"a text twice":         {400, `{"error":"invalid_request","error_description":"client_id is required.","error_description":""}`},
		"a text twice, folded": {400, `{"error":"invalid_request","error_description":"client_id is required.","ERROR_DESCRIPTION":"` + listed + `"}`},
		"a code twice":         {400, `{"error":"server_error","error":"invalid_request"}`},
		"no code":              {400, `{"error_description":"` + listed + `"}`},
		"another code":         {400, refusal("invalid_token", listed)},
		"a code in capitals":   {400, refusal("INVALID_REQUEST", listed)},
		"a code with a space":  {400, refusal("invalid_request ", listed)},
		"an unprintable code":  {400, `{"error":"invalid_request\u200b"}`},
		"invalid_client":       {400, refusal("invalid_client", listed)},
		"nothing":              {400, ``},
		"an empty object":      {400, `{}`},
		"null":                 {400, `null`},
		"a list":               {400, `[{"error":"invalid_request"}]`},
		"two objects":          {400, `{"error":"invalid_request"}{}`},
		"401":                  {401, refusal("invalid_request", listed)},
		"401, the bot's":       {401, message("Authentication failed. Confirm that the access token in the authorization header is valid.")},
		"403":                  {403, refusal("invalid_request", listed)},
		"404":                  {404, refusal("invalid_request", listed)},
		"409":                  {409, `{"error":"invalid_request"}`},
		"429":                  {429, refusal("invalid_request", listed)},
		"500":                  {500, refusal("invalid_request", listed)},
		"503":                  {503, `{"error":"invalid_request"}`},
		"201":                  {201, refusal("invalid_request", listed)},
		"302":                  {302, refusal("invalid_request", listed)},
	} {
		t.Run(name, func(t *testing.T) {
			client := refusing(t, tt.status, tt.body)
			for _, call := range ofTokens {
				if err := ask(t.Context(), client, call); err == nil || errors.Is(err, lineoauth.ErrInvalidToken) {
					t.Errorf("%s: %v", call, err)
				}
			}
			for _, token := range []string{jws, opaque} {
				if valid, err := client.TokenValidFor(t.Context(), token, time.Second); valid || err == nil {
					t.Errorf("TokenValidFor = %v, %v", valid, err)
				}
			}
		})
	}
	// Nothing that LINE says of a token to be issued is about a token to be verified.
	for _, body := range []string{refusal("invalid_request", listed), `{"error":"invalid_request"}`, refusal("invalid_request", "access_token invalid")} {
		for _, call := range slices.Concat(byAssertion, bySecret) {
			only(t, ask(t.Context(), refusing(t, 400, body), call), nil)
		}
	}
	// And one endpoint's text is no other's.
	for call, body := range map[string]string{
		"stateless":              refusal("invalid_request", "some parameters in the wrong format"),
		"short-lived":            refusal("invalid_request", "Invalid 'client_credentials'."),
		"stateless-by-assertion": refusal("invalid_request", "Invalid 'client_credentials'."),
		"v2.1":                   refusal("invalid_request", "some parameters in the wrong format"),
		"key-ids":                message("The maximum number of access tokens has already been issued"),
		"v2-verify":              refusal("invalid_client", "invalid client_secret"),
		"v2.1-verify":            message("Cannot find channel key that satisfies the conditions"),
	} {
		for _, status := range []int{400, 404} {
			only(t, ask(t.Context(), refusing(t, status, body), call), nil)
		}
	}
}

// condemning is what LINE writes of a token that is not valid, also as a sentence.
var condemning = regexp.MustCompile(`^(The access token|access_token) ((is|was|has|been|already|a) )*(expired|revoked|invalid|in invalid format|malformed|not JWS|not a JWS)\.?$|^JWS format error$`)

// Whatever an answer holds, only a listed text, or none at all, says that a token is
// not valid.
func FuzzTokenInvalid(f *testing.F) {
	for _, status := range []int{200, 400, 401, 404, 500} {
		for _, text := range []string{
			"The access token expired", "the access token expired", " The access token expired", "The access token", "access_token invalid", "JWS format error",
			"client_id is required.", "some parameters in the wrong format", "some parameters missed or invalid", "", " ",
		} {
			f.Add(status, []byte(refusal("invalid_request", text)))
			f.Add(status, []byte(message(text)))
			f.Add(status, []byte(`{"error":"invalid_request","message":"`+text+`"}`))
			f.Add(status, []byte(`{"error":"invalid_request","error_description":["`+text+`"]}`))
			f.Add(status, []byte(`{"error":"invalid_request","error_description":"`+text+`","error_description":""}`))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		client := refusing(t, status, string(body))
		for _, call := range allCalls {
			err := ask(t.Context(), client, call)
			if !errors.Is(err, lineoauth.ErrInvalidToken) {
				continue
			}
			if status != 400 || !slices.Contains(ofTokens, call) {
				t.Fatalf("%s, %d: %v", call, status, err)
			}
			var fields map[string]any
			if err := json.Unmarshal(body, &fields); err != nil {
				t.Fatalf("%s out of %q: %v", call, body, err)
			}
			for name, value := range fields {
				text, isText := value.(string)
				switch {
				case strings.EqualFold(name, "error"):
					if text != "invalid_request" {
						t.Errorf("%s out of %s", call, body)
					}
				case isText && condemning.MatchString(text):
					return // of it alone the rest does not matter
				}
			}
			for name, value := range fields {
				if empty := value == nil || value == "" || fmt.Sprint(value) == "[]"; !strings.EqualFold(name, "error") && !empty {
					t.Errorf("%s: %s says %v: %s", call, name, value, body)
				}
			}
		}
	})
}
