//go:build unix

package deploy

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/redisstore"
)

// Replicas share a token by way of Redis, which runs by its manifest, too, and
// continue with a key that is mounted again.
func TestFleet(t *testing.T) {
	program := needTool(t, "redis-server")
	m := decodeManifest(t, "kubernetes/fleet.yaml")
	c, r := m.container(t, "bot"), m.container(t, "redis")
	w := newWorld(t, "secret", "6379")
	server := w.startRedis(program, r)
	mountPath, storeKey := c.VolumeMounts[0].MountPath, "0123456789abcdef0123456789abcdef"
	secrets := func() map[string]string {
		return map[string]string{"channel-secret": "secret", "store-key": storeKey, "private-key.json": w.registerKey()}
	}
	w.mount(mountPath, secrets())
	env := environment(t, c)
	if env["REDIS_ADDR"] != "line-redis:6379" {
		t.Error(env)
	}
	env["REDIS_ADDR"] = "127.0.0.1:6379"
	env["LINE_OAUTH_BASE_URL"] = w.line.URL
	var replicas []*process
	var urls []string
	for range 3 {
		w.ports["8080"] = freePort(t)
		address := "127.0.0.1:" + w.ports["8080"]
		replicas = append(replicas, w.start([]string{filepath.Join(bin, "fleet")}, env, address))
		urls = append(urls, "http://"+address)
		for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
			if !w.probe(c, p) {
				t.Errorf("the %s probe fails", name)
			}
		}
	}
	all := func() {
		t.Helper()
		for _, url := range urls {
			if got := w.webhook(url, "secret"); got != http.StatusOK {
				t.Errorf("a webhook is answered with %d", got)
			}
		}
	}
	all()
	w.sent(3, lineoauth.OpIssueChannelTokenByJWT, 1)
	if got := w.webhook(urls[0], "wrong"); got != http.StatusBadRequest {
		t.Errorf("a webhook that LINE did not sign is answered with %d", got)
	}

	w.mount(mountPath, secrets())
	for _, id := range w.line.State().Channels[0].KeyIDs[:1] {
		if err := w.channel.DeleteKey(id); err != nil {
			t.Fatal(err)
		}
	}
	if !w.channel.RevokeToken(w.stored(storeKey)) {
		t.Error("the stored value is not a token")
	}
	all()
	w.sent(6, lineoauth.OpIssueChannelTokenByJWT, 2)
	for _, replica := range replicas {
		replica.stop()
	}
	server.signal(syscall.SIGTERM)
	_ = server.cmd.Wait()
}

func (w *world) startRedis(program string, c corev1.Container) *process {
	w.Helper()
	args := slices.Clone(c.Args)
	if args[0] != "redis-server" {
		w.Fatal(args)
	}
	args[0] = program
	args[slices.Index(args, "/tmp")] = w.TempDir()
	server := w.start(args, nil, "127.0.0.1:"+w.ports["6379"])
	if !w.probe(c, c.ReadinessProbe) {
		w.Error("Redis is not ready")
	}
	return server
}

// stored is the token in the fleet's Redis.
func (w *world) stored(storeKey string) string {
	w.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + w.ports["6379"], ContextTimeoutEnabled: true})
	defer rdb.Close() //nolint:errcheck // it was only read
	block, err := aes.NewCipher([]byte(storeKey))
	if err != nil {
		w.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		w.Fatal(err)
	}
	inRedis, err := redisstore.New(redisstore.Config{Client: rdb})
	if err != nil {
		w.Fatal(err)
	}
	sealed, err := store.Sealed(inRedis, aead)
	if err != nil {
		w.Fatal(err)
	}
	client, err := lineoauth.New(w.channel.Config())
	if err != nil {
		w.Fatal(err)
	}
	token, err := client.StoredToken(w.Context(), sealed, lineoauth.V21)
	if err != nil || token == nil {
		w.Fatal(token, err)
	}
	return token.AccessToken.Reveal()
}

// registerKey registers a key, and returns it as a JWK with its kid.
func (w *world) registerKey() string {
	w.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.Fatal(err)
	}
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	jwk := map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig", "n": number(key.N), "e": "AQAB"}
	public, err := json.Marshal(jwk)
	if err != nil {
		w.Fatal(err)
	}
	if jwk["kid"], err = w.channel.RegisterKey("", public); err != nil {
		w.Fatal(err)
	}
	jwk["d"], jwk["p"], jwk["q"] = number(key.D), number(key.Primes[0]), number(key.Primes[1])
	jwk["dp"], jwk["dq"], jwk["qi"] = number(key.Precomputed.Dp), number(key.Precomputed.Dq), number(key.Precomputed.Qinv)
	private, err := json.Marshal(jwk)
	if err != nil {
		w.Fatal(err)
	}
	return string(bytes.TrimSpace(private))
}
