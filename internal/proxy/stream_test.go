package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// endless is a body of n bytes that are generated as they are read.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	return int(n), nil
}

// 20 MB are streamed each way without buffering. The test is not parallel, so that
// other tests allocate nothing meanwhile.
func TestStreams(t *testing.T) {
	const size = 20 << 20
	received := make(chan int64, 1)
	w := newFixture(t, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		received <- n
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, &endless{size}, make([]byte, 32<<10))
	}})
	if status, _, _ := w.do("GET", "/_proxy/health", ""); status != 200 {
		t.Fatal("no token")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req, err := http.NewRequest("POST", w.URL+"/v2/bot/richmenu/1/content", &endless{size})
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, rsp.Body, make([]byte, 32<<10))
	runtime.ReadMemStats(&after)
	if sent := <-received; sent != size || got != size || err != nil {
		t.Errorf("%d bytes sent, %d received, of %d: %v", sent, got, size, err)
	}
	// The total allocation bounds the memory in use.
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

// Data reaches the client before LINE has sent all of it, and the other way around.
func TestStreamsAtOnce(t *testing.T) {
	t.Parallel()
	first := make(chan string)
	w := newFixture(t, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		part := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, part); err != nil {
			t.Error(err)
		}
		first <- string(part)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "parts")
		_ = http.NewResponseController(w).Flush()
		first <- "sent"
		<-first
		_, _ = io.WriteString(w, "after")
	}})
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "bytes")
		if got := <-first; got != "bytes" {
			t.Errorf("LINE first got %q", got)
		}
		_, _ = io.WriteString(writer, "and more")
		_ = writer.Close()
	}()
	req, err := http.NewRequest("POST", w.URL+"/v2/bot/richmenu/1/content", body)
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	<-first
	part := make([]byte, 5)
	if _, err := io.ReadFull(rsp.Body, part); err != nil || string(part) != "parts" {
		t.Errorf("first got %q, %v", part, err)
	}
	first <- "continue"
	if rest, err := io.ReadAll(rsp.Body); err != nil || string(rest) != "after" {
		t.Errorf("then %q, %v", rest, err)
	}
}

// No part of a token is logged or returned, wherever bots and servers put it.
func TestSecrets(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		w.Header().Set("X-Line-Request-Id", token)
		switch r.URL.Query().Get("do") {
		case "echo":
			w.WriteHeader(http.StatusBadRequest)
		case "nonsense":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, token+" nonsense\r\n\r\n")
			_ = conn.Close()
		case "break":
			panic(http.ErrAbortHandler)
		case "cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}})
	opaque := strings.Repeat("Ab3/x+", 28) + "c2E="
	var told strings.Builder
	for _, do := range []string{"echo", "nonsense", "break", ""} {
		for _, path := range []string{"/v2/bot/info", "/" + placeholder, "/v2/" + opaque, "/v2/bot/message/push"} {
			status, header, text := w.do("POST", path+"?access_token="+placeholder+"&do="+do, placeholder)
			if want := map[string]int{"echo": 400, "nonsense": 502, "break": 502, "": 200}[do]; status != want {
				t.Errorf("%s: %d %s", do, status, text)
			}
			header.Del("X-Line-Request-Id") // that of LINE
			told.WriteString(fmt.Sprint(header) + text)
		}
	}
	req, err := http.NewRequest(placeholder, w.URL+"/v2/bot/info?do=cut", nil)
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(rsp.Body); err == nil {
		t.Error("a truncated answer arrived complete")
	}
	_ = rsp.Body.Close()
	w.line.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Times: -1})
	w.line.Advance(16 * time.Minute)
	for _, path := range []string{"/v2/bot/info", "/_proxy/health"} {
		status, header, text := w.do("GET", path, "")
		// A health check does not wait for all attempts.
		if asked := path == "/v2/bot/info"; status != 503 || asked && (!strings.Contains(text, "LINE answered 500") || header.Get("Retry-After") == "") {
			t.Errorf("%s without a token: %d %s", path, status, text)
		}
		told.WriteString(text)
	}
	_, _, text := w.do("GET", "/_proxy/metrics", "")
	told.WriteString(text)
	log := w.log.String()
	if found := regexp.MustCompile(`eyJ|made\.up|Ab3|x\+|Bearer`).FindString(log + told.String()); found != "" {
		t.Errorf("%q is shown in\n%s%s", found, log, told.String())
	}
	for _, want := range []string{
		`"path":"/v2/bot/message/push","status":400`, `"method":"another","path":"/v2/bot/info","status":200`,
		`"status":502`, `"level":"WARN"`, `"status":503`, "LINE answered 500", `"error":"LINE's answer broke off"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	for line := range strings.Lines(log) {
		if !regexp.MustCompile(`^{"time":"[^"]+","level":"(INFO|WARN)","msg":"request","method":"\w+","path":"/[^"]*","status":\d+,"ms":[\d.]+,"bytes":\d+(,"\w+":"[^"]*(\\"[^"]*)*")*}\n$`).MatchString(line) {
			t.Errorf("a line of the log is %s", line)
		}
	}
}

// A WebSocket works both ways, and is logged as such.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.CopyN(conn, rw, int64(len(message)))
	}})
	ended := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.proxy.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	w.URL = srv.URL
	req, err := http.NewRequest("GET", w.URL+"/v2/bot/info", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	rsp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(rsp.Body.(io.Writer), message)
	if echo, err := io.ReadAll(rsp.Body); rsp.StatusCode != 101 || string(echo) != message {
		t.Errorf("%d %q, %v", rsp.StatusCode, echo, err)
	}
	_ = rsp.Body.Close()
	<-ended
	if log := w.log.String(); !strings.Contains(log, `"status":101`) {
		t.Errorf("the log is %s", log)
	}
}

