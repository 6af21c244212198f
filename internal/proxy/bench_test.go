package proxy_test

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// One push at a time, compared with a direct one. make bench measures it as a
// separate process.
func BenchmarkPush(b *testing.B) {
	w := newFixture(b, setting{handler: func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"sentMessages":[{"id":"461230966842064897"}]}`)
	}, proxy: withoutLog})
	for name, url := range map[string]string{"direct": w.upstream.URL, "proxy": w.URL} {
		b.Run(name, func(b *testing.B) {
			w := *w
			w.URL = url
			w.do("POST", "/v2/bot/message/push", message)
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begun := time.Now()
				w.do("POST", "/v2/bot/message/push", message)
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/median")
		})
	}
}
