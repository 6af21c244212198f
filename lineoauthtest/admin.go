package lineoauthtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// adminEndpoints are the HTTP equivalents of the methods of Server and Channel. They
// answer with the state unless documented otherwise.
var adminEndpoints = []struct {
	pattern, example, does string
	serve                  func(*Server, http.ResponseWriter, *http.Request)
}{
	{"GET /_emulator/state", "", "calls, valid tokens, sent messages, pending faults",
		func(s *Server, w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.State()) }},
	{"POST /_emulator/reset", "{}", "restores the initial state, keeping the channels",
		admin(func(s *Server, _ *http.Request, _ struct{}) (any, error) { s.Reset(); return s.State(), nil })},
	{"POST /_emulator/clock", `{"advance":"15m"}`, "advances the clock",
		admin((*Server).adminClock)},
	{"POST /_emulator/faults", `{"fault":"rate-limited","times":3}`, "injects faults into the next answers",
		admin(func(s *Server, _ *http.Request, f faultJSON) (any, error) { return s.State, s.inject(f.fault()) })},
	{"DELETE /_emulator/faults", "", "clears pending faults",
		admin(func(s *Server, _ *http.Request, _ struct{}) (any, error) { s.ClearFaults(); return s.State, nil })},
	{"POST /_emulator/rate-limits", `{"enabled":true}`, "turns LINE's rate limits on or off",
		admin((*Server).adminRateLimits)},
	{"POST /_emulator/channels/{channelId}/secret", `{"channel_secret":"…"}`, "re-issues the channel secret (generated if omitted); answers with it",
		admin((*Server).adminSecret)},
	{"POST /_emulator/channels/{channelId}/keys", `{"public_key":{…},"key_id":"…"}`, "registers a public key (a JWK); answers with its key ID",
		admin((*Server).adminRegister)},
	{"PUT /_emulator/channels/{channelId}/keys/{keyId}", `{"public_key":{…},"key_id":"…"}`, "replaces a key; answers with the new key ID",
		admin((*Server).adminReplace)},
	{"DELETE /_emulator/channels/{channelId}/keys/{keyId}", "", "deletes a key",
		admin((*Server).adminDeleteKey)},
	{"POST /_emulator/channels/{channelId}/long-lived", "{}", "issues a long-lived token, as the console does; answers with it",
		admin((*Server).adminLongLived)},
	{"POST /_emulator/channels/{channelId}/revoke", `{"access_token":"…"}`, "revokes a valid token of any type, also a stateless one",
		admin((*Server).adminRevoke)},
	{"PUT /_emulator/channels/{channelId}/mini-app", `{"enabled":true}`, "makes the channel that of a LINE MINI App, or ends that",
		admin((*Server).adminMINIApp)},
	{"POST /_emulator/profiles", `{"userId":"U…","displayName":"…"}`, "sets a user's profile; without displayName the user is not found",
		admin(func(s *Server, _ *http.Request, p Profile) (any, error) { return s.State, s.SetProfile(p) })},
	{"POST /_emulator/contents", `{"message_id":"1","content_type":"image/png","data":"…"}`, "sets a message's content, in base64; without data it is not found",
		admin((*Server).adminContent)},
}

var errNotThere = errors.New("not found")

// admin returns the handler of an admin endpoint. do returns the answer, or a
// function that writes it.
func admin[T any](do func(*Server, *http.Request, T) (any, error)) func(*Server, http.ResponseWriter, *http.Request) {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		// A web page can send other content types, or none, without a preflight request.
		contentType := r.Header.Get("Content-Type")
		bare := r.Method == http.MethodDelete && r.Body == http.NoBody && contentType == ""
		if mediaType, _, err := mime.ParseMediaType(contentType); !bare && (err != nil || mediaType != "application/json") {
			messageRefusal(http.StatusUnsupportedMediaType, "the emulator's own endpoints need JSON; send Content-Type: application/json (curl --json does)").write(w)
			return
		}
		var read T
		err := readJSON(r.Body, &read)
		if err != nil {
			messageRefusal(http.StatusBadRequest, "invalid JSON for this endpoint: "+err.Error()).write(w)
			return
		}
		answer, err := do(s, r, read)
		if state, ok := answer.(func() State); ok {
			answer = state()
		}
		switch {
		case errors.Is(err, errNotThere):
			messageRefusal(http.StatusNotFound, strings.TrimPrefix(err.Error(), "lineoauthtest: ")).write(w)
		case err != nil:
			messageRefusal(http.StatusBadRequest, strings.TrimPrefix(err.Error(), "lineoauthtest: ")).write(w)
		default:
			writeJSON(w, http.StatusOK, answer)
		}
	}
}

