// Package doctor diagnoses a configuration: the settings, the connection to LINE,
// whether LINE accepts the credentials, and the store. It sends nothing that counts
// toward a limit, and its checks contain no secret.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/lineoauth/lineoauth"
)

// Status is the result of a check.
type Status string

// The results of checks.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // not applicable, or another check must pass first
)

// Check is one check and its result.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Found is what was found, or the error.
	Found string `json:"found"`
	// Fix is what to do if the check failed.
	Fix string `json:"fix,omitempty"`
}

// Config configures the checks.
type Config struct {
	// Getenv returns the value of an environment variable.
	Getenv func(string) string
	// Named returns the name of the variable, or of the flag that overrides it. nil
	// means the variable.
	Named func(variable string) string
	// Timeout bounds each call. 0 means [lineoauth.DefaultTimeout].
	Timeout time.Duration
	// Store is the directory of the shared token; empty means the default directory,
	// which need not exist.
	Store string
	// Report is called with each check, in order.
	Report func(Check)
	// Now is the clock. nil means [time.Now].
	Now func() time.Time
}

// secretFile is the variable for a file with the channel secret.
const secretFile = "LINE_CHANNEL_SECRET_FILE"

// examination holds the state of the checks so far.
type examination struct {
	Config
	failed    int
	settings  lineoauth.Config // without unusable settings
	transport *http.Transport
	nowhere   bool // the base URL is not usable
	reached   bool // LINE answered
}

// Examine runs all checks, and returns how many failed.
func Examine(ctx context.Context, cfg Config) (failed int) {
	if cfg.Named == nil {
		cfg.Named = func(variable string) string { return variable }
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = lineoauth.DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &examination{Config: cfg, transport: &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
	}}
	defer e.transport.CloseIdleConnections()
	e.checkSettings()
	e.checkRoute(ctx)
	e.checkSecret(ctx)
	e.checkKey(ctx)
	e.checkStore(ctx)
	return e.failed
}

func (e *examination) ok(name, format string, args ...any) {
	e.Report(Check{Name: name, Status: OK, Found: fmt.Sprintf(format, args...)})
}

func (e *examination) skip(name, format string, args ...any) {
	e.Report(Check{Name: name, Status: Skipped, Found: fmt.Sprintf(format, args...)})
}

func (e *examination) fail(name, found, fix string) {
	e.failed++
	e.Report(Check{Name: name, Status: Failed, Found: found, Fix: fix})
}

var variable = regexp.MustCompile(`\bLINE_[A-Z_]+`)

// failWith reports an error. Errors of this module end with what to do.
func (e *examination) failWith(name string, err error, fix string) {
	text := strings.TrimPrefix(err.Error(), "lineoauth: ")
	text = strings.TrimPrefix(text, lineoauth.ErrInvalid.Error()+": ")
	text = variable.ReplaceAllStringFunc(text, e.Named)
	found, advice, ok := strings.Cut(text, "; ")
	if ok {
		fix = advice
	}
	e.fail(name, found, fix)
}

// client returns a client without retries.
func (e *examination) client(cfg lineoauth.Config) (*lineoauth.Client, error) {
	cfg.Transport, cfg.Timeout, cfg.MaxAttempts, cfg.Now = e.transport, e.Timeout, 1, e.Now
	return lineoauth.New(cfg)
}
