package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func breakages(key, other *rsa.PrivateKey) map[string]breakage {
	rows := map[string]breakage{
		"no fault":     {func(*fixture) {}, "", "", ""},
		"with a store": {func(p *fixture) { p.stored() }, "", "", ""},
		"with TLS":     {func(p *fixture) { p.env["SSL_CERT_FILE"] = p.secured() }, "", "", ""},
		"with a proxy": {func(p *fixture) { p.proxied(200) }, "", "", ""},
		"a key ID in a file": {func(p *fixture) {
			p.env["LINE_KEY_ID_FILE"] = p.write("key-id", []byte(p.env["LINE_KEY_ID"]))
			delete(p.env, "LINE_KEY_ID")
		}, "", "", ""},
		"only a secret": {func(p *fixture) { delete(p.env, "LINE_PRIVATE_KEY_FILE"); delete(p.env, "LINE_KEY_ID") }, "", "", ""},
		"only a key":    {func(p *fixture) { delete(p.env, "LINE_CHANNEL_SECRET") }, "", "", ""},

		"proxy not a URL":                    {set("HTTPS_PROXY", "http://user:hunter2@%zz"), "proxy", "^HTTPS_PROXY is not", "^set it to the proxy's address"},
		"another not a URL":                  {set("http_proxy", "ftp://x"), "proxy", "^http_proxy is not", "unset it"},
		"proxy with a large port":            {set("HTTPS_PROXY", "http://127.0.0.1:99999"), "proxy", "^HTTPS_PROXY is not", "unset it"},
		"proxy with a slash in its password": {set("HTTPS_PROXY", "http://user:hun@ter2/x@127.0.0.1:1"), "proxy", "^HTTPS_PROXY is not", "percent-encoded"},
		"proxy forbids":                      {func(p *fixture) { p.proxied(403) }, "proxy", "HTTPS_PROXY, 127.*: Forbidden", "its rules"},
		"proxy wants a login":                {func(p *fixture) { p.proxied(407) }, "proxy", "Proxy Authentication Required", "http://USER:PASSWORD@HOST:PORT, percent-encoded"},
		"proxy unreachable":                  {func(p *fixture) { p.proxied(200); p.env["HTTPS_PROXY"] = "127.0.0.1:1" }, "proxy", "HTTPS_PROXY, 127.0.0.1:1, .*refused", "check its address"},
		"no such host":                       {set("LINE_OAUTH_BASE_URL", "https://line.invalid"), "DNS", "line.invalid", "check the name, and the DNS"},
		"nobody listens":                     {set("LINE_OAUTH_BASE_URL", "http://127.0.0.1:1"), "TCP", "refused", "a firewall"},
		"unknown authority":                  {func(p *fixture) { p.secured() }, "TLS", `unknown authority: "O=Acme Co"$`, "ca-certificates.*SSL_CERT_FILE$"},
		"no authorities' file":               {func(p *fixture) { p.secured(); p.env["SSL_CERT_FILE"] = "nothing.pem" }, "TLS", "unknown authority", "can be read by SSL_CERT_FILE: open nothing.pem"},
		"no authority in the file":           {func(p *fixture) { p.secured(); p.env["SSL_CERT_FILE"] = p.write("none.pem", []byte("x")) }, "TLS", "unknown authority", "has no certificate"},
		"another's authority": {func(p *fixture) {
			p.secured()
			p.env["SSL_CERT_FILE"] = p.write("another.pem", authority(p.T))
		}, "TLS", "unknown authority", "^add the authority's certificate to the file of SSL_CERT_FILE"},
		"another's certificate": {func(p *fixture) {
			p.env["SSL_CERT_FILE"] = p.secured()
			p.env["LINE_OAUTH_BASE_URL"] = strings.Replace(p.front.URL, "127.0.0.1", "localhost", 1)
		}, "TLS", "not localhost|localhost", "another server answers"},
		"no TLS":       {func(p *fixture) { p.env["LINE_OAUTH_BASE_URL"] = strings.Replace(p.line.URL, "http:", "https:", 1) }, "TLS", "", "does not speak TLS"},
		"clock behind": {func(p *fixture) { p.line.Advance(10 * time.Minute) }, "clock", "^it is (10m0s|9m5\\ds|10m1?\\ds) behind", "NTP"},
		"clock ahead": {func(p *fixture) {
			late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
					return
				}
				p.line.ServeHTTP(w, r)
			}))
			p.Cleanup(late.Close)
			p.env["LINE_OAUTH_BASE_URL"] = late.URL
		}, "clock", "ahead of LINE's", "NTP"},
		"no answer": {func(p *fixture) {
			broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
			p.Cleanup(broken.Close)
			p.env["LINE_OAUTH_BASE_URL"] = broken.URL
		}, "clock", "LINE does not answer: EOF", "try again"},

		"wrong secret":       {set("LINE_CHANNEL_SECRET", "hunter2hunter2"), "secret at LINE", "refuses the channel secret of channel 1234567890 .request ID", "Basic settings"},
		"mismatched key":     {func(p *fixture) { p.env["LINE_PRIVATE_KEY_FILE"] = p.writePEM(other) }, "key at LINE", "does not accept", "whose public key is registered as"},
		"key not registered": {set("LINE_KEY_ID", "unknown"), "key registered", "does not know the key ID unknown", "register the public key.*LINE_KEY_ID"},
		"another channel's key": {func(p *fixture) {
			channel, err := p.line.AddChannel("1234567891", secret)
			if err != nil {
				p.Fatal(err)
			}
			p.env["LINE_CHANNEL_ID"] = channel.ID
		}, "key registered", "does not belong to channel 1234567891", "set LINE_CHANNEL_ID to that channel"},
		"30 tokens": {func(p *fixture) {
			for range 30 {
				if _, err := p.client().IssueChannelToken(p.Context(), time.Hour); err != nil {
					p.Fatal(err)
				}
			}
		}, "tokens in use", "^30 of 30", "^revoke unused"},
		"rate limited": {func(p *fixture) {
			p.line.Inject(lineoauthtest.Fault{Kind: lineoauthtest.RateLimited, RetryAfter: "7", Operation: lineoauth.OpGetsAllValidChannelAccessTokenKeyIds})
		}, "tokens in use", "429", "try again in 7s"},
	}
	for name, row := range settings(key) {
		rows[name] = row
	}
	for name, row := range stores() {
		rows[name] = row
	}
	return rows
}

