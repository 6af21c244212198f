package lineoauth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// inPlaceOfLINE has a server answer for LINE's host: to programs that have the
// proxy, and trust the certificate.
func inPlaceOfLINE(t *testing.T, line http.Handler, private *rsa.PrivateKey) (proxy, certificate string) {
	t.Helper()
	host, err := url.Parse(gen.DefaultServerURL)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "in place of LINE"}, // which OpenSSL needs
		DNSNames:              []string{host.Host},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(line)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	tunnel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != host.Host+":443" {
			http.Error(w, "this leads to LINE alone", http.StatusForbidden)
			return
		}
		to, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = to.Close() }()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = from.Close() }()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(tunnel.Close)
	return tunnel.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

const (
	channelID     = "1234567890"
	channelSecret = "0123456789abcdef"
	keyID         = "kid-1"
)

// A fakeLINE is an emulator that programs take for LINE, and a folder with the key
// of its channel and with the authority of its certificate.
type fakeLINE struct {
	*lineoauthtest.Server
	dir, proxy string
}

func newLINE(t *testing.T) *fakeLINE {
	t.Helper()
	line := &fakeLINE{Server: lineoauthtest.NewServer(), dir: t.TempDir()}
	t.Cleanup(line.Close)
	channel, err := line.AddChannel(channelID, channelSecret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk := func(key any) string {
		text, err := jose.JSONWebKey{Key: key, Algorithm: "RS256", Use: "sig"}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if _, err := channel.RegisterKey(keyID, []byte(jwk(private.Public()))); err != nil {
		t.Fatal(err)
	}
	var certificate string
	line.proxy, certificate = inPlaceOfLINE(t, line.Server, private)
	for name, text := range map[string]string{
		"private-key.json": jwk(private),
		"private-key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})),
		"authority.pem":    certificate,
	} {
		if err := os.WriteFile(filepath.Join(line.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return line
}

// env are the variables with which a program takes it for LINE.
func (line *fakeLINE) env() []string {
	authority := filepath.Join(line.dir, "authority.pem")
	return []string{
		"LINE_OAUTH_BASE_URL=", "LINE_CHANNEL_ID=" + channelID, "LINE_CHANNEL_SECRET=" + channelSecret,
		"LINE_PRIVATE_KEY=", "LINE_PRIVATE_KEY_FILE=", "LINE_KEY_ID=",
		"HTTPS_PROXY=" + line.proxy, "SSL_CERT_FILE=" + authority, "CURL_CA_BUNDLE=" + authority,
	}
}
