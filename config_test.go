package lineoauth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
)

var signerOnce = sync.OnceValues(func() (*rsa.PrivateKey, error) {
	if text := os.Getenv(panicKeyEnv); text != "" {
		block, _ := pem.Decode([]byte(text))
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		return key.(*rsa.PrivateKey), err
	}
	return rsa.GenerateKey(rand.Reader, 2048)
})

var (
	otherSigner = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	smallSigner = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 1024) })
)

func testSigner(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := signerOnce()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testPEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(testSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func env(pairs ...string) func(string) string {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func TestConfigFromEnv(t *testing.T) {
	text := testPEM(t)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, getenv := range map[string]func(string) string{
		"key":            env("LINE_CHANNEL_ID", "123", "LINE_PRIVATE_KEY", text, "LINE_KEY_ID", "k"),
		"key in a line":  env("LINE_CHANNEL_ID", "123", "LINE_PRIVATE_KEY", strings.ReplaceAll(text, "\n", `\n`), "LINE_KEY_ID", "k"),
		"key file":       env("LINE_CHANNEL_ID", "123", "LINE_PRIVATE_KEY_FILE", file, "LINE_KEY_ID", "k"),
		"secret":         env("LINE_CHANNEL_ID", "123", "LINE_CHANNEL_SECRET", "s"),
		"secret and key": env("LINE_CHANNEL_ID", "123", "LINE_CHANNEL_SECRET", "s", "LINE_PRIVATE_KEY", text, "LINE_KEY_ID", "k"),
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := lineoauth.ConfigFromEnv(getenv)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.ChannelID != "123" || (cfg.Key == nil) != (name == "secret") || cfg.ChannelSecret.IsZero() == strings.HasPrefix(name, "secret") {
				t.Errorf("config = %+v", cfg)
			}
			client := newClient(t, cfg)
			if cfg.Key != nil {
				if _, err := client.Assertion(t.Context(), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	cfg, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "123", "LINE_CHANNEL_SECRET", "s", "LINE_OAUTH_BASE_URL", "http://127.0.0.1:1"))
	if err != nil || cfg.BaseURL != "http://127.0.0.1:1" {
		t.Errorf("base URL = %q, %v", cfg.BaseURL, err)
	}
}

func TestConfigFromEnvRefuses(t *testing.T) {
	text := testPEM(t)
	for name, tt := range map[string]struct {
		getenv  func(string) string
		want    []string
		missing bool
	}{
		"nothing":   {env(), []string{"LINE_CHANNEL_ID", "LINE_CHANNEL_SECRET", "LINE_PRIVATE_KEY", "LINE_PRIVATE_KEY_FILE"}, true},
		"key alone": {env("LINE_PRIVATE_KEY", text), []string{"LINE_CHANNEL_ID", "LINE_KEY_ID"}, true},
		"ID alone":  {env("LINE_CHANNEL_ID", "1"), []string{"LINE_CHANNEL_SECRET"}, true},
		"two keys": {env("LINE_CHANNEL_ID", "1", "LINE_PRIVATE_KEY", text, "LINE_PRIVATE_KEY_FILE", "x"),
			[]string{"LINE_PRIVATE_KEY and LINE_PRIVATE_KEY_FILE are both set"}, false},
		"no file":            {env("LINE_CHANNEL_ID", "1", "LINE_PRIVATE_KEY_FILE", "/no/such/file"), []string{"LINE_PRIVATE_KEY_FILE", "/no/such/file"}, false},
		"bad key and no ID":  {env("LINE_PRIVATE_KEY", "hunter2"), []string{"neither a JWK nor PEM", "LINE_CHANNEL_ID"}, false},
		"a key for its path": {env("LINE_CHANNEL_ID", "1", "LINE_PRIVATE_KEY_FILE", "-----BEGIN hunter2"), []string{"looks like a key"}, false},
		"bad key":            {env("LINE_CHANNEL_ID", "1", "LINE_PRIVATE_KEY", "hunter2"), []string{"LINE_PRIVATE_KEY", "neither a JWK nor PEM"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lineoauth.ConfigFromEnv(tt.getenv)
			if !errors.Is(err, lineoauth.ErrInvalid) || errors.Is(err, lineoauth.ErrMissingCredentials) != tt.missing {
				t.Fatalf("error = %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v; want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error = %q", err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	small, err := smallSigner()
	if err != nil {
		t.Fatal(err)
	}
	smallKey, err := lineoauth.NewKey(small, "k")
	if err != nil {
		t.Fatal(err)
	}
	key, err := lineoauth.NewKey(testSigner(t), "k")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cfg  lineoauth.Config
		want string
	}{
		"channel ID":           {lineoauth.Config{ChannelID: "12a"}, "ChannelID: the channel ID contains something other than digits"},
		"key size":             {lineoauth.Config{Key: smallKey}, "RSA-1024"},
		"two key IDs":          {lineoauth.Config{Key: key, KeyID: "hunter2"}, `two key IDs: KeyID is set, but the key contains "k"`},
		"assertion lifetime":   {lineoauth.Config{AssertionLifetime: time.Hour}, "30m0s"},
		"secret for ID":        {lineoauth.Config{ChannelID: "hunter2"}, "other than digits"},
		"zero key":             {lineoauth.Config{Key: &lineoauth.Key{}}, "Key is empty"},
		"not loopback":         {lineoauth.Config{BaseURL: "http://127.evil.example"}, "plain http toward 127.evil.example"},
		"plain http":           {lineoauth.Config{BaseURL: "http://line.example"}, "plain http toward line.example"},
		"other scheme":         {lineoauth.Config{BaseURL: "ftp://line.example"}, "not an absolute https URL"},
		"no URL":               {lineoauth.Config{BaseURL: "api"}, "not an absolute https URL"},
		"userinfo":             {lineoauth.Config{BaseURL: "https://user:hunter2@line.example"}, "user name"},
		"query":                {lineoauth.Config{BaseURL: "https://line.example?a=hunter2"}, "a query"},
		"fragment":             {lineoauth.Config{BaseURL: "https://line.example#hunter2"}, "fragment"},
		"operation URL":        {lineoauth.Config{OperationURLs: map[lineoauth.Operation]string{lineoauth.OpIssueChannelToken: "x"}}, "OperationURLs[issueChannelToken]"},
		"operation unknown":    {lineoauth.Config{OperationURLs: map[lineoauth.Operation]string{"issue": "https://line.example"}}, `"issue"`},
		"operation URL, plain": {lineoauth.Config{OperationURLs: map[lineoauth.Operation]string{lineoauth.OpIssueChannelToken: "http://line.example"}}, "plain http toward line.example"},
		"no verification":      {lineoauth.Config{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, "skips the verification"},
		"TLS 1.1":              {lineoauth.Config{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS11}}}, "less than TLS 1.2"},
		"empty query":          {lineoauth.Config{BaseURL: "https://line.example/a?"}, "a query"},
		"empty fragment":       {lineoauth.Config{BaseURL: "https://line.example/a#"}, "fragment"},
		"port too large":       {lineoauth.Config{BaseURL: "https://line.example:65536"}, "BaseURL has a port above 65535"},
		"port far too large":   {lineoauth.Config{BaseURL: "https://line.example:99999999999999999999"}, "BaseURL has a port above 65535"},
		"port not a number":    {lineoauth.Config{BaseURL: "https://line.example:http"}, "not an absolute https URL"},
		"operation URL, port":  {lineoauth.Config{OperationURLs: map[lineoauth.Operation]string{lineoauth.OpIssueChannelToken: "https://line.example:65536"}}, "OperationURLs[issueChannelToken] has a port above 65535"},
		"no host":              {lineoauth.Config{BaseURL: "https:///a"}, "not an absolute https URL"},
		"port alone":           {lineoauth.Config{BaseURL: "https://:443"}, "not an absolute https URL"},
		"colon alone":          {lineoauth.Config{BaseURL: "https://:"}, "not an absolute https URL"},
		"port alone, plain":    {lineoauth.Config{BaseURL: "http://:8080", AllowPlainHTTP: true}, "not an absolute https URL"},
		"no address":           {lineoauth.Config{BaseURL: "https://[]:443"}, "not an absolute https URL"},
		"operation, port":      {lineoauth.Config{OperationURLs: map[lineoauth.Operation]string{lineoauth.OpIssueChannelToken: "https://:443"}}, "OperationURLs[issueChannelToken] is not an absolute https URL"},
		"authorization":        {lineoauth.Config{Authorization: lineoauth.NewSecret("Bearer hunter2\n")}, "line break"},
		"two things, the 1st":  {lineoauth.Config{ChannelID: "12a", BaseURL: "api"}, "other than digits"},
		"two things, the 2nd":  {lineoauth.Config{ChannelID: "12a", BaseURL: "api"}, "not an absolute https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lineoauth.New(tt.cfg)
			if !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("New: %v; want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
	for _, base := range []string{"http://localhost:1", "http://127.0.0.1", "http://[::1]:8080", "https://line.example/prefix/"} {
		if _, err := lineoauth.New(lineoauth.Config{BaseURL: base}); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	ownVerification := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}
	for name, cfg := range map[string]lineoauth.Config{
		"plain http, allowed":   {BaseURL: "http://line.example", AllowPlainHTTP: true},
		"own verification":      {Transport: &http.Transport{TLSClientConfig: ownVerification}},
		"a transport of no TLS": {Transport: roundTrip(nil)},
	} {
		if _, err := lineoauth.New(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No secret goes to a server of an unknown authority, or over TLS 1.1.
func TestTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			asked := false
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
			srv.TLS = &tls.Config{MinVersion: version, MaxVersion: version}
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.StartTLS()
			defer srv.Close()

			_, err := newClient(t, lineoauth.Config{BaseURL: srv.URL}).VerifyChannelToken(t.Context(), opaque)
			if err == nil || asked {
				t.Errorf("an unknown authority: %v", err)
			}
			authorities := x509.NewCertPool()
			authorities.AddCert(srv.Certificate())
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}}
			defer transport.CloseIdleConnections()
			_, err = newClient(t, lineoauth.Config{BaseURL: srv.URL, Transport: transport}).VerifyChannelToken(t.Context(), opaque)
			if asked != (version >= tls.VersionTLS12) {
				t.Errorf("a known authority: %v", err)
			}
		})
	}
}

func TestSkipChecks(t *testing.T) {
	small, err := smallSigner()
	if err != nil {
		t.Fatal(err)
	}
	key, err := lineoauth.NewKey(small, "k")
	if err != nil {
		t.Fatal(err)
	}
	cfg := lineoauth.Config{ChannelID: "abc", Key: key, AssertionLifetime: time.Hour, SkipChecks: true}
	if _, err := newClient(t, cfg).Assertion(t.Context(), 60*24*time.Hour); err != nil {
		t.Error(err)
	}
	cfg.SkipChecks = false
	if _, err := lineoauth.New(cfg); err == nil {
		t.Error("New took what the checks are for")
	}
	empty := newClient(t, lineoauth.Config{BaseURL: answering(t, 200, "", ""), SkipChecks: true})
	if err := empty.RevokeChannelToken(t.Context(), ""); err != nil {
		t.Errorf("an empty token: %v", err)
	}
}

func TestCallsNameWhatIsMissing(t *testing.T) {
	key, err := lineoauth.NewKey(testSigner(t), "")
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t)
	transport := fixed(400, http.Header{}, "{}")
	nothing, nearly := newClient(t, lineoauth.Config{Transport: transport}), newClient(t, lineoauth.Config{ChannelID: "1", Key: key, Transport: transport})
	for _, o := range calls {
		t.Run(o.name, func(t *testing.T) {
			fields := doc[o.op].fields()
			assertion := slices.Contains(fields, "client_assertion")
			needs := map[string]bool{
				"LINE_CHANNEL_ID":     assertion || slices.Contains(fields, "client_id"),
				"LINE_CHANNEL_SECRET": slices.Contains(fields, "client_secret"),
				"LINE_PRIVATE_KEY":    assertion,
			}
			_, err := o.call(t.Context(), nothing, o.text())
			for _, is := range []error{lineoauth.ErrMissingCredentials, lineoauth.ErrInvalid} {
				if errors.Is(err, is) != needs["LINE_CHANNEL_ID"] {
					t.Errorf("it sends %q; error = %v", fields, err)
				}
			}
			for name, needed := range needs {
				if strings.Contains(fmt.Sprint(err), name) != needed {
					t.Errorf("it sends %q; error = %v", fields, err)
				}
			}
			if !o.byAssertion {
				return
			}
			if _, err := o.call(t.Context(), nearly, o.text()); !errors.Is(err, lineoauth.ErrMissingCredentials) || !strings.Contains(err.Error(), "LINE_KEY_ID") {
				t.Errorf("without a key ID: %v", err)
			}
		})
	}
	if _, err := nothing.VerifyChannelToken(t.Context(), ""); !errors.Is(err, lineoauth.ErrInvalid) {
		t.Errorf("verify of nothing: %v", err)
	}
}

const planted = "hunter2hunter2"

// holders are what holds a planted secret or the key of testSigner.
func holders(t *testing.T) map[string]any {
	const secret = planted
	key, err := lineoauth.ParseKey([]byte(testPEM(t)))
	if err != nil {
		t.Fatal(err)
	}
	cfg := lineoauth.Config{ChannelID: "1", ChannelSecret: lineoauth.NewSecret(secret), Key: key, KeyID: "k",
		Authorization: lineoauth.NewSecret("Bearer " + secret)}
	client := newClient(t, cfg).WithAssertion(secret)
	token := lineoauth.Token{AccessToken: lineoauth.NewSecret(secret)}
	type bot struct {
		token  lineoauth.Token
		config lineoauth.Config
		key    lineoauth.Key
		client lineoauth.Client
	}
	signed, err := newClient(t, cfg).Assertion(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	transport := lineoauth.Transport{Source: source}
	_, failed := newClient(t, lineoauth.Config{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: req.URL.String(), Err: io.ErrUnexpectedEOF}
	})}).VerifyChannelToken(t.Context(), "eyJhbGciOiJIUzI1NiJ9.e30."+secret)
	if failed == nil {
		t.Fatal("no error")
	}
	return map[string]any{
		"secret": cfg.ChannelSecret, "config": cfg, "&config": &cfg, "key": key, "key value": *key, "client": client, "client value": *client,
		"token": token, "&token": &token, "unexported": bot{token, cfg, *key, *client}, "&unexported": &bot{token, cfg, *key, *client},
		"assertion": signed, "source": source, "transport": transport, "&transport": &transport, "event": lineoauth.Event{Token: &token, Err: failed},
		"error": failed, "cause": errors.Unwrap(failed),
	}
}

// Whatever holds a secret shows none, however it is printed.
func TestNothingPrintsASecret(t *testing.T) {
	primes := testSigner(t).Primes
	for name, v := range holders(t) {
		var printed strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&printed, verb, v)
		}
		slog.New(slog.NewTextHandler(&printed, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("x", "v", v)
		slog.New(printing{&printed}).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			printed.Write(text)
		}
		for _, s := range []string{planted, fmt.Sprintf("%x", planted), "eyJ", primes[0].String(), fmt.Sprintf("%x", primes[0])} {
			if strings.Contains(printed.String(), s) {
				t.Errorf("%s shows %.20s…:\n%s", name, s, printed.String())
			}
		}
	}
}

// printing is a handler of others', which prints values as they are.
type printing struct{ io.Writer }

func (printing) Enabled(context.Context, slog.Level) bool { return true }

func (p printing) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		_, err := fmt.Fprintf(p, "%v %s %+v", a, a.Value, a.Value.Any())
		return err == nil
	})
	return nil
}