// authority returns the certificate of an authority that certified nothing.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func settings(key *rsa.PrivateKey) map[string]breakage {
	return map[string]breakage{
		"channel ID unset":      {set("LINE_CHANNEL_ID", ""), "channel ID", "LINE_CHANNEL_ID is not set", "Basic settings"},
		"channel ID not digits": {set("LINE_CHANNEL_ID", "12ab"), "channel ID", "^LINE_CHANNEL_ID: .*other than digits", "copy it"},
		"a space inside":        {set("LINE_CHANNEL_ID", "12345 67890"), "channel ID", "", "copy"},
		"space around the ID":   {set("LINE_CHANNEL_ID", " 1234567890\n"), "channel ID", "LINE_CHANNEL_ID has white space", "^remove it"},
		"quotes":                {set("LINE_CHANNEL_SECRET", `"`+secret+`"`), "channel secret", "LINE_CHANNEL_SECRET has quotes around it", "^remove it"},
		"a byte order mark":     {func(p *fixture) { p.env["LINE_KEY_ID"] = "\ufeff" + p.env["LINE_KEY_ID"] }, "key ID", "LINE_KEY_ID has .*byte order mark", "^remove it"},
		"space around the URL":  {func(p *fixture) { p.env["LINE_OAUTH_BASE_URL"] += "\r\n" }, "base URL", "LINE_OAUTH_BASE_URL has white space", "^remove it"},
		"space around the path": {func(p *fixture) { p.env["LINE_PRIVATE_KEY_FILE"] += " " }, "private key", "LINE_PRIVATE_KEY_FILE has white space", "^remove it"},
		"no credentials": {func(p *fixture) {
			delete(p.env, "LINE_CHANNEL_SECRET")
			delete(p.env, "LINE_PRIVATE_KEY_FILE")
		}, "channel secret", "neither", "LINE_CHANNEL_SECRET, or LINE_PRIVATE_KEY with LINE_KEY_ID"},
		"both keys":            {set("LINE_PRIVATE_KEY", "x"), "private key", "LINE_PRIVATE_KEY and LINE_PRIVATE_KEY_FILE are both set", "^unset one"},
		"no such file":         {set("LINE_PRIVATE_KEY_FILE", "nothing.pem"), "private key", "nothing.pem", "a file that exists"},
		"below a file":         {func(p *fixture) { p.env["LINE_PRIVATE_KEY_FILE"] += "/x" }, "private key", "not a directory", "^name a file that exists"},
		"the key for its path": {set("LINE_PRIVATE_KEY_FILE", `{"kty":"RSA","d":"`+strings.Repeat("5eC2", 100)+`"}`), "private key", "looks like a key", "^set it to the path of a file"},
		"the key for the secret's path": {func(p *fixture) {
			p.env["LINE_CHANNEL_SECRET_FILE"] = `{"kty":"RSA","d":"` + strings.Repeat("5eC2", 100) + `"}`
			delete(p.env, "LINE_CHANNEL_SECRET")
		}, "channel secret", "looks like a key", "^set it to the path of a file"},
		"no key": {func(p *fixture) { p.env["LINE_PRIVATE_KEY_FILE"] = p.write("no.pem", []byte("hunter2")) }, "private key", "neither a JWK nor PEM|not a", ""},
		"a public key": {func(p *fixture) {
			p.env["LINE_PRIVATE_KEY_FILE"] = p.write("public.json", jwk(p.T, &key.PublicKey, ""))
		}, "private key", "public key", "use the private key"},
		"others read it":          {func(p *fixture) { p.mode(p.env["LINE_PRIVATE_KEY_FILE"], 0o644) }, "private key", `others can read or change .*key.pem \(mode 0644\)`, "^make its mode 0600: chmod 600 .*key.pem$"},
		"key ID unset":            {set("LINE_KEY_ID", ""), "key ID", "LINE_KEY_ID is not set", "shows for the public key"},
		"the secret for a key ID": {func(p *fixture) { p.env["LINE_KEY_ID"] = strings.Repeat("5eC2e7", 6)[:32] }, "key registered", `does not know the key ID \[redacted\]`, ""},
		"no key ID in its file": {func(p *fixture) {
			p.env["LINE_KEY_ID_FILE"] = p.write("key-id", nil)
			delete(p.env, "LINE_KEY_ID")
		}, "key ID", "the file of LINE_KEY_ID_FILE is empty", "write the value into it"},
		"no file of the key ID": {func(p *fixture) {
			p.env["LINE_KEY_ID_FILE"] = "nothing"
			delete(p.env, "LINE_KEY_ID")
		}, "key ID", "LINE_KEY_ID_FILE: nothing", "a file that exists"},
		"both key IDs": {set("LINE_KEY_ID_FILE", "x"), "key ID", "LINE_KEY_ID and LINE_KEY_ID_FILE are both set", "^unset one"},
		"two key IDs":  {func(p *fixture) { p.env["LINE_PRIVATE_KEY_FILE"] = p.write("kid.json", jwk(p.T, key, "another")) }, "key ID", "two key IDs: LINE_KEY_ID is set", "remove the wrong one"},
		"a short key": {func(p *fixture) {
			short, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				p.Fatal(err)
			}
			p.env["LINE_PRIVATE_KEY_FILE"] = p.writePEM(short)
		}, "private key", "RSA-1024", "2048"},
		"port too large":   {set("LINE_OAUTH_BASE_URL", "http://127.0.0.1:99999"), "base URL", "LINE_OAUTH_BASE_URL has a port above 65535", "listens on"},
		"base URL of FTP":  {set("LINE_OAUTH_BASE_URL", "ftp://line.example"), "base URL", "not an absolute https URL", ""},
		"base URL in http": {set("LINE_OAUTH_BASE_URL", "http://line.example"), "base URL", "plain http toward line.example", "secrets travel over https"},
	}
}

