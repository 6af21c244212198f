// Package otel shows OpenTelemetry: spans of otelhttp for a bot's requests, and
// one for each thing that happens to its token. The calls that issue and verify
// tokens do not go through otelhttp, which records URLs: two of them carry a
// secret.
package otel

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func Example() {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))

	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()

	cfg := srv.Config()
	cfg.OnEvent = func(e lineoauth.Event) {
		_, span := provider.Tracer("lineoauth").Start(context.Background(), string(e.Kind))
		defer span.End()
		if e.Err != nil {
			span.RecordError(e.Err)
		}
	}
	client, err := lineoauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	bot := &http.Client{Transport: otelhttp.NewTransport(&lineoauth.Transport{Source: source},
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))}

	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, srv.URL+"/v2/bot/info", nil)
	if err != nil {
		log.Fatal(err)
	}
	rsp, err := bot.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	_ = rsp.Body.Close()

	token, err := source.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	// By then the source has reported its background work.
	if err := source.Close(); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		shown := fmt.Sprintf("%+v", span)
		fmt.Println(span.Name, "shows the token:", strings.Contains(shown, token.AccessToken.Reveal()))
	}
	// Unordered output:
	// token issued shows the token: false
	// GET /v2/bot/info shows the token: false
}
