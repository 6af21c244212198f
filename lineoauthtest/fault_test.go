package lineoauthtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// What each fault looks like to a client, over a socket and in memory, and
// whether the token was issued all the same.
func TestFaults(t *testing.T) {
	rows := map[lineoauthtest.FaultKind]struct {
		fault  lineoauthtest.Fault
		issued bool
		check  func(t *testing.T, rsp *http.Response, body []byte, err error)
	}{
		lineoauthtest.ServerError: {lineoauthtest.Fault{}, false, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			if err != nil || rsp.StatusCode != 500 {
				t.Errorf("answer: %v, %v", rsp, err)
			}
		}},
		lineoauthtest.RateLimited: {lineoauthtest.Fault{RetryAfter: "7"}, false, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			if err != nil || rsp.StatusCode != 429 || rsp.Header.Get("Retry-After") != "7" {
				t.Errorf("answer: %v, %v", rsp, err)
			}
		}},
		lineoauthtest.NotJSON: {lineoauthtest.Fault{}, false, func(t *testing.T, rsp *http.Response, body []byte, err error) {
			if err != nil || rsp.StatusCode != 200 || !strings.HasPrefix(rsp.Header.Get("Content-Type"), "text/html") || json.Valid(body) {
				t.Errorf("answer: %v, %s, %v", rsp, body, err)
			}
		}},
		lineoauthtest.Endless: {lineoauthtest.Fault{}, false, func(t *testing.T, rsp *http.Response, body []byte, err error) {
			if err != nil || rsp.StatusCode != 200 || len(body) != readLimit {
				t.Errorf("answer: %v, %d bytes, %v", rsp, len(body), err)
			}
		}},
		lineoauthtest.Redirect: {lineoauthtest.Fault{}, false, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			if err != nil || rsp.StatusCode != 307 || rsp.Header.Get("Location") != "https://elsewhere.invalid/v2/oauth/accessToken" {
				t.Errorf("answer: %v, %v", rsp, err)
			}
		}},
		lineoauthtest.ResetBefore: {lineoauthtest.Fault{}, false, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			if err == nil || rsp != nil {
				t.Errorf("answer: %v, %v", rsp, err)
			}
		}},
		lineoauthtest.ResetAfter: {lineoauthtest.Fault{}, true, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			if err == nil || rsp != nil {
				t.Errorf("answer: %v, %v", rsp, err)
			}
		}},
		lineoauthtest.CutBody: {lineoauthtest.Fault{}, true, func(t *testing.T, rsp *http.Response, body []byte, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) || rsp == nil || rsp.StatusCode != 200 || len(body) == 0 || json.Valid(body) {
				t.Errorf("answer: %v, %s, %v", rsp, body, err)
			}
		}},
		lineoauthtest.WrongDate: {lineoauthtest.Fault{Skew: -5 * time.Minute}, true, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			date, parseErr := http.ParseTime(rsp.Header.Get("Date"))
			if off := time.Since(date); err != nil || parseErr != nil || off < 5*time.Minute || off > 6*time.Minute {
				t.Errorf("Date is %v, %v, %v behind", date, err, off)
			}
		}},
		lineoauthtest.Delayed: {lineoauthtest.Fault{Delay: time.Millisecond}, true, func(t *testing.T, rsp *http.Response, _ []byte, err error) {
			if err != nil || rsp.StatusCode != 200 {
				t.Errorf("answer: %v, %v", rsp, err)
			}
		}},
	}
	checkKinds(t, slices.Sorted(maps.Keys(rows)))
	for kind, tt := range rows {
		tt.fault.Kind = kind
		for _, inMemory := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in memory %v", kind, inMemory), func(t *testing.T) {
				srv := newServer(t)
				client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
				if inMemory {
					client.Transport = srv.Transport()
				}
				form := "grant_type=client_credentials&client_id=" + srv.Channel().ID + "&client_secret=" + srv.Channel().Secret
				issue := func() (*http.Response, []byte, error) {
					rsp, err := client.Post(srv.URL+"/v2/oauth/accessToken", formType, strings.NewReader(form))
					if err != nil {
						return nil, nil, err
					}
					defer rsp.Body.Close()
					body, err := io.ReadAll(io.LimitReader(rsp.Body, readLimit))
					return rsp, body, err
				}
				srv.Inject(tt.fault)
				rsp, body, err := issue() //nolint:bodyclose // issue does
				tt.check(t, rsp, body, err)
				if got := len(srv.State().Tokens) == 1; got != tt.issued {
					t.Errorf("a token was issued: %v", got)
				}
				//nolint:bodyclose // issue does
				if rsp, _, err := issue(); err != nil || rsp.StatusCode != 200 {
					t.Errorf("the next answer: %v, %v", rsp, err)
				}
				state := srv.State()
				if n := state.Calls[lineoauth.OpIssueChannelToken]; n != 2 || len(state.Faults) != 0 {
					t.Errorf("%d calls, faults %+v", n, state.Faults)
				}
				if broken := kind == lineoauthtest.ResetBefore || kind == lineoauthtest.ResetAfter; (state.Requests[0].Status == 0) != broken {
					t.Errorf("status %d was noted", state.Requests[0].Status)
				}
				if off := time.Since(state.Requests[0].Time); off < 0 || off > time.Minute {
					t.Errorf("the request was noted %v ago", off)
				}
				if got := state.Requests[0].Fault; len(state.Requests) != 2 || got != kind || state.Requests[1].Fault != "" {
					t.Errorf("requests = %+v", state.Requests)
				}
			})
		}
	}
}