// An upgrade is ignored, over HTTP/1 and HTTP/2, unless it is to a WebSocket, which
// takes a connection of HTTP/1.
func TestUpgradesIgnored(t *testing.T) {
	t.Parallel()
	for name, overTLS := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		w := newFixture(t, setting{tls: overTLS, handler: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s%s%s%s", r.Proto, r.Header["Upgrade"], r.Header["Http2-Settings"], body)
		}})
		for upgrade, want := range map[string]string{
			"h2c": name + "[][]", "H2C, websocket": name + "[][]", "TLS/1.2": name + "[][]",
			"echo": name + "[][]", "websocket": "HTTP/1.1[websocket][]",
		} {
			for _, connection := range []string{"Upgrade, HTTP2-Settings", "upgrade"} {
				status, _, text := w.do("POST", "/v2/bot/message/push", message, func(r *http.Request) {
					r.Header.Set("Connection", connection)
					r.Header.Set("Upgrade", upgrade)
					r.Header.Set("Http2-Settings", "AAEAAEAAAAIAAAAB")
				})
				if status != 200 || text != want+message {
					t.Errorf("%s to %s, with Connection: %s: %d %s", name, upgrade, connection, status, text)
				}
			}
		}
	}
}

// Health and metrics report the state of the token and the requests.
func TestOwnPaths(t *testing.T) {
	t.Parallel()
	w := newFixture(t, setting{})
	status, header, text := w.do("GET", "/_proxy/health", "")
	if status != 200 || header.Get("Content-Type") != "application/json" || !strings.Contains(text, `"expires_at":"20`) {
		t.Errorf("health: %d %s", status, text)
	}
	w.do("POST", "/v2/bot/message/push", message)
	w.do("POST", "/v2/bot/message/push", "{")
	w.do("POST", "/v2/bot/message/push", message)
	_, header, text = w.do("GET", "/_proxy/metrics", "")
	for _, want := range []string{
		"\nlineoauth_proxy_requests_total{status=\"200\"} 2\n", "{status=\"400\"} 1\n", "# TYPE lineoauth_proxy_requests_total counter\n",
		"\nlineoauth_proxy_tokens_issued_total 1\n", "\nlineoauth_proxy_token_failures_total 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q:\n%s", want, text)
		}
	}
	if !regexp.MustCompile(`(?m)^lineoauth_proxy_token_expires_seconds (899|900|8\d\d)$`).MatchString(text) || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("metrics: %v\n%s", header, text)
	}
	issued := regexp.MustCompile(`(?m)^lineoauth_proxy_token_issued_timestamp_seconds (\d+)$`).FindStringSubmatch(text)
	if issued == nil || issued[1] == "0" {
		t.Errorf("metrics do not show when the token was issued:\n%s", text)
	}
	if status, _, _ := w.do("GET", "/_proxy/nothing", ""); status != 404 {
		t.Errorf("an unknown path: %d", status)
	}
	if status, _, _ := w.do("POST", "/_proxy/health", ""); status != 405 {
		t.Errorf("POST: %d", status)
	}
	w.line.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "60", Times: -1})
	if status, _, text := w.do("GET", "/_proxy/health", ""); status != 200 {
		t.Errorf("health with a valid token, LINE down: %d %s", status, text)
	}
	w.line.Advance(16 * time.Minute)
	if status, _, text := w.do("GET", "/_proxy/health", ""); status != 503 || !strings.Contains(text, `"healthy":false`) {
		t.Errorf("health without a token: %d %s", status, text)
	}
	if status, header, _ := w.do("GET", "/v2/bot/info", ""); status != 503 || header.Get("Retry-After") != "60" {
		t.Errorf("a request without a token: %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	_, _, text = w.do("GET", "/_proxy/metrics", "")
	if !strings.Contains(text, "\nlineoauth_proxy_token_issued_timestamp_seconds 0\n") {
		t.Errorf("without a token, metrics show when it was issued:\n%s", text)
	}
	if !strings.Contains(text, "\nlineoauth_proxy_token_expires_seconds 0\n") || strings.Contains(text, "token_failures_total 0\n") {
		t.Errorf("metrics without a token:\n%s", text)
	}
}

// Active requests finish on shutdown, unless they take too long.
func TestEnd(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"finished": time.Minute, "cut": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived, release := make(chan struct{}), make(chan struct{})
			w := newFixture(t, setting{kind: lineoauth.ShortLived, handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				close(arrived)
				select {
				case <-release:
				case <-r.Context().Done():
				}
				_, _ = io.WriteString(w, "done")
			}})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- w.proxy.Serve(ctx, l, grace) }()
			rsp, err := w.client.Get("http://" + l.Addr().String() + "/v2/bot/info")
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()
			<-arrived
			end()
			if name == "finished" {
				for err == nil { // until no more connections are accepted
					var conn net.Conn
					if conn, err = net.Dial("tcp", l.Addr().String()); err == nil {
						_ = conn.Close()
						runtime.Gosched()
					}
				}
				close(release)
			}
			data, err := io.ReadAll(rsp.Body)
			if whole := err == nil && string(data) == "halfdone"; whole != (name == "finished") {
				t.Errorf("the answer is %q, %v", data, err)
			}
			if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
			const reason = `"error":"the proxy ended before the whole answer was sent"`
			if log := w.log.String(); strings.Contains(log, reason) != (name == "cut") || strings.Contains(log, "client") {
				t.Errorf("the log is %s", log)
			}
		})
	}
}
