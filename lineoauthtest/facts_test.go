package lineoauthtest_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Where facts of LINE are from: its reference, recordings of the real LINE by others,
// and what people say of it. The emulator marks what is from nowhere.
const (
	reference     = "LINE's reference"
	undocumented  = "nowhere"
	omniauthLine  = "omniauth-line, 2026-09-03"
	zenn          = "an article on Zenn, 2023-03"
	rustALC       = "rust-alc-api, 2026-04"
	pythonSDK     = "line-bot-sdk-python issue 823, 2025-07"
	androidSDK    = "line-sdk-android issue 98, 2020-12"
	chooTodoBot   = "a test of choo-todo-bot's"
	laravelSDK    = "laravel-line-sdk issue 9, 2024-12"
	zennOn401     = "an article on Zenn, 2023-09"
	golangOAuth2  = "golang/oauth2 issue 236, 2017"
	secretScanner = "a rule of a secret scanner's"
)

// fact is something that LINE does, and where that is from.
type fact struct {
	source string
	test   func(l *line)
}

// A row for each fact that is known of LINE's answers, and for each answer that the
// emulator chose because none is.
func TestFacts(t *testing.T) {
	all := make(map[string]fact)
	for _, facts := range []map[string]fact{factsOfForms(), factsOfIssuing(), factsOfAssertions(), factsOfTokens(), factsOfRequests()} {
		for row := range facts {
			if _, twice := all[row]; twice {
				t.Errorf("the row %s is there twice", row)
			}
		}
		maps.Copy(all, facts)
	}
	for row, fact := range all {
		t.Run(row, func(t *testing.T) {
			l := newLine(t)
			fact.test(l)
			marked := slices.ContainsFunc(l.srv.State().Requests, func(r lineoauthtest.Request) bool { return r.Undocumented })
			if marked != (fact.source == undocumented) || fact.source == "" {
				t.Errorf("marked as undocumented: %v; it is from %s", marked, fact.source)
			}
		})
	}
}

// A fault that comes after the answer does not hide that it was chosen.
func TestUndocumentedIsMarkedUnderFaults(t *testing.T) {
	for _, kind := range []lineoauthtest.FaultKind{lineoauthtest.ResetAfter, lineoauthtest.CutBody, lineoauthtest.Delayed, lineoauthtest.WrongDate} {
		for token, want := range map[string]bool{theirs: true, opaque: false} {
			l := newLine(t)
			l.srv.Inject(lineoauthtest.Fault{Kind: kind})
			rsp, err := http.Get(l.srv.URL + "/oauth2/v2.1/verify?access_token=" + token)
			if err == nil {
				_ = rsp.Body.Close()
			}
			if requests := l.srv.State().Requests; len(requests) != 1 || requests[0].Undocumented != want {
				t.Errorf("%s: requests = %+v; want marked: %v", kind, requests, want)
			}
		}
	}
}

// The state over HTTP names the mark.
func TestUndocumentedIsMarked(t *testing.T) {
	l := newLine(t)
	l.verifyV21(theirs)
	l.verifyV21(opaque)
	got := l.do("GET", "/_emulator/state")
	requests := got.Body.(map[string]any)["requests"].([]any)
	first, second := requests[0].(map[string]any), requests[1].(map[string]any)
	if _, marked := second["undocumented"]; first["undocumented"] != true || marked {
		t.Errorf("requests = %v", requests)
	}
}

const (
	opaque = "AAAA+/=="
	theirs = "eyJhbGciOiJIUzI1NiJ9.AP_-.c2ln"
)

// order returns the names of the last answer's fields as they stand in it.
func (l *line) order() []string {
	l.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(l.text, -1) {
		names = append(names, m[1])
	}
	return names
}

func (l *line) expectOrder(want ...string) {
	l.Helper()
	if diff := cmp.Diff(want, l.order()); diff != "" {
		l.Errorf("fields (-want +got):\n%s", diff)
	}
}

// parts returns the header and payload of a token that is a JWS.
func (l *line) parts(token string) (header, payload []byte) {
	l.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		l.Fatalf("%s is not a JWS", token)
	}
	header, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	payload, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	signature, err3 := base64.RawURLEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || len(signature) != 32 {
		l.Errorf("%s is not a JWS", token)
	}
	return header, payload
}

func (l *line) expectHeader(name, want string) {
	l.Helper()
	for _, header := range l.oneOfEachOAuth() {
		if got := header.Get(name); got != want {
			l.Errorf("%s: %q, not %q", name, got, want)
		}
	}
}

func (l *line) expectMatch(pattern, text string) {
	l.Helper()
	if !regexp.MustCompile("^" + pattern + "$").MatchString(text) {
		l.Errorf("%q is not %s", text, pattern)
	}
}

const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

