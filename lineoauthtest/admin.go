package lineoauthtest

import (
	"encoding/json"
	"net/http"
	"time"
)

// routeAdmin gives to other languages what a Go test does by calls.
func (s *Server) routeAdmin() {
	s.mux.HandleFunc("GET /_emulator/state", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.State())
	})
	s.mux.HandleFunc("POST /_emulator/faults", func(w http.ResponseWriter, r *http.Request) {
		var read faultJSON
		if !readJSON(w, r, &read) {
			return
		}
		f := read.fault()
		if err := f.check(); err != nil {
			messageRefusal(http.StatusBadRequest, err.Error()).write(w)
			return
		}
		s.Inject(f)
		writeJSON(w, http.StatusOK, s.State())
	})
	s.mux.HandleFunc("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		writeJSON(w, http.StatusOK, s.State())
	})
	s.mux.HandleFunc("POST /_emulator/clock", func(w http.ResponseWriter, r *http.Request) {
		var clock struct {
			Advance duration `json:"advance"`
		}
		if !readJSON(w, r, &clock) {
			return
		}
		s.Advance(time.Duration(clock.Advance))
		writeJSON(w, http.StatusOK, s.State())
	})
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxForm))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		messageRefusal(http.StatusBadRequest, err.Error()).write(w)
		return false
	}
	return true
}