// readJSON reads exactly one object. An empty body is an empty object.
func readJSON(body io.Reader, v any) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected data after the object")
	}
	return nil
}

func (s *Server) adminClock(_ *http.Request, clock struct {
	Advance *duration `json:"advance"`
}) (any, error) {
	if clock.Advance == nil {
		return nil, errors.New(`set "advance", such as "15m"`)
	}
	s.mu.Lock()
	err := s.advance(time.Duration(*clock.Advance))
	s.mu.Unlock()
	return s.State, err
}

func (s *Server) adminRateLimits(_ *http.Request, limits struct {
	Enabled *bool `json:"enabled"`
}) (any, error) {
	if limits.Enabled == nil {
		return nil, errors.New(`set "enabled" to true or false`)
	}
	s.LimitRates(*limits.Enabled)
	return s.State, nil
}

// channel returns the channel that a request's path names.
func (s *Server) channel(r *http.Request) (*Channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[r.PathValue("channelId")]
	if c == nil {
		return nil, fmt.Errorf("channel %w; GET /_emulator/state lists the channels", errNotThere)
	}
	return c, nil
}

func (s *Server) adminSecret(r *http.Request, read struct {
	ChannelSecret string `json:"channel_secret"`
}) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	return map[string]string{"channel_id": c.ID, "channel_secret": c.ReissueSecret(read.ChannelSecret)}, nil
}

type keyJSON struct {
	PublicKey json.RawMessage `json:"public_key"`
	KeyID     string          `json:"key_id"`
}

func (s *Server) adminRegister(r *http.Request, key keyJSON) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c.remember()
	s.mu.Unlock()
	keyID, err := c.RegisterKey(key.KeyID, key.PublicKey)
	return map[string]string{"channel_id": c.ID, "key_id": keyID}, err
}

func (s *Server) adminReplace(r *http.Request, key keyJSON) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	keyID, err := c.ReplaceKey(r.PathValue("keyId"), key.KeyID, key.PublicKey)
	return map[string]string{"channel_id": c.ID, "key_id": keyID}, err
}

func (s *Server) adminDeleteKey(r *http.Request, _ struct{}) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	return s.State, c.DeleteKey(r.PathValue("keyId"))
}

func (s *Server) adminLongLived(r *http.Request, _ struct{}) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	token := c.IssueLongLivedToken()
	if token.IsZero() {
		return nil, errors.New("the channel of a LINE MINI App cannot have a long-lived token")
	}
	return map[string]string{"channel_id": c.ID, "access_token": token.Reveal()}, nil
}

func (s *Server) adminRevoke(r *http.Request, read struct {
	AccessToken string `json:"access_token"`
}) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	if !c.RevokeToken(read.AccessToken) {
		return nil, errors.New(`the channel has no such valid token; give "access_token", the whole token`)
	}
	return s.State, nil
}

func (s *Server) adminMINIApp(r *http.Request, set struct {
	Enabled *bool `json:"enabled"`
}) (any, error) {
	c, err := s.channel(r)
	if err != nil {
		return nil, err
	}
	if set.Enabled == nil {
		return nil, errors.New(`set "enabled" to true or false`)
	}
	s.mu.Lock()
	c.remember()
	s.mu.Unlock()
	c.SetMINIApp(*set.Enabled)
	return s.State, nil
}

func (s *Server) adminContent(_ *http.Request, content struct {
	MessageID   string `json:"message_id"`
	ContentType string `json:"content_type"`
	Data        []byte `json:"data"`
}) (any, error) {
	return s.State, s.SetContent(content.MessageID, content.ContentType, content.Data)
}
