// Command lambda is a bot behind a function URL of AWS Lambda, on the runtime
// provided.al2023. It takes the variables of lineoauth.ConfigFromEnv.
//
// Each instance has a stateless token of its own, of which there may be any number, and
// keeps it from one invocation to the next.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/examples/deploy/internal/echo"
)

func main() {
	cfg, err := lineoauth.ConfigFromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	cfg.Logger = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	f, err := newFunction(cfg, lineoauth.CredentialsFromEnv(os.Getenv))
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(f.handle)
}

// fresh is for how long a token has to be valid when an invocation begins. It is more
// than the time before it expires at which a source refreshes a stateless token in the
// background, so that no refresh is under way when the instance is frozen.
const fresh = 5 * time.Minute

type function struct {
	source *lineoauth.Source
	bot    http.Handler
}

func newFunction(cfg lineoauth.Config, credentials func(context.Context) (lineoauth.Credentials, error)) (*function, error) {
	cfg.Credentials = credentials
	client, err := lineoauth.New(cfg)
	if err != nil {
		return nil, err
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		return nil, err
	}
	bot, err := echo.New(cfg, source)
	if err != nil {
		return nil, err
	}
	return &function{source, bot}, nil
}

func (f *function) handle(ctx context.Context, event events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return answer(http.StatusBadRequest, "the body is not base64"), nil
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return events.LambdaFunctionURLResponse{}, err
	}
	for name, value := range event.Headers {
		r.Header.Set(name, value)
	}
	if _, err := f.source.FreshToken(ctx, fresh); err != nil {
		slog.ErrorContext(ctx, "there is no token", "error", err)
		return answer(http.StatusServiceUnavailable, "there is no token"), nil
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	f.bot.ServeHTTP(w, r)
	return answer(w.status, w.body.String()), nil
}

func answer(status int, body string) events.LambdaFunctionURLResponse {
	return events.LambdaFunctionURLResponse{StatusCode: status, Body: body, Headers: map[string]string{"Content-Type": "text/plain"}}
}

// recorder keeps what a handler answers.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
