package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lineoauth/lineoauth"
)

// The sources of recorded and claimed facts.
const (
	omniauth = "omniauth-line, 2026-09-03"
	zenn     = "a Zenn article, 2023-03"
	rustALC  = "rust-alc-api, 2026-04"
	pySDK    = "line-bot-sdk-python issue 823, 2025-07"
	android  = "line-sdk-android issue 98, 2020-12"
	choo     = "choo-todo-bot, a test against LINE"
	probes   = "live probes, 2026-09"
	laravel  = "laravel-line-sdk issue 9, 2024-12"
	goOAuth2 = "golang/oauth2 issue 236, 2017"
	scanner  = "a secret scanner's rule"
)

// row is one fact.
type row struct {
	name     string
	strength Strength
	source   string
	to       endpoint
	// One of these three selects the answer: ask sends requests; of uses the first
	// answer with a token of a kind; every selects from all previous answers.
	ask   step
	of    lineoauth.Kind
	every func(*answer) bool
	// want is the emulator's answer; other servers may also answer as in or, where
	// LINE's page and a recording, or clocks, differ.
	want, or expect
	// emulator: the row needs an emulator. issues: ask issues a token, or may.
	emulator, issues bool
}

// table returns the facts in the order in which they are tried: a token is issued
// before it is looked at, verified before it is revoked, and an emulator's clock is
// moved last.
func table() []row {
	return slices.Concat(statelessRows(), assertionRows(), shortLivedRows(), v21Rows(), revocationRows(), emulatorRows(), headerRows())
}

// headerRows check all the answers before them.
func headerRows() []row {
	oauth := func(a *answer) bool { return a.to.isOAuth() && a.status != 429 && a.status < 500 }
	withBody := func(a *answer) bool { return oauth(a) && len(a.body) > 0 }
	bot := func(a *answer) bool { return a.to == botInfo }
	line := func(a *answer) bool { return bot(a) || a.to.isOAuth() }
	return []row{
		{name: "oauth-content-type", strength: Recorded, source: omniauth, to: "any OAuth endpoint", every: withBody,
			want: header("Content-Type", "application/json;charset=UTF-8")},
		{name: "oauth-cache-control", strength: Recorded, source: omniauth, to: "any OAuth endpoint", every: oauth,
			want: header("Cache-Control", "max-age=0, no-cache, no-store")},
		{name: "oauth-pragma", strength: Recorded, source: omniauth, to: "any OAuth endpoint", every: oauth,
			want: header("Pragma", "no-cache")},
		{name: "oauth-nosniff", strength: Recorded, source: omniauth, to: "any OAuth endpoint", every: oauth,
			want: header("X-Content-Type-Options", "nosniff")},
		{name: "oauth-request-id", strength: Recorded, source: omniauth, to: "any OAuth endpoint", every: oauth,
			want: headerForm("X-Line-Request-Id", "16 hex digits", `^[0-9a-fA-F]{16}$`)},
		{name: "bot-request-id", strength: Documented, to: botInfo, every: bot,
			want: headerForm("X-Line-Request-Id", "a UUID", `^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)},
		{name: "rate-limit-headers", strength: Undocumented, to: "any endpoint", every: line, want: noRateLimitHeaders()},
	}
}

func header(name, want string) expect { return headerForm(name, want, "^"+regexp.QuoteMeta(want)+"$") }

func headerForm(name, what, form string) expect {
	pattern := regexp.MustCompile(form)
	return expect{
		text: name + ": " + what,
		ok:   func(_ *run, a *answer) bool { return pattern.MatchString(a.header.Get(name)) },
		got: func(r *run, a *answer) string {
			value := a.header.Get(name)
			if name == "X-Line-Request-Id" {
				value = r.requestID(a)
			} else {
				value = r.clean(value)
			}
			return fmt.Sprintf("%s: %s with %d at %s", name, value, a.status, a.to)
		},
	}
}

func noRateLimitHeaders() expect {
	found := func(a *answer) string {
		for name := range a.header {
			if lower := strings.ToLower(name); lower == "retry-after" || strings.Contains(lower, "ratelimit") {
				return name
			}
		}
		return ""
	}
	return expect{
		text: "no Retry-After, no X-RateLimit-…",
		ok:   func(_ *run, a *answer) bool { return found(a) == "" },
		got: func(r *run, a *answer) string {
			if name := found(a); name != "" {
				return r.clean(name) + " at " + string(a.to)
			}
			return "none"
		},
	}
}
