package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/proxy"
)

// No test leaks a goroutine.
func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A proxy variable that net/http would misread fails the request by its name, before a
// part of its password is looked up.
func TestUnreadableProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://user:pass@hunter2/word@proxy.example:3128")
	t.Setenv("NO_PROXY", "")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.line.me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := proxy.NewTransport().Proxy(req); err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY cannot be read") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("proxy = %v, %v", to, err)
	}
}

// A request gets a token and is otherwise forwarded unchanged; so is the answer.
func TestPassesOn(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	w := newFixture(t, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.Header().Set("X-Line-Request-Id", "abc-1")
		w.Header().Set("Content-Encoding", "br")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "\x00answer")
	}})
	status, header, text := w.do("PATCH", "/v2/bot/x%2Fy/%C3%A9?a=1&a=2;3&b", "body", func(r *http.Request) {
		r.Header.Add("Authorization", "Bearer another")
		r.Header.Set("X-Line-Retry-Key", "k")
		r.Header.Set("X-Forwarded-For", "1.2.3.4")
		r.Header.Set("User-Agent", "bot/1")
	})
	token, err := w.source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Bearer " + token.AccessToken.Reveal()}; len(got.Header["Authorization"]) != 1 || got.Header["Authorization"][0] != want[0] {
		t.Errorf("LINE got %d Authorization headers, or the wrong token", len(got.Header["Authorization"]))
	}
	if got.Method != "PATCH" || got.RequestURI != "/v2/bot/x%2Fy/%C3%A9?a=1&a=2;3&b" || body != "body" ||
		got.Header.Get("X-Line-Retry-Key") != "k" || got.Header.Get("User-Agent") != "bot/1" || got.Header.Get("X-Forwarded-For") != "" ||
		"http://"+got.Host != w.upstream.URL {
		t.Errorf("LINE got %s %s of %s with %q and %v", got.Method, got.RequestURI, got.Host, body, got.Header)
	}
	if status != 202 || text != "\x00answer" || header.Get("X-Line-Request-Id") != "abc-1" || header.Get("Content-Encoding") != "br" {
		t.Errorf("the answer is %d %v %q", status, header, text)
	}
}

// LINE has a separate host for content; any other base URL serves it itself.
func TestContentHost(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 1)
	record := func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host }
	theirs := newFixture(t, setting{handler: record, tls: true, named: true})
	other := newFixture(t, setting{handler: record})
	for path, content := range map[string]bool{
		"/v2/bot/message/325708/content":             true,
		"/v2/bot/message/325708/content/transcoding": true,
		"/v2/bot/message/325708/content/preview":     true,
		"/v2/bot/richmenu/richmenu-88c05/content":    true,
		"/v2/bot/audienceGroup/upload/byFile":        true,
		"/v2/bot/message/push":                       false,
		"/v2/bot/message/content":                    false,
		"/v2/bot/info":                               false,
		"/v2/bot/richmenu/richmenu-88c05":            false,
		"/v2/bot/audienceGroup/upload":               false,
		"/x/v2/bot/message/1/content":                false,
	} {
		want := "api.line.me"
		if content {
			want = "api-data.line.me"
		}
		if status, _, text := theirs.do("GET", path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		} else if host := <-hosts; host != want {
			t.Errorf("%s goes to %s", path, host)
		}
		if status, _, text := other.do("GET", path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		} else if host := <-hosts; "http://"+host != other.upstream.URL {
			t.Errorf("%s goes to %s", path, host)
		}
	}
}

