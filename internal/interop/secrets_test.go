package interop

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davecgh/go-spew/spew"
	"github.com/kr/pretty"
	"github.com/stretchr/testify/assert"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

const planted = "hunter2hunter2"

// report collects testify's output.
type report struct{ strings.Builder }

func (r *report) Errorf(format string, args ...any) { _, _ = fmt.Fprintf(r, format, args...) }

type failing struct{}

func (failing) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: "Get", URL: req.URL.String(), Err: io.ErrUnexpectedEOF}
}

// holders returns new values that contain secret, and the texts that nothing
// may show.
func holders(t *testing.T, srv *lineoauthtest.Server, key *lineoauth.Key, secret string) (map[string]any, []string) {
	t.Helper()
	cfg := lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret(secret), Authorization: lineoauth.NewSecret("Bearer " + secret), Key: key}
	token := lineoauth.Token{AccessToken: lineoauth.NewSecret(secret), TokenType: "Bearer"}
	mute, err := lineoauth.New(lineoauth.Config{Transport: failing{}, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, failed := mute.VerifyChannelToken(t.Context(), "eyJhbGciOiJIUzI1NiJ9.e30."+secret)
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		t.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	issued, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A source whose tokens were refused or expired, and are kept for Revoke.
	worn, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, ValidFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = worn.Close() })
	heard := []string{secret, fmt.Sprintf("% x", secret), srv.Channel().Secret, issued.AccessToken.Reveal()}
	for range 2 {
		token, err := worn.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, token.AccessToken.Reveal())
		if replaced, err := worn.Invalidate(t.Context(), token.AccessToken.Reveal()); replaced || err != nil {
			t.Fatal(replaced, err)
		}
		srv.Advance(time.Hour)
	}
	type bot struct {
		token  lineoauth.Token
		config lineoauth.Config
		source *lineoauth.Source
	}
	return map[string]any{
		"secret": cfg.ChannelSecret, "token": token, "&token": &token, "config": cfg, "&config": &cfg, "key": cfg.Key,
		"event": lineoauth.Event{Token: &token, Err: failed}, "error": failed, "unexported": bot{token, cfg, source},
		"source": source, "used source": worn, "client": client, "transport": lineoauth.Transport{Source: worn},
	}, heard
}

// Packages that inspect values by reflection show no secret, and compare secrets by value.
func TestReflectionShowsNoSecret(t *testing.T) { synctest.Test(t, reflectionShowsNoSecret) }

func reflectionShowsNoSecret(t *testing.T) {
	srv := lineoauthtest.NewUnstartedServer()
	t.Cleanup(srv.Close)
	key := srv.Config().Key
	got, secrets := holders(t, srv, key, planted)
	same, _ := holders(t, srv, key, planted)
	others, _ := holders(t, srv, key, planted+"2")
	synctest.Wait() // until the sources are idle: reflection takes no locks
	bare := spew.ConfigState{Indent: " ", DisableMethods: true, DisablePointerMethods: true, MaxDepth: 12}
	for name, v := range got {
		var differs, agrees report
		assert.Equal(&differs, others[name], v)
		texts := map[string]string{
			"spew": spew.Sdump(v), "spew without methods": bare.Sdump(v), "spew, one line": spew.Sprintf("%#+v", v),
			"kr/pretty": pretty.Sprint(v), "kr/pretty's diff": strings.Join(pretty.Diff(others[name], v), "\n"), "testify": differs.String(),
		}
		for by, text := range texts {
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%s shows a secret of %s:\n%.3000s", by, name, text)
					break
				}
			}
		}
		switch name {
		case "secret", "token", "&token", "config", "&config":
			if differs.Len() == 0 || !assert.Equal(&agrees, same[name], v) || len(pretty.Diff(same[name], v)) != 0 {
				t.Errorf("%s is not compared by value: %s", name, agrees.String())
			}
		}
	}
}
