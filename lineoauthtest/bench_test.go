package lineoauthtest_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func BenchmarkVerify(b *testing.B) {
	srv := lineoauthtest.NewServer()
	defer srv.Close()
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		b.Fatal(err)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, issue := range []func(context.Context) (*lineoauth.Token, error){client.IssueStatelessChannelToken, client.IssueShortLivedChannelToken} {
		token, err := issue(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(token.Kind), func(b *testing.B) {
			for b.Loop() {
				if _, err := client.VerifyChannelToken(b.Context(), token.AccessToken.Reveal()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
