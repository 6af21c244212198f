package lineoauthtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"time"

	"github.com/lineoauth/lineoauth"
)

// FaultKind is a way in which an answer fails.
type FaultKind string

// The ways in which an answer fails. Those up to ResetBefore replace the operation;
// with the others the operation takes place.
const (
	// ServerError is status 500, or Fault.Status, with Fault.RetryAfter.
	ServerError FaultKind = "server-error"
	// RateLimited is status 429, with Fault.RetryAfter.
	//
	// https://developers.line.biz/en/reference/messaging-api/#rate-limits
	RateLimited FaultKind = "rate-limited"
	// NotJSON is status 200 with a page of HTML, as from a proxy's login.
	NotJSON FaultKind = "not-json"
	// Endless is status 200 with a body that does not end.
	Endless FaultKind = "endless"
	// Redirect is status 307 to Fault.Location.
	Redirect FaultKind = "redirect"
	// ResetBefore breaks the connection before the operation.
	ResetBefore FaultKind = "reset-before"

	// ResetAfter breaks the connection after the operation: the token was issued, but
	// the answer is lost.
	ResetAfter FaultKind = "reset-after"
	// CutBody breaks the connection in the middle of the answer's body.
	CutBody FaultKind = "cut-body"
	// Delayed waits for Fault.Delay first. Nothing happens if the client disconnects
	// before that.
	Delayed FaultKind = "delayed"
	// WrongDate answers with a Date header that is off by Fault.Skew.
	WrongDate FaultKind = "wrong-date"
)

// Fault makes answers fail.
type Fault struct {
	// Kind is what fails.
	Kind FaultKind
	// Operation is the one whose answers fail. Empty means any.
	Operation lineoauth.Operation
	// Times is how many answers fail. 0 means 1; a negative number means all, until
	// [Server.ClearFaults].
	Times int
	// Status is the status of ServerError: 500 to 599. 0 means 500.
	Status int
	// RetryAfter is the Retry-After header of RateLimited and ServerError, as it is.
	// Empty means none.
	RetryAfter string
	// Location is the target of Redirect. Empty means the same path and query at
	// https://elsewhere.invalid.
	Location string
	// Delay is how long Delayed waits.
	Delay time.Duration
	// Skew is the offset of the Date header of WrongDate; negative means behind.
	Skew time.Duration
}

// strikes maps each kind of fault to its handler.
var strikes = map[FaultKind]func(f Fault, w *watchedWriter, r *http.Request, s *Server){
	ServerError: func(f Fault, w *watchedWriter, _ *http.Request, _ *Server) {
		f.setRetryAfter(w)
		if f.Status == 0 || f.Status == http.StatusInternalServerError {
			messageRefusal(http.StatusInternalServerError, "Internal server error").write(w)
			return
		}
		messageRefusal(f.Status, cmp.Or(http.StatusText(f.Status), "Server error")).write(w)
	},
	RateLimited: func(f Fault, w *watchedWriter, _ *http.Request, _ *Server) {
		f.setRetryAfter(w)
		tooManyRequests().write(w)
	},
	NotJSON: func(_ Fault, w *watchedWriter, _ *http.Request, _ *Server) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Log in</title><p>Log in to use this network.")
	},
	Endless: func(_ Fault, w *watchedWriter, r *http.Request, _ *Server) {
		w.Header().Set("Content-Type", "application/json")
		chunk := bytes.Repeat([]byte(" "), 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	},
	Redirect: func(f Fault, w *watchedWriter, r *http.Request, _ *Server) {
		if f.Location == "" {
			f.Location = "https://elsewhere.invalid" + r.URL.RequestURI()
		}
		w.Header().Set("Location", f.Location)
		w.WriteHeader(http.StatusTemporaryRedirect)
	},
	ResetBefore: func(_ Fault, w *watchedWriter, _ *http.Request, _ *Server) {
		reset(w)
	},
	ResetAfter: func(_ Fault, w *watchedWriter, r *http.Request, s *Server) {
		_ = w.apart(s, r)
		reset(w)
	},
	CutBody: func(_ Fault, w *watchedWriter, r *http.Request, s *Server) {
		rec := w.apart(s, r)
		maps.Copy(w.Header(), rec.Header())
		// At least one byte is missing, also from an empty body.
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	},
	Delayed: func(f Fault, w *watchedWriter, r *http.Request, s *Server) {
		wait := time.NewTimer(f.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
			s.mux.ServeHTTP(w, r)
		case <-r.Context().Done():
			w.end(0)
		case <-s.closing: // net/http does not end the context of a client that has sent more
			w.end(0)
		}
	},
	WrongDate: func(f Fault, w *watchedWriter, r *http.Request, s *Server) {
		w.Header().Set("Date", s.Now().Add(f.Skew).UTC().Format(http.TimeFormat))
		s.mux.ServeHTTP(w, r)
	},
}

