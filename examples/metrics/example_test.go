// Package metrics shows the counters of a source, [lineoauth.Source.Stats], as
// metrics of Prometheus, expvar and OpenTelemetry. None needs an event handler, and
// no scrape makes a request.
package metrics

import (
	"context"
	"expvar"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// register exports a source's snapshot as the metrics of a channel.
func register(registry prometheus.Registerer, channelID string, source *lineoauth.Source) {
	registry = prometheus.WrapRegistererWith(prometheus.Labels{"channel": channelID}, registry)
	for name, value := range map[string]func(lineoauth.SourceStats) float64{
		"issued":       func(s lineoauth.SourceStats) float64 { return float64(s.Issued) },
		"adopted":      func(s lineoauth.SourceStats) float64 { return float64(s.Adopted) },
		"failed":       func(s lineoauth.SourceStats) float64 { return float64(s.Failed) },
		"store_failed": func(s lineoauth.SourceStats) float64 { return float64(s.StoreFailed) },
		"invalidated":  func(s lineoauth.SourceStats) float64 { return float64(s.Invalidated) },
		"waited":       func(s lineoauth.SourceStats) float64 { return float64(s.Waited) },
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "line_token_" + name + "_total",
			Help: "See lineoauth.SourceStats.",
		}, func() float64 { return value(source.Stats()) }))
	}
	for name, value := range map[string]func(lineoauth.SourceStats) time.Time{
		"issued":  func(s lineoauth.SourceStats) time.Time { return s.IssuedAt },
		"expires": func(s lineoauth.SourceStats) time.Time { return s.ExpiresAt },
	} {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "line_token_" + name + "_timestamp_seconds",
			Help: "Unix time; 0 without a token.",
		}, func() float64 {
			if at := value(source.Stats()); !at.IsZero() {
				return float64(at.Unix())
			}
			return 0
		}))
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "line_token_valid_seconds",
		Help: "How long the token remains valid; alert when it stays below 60.",
	}, func() float64 { return max(time.Until(source.Stats().ExpiresAt).Seconds(), 0) }))
}

// newSource returns a source, as in a bot.
func newSource(srv *lineoauthtest.Server) *lineoauth.Source {
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := source.Token(context.Background()); err != nil {
		log.Fatal(err)
	}
	return source
}

func Example_prometheus() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	source := newSource(srv)
	defer func() { _ = source.Close() }()

	registry := prometheus.NewRegistry()
	register(registry, "1234567890", source)

	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, "line_token_") && !strings.Contains(line, "_seconds") {
			fmt.Print(line)
		}
	}
	// Output:
	// line_token_adopted_total{channel="1234567890"} 0
	// line_token_failed_total{channel="1234567890"} 0
	// line_token_invalidated_total{channel="1234567890"} 0
	// line_token_issued_total{channel="1234567890"} 1
	// line_token_store_failed_total{channel="1234567890"} 0
	// line_token_waited_total{channel="1234567890"} 1
}

func Example_expvar() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	source := newSource(srv)
	defer func() { _ = source.Close() }()

	expvar.Publish("line_token", expvar.Func(func() any { return source.Stats() }))

	debug := httptest.NewServer(expvar.Handler())
	defer debug.Close()
	rsp, err := http.Get(debug.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = rsp.Body.Close() }()
	shown, err := io.ReadAll(rsp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(string(shown), `"Issued":1`))
	// Output: true
}