const readLimit = 4 << 20

// checkKinds fails unless these are all kinds of faults, and documented.
func checkKinds(t *testing.T, kinds []lineoauthtest.FaultKind) {
	t.Helper()
	var names []string
	document, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		names = append(names, string(kind))
		if !bytes.Contains(document, []byte("`"+kind+"`")) {
			t.Errorf("docs/testing.md has no fault %s", kind)
		}
	}
	if help := strings.ReplaceAll(lineoauthtest.Help(), ",\n", ", "); !strings.Contains(help, "Faults: "+strings.Join(names, ", ")+".") {
		t.Errorf("the faults tested are not those of Help: %s", names)
	}
}

func TestFaultsPerOperationAndCounted(t *testing.T) {
	srv := newServer(t)
	client := newClient(t, srv.Config())
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauth.OpIssueChannelToken, Times: 2})
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, Operation: lineoauth.OpIssueStatelessChannelToken, Times: -1})
	var got []int
	for range 4 {
		for _, issue := range []func(context.Context) (*lineoauth.Token, error){client.IssueShortLivedChannelToken, client.IssueStatelessChannelToken} {
			_, err := issue(t.Context())
			status := 200
			if e := new(lineoauth.Error); errors.As(err, &e) {
				status = e.StatusCode
			}
			got = append(got, status)
		}
	}
	if diff := cmp.Diff([]int{500, 429, 500, 429, 200, 429, 200, 429}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	srv.ClearFaults()
	if _, err := client.IssueStatelessChannelToken(t.Context()); err != nil {
		t.Errorf("after ClearFaults: %v", err)
	}
}

// LINE is down in other ways than 500, and may say for how long.
func TestFaultStatus(t *testing.T) {
	for status, message := range map[int]string{0: "Internal server error", 503: "Service Unavailable", 599: "Server error"} {
		srv := newServer(t)
		cfg := srv.Config()
		cfg.MaxAttempts = 1
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Status: status, RetryAfter: "7"})
		_, err := newClient(t, cfg).IssueStatelessChannelToken(t.Context())
		e := new(lineoauth.Error)
		if !errors.As(err, &e) || e.StatusCode != max(status, 500) || e.RetryAfter != 7*time.Second || e.Message != message {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestInjectPanics(t *testing.T) {
	srv := newServer(t)
	for _, f := range []lineoauthtest.Fault{{}, {Kind: "x"}, {Kind: lineoauthtest.ServerError, Status: 404}, {Kind: lineoauthtest.Endless, Operation: "x"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Inject took %+v", f)
				}
			}()
			srv.Inject(f)
		}()
	}
}

