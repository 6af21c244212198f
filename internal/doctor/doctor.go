// Package doctor finds out what is wrong with a set-up: its settings, the way to
// LINE, what LINE makes of the credentials, and the store. It sends nothing that
// counts toward a limit, and its checks hold no secret.
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

// Status is what a check came to.
type Status string

// What checks come to.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // of no use here, or another one has to pass first
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Found is what is there, or what is wrong with it.
	Found string `json:"found"`
	// Fix is what to do about a check that failed.
	Fix string `json:"fix,omitempty"`
}

// Config is what to look at.
type Config struct {
	// Getenv returns the settings, by their variables.
	Getenv func(string) string
	// Named is how a setting was given: a variable, or the flag in its place. nil
	// means variables.
	Named func(variable string) string
	// Timeout bounds each call. 0 means [lineoauth.DefaultTimeout].
	Timeout time.Duration
	// Store is the directory of the shared token; empty means the default one,
	// which need not exist.
	Store string
	// Report is called with each check, in turn.
	Report func(Check)
	// Now is the clock. nil means [time.Now].
	Now func() time.Time
}

// secretFile is the variable of a file that holds the channel secret.
const secretFile = "LINE_CHANNEL_SECRET_FILE"

// examination is the checks so far, and what they found.
type examination struct {
	Config
	failed    int
	settings  lineoauth.Config // without what is not usable
	transport *http.Transport
	nowhere   bool // the base URL is of no use
	reached   bool // LINE answered
}

// Examine makes all checks, and returns how many failed.
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
	e.checkWay(ctx)
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

// failWith reports an error. Those of this module say what to do after what was
// wrong.
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

// client returns a client that makes each call once.
func (e *examination) client(cfg lineoauth.Config) (*lineoauth.Client, error) {
	cfg.Transport, cfg.Timeout, cfg.MaxAttempts, cfg.Now = e.transport, e.Timeout, 1, e.Now
	return lineoauth.New(cfg)
}
