package lineoauthtest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest/internal/api"
)

// The operations of the Messaging API that the server answers, so that a whole
// bot can be tested. They take a live token of any kind.
const (
	// OpGetBotInfo is GET /v2/bot/info.
	//
	// https://developers.line.biz/en/reference/messaging-api/#get-bot-info
	OpGetBotInfo lineoauth.Operation = "getBotInfo"
	// OpPushMessage is POST /v2/bot/message/push.
	//
	// https://developers.line.biz/en/reference/messaging-api/#send-push-message
	OpPushMessage lineoauth.Operation = "pushMessage"
	// OpReplyMessage is POST /v2/bot/message/reply. It takes any reply token, any
	// number of times, where LINE takes each once.
	//
	// https://developers.line.biz/en/reference/messaging-api/#send-reply-message
	OpReplyMessage lineoauth.Operation = "replyMessage"
)

const maxMessage = 1 << 20

func (s *Server) routeMessaging() {
	s.mux.HandleFunc("GET /v2/bot/info", s.getBotInfo)
	s.mux.HandleFunc("POST /v2/bot/message/push", s.send("to"))
	s.mux.HandleFunc("POST /v2/bot/message/reply", s.send("replyToken"))
}

// bearer returns the live token of a request's Authorization header.
func (s *Server) bearer(r *http.Request) (*token, *refusal) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if text == "" || !strings.EqualFold(scheme, "Bearer") {
		// laravel-line-sdk issue 9, 2024-12, of no header or one without a token.
		bad := messageRefusal(http.StatusUnauthorized,
			"Authorization header required. Must follow the scheme, 'Authorization: Bearer <ACCESS TOKEN>'")
		bad.undocumented = text != ""
		return nil, bad
	}
	if t := s.find(text); t != nil {
		return t, nil
	}
	return nil, messageRefusal(http.StatusUnauthorized,
		"Authentication failed. Confirm that the access token in the authorization header is valid.")
}

func (s *Server) getBotInfo(w http.ResponseWriter, r *http.Request) {
	s.answer(w, nil, func() (any, *refusal) {
		t, bad := s.bearer(r)
		if bad != nil {
			return nil, bad
		}
		return map[string]string{
			"userId":         "U" + t.channel.ID,
			"basicId":        "@" + t.channel.ID,
			"displayName":    "Emulated bot " + t.channel.ID,
			"chatMode":       "bot",
			"markAsReadMode": "auto",
		}, nil
	})
}

// send answers an operation that sends messages to whom its body's property
// named to says.
func (s *Server) send(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body map[string]json.RawMessage
		var receiver string
		var messages []json.RawMessage
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		// What is missing or of another type stays empty, and is refused below.
		_ = json.Unmarshal(body[to], &receiver)
		_ = json.Unmarshal(body["messages"], &messages)
		s.answer(w, nil, func() (any, *refusal) {
			t, bad := s.bearer(r)
			switch {
			case bad != nil:
				return nil, bad
			case err != nil:
				return nil, messageRefusal(http.StatusBadRequest, "The request body could not be parsed as JSON")
			case receiver == "":
				return nil, badProperty(to, "May not be empty")
			case len(messages) < 1 || len(messages) > 5:
				return nil, badProperty("messages", "Size must be between 1 and 5")
			}
			sent := make([]map[string]string, len(messages))
			for i, message := range messages {
				sent[i] = map[string]string{"id": rand.Text()}
				s.messages = append(s.messages, Message{t.channel.ID, receiver, message})
			}
			s.messages = s.messages[max(0, len(s.messages)-maxRemembered):]
			return map[string]any{"sentMessages": sent}, nil
		})
	}
}

func badProperty(property, message string) *refusal {
	bad := messageRefusal(http.StatusBadRequest, "The request body has 1 error(s)")
	detail := struct {
		Message  string `json:"message,omitempty"`
		Property string `json:"property,omitempty"`
	}{message, property}
	bad.body.Details = append(api.ErrorResponse{}.Details, detail)
	return bad
}
