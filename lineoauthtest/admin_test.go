package lineoauthtest_test

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// admin asks one of the emulator's own endpoints.
func (l *line) admin(method, path, body string) (int, map[string]any) {
	l.Helper()
	req, err := http.NewRequestWithContext(l.Context(), method, l.srv.URL+"/_emulator/"+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	got := l.send(req)
	answer, _ := got.Body.(map[string]any)
	return got.Status, answer
}

func jwkOf(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	text, err := jose.JSONWebKey{Key: &key.PublicKey, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestResetOverHTTP(t *testing.T) {
	l := newLine(t)
	fresh := l.srv.State()
	good := "Bearer " + l.token(l.issueShort(l.channel.ID, l.channel.Secret))
	if status, body := request(t, http.DefaultClient, "POST", l.srv.URL+"/v2/bot/message/push", `{"to":"U1","messages":[{}]}`, "Authorization", good); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	l.admin("POST", "faults", `{"fault":"endless","operation":"getProfile"}`)
	l.admin("POST", "clock", `{"advance":"1h"}`)
	l.admin("POST", "profiles", `{"userId":"U1"}`)
	if state := l.srv.State(); len(state.Tokens) == 0 || len(state.Messages) == 0 || len(state.Faults) == 0 || len(state.Calls) == 0 {
		t.Fatalf("nothing to reset: %+v", state)
	}
	status, answer := l.admin("POST", "reset", "{}")
	if status != 200 || answer["now"] == nil {
		t.Errorf("reset: %d %v", status, answer)
	}
	got := l.srv.State()
	if passed := got.Now.Sub(fresh.Now); passed > time.Minute {
		t.Errorf("the clock is still %v ahead", passed)
	}
	got.Now = fresh.Now
	if diff := cmp.Diff(fresh, got); diff != "" {
		t.Errorf("after reset (-want +got):\n%s", diff)
	}
	if status, _ := request(t, http.DefaultClient, "GET", l.srv.URL+"/v2/bot/info", "", "Authorization", good); status != 401 {
		t.Errorf("a token from before: %d", status)
	}
	if status, body := request(t, http.DefaultClient, "GET", l.srv.URL+"/v2/bot/profile/U1", "", "Authorization",
		"Bearer "+l.token(l.issueShort(l.channel.ID, l.channel.Secret))); status != 200 {
		t.Errorf("a profile from before: %d %s", status, body)
	}
	if kids := l.keyIDs(l.assertion()); kids.Status != 200 {
		t.Errorf("the key is gone: %+v", kids)
	}
}

// A secret and keys change, by a call of Go or of any language, and Reset undoes it.
func TestRotation(t *testing.T) {
	for name, rotate := range map[string]struct {
		secret  func(*line, string) string
		remove  func(*line, string) error
		replace func(l *line, keyID, newKeyID, jwk string) (string, error)
	}{
		"Go": {
			func(l *line, secret string) string { return l.channel.ReissueSecret(secret) },
			func(l *line, keyID string) error { return l.channel.DeleteKey(keyID) },
			func(l *line, keyID, newKeyID, jwk string) (string, error) {
				return l.channel.ReplaceKey(keyID, newKeyID, []byte(jwk))
			},
		},
		"HTTP": {
			func(l *line, secret string) string {
				_, answer := l.admin("POST", "channels/"+l.channel.ID+"/secret", `{"channel_secret":"`+secret+`"}`)
				got, _ := answer["channel_secret"].(string)
				return got
			},
			func(l *line, keyID string) error {
				if status, answer := l.admin("DELETE", "channels/"+l.channel.ID+"/keys/"+keyID, ""); status != 200 {
					return errors.New(answer["message"].(string))
				}
				return nil
			},
			func(l *line, keyID, newKeyID, jwk string) (string, error) {
				status, answer := l.admin("PUT", "channels/"+l.channel.ID+"/keys/"+keyID, `{"public_key":`+jwk+`,"key_id":"`+newKeyID+`"}`)
				if status != 200 {
					return "", errors.New(answer["message"].(string))
				}
				return answer["key_id"].(string), nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			l.channel.Config() // registers the second key
			id, old, oldKey := l.channel.ID, l.channel.Secret, l.keyID
			token := l.token(l.issueShort(id, old))

			if got := rotate.secret(l, "another"); got != "another" || l.channel.Secret != got {
				t.Errorf("the new secret is %q, %q", got, l.channel.Secret)
			}
			if got := l.issueShort(id, old); got.Status != 400 {
				t.Errorf("the old secret: %+v", got)
			}
			if got := l.statelessBySecret(id, old); got.Status != 400 {
				t.Errorf("the old secret: %+v", got)
			}
			if got := l.issueShort(id, "another"); got.Status != 200 {
				t.Errorf("the new secret: %+v", got)
			}
			if got := l.verifyV2(token); got.Status != 200 {
				t.Errorf("a token from before: %+v", got)
			}
			if got := rotate.secret(l, ""); len(got) < 16 || got == "another" || l.issueShort(id, got).Status != 200 {
				t.Errorf("a generated secret: %q", got)
			}
			if cfg := l.channel.Config(); cfg.ChannelSecret.Reveal() != l.channel.Secret {
				t.Error("Config has an old secret")
			}

			if _, err := l.channel.RegisterKey("", []byte(jwkOf(t, otherKey(t)))); err == nil {
				t.Error("a third key")
			}
			newKey, err := rotate.replace(l, oldKey, "", jwkOf(t, otherKey(t)))
			if err != nil || newKey == "" || newKey == oldKey {
				t.Fatalf("replaced by %q, %v", newKey, err)
			}
			unknown := l.keyIDs(l.assertion())
			if unknown.Status != 404 {
				t.Errorf("the old key: %+v", unknown)
			}
			signed := l.sign(jose.SigningKey{Algorithm: jose.RS256, Key: otherKey(t)}, newKey, l.claims())
			if got := l.keyIDs(signed); got.Status != 200 {
				t.Errorf("the new key: %+v", got)
			}
			if got, err := rotate.replace(l, newKey, newKey, jwkOf(t, testKey(t))); err != nil || got != newKey {
				t.Errorf("replaced under its ID: %q, %v", got, err)
			}
			if got := l.keyIDs(signed); got.Status != 400 {
				t.Errorf("a key that is another one now: %+v", got)
			}
			if _, err := rotate.replace(l, newKey, "", `{"kty":"EC"}`); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("replaced by no key: %v", err)
			}
			if _, err := rotate.replace(l, "nothing", "", jwkOf(t, testKey(t))); err == nil || !strings.Contains(err.Error(), newKey) {
				t.Errorf("replaced nothing: %v", err)
			}
			if err := rotate.remove(l, newKey); err != nil {
				t.Error(err)
			}
			if err := rotate.remove(l, newKey); err == nil || !strings.Contains(err.Error(), "not found") {
				t.Errorf("deleted twice: %v", err)
			}
			if got := l.srv.State().Channels; len(got) != 1 || got[0].ChannelID != id || len(got[0].KeyIDs) != 1 {
				t.Errorf("channels = %+v", got)
			}

			l.srv.Reset()
			if l.channel.Secret != old || l.issueShort(id, old).Status != 200 {
				t.Error("Reset did not bring the secret back")
			}
			if got := l.keyIDs(l.assertion()); got.Status != 200 {
				t.Errorf("Reset did not bring the key back: %+v", got)
			}
			if got := l.srv.State().Channels; len(got[0].KeyIDs) != 2 || got[0].KeyIDs[0] != oldKey {
				t.Errorf("channels = %+v", got)
			}
		})
	}
}

// Config has a key that is registered, whatever happened to the one before.
func TestConfigAfterRotation(t *testing.T) {
	srv := newServer(t)
	client := func() *lineoauth.Client { return newClient(t, srv.Config()) }
	before := client()
	if err := srv.Channel().DeleteKey(srv.State().Channels[0].KeyIDs[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := before.ValidChannelAccessTokenKeyIDs(t.Context()); err == nil {
		t.Error("the deleted key is good")
	}
	if _, err := client().ValidChannelAccessTokenKeyIDs(t.Context()); err != nil {
		t.Error(err)
	}
	srv.Reset()
	for _, c := range []*lineoauth.Client{before, client()} {
		if _, err := c.ValidChannelAccessTokenKeyIDs(t.Context()); err != nil {
			t.Errorf("after Reset: %v", err)
		}
	}
}

func TestKeysOverHTTP(t *testing.T) {
	l := newLine(t)
	status, answer := l.admin("POST", "channels/"+l.channel.ID+"/keys", `{"public_key":`+jwkOf(t, otherKey(t))+`,"key_id":"mine"}`)
	if status != 200 || answer["key_id"] != "mine" {
		t.Errorf("%d %v", status, answer)
	}
	for call, want := range map[string]string{
		"POST channels/1/secret {}":                                          "404 channel not found",
		"POST channels/1/keys {}":                                            "404 channel not found",
		"DELETE channels/1/keys/x ":                                          "404 channel not found",
		"POST channels/1/long-lived {}":                                      "404 channel not found",
		"POST channels/1/revoke {}":                                          "404 channel not found",
		"POST channels/" + l.channel.ID + `/revoke {"access_token":"x"}`:     "400 no such valid token",
		"POST faults {\"fault\":\"server-error\",\"status\":404}":            "400 use 500 to 599",
		"PUT channels/1/mini-app {}":                                         "404 channel not found",
		"PUT channels/" + l.channel.ID + "/mini-app {}":                      "400 set \"enabled\"",
		"POST channels/" + l.channel.ID + "/keys {}":                         "400 public key",
		"POST channels/" + l.channel.ID + "/secret {\"secret\":\"x\"}":       "400 unknown field",
		"POST channels/" + l.channel.ID + `/keys {"public_key":"x"}`:         "400 public key",
		"PUT channels/" + l.channel.ID + `/keys/mine {"public_key":{}}`:      "400 public key",
		"POST channels/" + l.channel.ID + `/keys {"public_key":{}} trailing`: "400 unexpected data",
	} {
		parts := strings.SplitN(call, " ", 3)
		status, text := l.admin(parts[0], parts[1], parts[2])
		wantStatus, wantText, _ := strings.Cut(want, " ")
		if got, _ := text["message"].(string); itoa(status) != wantStatus || !strings.Contains(got, wantText) {
			t.Errorf("%s: %d %s, not %s", call, status, got, want)
		}
	}
	l.srv.Reset()
	if got := l.srv.State().Channels[0].KeyIDs; len(got) != 1 {
		t.Errorf("Reset left the keys %q", got)
	}
}

// However far the clock is advanced, time continues and lifetimes are correct.
func TestClockDoesNotOverflow(t *testing.T) {
	srv := newServer(t)
	last := srv.Now()
	for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64, -time.Hour, math.MinInt64, time.Hour} {
		srv.Advance(d)
		if now := srv.Now(); now.Before(last) || now.After(time.Now().Add(101*366*24*time.Hour)) {
			t.Errorf("after Advance(%v) it is %v, after %v", d, now, last)
		}
		last = srv.Now()
	}
	client := newClient(t, srv.Config())
	for _, token := range []func() (*lineoauth.Token, error){
		func() (*lineoauth.Token, error) { return client.IssueShortLivedChannelToken(t.Context()) },
		func() (*lineoauth.Token, error) { return client.IssueChannelToken(t.Context(), time.Hour) },
		func() (*lineoauth.Token, error) {
			return &lineoauth.Token{AccessToken: srv.Channel().IssueLongLivedToken()}, nil
		},
	} {
		got, err := token()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := client.VerifyChannelToken(t.Context(), got.AccessToken.Reveal()); err != nil || v.Remaining() < 59*time.Minute {
			t.Errorf("%+v, %v", v, err)
		}
	}
	if _, err := json.Marshal(srv.State()); err != nil {
		t.Error(err)
	}
}

func TestClockOverHTTP(t *testing.T) {
	l := newLine(t)
	for range 3 {
		l.admin("POST", "clock", `{"advance":"400000h"}`)
	}
	last := l.srv.Now()
	for body, want := range map[string]string{
		`{"advance":"2562047h"}`: "100 years", `{"advance":"-1s"}`: "does not go back", `{}`: `"advance"`, ``: `"advance"`, `{"advance":null}`: `"advance"`,
		`{"advance":"99999999999h"}`: "invalid duration", `{"advance":5}`: "advance", `{"advance":"1s"}{"advance":"1s"}`: "unexpected data",
	} {
		if body == "" {
			body = " "
		}
		if status, answer := l.admin("POST", "clock", body); status != 400 || !strings.Contains(answer["message"].(string), want) {
			t.Errorf("%s: %d %v", body, status, answer["message"])
		}
	}
	if passed := l.srv.Now().Sub(last); passed < 0 || passed > time.Minute {
		t.Errorf("the clock moved by %v", passed)
	}
}

// In sleep the monotonic clock stands still: no time of the server's may have it.
func TestClockGoesOnInSleep(t *testing.T) {
	srv := newServer(t)
	if now := srv.Now(); now != now.Round(0) { // == looks at the monotonic reading, too
		t.Errorf("Now has a monotonic reading: %v", now)
	}
	if _, err := newClient(t, srv.Config()).IssueShortLivedChannelToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, token := range srv.State().Tokens {
		if token.IssuedAt != token.IssuedAt.Round(0) || token.ExpiresAt != token.ExpiresAt.Round(0) {
			t.Errorf("a token's times have monotonic readings: %+v", token)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	l := newLine(t)
	for range 1000 {
		l.srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauthtest.OpBroadcast})
	}
	if status, answer := l.admin("POST", "faults", `{"fault":"server-error"}`); status != 400 || !strings.Contains(answer["message"].(string), "1000 faults") {
		t.Errorf("%d %v", status, answer["message"])
	}
	if n := len(l.srv.State().Faults); n != 1000 {
		t.Errorf("%d faults", n)
	}
	l.srv.ClearFaults()
	if status, answer := l.admin("POST", "faults", `{"fault":"redirect","location":"`+strings.Repeat("x", 2001)+`"}`); status != 400 {
		t.Errorf("%d %v", status, answer)
	}
}

// What the emulator lacks is said, without what may be secret.
func TestLackingEndpoints(t *testing.T) {
	srv := newServer(t)
	for call, want := range map[string]string{
		"GET /v2/bot/group/C4af4980629b4ab6e5a7f2d62efa33c7e/summary": "501 the emulator has no GET /v2/bot/group/…/summary; it has ",
		"DELETE /v2/bot/user/all/richmenu":                            "501 the emulator has no DELETE /v2/bot/user/all/richmenu; it has ",
		"GET /v2/bot/message/push":                                    "405 the emulator has no GET /v2/bot/message/push; it has ",
		"POST /v2/bot/profile/U1":                                     "405 the emulator has no POST /v2/bot/profile/U1; it has ",
		"GET /":                                                       "501 the emulator has no GET /; it has ",
		"GET /_emulator/nothing":                                      "404 the emulator has no GET /_emulator/nothing; it has GET /_emulator/state, ",
		"GET /v2/bot/profile/":                                        "501 the emulator has no GET /v2/bot/profile/; it has ",
		"POST /v2/oauth/verify/":                                      "501 the emulator has no POST /v2/oauth/verify/; it has ",
		"GET /_emulator/state/":                                       "404 the emulator has no GET /_emulator/state/; it has GET /_emulator/state, ",
		"GET /_emulator/clock":                                        "405 the emulator has no GET /_emulator/clock; it has ",
	} {
		method, path, _ := strings.Cut(call, " ")
		status, text := request(t, http.DefaultClient, method, srv.URL+path, "")
		wantStatus, wantText, _ := strings.Cut(want, " ")
		var body struct{ Message string }
		if err := json.Unmarshal([]byte(text), &body); err != nil || itoa(status) != wantStatus || !strings.HasPrefix(body.Message, wantText) {
			t.Errorf("%s: %d %s", call, status, text)
		}
		if strings.HasPrefix(path, "/v2") && !strings.Contains(body.Message, "GET /v2/bot/profile/{userId}") {
			t.Errorf("%s: %s", call, text)
		}
	}
}

func TestHelp(t *testing.T) {
	help := lineoauthtest.Help()
	for _, want := range []string{
		"POST /oauth2/v3/token", "GET /v2/bot/message/{messageId}/content", "POST /_emulator/reset",
		"PUT /_emulator/channels/{channelId}/keys/{keyId}", `{"advance":"15m"}`, "server-error", "cut-body", "wrong-date",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("Help lacks %s", want)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 110 {
			t.Errorf("a long line: %s", line)
		}
	}
}

// A token of any type can be revoked over HTTP, also a stateless one, which LINE
// revokes for nobody.
func TestRevokeOverHTTP(t *testing.T) {
	l := newLine(t)
	client := newClient(t, l.channel.Config())
	token, err := client.IssueStatelessChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := token.AccessToken.Reveal()
	if status, answer := l.admin("POST", "channels/"+l.channel.ID+"/revoke", `{"access_token":"`+text+`"}`); status != 200 || answer["now"] == nil {
		t.Fatal(status, answer)
	}
	if _, err := client.VerifyChannelToken(t.Context(), text); !errors.Is(err, lineoauth.ErrInvalidToken) {
		t.Error(err)
	}
}

// What only the console does can be had over HTTP, and is gone after a reset.
func TestConsole(t *testing.T) {
	l := newLine(t)
	path := "channels/" + l.channel.ID
	status, answer := l.admin("POST", path+"/long-lived", "{}")
	token, _ := answer["access_token"].(string)
	if status != 200 || token == "" {
		t.Fatal(status, answer)
	}
	client, err := lineoauth.New(l.channel.Config())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := client.VerifyChannelToken(t.Context(), token); err != nil || v.ExpiresIn < 1<<31 {
		t.Errorf("%+v, %v", v, err)
	}
	if status, answer := l.admin("PUT", path+"/mini-app", `{"enabled":true}`); status != 200 {
		t.Fatal(status, answer)
	}
	if status, answer := l.admin("POST", path+"/long-lived", "{}"); status != 400 {
		t.Error(status, answer)
	}
	if _, err := client.IssueChannelToken(t.Context(), 0); err == nil {
		t.Error("a MINI App has a v2.1 token")
	}
	if status, answer := l.admin("POST", "reset", "{}"); status != 200 {
		t.Fatal(status, answer)
	}
	if _, err := client.IssueChannelToken(t.Context(), 0); err != nil {
		t.Errorf("after a reset: %v", err)
	}
}