func (f Fault) setRetryAfter(w http.ResponseWriter) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
}

// apart has a request take place, and returns the answer instead of writing it.
func (w *watchedWriter) apart(s *Server, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	watched := &watchedWriter{ResponseWriter: rec}
	s.mux.ServeHTTP(watched, r)
	w.undocumented = watched.undocumented
	return rec
}

// reset breaks the connection without an answer.
func reset(w *watchedWriter) {
	w.end(0)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST instead of FIN
	}
	_ = conn.Close()
}

const (
	maxFaults    = 1000
	maxFaultText = 2000 // bytes of a header
)

// check returns an error for a fault that would never apply.
func (f *Fault) check() error {
	if len(f.RetryAfter) > maxFaultText || len(f.Location) > maxFaultText {
		return fmt.Errorf("a header of a fault is longer than %d bytes; shorten it", maxFaultText)
	}
	if f.Status != 0 && f.Status/100 != 5 {
		return fmt.Errorf("a fault cannot have status %d; use 500 to 599", f.Status)
	}
	if strikes[f.Kind] == nil {
		return fmt.Errorf("unknown fault %q; use one of %q", f.Kind, slices.Sorted(maps.Keys(strikes)))
	}
	for _, op := range operations {
		if f.Operation == "" || f.Operation == op {
			return nil
		}
	}
	return fmt.Errorf("unknown operation %q; use one of %q", f.Operation, slices.Sorted(maps.Values(operations)))
}

// Inject makes the next answers fail. Faults take effect in the order in which they
// were injected, one for each answer. It panics for an unknown kind of fault or
// operation, a status other than 500 to 599, a header longer than 2,000 bytes, and if 1,000 faults are pending.
func (s *Server) Inject(f Fault) {
	if err := s.inject(f); err != nil {
		panic("lineoauthtest: " + err.Error())
	}
}

func (s *Server) inject(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) >= maxFaults {
		return fmt.Errorf("%d faults are pending; use times, or clear them", maxFaults)
	}
	s.faults = append(s.faults, &f)
	return nil
}

// ClearFaults removes the pending faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// faultJSON is the JSON form of a fault, with durations as in "1m30s".
type faultJSON struct {
	Kind       FaultKind           `json:"fault"`
	Operation  lineoauth.Operation `json:"operation,omitempty"`
	Times      int                 `json:"times,omitempty"`
	Status     int                 `json:"status,omitempty"`
	RetryAfter string              `json:"retry_after,omitempty"`
	Location   string              `json:"location,omitempty"`
	Delay      duration            `json:"delay,omitzero"`
	Skew       duration            `json:"skew,omitzero"`
}

func (f faultJSON) fault() Fault {
	return Fault{f.Kind, f.Operation, f.Times, f.Status, f.RetryAfter, f.Location, time.Duration(f.Delay), time.Duration(f.Skew)}
}

// MarshalJSON implements [json.Marshaler], for /_emulator/state.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{f.Kind, f.Operation, f.Times, f.Status, f.RetryAfter, f.Location, duration(f.Delay), duration(f.Skew)})
}

type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}
