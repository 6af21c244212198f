package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"

	"github.com/lineoauth/lineoauth"
)

// mint issues a token with a short lifetime, or fails.
type mint func(ctx context.Context) (life time.Duration, err error)

// get returns a token of a source.
type get func(ctx context.Context) error

// peer creates a source of a mint's tokens that refreshes them some time before they
// expire.
type peer struct {
	name string
	new  func(m mint, window time.Duration) get
}

var peers = []peer{
	{"lineoauth", func(m mint, window time.Duration) get {
		client, err := lineoauth.New(lineoauth.Config{
			ChannelID:     "1234567890",
			ChannelSecret: lineoauth.NewSecret("0123456789abcdef0123456789abcdef"),
			Transport:     minting(m),
			MaxAttempts:   1, // like the others
		})
		check(err)
		source, err := client.Source(lineoauth.SourceConfig{RefreshWindow: window})
		check(err)
		return func(ctx context.Context) error { _, err := source.Token(ctx); return err }
	}},
	{"x/oauth2", func(m mint, window time.Duration) get {
		source := oauth2.ReuseTokenSourceWithExpiry(nil, oauthSource(m), window)
		// It takes no context, so waiting cannot be canceled.
		return func(context.Context) error { _, err := source.Token(); return err }
	}},
	{"cloud auth", func(m mint, window time.Duration) get {
		provider := auth.NewCachedTokenProvider(googleSource(m), &auth.CachedTokenProviderOptions{ExpireEarly: window})
		return func(ctx context.Context) error { _, err := provider.Token(ctx); return err }
	}},
	{"aws", func(m mint, window time.Duration) get {
		cache := aws.NewCredentialsCache(awsSource(m), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = window })
		return func(ctx context.Context) error { _, err := cache.Retrieve(ctx); return err }
	}},
}

// minting answers like LINE, with a token of the mint.
type minting mint

func (m minting) RoundTrip(req *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, req.Body)
	_ = req.Body.Close()
	life, err := m(req.Context())
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"access_token":"token","token_type":"Bearer","expires_in":%d}`, life/time.Second)
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(body)),
		Request:    req,
	}, nil
}

type oauthSource mint

func (m oauthSource) Token() (*oauth2.Token, error) {
	life, err := m(context.Background())
	return &oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(life)}, err
}

type googleSource mint

func (m googleSource) Token(ctx context.Context) (*auth.Token, error) {
	life, err := m(ctx)
	return &auth.Token{Value: "token", Expiry: time.Now().Add(life)}, err
}

type awsSource mint

func (m awsSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	life, err := m(ctx)
	return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "token", CanExpire: true, Expires: time.Now().Add(life)}, err
}
