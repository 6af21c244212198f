package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/line/line-bot-sdk-go/v8/linebot/channel_access_token"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/lineoauth/lineoauth"
)

// assertions measures a signature, alone and in an assertion.
func assertions() {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	key, err := lineoauth.NewKey(private, "key-id")
	check(err)
	ctx := context.Background()
	digest := sha256.Sum256([]byte("an assertion"))
	bare := best(func(b *testing.B) {
		for b.Loop() {
			_, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
			check(err)
		}
	})
	client, err := lineoauth.New(lineoauth.Config{ChannelID: "1234567890", Key: key})
	check(err)
	// Every second requests a different lifetime, so that none is reused.
	signed := best(func(b *testing.B) {
		validFor := time.Hour
		for b.Loop() {
			validFor ^= time.Second
			_, err := client.Assertion(ctx, validFor)
			check(err)
		}
	})
	reused := best(func(b *testing.B) {
		for b.Loop() {
			_, err := client.Assertion(ctx, time.Hour)
			check(err)
		}
	})
	row := func(name string, r testing.BenchmarkResult) []string {
		return []string{name, fmt.Sprintf("%.3f", perOp(r)/1000), fmt.Sprintf("%.4f×", perOp(r)/perOp(bare))}
	}
	table("An assertion, in µs", []string{"", "time", "relative to the signature"},
		[][]string{row("bare RSA-2048 signature", bare), row("signed", signed), row("reused", reused)})
}

// issuing measures one issue by channel secret on an open connection.
func issuing() {
	base := rawServer()
	const id, secret = "1234567890", "0123456789abcdef0123456789abcdef"
	ctx := context.Background()
	client, err := lineoauth.New(lineoauth.Config{ChannelID: id, ChannelSecret: lineoauth.NewSecret(secret), BaseURL: base, Transport: &http.Transport{}})
	check(err)
	sdk, err := channel_access_token.NewChannelAccessTokenAPI(channel_access_token.WithEndpoint(base), channel_access_token.WithHTTPClient(&http.Client{Transport: &http.Transport{}}))
	check(err)
	credentials := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: base + "/v2/oauth/accessToken", AuthStyle: 1}

	contenders := []struct {
		name  string
		issue func() error
	}{
		{"hand-written net/http, without a timeout", handWritten(ctx, &http.Client{Transport: &http.Transport{}}, base, id, secret)},
		{"hand-written net/http, timeout 10 s", handWritten(ctx, &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}, base, id, secret)},
		{"lineoauth (timeout 10 s)", func() error { _, err := client.IssueShortLivedChannelToken(ctx); return err }},
		{"line-bot-sdk-go", func() error { _, err := sdk.IssueChannelToken("client_credentials", id, secret); return err }},
		{"x/oauth2 clientcredentials", func() error { _, err := credentials.Token(ctx); return err }},
	}
	rows := make([][]string, len(contenders))
	results := make([]testing.BenchmarkResult, len(contenders))
	for i, c := range contenders {
		check(c.issue())
		results[i] = best(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check(c.issue())
			}
		})
		rows[i] = []string{c.name,
			fmt.Sprintf("%.1f (%.2f×)", perOp(results[i])/1000, perOp(results[i])/perOp(results[0])),
			fmt.Sprintf("%d (%.2f×)", results[i].AllocsPerOp(), float64(results[i].AllocsPerOp())/float64(results[0].AllocsPerOp()))}
	}
	table("One issue on a kept-alive loopback connection", []string{"", "µs", "allocations"}, rows)
}

// handWritten is typical code without a library.
func handWritten(ctx context.Context, hc *http.Client, base, id, secret string) func() error {
	return func() error {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v2/oauth/accessToken", strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rsp, err := hc.Do(req)
		if err != nil {
			return err
		}
		defer rsp.Body.Close()
		var token struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int    `json:"expires_in"`
			TokenType   string `json:"token_type"`
		}
		return json.NewDecoder(rsp.Body).Decode(&token)
	}
}

// rawServer answers every request with the same token, and allocates nothing.
func rawServer() string {
	const body = `{"access_token":"EXAMPLE/opaque+token=","expires_in":2592000,"token_type":"Bearer"}`
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Line-Request-Id: 1\r\nDate: Sun, 22 Nov 2026 20:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				buf := make([]byte, 8<<10)
				n := 0
				for {
					read, err := conn.Read(buf[n:])
					if err != nil {
						return
					}
					n += read
					// Every request here ends with its form, which ends with this, or
					// has no body.
					if bytes.Contains(buf[:n], []byte("\r\n\r\n")) && (buf[0] == 'G' || bytes.HasSuffix(buf[:n], []byte("client_credentials"))) {
						n = 0
						if _, err := conn.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}
