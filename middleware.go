package lineoauth

import (
	"context"
	"math"
	"net/http"
	"strconv"
)

type tokenKey struct{}

// Middleware puts a valid token into the context of every request that next
// serves; [TokenFromContext] takes it out. When there is none, it
// answers 503 itself, with a Retry-After of 1 s to an hour.
func (s *Source) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := s.Token(r.Context())
		if err != nil {
			w.Header().Set("Retry-After", strconv.Itoa(s.retrySeconds()))
			http.Error(w, "no valid LINE channel access token", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, token)))
	})
}

// TokenFromContext returns the token that [Source.Middleware] put into a
// request's context.
func TokenFromContext(ctx context.Context) (Token, bool) {
	token, ok := ctx.Value(tokenKey{}).(Token)
	return token, ok
}

// maxRetrySeconds bounds Retry-After.
const maxRetrySeconds = 3600

// retrySeconds is the time until the source's next attempt.
func (s *Source) retrySeconds() int {
	return max(1, min(maxRetrySeconds, int(math.Ceil(s.life.NextAttempt().Seconds()))))
}
