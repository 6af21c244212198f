package lineoauthtest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth"
)

// LINE's rate limits, in requests a second.
const (
	shortLivedRate = 370
	otherRate      = 2000
)

// bucket is a token bucket with the capacity of one second, since LINE's capacity is
// unknown.
type bucket struct {
	left float64
	at   time.Time
}

type bucketKey struct {
	channelID string
	operation lineoauth.Operation
}

// LimitRates turns LINE's rate limits on or off; they are off by default. Each channel
// has a token bucket for each endpoint: 370 requests a second for short-lived tokens,
// 2,000 for everything else; what is over that is answered with 429. A request that
// names no channel of the server's, such as one with an unknown token, is not limited.
// The buckets fill by the server's clock.
//
// https://developers.line.biz/en/reference/messaging-api/#rate-limits
func (s *Server) LimitRates(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limitRates = on
	clear(s.buckets)
}

func tooManyRequests() *refusal {
	return messageRefusal(http.StatusTooManyRequests, "The API rate limit has been exceeded. Try again later.")
}

// limit refuses requests over the rate limit.
func (s *Server) limit(op lineoauth.Operation, r *http.Request) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.limitRates {
		return nil
	}
	c := s.caller(r)
	if c == nil {
		return nil
	}
	rate, now := float64(otherRate), s.now()
	if op == lineoauth.OpIssueChannelToken {
		rate = shortLivedRate
	}
	key := bucketKey{c.ID, op}
	b, ok := s.buckets[key]
	if !ok {
		b = bucket{rate, now}
	}
	b.left = min(rate, b.left+rate*max(0, now.Sub(b.at)).Seconds())
	b.at = now
	var bad *refusal
	if b.left < 1 {
		bad = tooManyRequests()
	} else {
		b.left--
	}
	s.buckets[key] = b
	return bad
}

// caller returns the channel that a request claims to be from, or nil.
func (s *Server) caller(r *http.Request) *Channel {
	fields := r.URL.Query()
	if b, ok := r.Body.(body); ok && len(b.text) > 0 {
		fields, _ = url.ParseQuery(string(b.text)) // if it is a form
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if t := s.find(cmp.Or(fields.Get("access_token"), token)); t != nil {
		return t.channel
	}
	return s.channels[cmp.Or(fields.Get("client_id"), issuer(fields.Get("client_assertion")))]
}

// issuer returns the issuer of an assertion, unverified.
func issuer(assertion string) string {
	var said struct {
		Issuer string `json:"iss"`
	}
	if parts := strings.Split(assertion, "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &said) // empty if it cannot be read
	}
	return said.Issuer
}
