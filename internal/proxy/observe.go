package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// answer is the response to a client and the outcome of its request.
type answer struct {
	http.ResponseWriter
	begun  time.Time
	status int
	bytes  int64
	err    error
}

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if status >= 200 && a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Hijack is for upgraded connections, after a 101 answer.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.status = http.StatusSwitchingProtocols
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// done counts and logs a request.
func (p *Proxy) done(a *answer, r *http.Request) {
	if a.status == 0 {
		a.status = clientGone
	}
	p.mu.Lock()
	p.statuses[a.status]++
	p.mu.Unlock()
	if p.log == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", loggedMethod(r.Method)),
		slog.String("path", loggedPath(r.URL.Path)),
		slog.Int("status", a.status),
		slog.Float64("ms", float64(time.Since(a.begun).Microseconds())/1000),
		slog.Int64("bytes", a.bytes),
	}
	if id := a.Header().Get("X-Line-Request-Id"); requestID.MatchString(id) {
		attrs = append(attrs, slog.String("request_id", id))
	}
	level := slog.LevelInfo
	if a.err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", scrubbed(a.err)))
	}
	p.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID matches LINE's request IDs, which are shorter than any token.
var requestID = regexp.MustCompile(`^[\w-]{1,64}$`)

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

func loggedMethod(method string) string {
	if slices.Contains(methods, method) {
		return method
	}
	return "another"
}

// word matches the segments of LINE's paths that are not IDs or tokens.
var word = regexp.MustCompile(`^([a-zA-Z]{1,24}|v[0-9.]{1,4})$`)

// loggedPath returns a path without IDs of users and messages, and without a token
// that a client put there.
func loggedPath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part != "" && !word.MatchString(part) {
			parts[i] = "…"
		}
	}
	return strings.Join(parts[:min(len(parts), 16)], "/")
}

// tokenLike matches tokens in an error of a server that repeats the request.
var tokenLike = regexp.MustCompile(`eyJ[\w+/=.-]*|[\w+/=.-]{40,}`)

func scrubbed(err error) string { return tokenLike.ReplaceAllString(err.Error(), "[redacted]") }

// healthWait is how long a health check waits for a token: less than the timeout of probes.
const healthWait = 800 * time.Millisecond

func (p *Proxy) routeOwn() {
	p.own = http.NewServeMux()
	p.own.HandleFunc("GET /_proxy/health", p.health)
	p.own.HandleFunc("GET /_proxy/metrics", p.metrics)
}

// health reports whether there is a valid token, and issues one if there is none.
func (p *Proxy) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthWait)
	defer cancel()
	status, body := http.StatusOK, map[string]any{"healthy": true}
	if token, err := p.source.Token(ctx); err != nil {
		status = http.StatusServiceUnavailable
		body = map[string]any{"healthy": false, "message": scrubbed(err)}
	} else {
		body["type"] = token.Kind
		body["expires_at"] = p.source.Stats().ExpiresAt.UTC().Format(time.RFC3339)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// metrics writes the metrics in the text format of Prometheus.
func (p *Proxy) metrics(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	statuses := maps.Clone(p.statuses)
	p.mu.Unlock()
	stats := p.source.Stats()
	var issued int64
	var expires float64
	if left := stats.ExpiresAt.Sub(p.now()).Seconds(); left > 0 {
		issued, expires = stats.IssuedAt.Unix(), left
	}
	var b strings.Builder
	metric := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP lineoauth_proxy_%s %s\n# TYPE lineoauth_proxy_%[1]s %[3]s\n", name, help, kind)
	}
	metric("requests_total", "counter", "Requests by the status of the answer; 499 if the client did not wait for it.")
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		fmt.Fprintf(&b, "lineoauth_proxy_requests_total{status=\"%d\"} %d\n", status, statuses[status])
	}
	metric("tokens_issued_total", "counter", "Tokens that this proxy issued.")
	fmt.Fprintf(&b, "lineoauth_proxy_tokens_issued_total %d\n", stats.Issued)
	metric("token_failures_total", "counter", "Failed attempts to get a token.")
	fmt.Fprintf(&b, "lineoauth_proxy_token_failures_total %d\n", stats.Failed)
	metric("token_issued_timestamp_seconds", "gauge", "Unix time when the token was issued, 0 without a valid one.")
	fmt.Fprintf(&b, "lineoauth_proxy_token_issued_timestamp_seconds %d\n", issued)
	metric("token_expires_seconds", "gauge", "Seconds until the token expires, 0 without a valid one.")
	fmt.Fprintf(&b, "lineoauth_proxy_token_expires_seconds %.0f\n", expires)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}
