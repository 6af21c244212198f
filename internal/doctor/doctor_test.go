package doctor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/doctor"
	"github.com/lineoauth/lineoauth/internal/testproc"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store/filestore"
)

func TestMain(m *testing.M) {
	if os.Getenv("DOCTOR_STORE") == "" {
		os.Exit(m.Run())
	}
	examine(os.Getenv, os.Getenv("DOCTOR_STORE"), os.Stdout)
}

// examine writes the checks as lines of JSON.
func examine(getenv func(string) string, store string, w io.Writer) {
	out := json.NewEncoder(w)
	doctor.Examine(context.Background(), doctor.Config{
		Getenv:  getenv,
		Timeout: 5 * time.Second,
		Store:   store,
		Report:  func(c doctor.Check) { _ = out.Encode(c) },
	})
}

// fixture is a working configuration, until a test breaks something.
type fixture struct {
	*testing.T
	line  *lineoauthtest.Server
	env   map[string]string
	store string
	front *httptest.Server // another URL of the emulator, if needed
}

const secret = "the-test-secret"

var (
	firstKey  = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	secondKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

func keyOf(t *testing.T, generated func() (*rsa.PrivateKey, error)) *rsa.PrivateKey {
	t.Helper()
	key, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func jwk(t *testing.T, key any, kid string) []byte {
	t.Helper()
	data, err := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (p *fixture) write(name string, data []byte) (path string) {
	p.Helper()
	path = filepath.Join(p.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		p.Fatal(err)
	}
	return path
}

func (p *fixture) writePEM(key *rsa.PrivateKey) (path string) {
	p.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.Fatal(err)
	}
	return p.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func newFixture(t *testing.T, key *rsa.PrivateKey) *fixture {
	t.Helper()
	p := &fixture{T: t, line: lineoauthtest.NewUnstartedServer(), store: filepath.Join(t.TempDir(), "store")}
	t.Cleanup(p.line.Close)
	channel, err := p.line.AddChannel("1234567890", secret)
	if err != nil {
		t.Fatal(err)
	}
	kid, err := channel.RegisterKey("", jwk(t, &key.PublicKey, ""))
	if err != nil {
		t.Fatal(err)
	}
	p.line.Start()
	p.env = map[string]string{
		"LINE_CHANNEL_ID":       channel.ID,
		"LINE_CHANNEL_SECRET":   secret,
		"LINE_PRIVATE_KEY_FILE": p.writePEM(key),
		"LINE_KEY_ID":           kid,
		"LINE_OAUTH_BASE_URL":   p.line.URL,
	}
	return p
}

// examine returns the checks. A process reads the variables of proxies and certificates
// once, so where they matter, it is a new process that runs the checks.
func (p *fixture) examine() (checks []doctor.Check, output string) {
	p.Helper()
	var out bytes.Buffer
	if p.env["HTTPS_PROXY"]+p.env["http_proxy"] == "" && !strings.HasPrefix(p.env["LINE_OAUTH_BASE_URL"], "https:") {
		examine(func(name string) string { return p.env[name] }, p.store, &out)
	} else {
		cmd := testproc.Command(p.T, os.Args[0])
		cmd.Env = []string{"DOCTOR_STORE=" + p.store, "HOME=" + p.TempDir(), "GORACE=atexit_sleep_ms=0"}
		for name, value := range p.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			p.Fatalf("%v\n%s", err, out.String())
		}
	}
	output = out.String()
	for d := json.NewDecoder(&out); d.More(); {
		var check doctor.Check
		if err := d.Decode(&check); err != nil {
			p.Fatalf("%v\n%s", err, output)
		}
		checks = append(checks, check)
	}
	return checks, output
}

// client returns a client of the fixture's channel.
func (p *fixture) client() *lineoauth.Client {
	p.Helper()
	pemKey, err := os.ReadFile(p.env["LINE_PRIVATE_KEY_FILE"])
	if err != nil {
		p.Fatal(err)
	}
	key, err := lineoauth.ParseKey(pemKey)
	if err != nil {
		p.Fatal(err)
	}
	client, err := lineoauth.New(lineoauth.Config{
		ChannelID: p.env["LINE_CHANNEL_ID"], ChannelSecret: lineoauth.NewSecret(secret), Key: key, KeyID: p.env["LINE_KEY_ID"], BaseURL: p.env["LINE_OAUTH_BASE_URL"],
	})
	if err != nil {
		p.Fatal(err)
	}
	return client
}

// stored puts a v2.1 token into the store.
func (p *fixture) stored() *lineoauth.Token {
	p.Helper()
	store, err := filestore.New(filestore.Config{Dir: p.store})
	if err != nil {
		p.Fatal(err)
	}
	token, err := p.client().IssueChannelToken(p.Context(), time.Hour)
	if err != nil {
		p.Fatal(err)
	}
	if err := p.client().StoreToken(p.Context(), store, token); err != nil {
		p.Fatal(err)
	}
	return token
}

// secured serves the emulator over TLS, with the test's own certificate.
func (p *fixture) secured() (certificates string) {
	p.Helper()
	p.front = httptest.NewUnstartedServer(p.line)
	p.front.Config.ErrorLog = log.New(io.Discard, "", 0) // some tests do not trust it
	p.front.StartTLS()
	p.Cleanup(p.front.Close)
	p.env["LINE_OAUTH_BASE_URL"] = p.front.URL
	return p.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.front.Certificate().Raw}))
}

