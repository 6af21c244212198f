// Package middleware shows a valid token in the context of requests, with
// net/http, chi and echo.
package middleware

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// sendMessage is a handler that needs a token.
func sendMessage(w http.ResponseWriter, r *http.Request) {
	token, _ := lineoauth.TokenFromContext(r.Context())
	_, _ = fmt.Fprintf(w, "a live %s token", token.Kind)
}

// newSource returns a source, and a function that closes it.
func newSource() (*lineoauth.Source, func()) {
	srv := lineoauthtest.NewServer() // in place of LINE
	client, err := lineoauth.New(srv.Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	return source, func() { _ = source.Close(); srv.Close() }
}

func ask(h http.Handler) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/send", nil))
	fmt.Println(rec.Code, rec.Body)
}

func Example_netHTTP() {
	source, done := newSource()
	defer done()
	mux := http.NewServeMux()
	mux.Handle("GET /send", source.Middleware(http.HandlerFunc(sendMessage)))
	ask(mux)
	// Output: 200 a live stateless token
}

func Example_chi() {
	source, done := newSource()
	defer done()
	router := chi.NewRouter()
	router.Use(source.Middleware)
	router.Get("/send", sendMessage)
	ask(router)
	// Output: 200 a live stateless token
}

func Example_echo() {
	source, done := newSource()
	defer done()
	e := echo.New()
	e.Use(echo.WrapMiddleware(source.Middleware))
	e.GET("/send", echo.WrapHandler(http.HandlerFunc(sendMessage)))
	ask(e)
	// Output: 200 a live stateless token
}

// Without a token the handler is not called.
func Example_noToken() {
	source, done := newSource()
	done()
	ask(source.Middleware(http.HandlerFunc(sendMessage)))
	// Output: 503 no valid LINE channel access token
}
