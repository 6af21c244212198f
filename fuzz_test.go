package lineoauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lineoauth/lineoauth"
)

// fixed is a transport that always gives the same answer.
func fixed(status int, header http.Header, body string) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	})
}

// fitForALog fails unless an error's text is one short line without a secret.
func fitForALog(t *testing.T, err error, secrets ...string) {
	t.Helper()
	text := err.Error()
	if !utf8.ValidString(text) || len(text) > 32<<10 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("unfit for a log: %.200q (%d bytes)", text, len(text))
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows a secret", text)
		}
	}
}

// Whatever an answer that is not 200 holds, also our own secret, makes an
// error that is fit for a log.
func FuzzErrorBody(f *testing.F) {
	const secret = "s3cr3t+/=&token"
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"error":"invalid_client","error_description":"Invalid exp"}`, `{"message":"m","details":[{"message":"a","property":"b"}]}`,
		`{"details":null}`, `{"details":[null]}`, `{"error":1}`, "<html>", `{"message":"`, "\xff\xfe", `{"message":"\u001b[31m\ud800"}`, `{"details":[` + strings.Repeat(`{"message":"x"},`, 50) + "{}]}",
	} {
		f.Add(400, "application/json", "req-1", seed, `"}`)
		f.Add(500, "text/html", seed, `{"error":"`, `","message":"`+seed)
	}
	f.Fuzz(func(t *testing.T, status int, contentType, requestID, before, after string) {
		if status == http.StatusOK {
			return
		}
		header := http.Header{"Content-Type": {contentType}, "X-Line-Request-Id": {requestID + secret}, "Location": {before}}
		client := newClient(t, lineoauth.Config{Transport: fixed(status, header, before+secret+after)})
		_, err := client.VerifyChannelToken(t.Context(), secret)
		var e *lineoauth.Error
		if !errors.As(err, &e) || e.StatusCode != status {
			t.Fatalf("error = %v", err)
		}
		fitForALog(t, err, secret)
	})
}