// proxied sends requests through a proxy, to a host name that only the proxy resolves.
func (p *fixture) proxied(status int) {
	p.Helper()
	p.env["SSL_CERT_FILE"] = p.secured()
	p.env["LINE_OAUTH_BASE_URL"] = "https://example.com" // the name in the certificate
	target := p.front.Listener.Addr().String()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status != http.StatusOK || r.Method != http.MethodConnect || r.Host != "example.com:443" {
			w.WriteHeader(status)
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		conn, sent, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(server, sent); _ = server.Close() }()
		_, _ = io.Copy(conn, server)
		_ = conn.Close()
	}))
	p.Cleanup(proxy.Close)
	p.env["HTTPS_PROXY"] = strings.Replace(proxy.URL, "http://", "http://user:hunter2@", 1)
}

// breakage is one fault, and the one check that must fail.
type breakage struct {
	breaks func(*fixture)
	name   string
	found  string // regular expressions
	fix    string
}

func set(name, value string) func(*fixture) {
	return func(p *fixture) { p.env[name] = value }
}

func TestChecks(t *testing.T) {
	t.Parallel()
	key, other := keyOf(t, firstKey), keyOf(t, secondKey)
	for name, tt := range breakages(key, other) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, key, tt)
		})
	}
}

// check breaks something, and fails unless exactly its check fails.
func check(t *testing.T, key *rsa.PrivateKey, tt breakage) {
	t.Helper()
	p := newFixture(t, key)
	tt.breaks(p)
	before := p.line.State().Calls
	checks, output := p.examine()
	var failed []string
	for _, c := range checks {
		if c.Status == doctor.Failed {
			failed = append(failed, c.Name)
		}
		if c.Status != doctor.Failed || c.Name != tt.name {
			continue
		}
		if !regexp.MustCompile(tt.found).MatchString(c.Found) || !regexp.MustCompile(tt.fix).MatchString(c.Fix) {
			t.Errorf("%+v; want %q and %q", c, tt.found, tt.fix)
		}
	}
	if want := strings.Fields(strings.ReplaceAll(tt.name, " ", "_")); len(want) != len(failed) || len(want) > 0 && failed[0] != tt.name {
		t.Errorf("%q failed, not %q:\n%s", failed, tt.name, output)
	}
	if len(checks) < 17 {
		t.Errorf("%d checks:\n%s", len(checks), output)
	}
	if found := regexp.MustCompile(secret + `|hunter2|5eC2|ey[JK][\w-]{8}|MII[\w+/]{8}|"[dpq]"`).FindString(output); found != "" {
		t.Errorf("%s is shown:\n%s", found, output)
	}
	after := p.line.State().Calls
	for _, op := range []lineoauth.Operation{lineoauth.OpIssueChannelTokenByJWT, lineoauth.OpIssueChannelToken, lineoauth.OpRevokeChannelToken, lineoauth.OpRevokeChannelTokenByJWT} {
		if after[op] != before[op] {
			t.Errorf("%s was called", op)
		}
	}
}

// The checks are the documented ones, in an order in which each depends only on those
// before.
func TestOrder(t *testing.T) {
	t.Parallel()
	p := newFixture(t, keyOf(t, firstKey))
	checks, _ := p.examine()
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
	}
	want := "channel ID, channel secret, private key, key ID, base URL, proxy, DNS, TCP, TLS, clock, secret at LINE, key registered, key at LINE, tokens in use, store readers, store writable, stored token"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("the checks are %s; want %s", got, want)
	}
}
