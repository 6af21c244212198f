package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lineoauth/lineoauth"
)

// text is a body of n bytes, no two parts of which are the same.
func text(n int) string {
	var b []byte
	for i := int64(0); len(b) < n; i++ {
		b = append(strconv.AppendInt(b, i, 10), '\n')
	}
	return string(b[:n])
}

// A request whose length is not known is sent once more after a 401, unless its body is
// too long; also when LINE refuses it before all of the body was sent.
func TestUnknownLength(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size  int
		early bool
		want  int
	}{
		{1, false, 200},
		{256 << 10, false, 200},
		{256<<10 + 1, false, 401},
		{1 << 20, false, 401},
		{2, true, 200},
		{256 << 10, true, 200},
	} {
		for _, overTLS := range []bool{false, true} {
			if tt.early && !overTLS {
				continue // httptest's HTTP/1 answers after the body
			}
			t.Run(fmt.Sprint(tt.size, tt.early, overTLS), func(t *testing.T) {
				t.Parallel()
				var old atomic.Value // the header with the revoked token
				refused := make(chan struct{})
				once := sync.OnceFunc(func() { close(refused) })
				w := newFixture(t, setting{kind: lineoauth.V21, tls: overTLS, handler: func(w http.ResponseWriter, r *http.Request) {
					valid := r.Header.Get("Authorization") != old.Load()
					var body []byte
					if valid || !tt.early {
						body, _ = io.ReadAll(r.Body)
					}
					if valid {
						_, _ = w.Write(body)
						return
					}
					w.WriteHeader(http.StatusUnauthorized)
					_ = http.NewResponseController(w).Flush()
					once()
				}})
				token, err := w.source.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				old.Store("Bearer " + token.AccessToken.Reveal())
				w.revoke()
				sent := text(tt.size)
				body, writer := io.Pipe()
				go func() {
					_, _ = io.WriteString(writer, sent[:len(sent)/1000+1])
					if tt.early {
						<-refused
					}
					_, _ = io.WriteString(writer, sent[len(sent)/1000+1:])
					_ = writer.Close()
				}()
				status, _, got := w.do("POST", "/v2/bot/message/push", "", func(r *http.Request) { r.Body, r.ContentLength = body, -1 })
				if status != tt.want || status == 200 && got != sent {
					t.Errorf("%d with %d bytes, want %d", status, len(got), tt.want)
				}
			})
		}
	}
}