// A delay passes in the bubble's time; a client that goes leaves nothing behind.
func TestDelayInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		client := newClient(t, srv.Config())
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: 5 * time.Second})
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Hour})
		start := time.Now()
		if _, err := client.IssueShortLivedChannelToken(t.Context()); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		start = time.Now()
		if _, err := client.IssueShortLivedChannelToken(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != lineoauth.DefaultTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(2 * time.Hour)
		if n := len(srv.State().Tokens); n != 1 {
			t.Errorf("%d tokens are valid; the one whose client disconnected should not have been issued", n)
		}
	})
}

func TestStateHoldsNoSecret(t *testing.T) {
	srv := newServer(t)
	client := newClient(t, srv.Config())
	assertion, err := client.Assertion(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	client = client.WithAssertion(assertion.Reveal())
	v21, err := client.IssueChannelToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	short, err := client.IssueShortLivedChannelToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{srv.Channel().Secret, assertion.Reveal(), v21.AccessToken.Reveal(), short.AccessToken.Reveal()}
	for _, token := range secrets[2:] {
		if _, err := client.VerifyChannelToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if err := client.RevokeChannelToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.ValidChannelAccessTokenKeyIDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	rsp, err := http.Get(srv.URL + "/_emulator/state")
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(text), secret) || strings.Contains(fmt.Sprintf("%+v", srv.State()), secret) {
			t.Errorf("the state shows %.12s…", secret)
		}
	}
	var state lineoauthtest.State
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	if len(state.Requests) != 8 || state.Requests[0].Operation != lineoauth.OpIssueChannelTokenByJWT ||
		state.Requests[0].Fields.Get("client_assertion") != "[redacted]" || state.Requests[0].Fields.Get("grant_type") != "client_credentials" ||
		state.Requests[0].Status != 200 || state.Requests[0].RequestID == "" {
		t.Errorf("requests = %+v", state.Requests)
	}
	if state.Calls[lineoauth.OpVerifyChannelTokenByJWT] != 2 { // once by the revoke
		t.Errorf("calls = %v", state.Calls)
	}
}

// A careless client puts secrets where they do not belong.
func TestStateMasksCarelessRequests(t *testing.T) {
	l := newLine(t)
	const secret = "hunter2hunter2"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.srv.URL+"/v2/oauth/accessToken", strings.NewReader(`{"client_secret":"`+secret+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", formType)
	l.send(req)
	l.issueShort(secret, l.channel.ID)
	l.do("POST", "/v2/oauth/accessToken", "grant_type", secret, "client_id", l.channel.Secret)
	l.do("GET", "/oauth2/v2.1/verify", "accessToken", secret)
	if text := string(mustJSON(t, l.srv.State())); strings.Contains(text, secret) || strings.Contains(text, l.channel.Secret) {
		t.Errorf("the state shows a secret: %s", text)
	}
}

func TestCloseWaitsForRequests(t *testing.T) {
	srv := lineoauthtest.NewServer()
	srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Delayed, Delay: time.Hour, Times: -1})
	client := newClient(t, srv.Config())
	done := make(chan error)
	go func() {
		_, err := client.IssueShortLivedChannelToken(t.Context())
		done <- err
	}()
	for srv.State().Calls[lineoauth.OpIssueChannelToken] == 0 {
		runtime.Gosched()
	}
	srv.Close()
	if err := <-done; err == nil {
		t.Error("a request outlived its server")
	}
	stacks := make([]byte, 1<<20)
	if text := string(stacks[:runtime.Stack(stacks, true)]); strings.Contains(text, "lineoauthtest.(*Server).ServeHTTP") {
		t.Errorf("Close left a request behind:\n%s", text)
	}
}

