package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/lineoauth/lineoauth"
)

// requests measures one request with a cached token.
func requests() {
	base := rawServer()
	ctx := context.Background()
	live := func(context.Context) (time.Duration, error) { return time.Hour, nil }
	client, err := lineoauth.New(lineoauth.Config{
		ChannelID:     "1234567890",
		ChannelSecret: lineoauth.NewSecret("0123456789abcdef0123456789abcdef"),
		BaseURL:       base,
		Transport:     minting(live),
	})
	check(err)
	source, err := client.Source(lineoauth.SourceConfig{})
	check(err)
	wire := &http.Transport{}
	contenders := []struct {
		name string
		http *http.Client
		set  string
	}{
		{"a header set manually", &http.Client{Transport: wire}, "Bearer token"},
		{"lineoauth's Transport", &http.Client{Transport: &lineoauth.Transport{Source: source, Base: wire}}, ""},
		{"x/oauth2's Transport", &http.Client{Transport: &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, oauthSource(live)), Base: wire}}, ""},
	}
	rows := make([][]string, len(contenders))
	var floor testing.BenchmarkResult
	for i, c := range contenders {
		request := func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v2/bot/info", nil)
			check(err)
			if c.set != "" {
				req.Header.Set("Authorization", c.set)
			}
			rsp, err := c.http.Do(req)
			check(err)
			_, err = io.Copy(io.Discard, rsp.Body)
			check(err)
			check(rsp.Body.Close())
		}
		request()
		r := best(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request()
			}
		})
		if i == 0 {
			floor = r
		}
		rows[i] = []string{c.name,
			fmt.Sprintf("%.1f (%.2f×)", perOp(r)/1000, perOp(r)/perOp(floor)),
			fmt.Sprintf("%d (%.2f×)", r.AllocsPerOp(), float64(r.AllocsPerOp())/float64(floor.AllocsPerOp()))}
	}
	table("One request with a token, on a kept-alive loopback connection", []string{"", "µs", "allocations"}, rows)
}