func (p printing) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p printing) WithGroup(string) slog.Handler      { return p }

// What a process of TestPanicsShowNoSecret panics with, and the key of testSigner,
// which takes longer to make than all else.
const (
	panicEnv    = "LINEOAUTH_PANIC"
	panicKeyEnv = "LINEOAUTH_PANIC_KEY"
)

// A process that panics with such a value shows none either.
func TestPanicsShowNoSecret(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	if name := os.Getenv(panicEnv); name != "" {
		v := holders(t)[name]
		done := make(chan bool)
		go func() { panic(v) }() // in its own goroutine, for package testing prints otherwise
		<-done
	}
	long := regexp.MustCompile(`eyJ|[0-9]{40}|[0-9a-f]{40}`) // a JWT, or the primes of a key
	for name, v := range holders(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanicsShowNoSecret$")
			// The race detector would sleep for a second at the end.
			cmd.Env = append(os.Environ(), panicEnv+"="+name, panicKeyEnv+"="+testPEM(t), "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("panic: ")) {
				t.Fatalf("there was no panic: %v\n%s", err, out)
			}
			if long.Match(out) || bytes.Contains(out, []byte(planted)) {
				t.Errorf("a panic with %T shows a secret:\n%s", v, out)
			}
		})
	}
}

func TestSecret(t *testing.T) {
	var s lineoauth.Secret
	if !s.IsZero() || s.Reveal() != "" || s.String() != "" {
		t.Error("the zero Secret is not empty")
	}
	if err := json.Unmarshal([]byte(`"x"`), &s); err != nil || s.Reveal() != "x" {
		t.Errorf("Reveal = %q, %v", s.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`"[redacted]"`), &s); !errors.Is(err, lineoauth.ErrInvalid) || s.Reveal() != "x" {
		t.Errorf("a masked secret was taken for one: %v", err)
	}
}

// newLogger logs text without the time.
func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}}))
}
