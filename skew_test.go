package lineoauth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// expiries records the exp of each assertion that a client sends.
func expiries(t *testing.T, next http.RoundTripper, latest *time.Time) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(form.Get("client_assertion"), ".")[1])
		if err != nil {
			return nil, err
		}
		var claims struct{ Exp int64 }
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Error(err)
		}
		if exp := time.Unix(claims.Exp, 0); exp.After(*latest) {
			*latest = exp
		}
		return next.RoundTrip(req)
	})
}

// However far off an answer's Date is, no assertion is signed that is good for
// longer than the bound allows; and there is an event.
func TestDateIsTrustedWithinBounds(t *testing.T) {
	const month = 30 * 24 * time.Hour
	for name, tt := range map[string]struct {
		date    time.Duration // how far ahead the answer's Date is
		max     time.Duration
		follows bool
	}{
		"an hour":                             {time.Hour, 0, true},
		"an hour back":                        {-time.Hour, 0, true},
		"more than an hour":                   {time.Hour + time.Minute, 0, false},
		"more than an hour back":              {-time.Hour - time.Minute, 0, false},
		"30 days":                             {month, 0, false},
		"30 days back":                        {-month, 0, false},
		"30 days, as configured":              {month, 31 * 24 * time.Hour, true},
		"a minute, more than is configured":   {time.Minute, 30 * time.Second, false},
		"a minute, of which none is followed": {time.Minute, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *lineoauthtest.Server) {
				var log strings.Builder
				var seen events
				var latest time.Time
				cfg := srv.Config()
				cfg.AssertionLifetime = 30 * time.Minute
				cfg.MaxClockSkew = tt.max
				cfg.Logger = newLogger(&log)
				cfg.Transport = expiries(t, cfg.Transport, &latest)
				seen.record(&cfg)
				// LINE refuses the assertion whatever the Date.
				cfg.Now = func() time.Time { return time.Now().Add(30 * time.Second) }
				date := tt.date + 30*time.Second // against the client's clock
				for range 2 {
					srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.WrongDate, Skew: date})
				}
				_, err := retrying(t, cfg).IssueStatelessChannelToken(t.Context())
				n, e := seen.of(lineoauth.EventClockSkew)
				if n != 1 || (e.Err == nil) != tt.follows || (e.Skew-tt.date).Abs() > 2*time.Second {
					t.Errorf("%d events, %+v", n, e)
				}
				if !tt.follows && (!errors.Is(err, lineoauth.ErrInvalidAssertion) || !strings.Contains(e.Err.Error(), "MaxClockSkew")) {
					t.Errorf("error = %v, event's error = %v", err, e.Err)
				}
				limit := cfg.Now().Add(cfg.AssertionLifetime)
				if tt.follows {
					limit = limit.Add(max(tt.date, 0) + 2*time.Second)
				}
				if latest.After(limit) {
					t.Errorf("an assertion is good for %v", latest.Sub(cfg.Now()))
				}
				if !strings.Contains(log.String(), "skew=") || strings.Contains(log.String(), slog.LevelInfo.String()+" msg=\"clock") {
					t.Errorf("log:\n%s", log.String())
				}
			})
		})
	}
}
