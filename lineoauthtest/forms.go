package lineoauthtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The formats of IDs and tokens that LINE returns.

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// oauthRequestID returns an X-Line-Request-Id of the OAuth endpoints (omniauth-line,
// 2026-09-03).
func oauthRequestID() string { return hex.EncodeToString(random(8)) }

// newUUID returns a request ID of the Messaging API, or a public key's ID.
func newUUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newKeyID returns the key ID of a v2.1 token, with the characters that naive parsing
// breaks.
func newKeyID() string {
	for {
		if id := base64.RawURLEncoding.EncodeToString(random(16)); strings.Contains(id, "-") && strings.Contains(id, "_") {
			return id
		}
	}
}

// opaqueBytes make a token of 172 characters, like LINE's opaque ones.
const opaqueBytes = 128

// opaque returns a token with all the characters that naive encoding breaks.
func opaque() string {
	for {
		if text := base64.StdEncoding.EncodeToString(random(opaqueBytes)); strings.Contains(text, "+") && strings.Contains(text, "/") {
			return text
		}
	}
}

// isOpaque reports whether a text has the format of an opaque token.
func isOpaque(text string) bool {
	data, err := base64.StdEncoding.Strict().DecodeString(text) // encoding/base64 skips line breaks
	return err == nil && len(data) == opaqueBytes && len(text) == base64.StdEncoding.EncodedLen(opaqueBytes)
}

// jwsHeader is exactly {"alg":"HS256"}.
const jwsHeader = "eyJhbGciOiJIUzI1NiJ9"

// jwsForm creates the tokens that are JWS. Their payload is 128 opaque bytes, like
// LINE's (line-sdk-android issue 98, 2020-12). It contains the encrypted expiry, so
// that the server need not keep expired tokens.
type jwsForm struct {
	signing []byte
	payload cipher.AEAD
}

func newJWSForm() *jwsForm {
	block, err := aes.NewCipher(random(32))
	if err != nil {
		panic(err) // depends only on the length of the key
	}
	payload, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for other ciphers
	}
	return &jwsForm{random(32), payload}
}

func (f *jwsForm) sign(text string) string {
	mac := hmac.New(sha256.New, f.signing)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (f *jwsForm) issue(expiresAt time.Time) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(expiresAt.UnixMilli()))
	plain = append(plain, make([]byte, 128-f.payload.Overhead()-len(plain))...)
	sealed := f.payload.Seal(nil, nil, plain, nil) //nolint:gosec // the nonce is random, and part of the token
	return f.sign(jwsHeader + "." + base64.RawURLEncoding.EncodeToString(sealed))
}

// expiry returns the expiry of a token of this server.
func (f *jwsForm) expiry(text string) (expiresAt time.Time, own bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 || !hmac.Equal([]byte(f.sign(text[:i])), []byte(text)) {
		return time.Time{}, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text[:i], jwsHeader+"."))
	if err != nil {
		return time.Time{}, false
	}
	plain, err := f.payload.Open(nil, nil, sealed, nil)
	if err != nil || len(plain) < 8 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(plain))), true //nolint:gosec // as written by issue
}

// isWellFormed reports whether a text with two dots is a JWS, and whether its header
// is that of LINE's tokens.
func isWellFormed(text string) (jws, likeLINEs bool) {
	if strings.ContainsAny(text, "\r\n") { // encoding/base64 skips these
		return false, false
	}
	parts := strings.Split(text, ".")
	for i, part := range parts {
		decoded, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || len(decoded) == 0 {
			return false, false
		}
		var header struct {
			Alg string `json:"alg"`
		}
		if i == 0 && (json.Unmarshal(decoded, &header) != nil || header.Alg == "") {
			return false, false
		}
	}
	return len(parts) == 3, parts[0] == jwsHeader
}
