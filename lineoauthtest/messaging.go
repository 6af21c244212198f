package lineoauthtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest/internal/api"
)

// The operations of the Messaging API that the server supports, so that a whole bot can
// be tested. They accept a valid token of any kind.
const (
	// OpGetBotInfo is GET /v2/bot/info.
	//
	// https://developers.line.biz/en/reference/messaging-api/#get-bot-info
	OpGetBotInfo lineoauth.Operation = "getBotInfo"
	// OpPushMessage is POST /v2/bot/message/push.
	//
	// https://developers.line.biz/en/reference/messaging-api/#send-push-message
	OpPushMessage lineoauth.Operation = "pushMessage"
	// OpReplyMessage is POST /v2/bot/message/reply. It accepts any reply token, any
	// number of times; LINE accepts each once.
	//
	// https://developers.line.biz/en/reference/messaging-api/#send-reply-message
	OpReplyMessage lineoauth.Operation = "replyMessage"
	// OpMulticast is POST /v2/bot/message/multicast.
	//
	// https://developers.line.biz/en/reference/messaging-api/#send-multicast-message
	OpMulticast lineoauth.Operation = "multicast"
	// OpBroadcast is POST /v2/bot/message/broadcast.
	//
	// https://developers.line.biz/en/reference/messaging-api/#send-broadcast-message
	OpBroadcast lineoauth.Operation = "broadcast"
	// OpGetProfile is GET /v2/bot/profile/{userId}; see [Server.SetProfile].
	//
	// https://developers.line.biz/en/reference/messaging-api/#get-profile
	OpGetProfile lineoauth.Operation = "getProfile"
	// OpGetMessageContent is GET /v2/bot/message/{messageId}/content, which LINE has at
	// api-data.line.me only; see [Server.SetContent].
	//
	// https://developers.line.biz/en/reference/messaging-api/#get-content
	OpGetMessageContent lineoauth.Operation = "getMessageContent"
)

const maxRecipients = 500 // of a multicast

func (s *Server) routeMessaging() {
	s.mux.HandleFunc("GET /v2/bot/info", s.getBotInfo)
	s.mux.HandleFunc("GET /v2/bot/profile/{userId}", s.getProfile)
	s.mux.HandleFunc("POST /v2/bot/message/push", s.send(OpPushMessage, "to"))
	s.mux.HandleFunc("POST /v2/bot/message/reply", s.send(OpReplyMessage, "replyToken"))
	s.mux.HandleFunc("POST /v2/bot/message/multicast", s.send(OpMulticast, "to"))
	s.mux.HandleFunc("POST /v2/bot/message/broadcast", s.send(OpBroadcast, ""))
	s.mux.HandleFunc("GET /v2/bot/message/{messageId}/content", s.getContent)
}

// bearer returns the valid token of a request's Authorization header.
func (s *Server) bearer(r *http.Request) (*token, *refusal) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if text == "" || !strings.EqualFold(scheme, "Bearer") {
		// laravel-line-sdk issue 9, 2024-12: without a header, or one without a token.
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

// outgoing is the body of a request that sends messages.
type outgoing struct {
	to         string
	recipients []string
	messages   []json.RawMessage
}

// readOutgoing reads the messages of op. The body's property named to has the recipients.
func readOutgoing(op lineoauth.Operation, to string, r *http.Request) (outgoing, *refusal) {
	var properties map[string]json.RawMessage
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(text, &properties)
	}
	if err != nil {
		return outgoing{}, messageRefusal(http.StatusBadRequest, "The request body could not be parsed as JSON")
	}
	// Missing properties and those of a wrong type remain empty, and are refused below.
	var out outgoing
	_ = json.Unmarshal(properties["messages"], &out.messages)
	if op == OpMulticast {
		_ = json.Unmarshal(properties[to], &out.recipients)
		if len(out.recipients) > maxRecipients || slices.Contains(out.recipients, "") {
			out.recipients = nil
		}
	} else {
		_ = json.Unmarshal(properties[to], &out.to)
	}
	switch {
	case op == OpMulticast && len(out.recipients) == 0:
		return out, badProperty(to, fmt.Sprintf("Size must be between 1 and %d", maxRecipients))
	case op != OpMulticast && op != OpBroadcast && out.to == "":
		return out, badProperty(to, "May not be empty")
	case len(out.messages) < 1 || len(out.messages) > 5:
		return out, badProperty("messages", "Size must be between 1 and 5")
	}
	return out, nil
}

// send answers an operation that sends messages. Its body's property named to has the
// recipients.
func (s *Server) send(op lineoauth.Operation, to string) http.HandlerFunc {
	type sentMessage struct {
		ID string `json:"id"`
	}
	return func(w http.ResponseWriter, r *http.Request) {
		out, badBody := readOutgoing(op, to, r)
		s.answer(w, nil, func() (any, *refusal) {
			t, bad := s.bearer(r)
			if bad = cmp.Or(bad, badBody); bad != nil {
				return nil, bad
			}
			var sent []sentMessage
			for _, message := range out.messages {
				id := messageID()
				sent = append(sent, sentMessage{id})
				s.messages = append(s.messages, Message{t.channel.ID, op, id, out.to, out.recipients, message})
			}
			s.forgetMessages()
			if op == OpMulticast || op == OpBroadcast {
				return struct{}{}, nil
			}
			return map[string]any{"sentMessages": sent}, nil
		})
	}
}

// forgetMessages drops all but the last messages.
func (s *Server) forgetMessages() {
	size, from := 0, len(s.messages)
	for from > 0 && len(s.messages)-from < maxRemembered && size <= maxRememberedBytes {
		from--
		m := s.messages[from]
		size += len(m.Message) + len(m.To)
		for _, to := range m.Recipients {
			size += len(to)
		}
	}
	if size > maxRememberedBytes {
		from++
	}
	s.messages = append([]Message(nil), s.messages[from:]...)
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
