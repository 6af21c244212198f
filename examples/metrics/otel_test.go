package metrics

import (
	"context"
	"fmt"
	"log"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// observe exports a source's snapshot as OpenTelemetry metrics of a channel. One
// callback observes all, so that they are consistent.
func observe(meter metric.Meter, channelID string, source *lineoauth.Source) (metric.Registration, error) {
	values := map[metric.Int64ObservableCounter]func(lineoauth.SourceStats) uint64{}
	var observed []metric.Observable
	for name, value := range map[string]func(lineoauth.SourceStats) uint64{
		"line.token.issued":       func(s lineoauth.SourceStats) uint64 { return s.Issued },
		"line.token.adopted":      func(s lineoauth.SourceStats) uint64 { return s.Adopted },
		"line.token.failed":       func(s lineoauth.SourceStats) uint64 { return s.Failed },
		"line.token.store_failed": func(s lineoauth.SourceStats) uint64 { return s.StoreFailed },
		"line.token.invalidated":  func(s lineoauth.SourceStats) uint64 { return s.Invalidated },
		"line.token.waited":       func(s lineoauth.SourceStats) uint64 { return s.Waited },
	} {
		counter, err := meter.Int64ObservableCounter(name, metric.WithDescription("See lineoauth.SourceStats."))
		if err != nil {
			return nil, err
		}
		values[counter] = value
		observed = append(observed, counter)
	}
	valid, err := meter.Float64ObservableGauge("line.token.valid", metric.WithUnit("s"),
		metric.WithDescription("How long the token remains valid; alert when it stays below 60."))
	if err != nil {
		return nil, err
	}
	channel := metric.WithAttributes(attribute.String("line.channel.id", channelID))
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := source.Stats()
		for counter, value := range values {
			o.ObserveInt64(counter, int64(value(stats)), channel) //nolint:gosec // a count of calls
		}
		o.ObserveFloat64(valid, max(time.Until(stats.ExpiresAt).Seconds(), 0), channel)
		return nil
	}, append(observed, valid)...)
}

func Example_openTelemetry() {
	srv := lineoauthtest.NewServer() // in place of LINE
	defer srv.Close()
	source := newSource(srv)
	defer func() { _ = source.Close() }()

	reader := sdk.NewManualReader() // in place of a reader that exports
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	registration, err := observe(provider.Meter("lineoauth"), "1234567890", source)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = registration.Unregister() }() // before the source is closed

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		log.Fatal(err)
	}
	var lines []string
	for _, m := range collected.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			lines = append(lines, fmt.Sprint(m.Name, " ", data.DataPoints[0].Value))
		case metricdata.Gauge[float64]:
			lines = append(lines, fmt.Sprint(m.Name, " more than 14 minutes: ", data.DataPoints[0].Value > 14*60))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
	// Output:
	// line.token.adopted 0
	// line.token.failed 0
	// line.token.invalidated 0
	// line.token.issued 1
	// line.token.store_failed 0
	// line.token.valid more than 14 minutes: true
	// line.token.waited 1
}
