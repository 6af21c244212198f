package lineoauthtest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// request sends a request with the given headers, "Host" among them, and returns
// the answer's status and body.
func request(t *testing.T, client *http.Client, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	req.Host = req.Header.Get("Host")
	req.Header.Del("Host")
	rsp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rsp.StatusCode, string(text)
}

// A web page can connect to loopback by DNS rebinding, visible in its Host header,
// and by forms, visible in Origin or Sec-Fetch-Site.
func TestForeignRequestsAreRefused(t *testing.T) {
	srv := newServer(t)
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	for _, tt := range []struct {
		header, value string
		refused       bool
	}{
		{"Host", "", false}, // that of the URL
		{"Host", "localhost", false},
		{"Host", "LOCALHOST.", false},
		{"Host", "localhost" + port, false},
		{"Host", "127.0.0.1:1", false},
		{"Host", "127.1.2.3", false},
		{"Host", "[::1]" + port, false},
		{"Host", "api.line.me", false},
		{"Host", "api.line.me:443", false},
		{"Host", "API-data.LINE.me.", false},
		{"Host", "evil.example", true},
		{"Host", "evil.example" + port, true},
		{"Host", "localhost.evil.example", true},
		{"Host", "127.0.0.1.evil.example", true},
		{"Host", "line.me", true},
		{"Host", "api.line.me.evil.example", true},
		{"Host", "notlocalhost", true},
		{"Host", "192.0.2.1", true},
		{"Host", "emulator:8080", true},
		{"Origin", "https://evil.example", true},
		{"Origin", "http://localhost:1", true}, // another program of the machine's
		{"Origin", "null", true},
		{"Origin", "nonsense", true},
		{"Origin", srv.URL, false},
		{"Sec-Fetch-Site", "cross-site", true},
		{"Sec-Fetch-Site", "same-site", true},
		{"Sec-Fetch-Site", "same-origin", false},
		{"Sec-Fetch-Site", "none", false},
	} {
		for _, path := range []string{"GET /_emulator/state", "POST /_emulator/clock", "POST /v2/oauth/verify", "GET /v2/bot/info", "OPTIONS /_emulator/clock", "GET /nothing"} {
			method, path, _ := strings.Cut(path, " ")
			headers := []string{"Content-Type", "application/json"}
			if tt.value != "" {
				headers = append(headers, tt.header, tt.value)
			}
			status, body := request(t, http.DefaultClient, method, srv.URL+path, `{"advance":"1s"}`, headers...)
			if (status == http.StatusForbidden) != tt.refused || tt.refused && !strings.Contains(body, `"message"`) {
				t.Errorf("%s %s with %s %q: %d %s", method, path, tt.header, tt.value, status, body)
			}
		}
	}
	if calls := srv.State().Calls; len(calls) != 2 || calls[lineoauthtest.OpGetBotInfo] != 13 {
		t.Errorf("refused requests were counted: %v", calls)
	}
	_, body := request(t, http.DefaultClient, "GET", srv.URL+"/v2/bot/info", "", "Host", "emulator:8080")
	if !strings.Contains(body, "--allow-host emulator") || !strings.Contains(body, "AllowHost") {
		t.Errorf("the refusal does not say what to do: %s", body)
	}
}

func TestAllowHost(t *testing.T) {
	srv := newServer(t)
	for _, name := range []string{"Emulator.", "192.0.2.1", "2001:db8::1"} {
		if err := srv.AllowHost(name); err != nil {
			t.Errorf("AllowHost(%q): %v", name, err)
		}
	}
	for host, want := range map[string]int{"emulator:8080": 200, "EMULATOR": 200, "192.0.2.1": 200, "[2001:db8:0::1]:8080": 200, "192.0.2.2": 403, "x.emulator": 403} {
		if status, body := request(t, http.DefaultClient, "GET", srv.URL+"/_emulator/state", "", "Host", host); status != want {
			t.Errorf("%s: %d %.100s", host, status, body)
		}
	}
	if status, _ := request(t, http.DefaultClient, "GET", srv.URL+"/_emulator/state", "", "Host", "emulator:8080", "Origin", "http://emulator:8080"); status != 200 {
		t.Errorf("the same origin: %d", status)
	}
	for _, name := range []string{"", "http://emulator", "emulator:8080", "a/b", "*", ".example", "a b", "a,b"} {
		if err := srv.AllowHost(name); err == nil || !strings.Contains(err.Error(), "host name") {
			t.Errorf("AllowHost(%q): %v", name, err)
		}
	}
}

