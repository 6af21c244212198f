package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/lineoauthtest/conformance"
)

// formats returns a report in all formats.
func formats(t *testing.T, report *conformance.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(report.WriteText(&b), report.WriteMarkdown(&b), json.NewEncoder(&b).Encode(report)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// On a server that is not an emulator, a run sends few requests, issues at most one
// token of each kind, and revokes it. No row differs.
func TestSafeOnLINE(t *testing.T) {
	t.Parallel()
	issued := make(map[string]int)
	requests := 0
	f, cfg := newFront(t, func(x *exchange) {
		hideEmulator(x)
		requests++
		if x.field("token_type") != "" {
			issued[x.endpoint]++
		}
	})
	report, err := conformance.Run(t.Context(), cfg)
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]int{issueStateless: 1, issueShort: 1, issueV21: 1}, issued); diff != "" {
		t.Errorf("issued tokens (-want +got):\n%s", diff)
	}
	if requests >= 100 || requests != report.Requests {
		t.Errorf("%d requests, %d in the report", requests, report.Requests)
	}
	if n := liveTokens(f.Server); n != 0 {
		t.Errorf("%d tokens remain", n)
	}
	if report.Emulator || report.Count(conformance.Differs) > 0 {
		t.Errorf("%+v", report)
	}
	for _, row := range report.Rows {
		if row.Verdict == conformance.Unknown && row.Reason == "" || row.Strength == conformance.Undocumented && row.Verdict != conformance.Unknown {
			t.Errorf("%+v", row)
		}
	}
}

// Where LINE's page and a recording differ, a server may answer either way.
func TestEitherAnswer(t *testing.T) {
	t.Parallel()
	var row string
	_, cfg := newFront(t, func(x *exchange) {
		hideEmulator(x)
		if x.endpoint == issueShort && strings.Contains(x.body, "invalid client_id") {
			x.refuse("invalid_request", "some parameters in the wrong format")
			row = "short-lived-unknown-id"
		}
	})
	report, err := conformance.Run(t.Context(), cfg)
	if err != nil || row == "" || report.Count(conformance.Differs) > 0 {
		t.Errorf("%s, %v: %v", row, err, report)
	}
}

// Whenever a run is interrupted, it revokes: before, while and after a token is issued.
func TestInterruptedRunRevokes(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(x *exchange) bool{
		"while the short-lived token is issued": func(x *exchange) bool { return x.endpoint == issueShort && x.status == http.StatusOK },
		"while the v2.1 token is issued":        func(x *exchange) bool { return x.endpoint == issueV21 && x.status == http.StatusOK },
		"while it is verified":                  func(x *exchange) bool { return x.endpoint == verifyV21 && x.status == http.StatusOK },
		"while it is revoked":                   func(x *exchange) bool { return x.endpoint == revokeV21 },
		"while the limit is filled":             func(x *exchange) bool { return strings.Contains(x.body, "The maximum number") },
		"after the emulator's clock was moved":  func(x *exchange) bool { return x.endpoint == "POST /_emulator/clock" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reached := false
			f, cfg := newFront(t, func(x *exchange) {
				if cut(x) {
					reached = true
					cancel()
				}
			})
			report, err := conformance.Run(ctx, cfg)
			if !reached || !errors.Is(err, context.Canceled) || errors.Is(err, conformance.ErrNotRevoked) || report == nil {
				t.Errorf("reached: %t, error: %v", reached, err)
			}
			if n := liveTokens(f.Server); n != 0 {
				t.Errorf("%d tokens remain", n)
			}
		})
	}
}

// A run reports a lost answer to a request for a token, and a refused revocation. It
// revokes all other tokens.
func TestTokensThatAreLeft(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(x *exchange)
		want   string
		left   int
	}{
		"an answer is lost": {func(x *exchange) {
			if x.endpoint == issueV21 && x.status == http.StatusOK {
				panic(http.ErrAbortHandler)
			}
		}, "a v2.1 token", 1},
		"an answer has no token": {func(x *exchange) {
			if x.endpoint == issueShort && x.status == http.StatusOK {
				x.body = `{"token_type":"Bearer","expires_in":2592000}`
			}
		}, "a short-lived token", 1},
		"revocations are refused": {func(x *exchange) {
			if x.endpoint == revokeV2 {
				x.status = http.StatusInternalServerError
			}
		}, "a short-lived token", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, cfg := newFront(t, func(x *exchange) {
				hideEmulator(x)
				tt.change(x)
			})
			_, err := conformance.Run(t.Context(), cfg)
			if !errors.Is(err, conformance.ErrNotRevoked) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error: %v", err)
			}
			if n := liveTokens(f.Server); n != tt.left {
				t.Errorf("%d tokens remain", n)
			}
		})
	}
}

