package lineoauthtest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// Whatever a form or query holds, the emulator answers as LINE would.
func FuzzRequest(f *testing.F) {
	paths := []string{
		"/oauth2/v3/token", "/oauth2/v2.1/tokens/kid", "/oauth2/v2.1/token", "/oauth2/v2.1/verify", "/oauth2/v2.1/revoke",
		"/v2/oauth/accessToken", "/v2/oauth/verify", "/v2/oauth/revoke", "/_emulator/state", "/_emulator/clock", "/_emulator/faults", "/v2/bot/message/push",
		"/v2/bot/message/multicast", "/_emulator/reset", "/_emulator/channels/1/keys", "/_emulator/profiles", "/_emulator/contents",
	}
	for i := range paths {
		for _, seed := range []string{
			"", "grant_type=client_credentials&client_id=1&client_secret=secret", "access_token=a.b.c", "access_token=AAAA",
			"grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.c2ln",
			"a=%zz", "a;b", "access_token=%00&access_token=x", `{"advance":"1s"}`, `{"fault":"delayed","times":0}`, `{"to":["U1"],"messages":[{}]}`, `{"message_id":"1","data":"AA=="}`, "client_id=1&client_secret=secret&access_token=eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
		} {
			f.Add(byte(i), true, formType, seed)
			f.Add(byte(i), false, "application/json", seed)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, post bool, contentType, text string) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		if _, err := srv.AddChannel("1", "secret"); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, paths[int(which)%len(paths)], strings.NewReader(text))
		r.Header.Set("Content-Type", contentType)
		if !post {
			r.Method, r.Body, r.URL.RawQuery = http.MethodGet, http.NoBody, text
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		switch w.Code {
		case 200, 204, 400, 401, 404, 405, 415:
		default:
			t.Errorf("status %d", w.Code)
		}
		if body := w.Body.Bytes(); len(body) > 0 && !json.Valid(body) {
			t.Errorf("%d with a body that is not JSON: %q", w.Code, body)
		}
	})
}