// What comes by no socket comes from no web page.
func TestAnyHostInMemory(t *testing.T) {
	srv := newServer(t)
	if status, body := request(t, &http.Client{Transport: srv.Transport()}, "GET", "https://emulator.example/_emulator/state", ""); status != 200 {
		t.Errorf("Transport: %d %s", status, body)
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/_emulator/state", nil)) // of example.com
	if w.Code != 200 {
		t.Errorf("ServeHTTP: %d %s", w.Code, w.Body)
	}
}

// A certificate is for names that a web page of another name cannot take.
func TestAnyHostByTLS(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	front := httptest.NewTLSServer(srv)
	defer front.Close()
	if status, body := request(t, front.Client(), "GET", front.URL+"/_emulator/state", "", "Host", "line.example"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := request(t, front.Client(), "GET", front.URL+"/_emulator/state", "", "Origin", "https://page.example"); status != 403 {
		t.Errorf("of a web page: %d %s", status, body)
	}
}

// A server that listens beyond loopback is known by the address that was called.
func TestOwnAddress(t *testing.T) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.To4() == nil || ip.IP.IsLoopback() {
			continue
		}
		srv := lineoauthtest.NewUnstartedServer()
		if srv.Listener, err = net.Listen("tcp", ip.IP.String()+":0"); err != nil {
			t.Fatal(err)
		}
		srv.Start()
		status, body := request(t, http.DefaultClient, "GET", srv.URL+"/_emulator/state", "")
		if status != 200 {
			t.Errorf("%s: %d %s", srv.URL, status, body)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		srv.Close()
		return
	}
	t.Skip("there is no address beyond loopback")
}

// Forms and plain text are what a web page can send without being asked.
func TestAdminTakesJSONAlone(t *testing.T) {
	srv := newServer(t)
	before := srv.Now()
	for _, contentType := range []string{"", "text/plain", formType, "multipart/form-data; boundary=x", "text/plain; application/json", "application/jsonp"} {
		for _, path := range []string{"clock", "faults", "reset"} {
			if status, body := request(t, http.DefaultClient, "POST", srv.URL+"/_emulator/"+path, `{"advance":"1h","fault":"endless"}`, "Content-Type", contentType); status != http.StatusUnsupportedMediaType || !strings.Contains(body, "application/json") {
				t.Errorf("POST %s of %q: %d %s", path, contentType, status, body)
			}
		}
	}
	if status, _ := request(t, http.DefaultClient, "DELETE", srv.URL+"/_emulator/faults", "{}", "Content-Type", "text/plain"); status != http.StatusUnsupportedMediaType {
		t.Errorf("DELETE of text: %d", status)
	}
	for _, call := range []string{"DELETE faults", "DELETE channels/1/keys/x", "PUT channels/1/keys/x"} {
		method, path, _ := strings.Cut(call, " ")
		if status, body := request(t, http.DefaultClient, method, srv.URL+"/_emulator/"+path, "{}"); status != http.StatusUnsupportedMediaType {
			t.Errorf("%s without a type: %d %s", call, status, body)
		}
	}
	if srv.Now().Sub(before) > time.Minute || len(srv.State().Faults) > 0 {
		t.Error("something that was refused took place")
	}
	for _, contentType := range []string{"application/json", "Application/JSON; charset=utf-8"} {
		if status, body := request(t, http.DefaultClient, "POST", srv.URL+"/_emulator/clock", `{"advance":"1h"}`, "Content-Type", contentType); status != 200 {
			t.Errorf("%q: %d %s", contentType, status, body)
		}
	}
	if status, _ := request(t, http.DefaultClient, "DELETE", srv.URL+"/_emulator/faults", ""); status != 200 {
		t.Errorf("DELETE of nothing: %d", status)
	}
}

// A body that stalls, or an answer that nobody reads, is given up.
func TestStalledBodies(t *testing.T) {
	for path, contentType := range map[string]string{
		"/v2/oauth/accessToken": formType, "/v2/bot/message/push": "application/json", "/_emulator/clock": "application/json", "/nothing": "text/plain",
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := lineoauthtest.NewUnstartedServer()
			defer srv.Close()
			body, stalled := io.Pipe()
			defer func() { _ = stalled.Close() }()
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://api.line.me"+path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", contentType)
			start := time.Now()
			go func() { _, _ = stalled.Write([]byte("{")) }()
			done := make(chan string, 1)
			go func() {
				rsp, err := (&http.Client{Transport: srv.Transport(), Timeout: time.Hour}).Do(req)
				if err != nil {
					done <- err.Error()
					return
				}
				_ = rsp.Body.Close()
				done <- rsp.Status
			}()
			if got := <-done; got != "408 Request Timeout" || time.Since(start) != 30*time.Second {
				t.Errorf("%s, after %v: %s", path, time.Since(start), got)
			}
		})
	}
}

func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		srv.Inject(lineoauthtest.Fault{Kind: lineoauthtest.Endless})
		conn, err := srv.Transport().(*http.Transport).DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprint(conn, "GET /v2/bot/info HTTP/1.1\r\nHost: api.line.me\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q, %v", line, err)
		}
		start := time.Now()
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		if n, err := io.Copy(io.Discard, reader); err != nil || n > 1<<20 || time.Since(start) > time.Minute {
			t.Errorf("%d bytes more after %v, %v", n, time.Since(start), err)
		}
	})
}

// A body is read up to a bound.
func TestHugeBody(t *testing.T) {
	srv := newServer(t)
	huge := strings.Repeat(" ", 1<<20+1)
	for _, path := range []string{"/v2/bot/message/push", "/_emulator/clock", "/v2/oauth/verify"} {
		if status, body := request(t, http.DefaultClient, "POST", srv.URL+path, huge, "Content-Type", "application/json"); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