func factsOfForms() map[string]fact {
	return map[string]fact{
		"oauth-request-id": {omniauthLine, func(l *line) {
			for _, a := range l.oneOfEachOAuth() {
				l.expectMatch("[0-9a-f]{16}", a.Get("X-Line-Request-Id"))
			}
		}},
		"bot-request-id": {reference, func(l *line) {
			l.bot("GET", "/v2/bot/info", "")
			l.expectMatch(uuid, l.header.Get("X-Line-Request-Id"))
		}},
		"oauth-content-type":  {omniauthLine, func(l *line) { l.expectHeader("Content-Type", "application/json;charset=UTF-8") }},
		"oauth-cache-control": {omniauthLine, func(l *line) { l.expectHeader("Cache-Control", "max-age=0, no-cache, no-store") }},
		"oauth-pragma":        {omniauthLine, func(l *line) { l.expectHeader("Pragma", "no-cache") }},
		"oauth-nosniff":       {omniauthLine, func(l *line) { l.expectHeader("X-Content-Type-Options", "nosniff") }},
		// Nobody ever saw one.
		"rate-limit-headers": {reference, func(l *line) {
			l.expectHeader("Retry-After", "")
			l.expectHeader("X-Ratelimit-Limit", "")
		}},
		"stateless-field-order": {reference, func(l *line) {
			l.statelessBySecret(l.channel.ID, l.channel.Secret)
			l.expectOrder("token_type", "access_token", "expires_in")
		}},
		"short-lived-field-order": {reference, func(l *line) {
			l.issueShort(l.channel.ID, l.channel.Secret)
			l.expectOrder("access_token", "expires_in", "token_type")
		}},
		"v2.1-issue-field-order": {zenn, func(l *line) {
			l.issueV21(l.assertion())
			l.expectOrder("access_token", "token_type", "expires_in", "key_id")
		}},
		"v2.1-token-header": {androidSDK, func(l *line) {
			if header, _ := l.parts(l.token(l.issueV21(l.assertion()))); string(header) != `{"alg":"HS256"}` {
				l.Errorf("header %s", header)
			}
		}},
		"v2.1-token-payload": {androidSDK, func(l *line) {
			if _, payload := l.parts(l.token(l.issueV21(l.assertion()))); len(payload) != 128 || json.Valid(payload) {
				l.Errorf("payload %q", payload)
			}
		}},
		"stateless-token-header": {androidSDK, func(l *line) {
			for _, a := range []answer{l.issueStateless(l.assertion()), l.statelessBySecret(l.channel.ID, l.channel.Secret)} {
				if header, _ := l.parts(l.token(a)); string(header) != `{"alg":"HS256"}` {
					l.Errorf("header %s", header)
				}
			}
		}},
		"stateless-token-payload": {androidSDK, func(l *line) {
			for _, a := range []answer{l.issueStateless(l.assertion()), l.statelessBySecret(l.channel.ID, l.channel.Secret)} {
				if _, payload := l.parts(l.token(a)); len(payload) != 128 || json.Valid(payload) {
					l.Errorf("payload %q", payload)
				}
			}
		}},
		"short-lived-token-form": {secretScanner, func(l *line) {
			for _, token := range []string{l.token(l.issueShort(l.channel.ID, l.channel.Secret)), l.channel.IssueLongLivedToken().Reveal()} {
				if l.expectMatch("[A-Za-z0-9+/]{171}=", token); !strings.Contains(token, "+") || !strings.Contains(token, "/") {
					l.Errorf("%s does not test a client's encoding", token)
				}
			}
		}},
		"v2.1-key-id-form": {reference, func(l *line) {
			body := l.issueV21(l.assertion()).Body.(map[string]any)
			l.expectMatch("[A-Za-z0-9_-]{22}", body["key_id"].(string))
		}},
		"key-kid-form": {reference, func(l *line) { l.expectMatch(uuid, l.keyID) }},
		"v2.1-verify-scope-words": {reference, func(l *line) {
			l.expectScope(l.verifyV21(l.token(l.issueV21(l.assertion()))), "profile chat_message.write")
		}},
		"v2-verify-scope-codes": {omniauthLine, func(l *line) {
			l.expectScope(l.verifyV2(l.token(l.issueShort(l.channel.ID, l.channel.Secret))), "P CM")
		}},
	}
}

func (l *line) expectScope(a answer, want string) {
	l.Helper()
	if body, _ := a.Body.(map[string]any); body["scope"] != want {
		l.Errorf("answer = %+v; want scope %q", a, want)
	}
}

// oneOfEachOAuth asks each OAuth endpoint, with success and without, and returns the
// answers' headers.
func (l *line) oneOfEachOAuth() []http.Header {
	l.Helper()
	var headers []http.Header
	note := func(answer) { headers = append(headers, l.header) }
	v21, short := l.token(l.issueV21(l.assertion())), l.token(l.issueShort(l.channel.ID, l.channel.Secret))
	note(l.issueV21(l.assertion()))
	note(l.issueV21(""))
	note(l.issueStateless(l.assertion()))
	note(l.statelessBySecret(l.channel.ID, "wrong"))
	note(l.keyIDs(l.assertion()))
	note(l.keyIDs(""))
	note(l.issueShort(l.channel.ID, l.channel.Secret))
	note(l.issueShort(l.channel.ID, "wrong"))
	note(l.verifyV21(v21))
	note(l.verifyV21(opaque))
	note(l.verifyV2(short))
	note(l.verifyV2(opaque))
	note(l.revokeV21(l.channel.ID, l.channel.Secret, v21))
	note(l.revokeV21(l.channel.ID, l.channel.Secret, "a.b.c"))
	note(l.revokeV2(short))
	note(l.revokeV2("a b"))
	l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited})
	note(l.verifyV2(opaque))
	l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.CutBody})
	if rsp, err := http.Get(l.srv.URL + "/oauth2/v2.1/verify?access_token=x"); err == nil {
		headers = append(headers, rsp.Header)
		_ = rsp.Body.Close()
	}
	return headers
}

// bot asks the Messaging API.
func (l *line) bot(method, path, authorization string) answer {
	l.Helper()
	req, err := http.NewRequestWithContext(l.Context(), method, l.srv.URL+path, strings.NewReader("{}"))
	if err != nil {
		l.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return l.send(req)
}