// No report contains a token, an assertion or the channel secret, even of a server
// that echoes requests wherever it can.
func TestReportHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for name, echo := range map[string]bool{"emulator": false, "server that echoes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets := make(map[string]bool)
			var f *front
			f, cfg := newFront(t, func(x *exchange) {
				heard := []string{x.request.Header.Get("Authorization"), x.field("access_token"), f.Channel().Secret}
				for name, values := range x.form {
					if name == "client_assertion" || name == "clientAssertion" || name == "access_token" {
						heard = append(heard, values...)
					}
				}
				for _, secret := range heard {
					for word := range strings.FieldsFuncSeq(secret, func(c rune) bool { return strings.ContainsRune(" .", c) }) {
						secrets[word] = len(word) > 20
					}
				}
				if echo && x.endpoint != issueShort && x.endpoint != issueV21 {
					said := strings.Join(heard, " ")
					x.refuse(said, url.QueryEscape(said))
					x.header.Set("X-Line-Request-Id", f.Channel().Secret)
					x.header.Set("Content-Type", strings.ToUpper(said))
					x.header.Set("Cache-Control", said)
				}
			})
			report, err := conformance.Run(t.Context(), cfg)
			text := formats(t, report)
			if err != nil {
				text += err.Error()
			}
			found := 0
			for secret, long := range secrets {
				if long && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
					t.Errorf("the report contains %s…", secret[:8])
				}
				found++
			}
			if found < 20 || !strings.Contains(text, "v2.1-verify-expired") {
				t.Errorf("%d secrets, %s", found, text)
			}
		})
	}
}

// Rows with missing credentials are unknown, with the reason.
func TestFewCredentials(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		take         func(cfg *lineoauth.Config)
		tried, lacks []string
	}{
		"only a secret": {func(cfg *lineoauth.Config) { cfg.Key, cfg.KeyID = nil, "" },
			[]string{"stateless-by-secret", "v2-revoke", "v2.1-verify-unknown"}, []string{"key-ids", "v2.1-issue", "v2.1-revoke"}},
		"only a key": {func(cfg *lineoauth.Config) { cfg.ChannelSecret = lineoauth.Secret{} },
			[]string{"stateless-by-assertion", "key-ids", "v2-verify-unknown"}, []string{"v2.1-issue", "short-lived-issue", "v2.1-revoke-unknown"}},
		"nothing": {func(cfg *lineoauth.Config) { *cfg = lineoauth.Config{BaseURL: cfg.BaseURL} },
			[]string{"v2-verify-unknown", "bot-no-authorization", "v2.1-verify-not-jws"}, []string{"key-ids", "stateless-by-secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, cfg := newFront(t, nil)
			tt.take(&cfg)
			report, err := conformance.Run(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			if differs := rows(report, conformance.Differs); len(differs) > 0 {
				t.Errorf("%q differ", differs)
			}
			for _, row := range report.Rows {
				want := conformance.Agrees
				switch {
				case slices.Contains(tt.lacks, row.Row):
					want = conformance.Unknown
				case !slices.Contains(tt.tried, row.Row):
					continue
				}
				if row.Verdict != want || want == conformance.Unknown && !strings.HasPrefix(row.Reason, "needs ") {
					t.Errorf("%+v", row)
				}
			}
			if n := liveTokens(f.Server); n != 0 {
				t.Errorf("%d tokens remain", n)
			}
		})
	}
}

// A run that cannot start returns an error without a report; an aborted one returns both.
func TestErrors(t *testing.T) {
	t.Parallel()
	if report, err := conformance.Run(t.Context(), lineoauth.Config{BaseURL: "http://line.example"}); report != nil || !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("%v, %v", report, err)
	}
	srv := lineoauthtest.NewServer()
	cfg := srv.Config()
	srv.Close()
	if report, err := conformance.Run(t.Context(), cfg); report != nil || err == nil || !strings.Contains(err.Error(), "check the network and the base URL") {
		t.Errorf("%v, %v", report, err)
	}
	requests := 0
	_, cfg = newFront(t, func(*exchange) {
		if requests++; requests > 10 {
			panic(http.ErrAbortHandler)
		}
	})
	report, err := conformance.Run(t.Context(), cfg)
	if report == nil || err == nil || !strings.Contains(err.Error(), "3 requests in a row got no answer") || len(report.Rows) > 20 {
		t.Errorf("%v, %v", report, err)
	}
}

// A client's clock that is wrong by hours has no effect: LINE's clock counts.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		f, cfg := newFront(t, hideEmulator)
		cfg.Now = func() time.Time { return f.Now().Add(off) }
		report, err := conformance.Run(t.Context(), cfg)
		if err != nil || report.Count(conformance.Differs) > 0 {
			t.Errorf("%v: %q, %v", off, rows(report, conformance.Differs), err)
		}
	}
}

// Whatever the fault of an answer, the run ends, and no token remains.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []lineoauthtest.FaultKind{
		lineoauthtest.ServerError, lineoauthtest.RateLimited, lineoauthtest.NotJSON, lineoauthtest.Endless, lineoauthtest.Redirect,
		lineoauthtest.ResetBefore, lineoauthtest.ResetAfter, lineoauthtest.CutBody, lineoauthtest.WrongDate,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			srv := lineoauthtest.NewServer()
			defer srv.Close()
			srv.Inject(lineoauthtest.Fault{Kind: kind, Operation: lineoauth.OpVerifyChannelToken, Skew: time.Hour})
			report, err := conformance.Run(t.Context(), srv.Config())
			if report == nil || len(report.Rows) < 100 {
				t.Fatalf("%v, %v", report, err)
			}
			if n := liveTokens(srv); n != 0 || errors.Is(err, conformance.ErrNotRevoked) {
				t.Errorf("%d tokens remain: %v", n, err)
			}
			for _, row := range rows(report, conformance.Differs) {
				if row != "v2-verify" && row != "oauth-content-type" { // a page of HTML is both
					t.Errorf("%s differs", row)
				}
			}
		})
	}
}