// Web pages are refused: they send an Origin, or their own Host.
func TestRefuses(t *testing.T) {
	t.Parallel()
	asked := new(atomic.Int64)
	w := newFixture(t, setting{
		handler: func(http.ResponseWriter, *http.Request) { asked.Add(1) },
		proxy:   func(cfg *proxy.Config) { cfg.Hosts = []string{"Bots.internal"} },
	})
	port := w.URL[strings.LastIndex(w.URL, ":"):]
	for name, tt := range map[string]struct {
		method, path string
		change       func(*http.Request)
		want         int
	}{
		"its address":     {"GET", "/v2/bot/info", func(*http.Request) {}, 200},
		"localhost":       {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "LOCALHOST." + port }, 200},
		"IPv6":            {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "[::1]" + port }, 200},
		"an allowed name": {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "bots.INTERNAL" }, 200},
		"another name":    {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "evil.example" + port }, 403},
		"LINE's name":     {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "api.line.me" }, 403},
		"a longer name":   {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "localhost.evil.example" }, 403},
		"another address": {"GET", "/v2/bot/info", func(r *http.Request) { r.Host = "10.0.0.1" }, 403},
		"an Origin":       {"POST", "/v2/bot/message/push", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"its own Origin":  {"GET", "/v2/bot/info", func(r *http.Request) { r.Header.Set("Origin", w.URL) }, 403},
		"null Origin":     {"GET", "/v2/bot/info", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"empty Origin":    {"GET", "/v2/bot/info", func(r *http.Request) { r.Header["Origin"] = []string{""} }, 403},
		"health":          {"GET", "/_proxy/health", func(r *http.Request) { r.Host = "evil.example" }, 403},
		"metrics":         {"GET", "/_proxy/metrics", func(r *http.Request) { r.Header.Set("Origin", "x") }, 403},
		"TRACE":           {"TRACE", "/v2/bot/info", func(*http.Request) {}, 405},
	} {
		before := asked.Load()
		status, _, text := w.do(tt.method, tt.path, "", tt.change)
		if status != tt.want || (asked.Load() > before) != (tt.want == 200) {
			t.Errorf("%s: %d, %d requests at LINE; want %d", name, status, asked.Load()-before, tt.want)
		}
		var answer struct{ Message string }
		if err := json.Unmarshal([]byte(text), &answer); tt.want != 200 && (err != nil || !strings.HasPrefix(answer.Message, "lineoauth proxy: the ")) {
			t.Errorf("%s: %q", name, text)
		}
	}
	for head, want := range map[string]string{
		"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost":     "HTTP/1.1 405",
		"OPTIONS * HTTP/1.1\r\nHost: evil.example":              "HTTP/1.1 403",
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nOrigin: null": "HTTP/1.1 403",
	} {
		conn, err := net.Dial("tcp", w.URL[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, head+"\r\n\r\n")
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != want {
			t.Errorf("%q: %q, %v; want %s", head, answer, err, want)
		}
		_ = conn.Close()
	}
}

// Requests to LINE use HTTP/2.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{tls: true, handler: func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}})
	for range 3 {
		if _, _, text := w.do("POST", "/v2/bot/message/push", message); text != "HTTP/2.0" {
			t.Errorf("LINE got %s", text)
		}
	}
}

// The number of concurrent requests has no limit.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const many = 300 // more than the usual limits, 100 and 250
	var here atomic.Int64
	all := make(chan struct{})
	w := newFixture(t, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		if here.Add(1) == many {
			close(all)
		}
		select { // answer only once all have been received
		case <-all:
		case <-r.Context().Done():
		}
	}})
	// These clients take less time than those of net/http.
	var clients []net.Conn
	for range many {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = fmt.Fprintf(conn, "POST /v2/bot/message/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(message), message)
		clients = append(clients, conn)
	}
	for _, conn := range clients {
		rsp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		if rsp.StatusCode != 200 {
			t.Errorf("%d", rsp.StatusCode)
		}
	}
}

// A token is renewed before it expires, without any failed request.
func TestRenewal(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{})
	w.load(8, 18, func() { w.line.Advance(13 * time.Minute) })
	if stats := w.source.Stats(); stats.Issued < 3 || stats.Invalidated > 0 {
		t.Errorf("%d tokens were issued, %d refused", stats.Issued, stats.Invalidated)
	}
}

// A revoked token is replaced, without any failed request.
func TestRevoked(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{kind: lineoauth.V21})
	once := sync.OnceFunc(w.revoke)
	w.load(8, 12, once)
	if stats := w.source.Stats(); stats.Issued != 2 || stats.Invalidated != 1 {
		t.Errorf("%d tokens were issued, %d refused", stats.Issued, stats.Invalidated)
	}
}

// A request that cannot be sent again gets LINE's 401, once.
func TestLongBodyRefused(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{kind: lineoauth.V21})
	if status, _, text := w.do("POST", "/v2/bot/message/push", message); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	w.revoke()
	if status, _, text := w.do("POST", "/v2/bot/message/push", `{"to":"`+strings.Repeat("x", 300<<10)); status != 401 {
		t.Errorf("a long body: %d %s", status, text)
	}
	if status, _, text := w.do("POST", "/v2/bot/message/push", message); status != 200 {
		t.Errorf("after it: %d %s", status, text)
	}
}

// When a client disconnects, its request to LINE is canceled.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	arrived, left := make(chan struct{}), make(chan struct{})
	w := newFixture(t, setting{handler: func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, err := http.NewRequestWithContext(ctx, "GET", w.URL+"/v2/bot/info", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if rsp, err := w.client.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", rsp, err)
			if err == nil {
				_ = rsp.Body.Close()
			}
		}
	}()
	<-arrived
	cancel()
	<-left
	<-done
}

// An answer whose status is not an HTTP status counts as none.
func TestStatusThatIsNone(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"000", "099", "001"} {
		w := newFixture(t, setting{handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 "+status+" Odd\r\nContent-Length: 2\r\n\r\nhi")
			_ = conn.Close()
		}})
		got, _, text := w.do("GET", "/v2/bot/info", "")
		if got != 502 || !strings.Contains(text, "lineoauth proxy: no answer from LINE: the answer's status is not an HTTP status; ") {
			t.Errorf("%s: %d %s", status, got, text)
		}
		_, _, text = w.do("GET", "/_proxy/metrics", "")
		if log := w.log.String(); !strings.Contains(log, `"status":502`) || !strings.Contains(text, "{status=\"502\"} 1\n") {
			t.Errorf("%s: the log is %s, the metrics\n%s", status, log, text)
		}
	}
}