// A token is taken from nothing but an object that holds one, once.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"t","token_type":"Bearer","expires_in":900,"key_id":"k"}`, `{"access_token":"t","expires_in":900}`,
		`{"access_token":"t","ACCESS_TOKEN":"u","expires_in":900}`, `{"access_token":"a b","expires_in":900}`, `{"access_token":"t","expires_in":-1}`,
		`{"access_token":"t","expires_in":1e3}`, `{"access_token":"\ud800","expires_in":1}`, `{"x":{"x":1,"x":2},"access_token":"t","expires_in":1}`,
		`{"access_token":"t","acce\u017f\u017f_token":"u","expires_in":900}`, "", "{}", "null", "[]", "\"\"", strings.Repeat("[", 100),
	} {
		f.Add([]byte(seed))
	}
	header := http.Header{"Content-Type": {"application/json"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		cfg := lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("hunter2"), Transport: fixed(200, header, string(body))}
		client := newClient(t, cfg)
		stateless, err1 := client.IssueStatelessChannelToken(t.Context())
		short, err2 := client.IssueShortLivedChannelToken(t.Context())
		v21, err3 := client.WithAssertion("assertion").IssueChannelToken(t.Context(), 0)
		verified, err4 := client.VerifyChannelToken(t.Context(), opaque)
		ids, err5 := client.WithAssertion("assertion").ValidChannelAccessTokenKeyIDs(t.Context())
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if err != nil {
				fitForALog(t, err)
			}
		}
		if (verified == nil) == (err4 == nil) || (ids == nil) == (err5 == nil) {
			t.Errorf("verification %v, %v; key IDs %v, %v", verified, err4, ids, err5)
		}
		var fields map[string]any
		object := json.Unmarshal(body, &fields) == nil
		for _, got := range []struct {
			token *lineoauth.Token
			err   error
		}{{stateless, err1}, {short, err2}, {v21, err3}} {
			if (got.token == nil) == (got.err == nil) {
				t.Fatalf("token %v, error %v", got.token, got.err)
			}
			if got.token == nil {
				continue
			}
			text := got.token.AccessToken.Reveal()
			if text == "" || !regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`).MatchString(text) || got.token.ExpiresIn <= 0 || got.token.TokenType == "" {
				t.Errorf("token %q, %+v", text, got.token)
			}
			if !object || (got.token.Kind == lineoauth.V21) != (got.token.KeyID != "") {
				t.Errorf("%+v out of %s", got.token, body)
			}
			// Under whatever letters the name was found, there was one such name.
			for name, value := range fields {
				if strings.EqualFold(name, "access_token") && value != text {
					t.Errorf("%q is not the token of %s", text, body)
				}
			}
		}
	})
}

// No Retry-After makes a client wait for less than nothing.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "7", "-7", "+7", "7.5", "1e3", "99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "7, 7"} {
		f.Add(seed, int64(784111776))
	}
	f.Fuzz(func(t *testing.T, value string, now int64) {
		header := http.Header{"Retry-After": {value}}
		client := newClient(t, lineoauth.Config{Transport: fixed(429, header, ""), Now: func() time.Time { return time.Unix(now, 0) }})
		_, err := client.VerifyChannelToken(t.Context(), opaque)
		var e *lineoauth.Error
		if !errors.As(err, &e) || !errors.Is(err, lineoauth.ErrRateLimited) || e.RetryAfter < 0 {
			t.Fatalf("error = %v", err)
		}
		fitForALog(t, err)
	})
}

// Whatever a variable holds, its error is fit for a log and does not show it, and
// what is taken has nothing around or inside it.
func FuzzEnvironment(f *testing.F) {
	for _, d := range decorations {
		f.Add(d[0] + theSecret + d[1])
		f.Add(theSecret[:16] + d[0] + d[1] + theSecret[16:])
	}
	f.Add("\xff\xfe1\x002\x00")
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range []string{"LINE_CHANNEL_ID", "LINE_CHANNEL_SECRET", "LINE_KEY_ID", "LINE_OAUTH_BASE_URL", "LINE_OAUTH_ALLOW_PLAIN_HTTP", "LINE_PRIVATE_KEY"} {
			cfg, err := lineoauth.ConfigFromEnv(env(name, value))
			if err == nil {
				_, err = lineoauth.New(cfg)
			}
			if err != nil {
				fitForALog(t, err)
				if !errors.Is(err, lineoauth.ErrInvalid) || len(value) >= 16 && !strings.Contains("LINE_", value) && strings.Contains(err.Error(), value) {
					t.Errorf("%s=%q: %v", name, value, err)
				}
			}
			for _, got := range []string{cfg.ChannelID, cfg.ChannelSecret.Reveal(), cfg.KeyID, cfg.BaseURL} {
				if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) || !utf8.ValidString(got) {
					t.Errorf("%s=%q gave %q", name, value, got)
				}
			}
		}
	})
}

// A token goes to LINE's two hosts over https, and to nobody else.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"api.line.me", "API-DATA.line.me:443", "api.l\u0130ne.me", "api.line.me.", "api.line.me:", "api.line.me:0443", "[::1]:443", "api.line.me@evil", "api\uff0eline.me"} {
		f.Add("https", host)
		f.Add("http", host)
	}
	client, err := lineoauth.New(lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret("s"),
		Transport: fixed(200, http.Header{"Content-Type": {"application/json"}}, `{"access_token":"t","expires_in":900}`)})
	if err != nil {
		f.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, scheme, host string) {
		u := &url.URL{Scheme: scheme, Host: host}
		if !tokens(t, lineoauth.Transport{Source: source})(u) {
			return
		}
		name := strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":")
		if scheme != "https" || !regexp.MustCompile(`^(?i:[a-z.-]+)$`).MatchString(name) || len(name) > len("api-data.line.me") ||
			!strings.EqualFold(name, "api.line.me") && !strings.EqualFold(name, "api-data.line.me") {
			t.Errorf("%s://%s gets a token", scheme, host)
		}
	})
}