func (p *fixture) mode(path string, mode os.FileMode) {
	p.Helper()
	if err := os.Chmod(path, mode); err != nil {
		p.Fatal(err)
	}
}

func (p *fixture) storeFile() string {
	p.Helper()
	files, err := filepath.Glob(filepath.Join(p.store, "token-*-v2.1-*.json"))
	if err != nil || len(files) != 1 {
		p.Fatalf("the store has %q, %v", files, err)
	}
	return files[0]
}

func stores() map[string]breakage {
	return map[string]breakage{
		"store not a directory": {func(p *fixture) { p.store = p.write("file", nil) }, "store writable", "not a directory", "set Dir to a directory|a directory"},
		"store below a file":    {func(p *fixture) { p.store = filepath.Join(p.write("file", nil), "store") }, "store writable", "not a directory", "a directory"},
		"token readable":        {func(p *fixture) { p.stored(); p.mode(p.storeFile(), 0o644) }, "store readers", `others can read .* \(mode 0644\)`, "chmod 600 .*revoke"},
		"store open": {func(p *fixture) {
			p.stored()
			p.mode(p.store, 0o777)
		}, "store readers", `others can write a token to .* \(mode 0777\)`, "chmod 700"},
		"store damaged": {func(p *fixture) {
			p.stored()
			if err := os.WriteFile(p.storeFile(), []byte("hunter2"), 0o600); err != nil {
				p.Fatal(err)
			}
		}, "store writable", "renamed to|damaged", ""},
		"stored token revoked": {func(p *fixture) {
			token := p.stored()
			if err := p.client().RevokeChannelToken(p.Context(), token.AccessToken.Reveal()); err != nil {
				p.Fatal(err)
			}
		}, "stored token v2.1", "LINE does not accept it .request ID", "^replace it: lineoauth token --refresh --type v2.1 --store /"},
	}
}