func TestLastRequestsAreKept(t *testing.T) {
	l := newLine(t)
	for range 120 {
		l.revokeV2("AAAA")
	}
	l.verifyV2("AAAA")
	state := l.srv.State()
	if n := len(state.Requests); n != 100 || state.Requests[99].Operation != lineoauth.OpVerifyChannelToken {
		t.Errorf("%d requests, the last %+v", n, state.Requests[n-1])
	}
	if state.Calls[lineoauth.OpRevokeChannelToken] != 120 {
		t.Errorf("calls = %v", state.Calls)
	}
}

func TestAdmin(t *testing.T) {
	l := newLine(t)
	ask := l.admin
	_, state := ask("GET", "state", "")
	for _, list := range []string{"tokens", "requests", "messages", "faults"} {
		if !cmp.Equal(state[list], any([]any{})) { // which clients may count
			t.Errorf("at first, %s is %v, not an empty list", list, state[list])
		}
	}
	fault := `{"fault":"delayed","operation":"verifyChannelToken","times":3,"delay":"1ms"}`
	status, state := ask("POST", "faults", fault)
	want := map[string]any{"fault": "delayed", "operation": "verifyChannelToken", "times": 3.0, "delay": "1ms"}
	if diff := cmp.Diff([]any{want}, state["faults"]); status != 200 || diff != "" {
		t.Errorf("faults, %d (-want +got):\n%s", status, diff)
	}
	l.verifyV2("AAAA")
	if _, state = ask("GET", "state", ""); !bytes.Contains(mustJSON(t, state["faults"]), []byte(`"times":2`)) {
		t.Errorf("after one: %v", state["faults"])
	}
	if _, state = ask("DELETE", "faults", ""); !cmp.Equal(state["faults"], []any{}) {
		t.Errorf("after DELETE: %v", state["faults"])
	}
	before := l.srv.Now()
	if status, _ = ask("POST", "clock", `{"advance":"15m"}`); status != 200 || l.srv.Now().Sub(before) < 15*time.Minute {
		t.Errorf("clock: %d, moved %v", status, l.srv.Now().Sub(before))
	}
	for _, bad := range []string{"faults {", `faults {"fault":"x"}`, `faults {"fault":"endless","operation":"x"}`, `faults {"fault":"endless","retryAfter":"1"}`, `clock {"advance":"soon"}`} {
		path, body, _ := strings.Cut(bad, " ")
		if status, state := ask("POST", path, body); status != 400 || state["message"] == "" {
			t.Errorf("%s: %d %v", bad, status, state)
		}
	}
	if status, _ := ask("GET", "nothing", ""); status != 404 {
		t.Errorf("unknown path: %d", status)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Every operation that the server has is counted and can go wrong, also one that a
// newer document has added and that nobody has written an answer to.
func TestEveryOperationIsObserved(t *testing.T) {
	l := newLine(t)
	srv := l.srv
	missing := lineoauth.Operations()
	endpoints, _, _ := strings.Cut(lineoauthtest.Help(), "The emulator's own endpoints")
	asked := regexp.MustCompile(`(?m)^    (\w+) (/\S+)$`).FindAllStringSubmatch(endpoints, -1)
	for _, endpoint := range asked {
		method, path := endpoint[1], regexp.MustCompile(`\{\w+\}`).ReplaceAllString(endpoint[2], "x")
		l.do(method, path)
		requests := srv.State().Requests
		op := requests[len(requests)-1].Operation
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: op})
		if answer := l.do(method, path); answer.Status != 500 {
			t.Errorf("%s: %+v", op, answer)
		}
		if state := srv.State(); len(state.Faults) != 0 || state.Calls[op] != 2 || requests[len(requests)-1].Status < 400 {
			t.Errorf("%s: faults left %+v, calls %v, requests %+v", op, state.Faults, state.Calls, requests)
		}
		missing = slices.DeleteFunc(missing, func(known lineoauth.Operation) bool { return known == op })
	}
	if len(missing) != 0 || len(srv.State().Calls) != len(asked) {
		t.Errorf("operations without an endpoint: %q; calls: %v", missing, srv.State().Calls)
	}
}
