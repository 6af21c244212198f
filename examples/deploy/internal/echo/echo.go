// Package echo is a bot that repeats each message, as far as it does not matter
// where it runs.
package echo

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/line/line-bot-sdk-go/v8/linebot/messaging_api"
	"github.com/line/line-bot-sdk-go/v8/linebot/webhook"

	"github.com/lineoauth/lineoauth"
)

// New returns the handler of LINE's webhook. cfg has a function for its Credentials, so
// that a secret that is replaced is known at once.
func New(cfg lineoauth.Config, source *lineoauth.Source) (http.Handler, error) {
	options := []messaging_api.MessagingApiAPIOption{
		messaging_api.WithHTTPClient(&http.Client{Transport: &lineoauth.Transport{Source: source, Base: cfg.Transport}}),
	}
	if cfg.BaseURL != "" {
		options = append(options, messaging_api.WithEndpoint(cfg.BaseURL))
	}
	// The SDK demands a static token; the transport replaces it.
	bot, err := messaging_api.NewMessagingApiAPI("unused", options...)
	if err != nil {
		return nil, err
	}
	return &echo{credentials: cfg.Credentials, bot: bot}, nil
}

type echo struct {
	credentials func(context.Context) (lineoauth.Credentials, error)
	bot         *messaging_api.MessagingApiAPI
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now, err := e.credentials(r.Context())
	if err != nil {
		slog.ErrorContext(r.Context(), "cannot read the channel secret", "error", err)
		http.Error(w, "cannot check the signature", http.StatusServiceUnavailable)
		return
	}
	callback, err := webhook.ParseRequest(now.ChannelSecret.Reveal(), r)
	switch {
	case errors.Is(err, webhook.ErrInvalidSignature):
		http.Error(w, "not signed by LINE", http.StatusBadRequest)
		return
	case err != nil:
		http.Error(w, "not a webhook of LINE's", http.StatusBadRequest)
		return
	}
	for _, event := range callback.Events {
		if err := e.reply(r.Context(), event); err != nil {
			slog.ErrorContext(r.Context(), "cannot reply", "error", err)
			http.Error(w, "cannot reply", http.StatusBadGateway)
			return
		}
	}
}

func (e *echo) reply(ctx context.Context, event webhook.EventInterface) error {
	message, ok := event.(webhook.MessageEvent)
	if !ok {
		return nil
	}
	text, ok := message.Message.(webhook.TextMessageContent)
	if !ok {
		return nil
	}
	_, err := e.bot.WithContext(ctx).ReplyMessage(&messaging_api.ReplyMessageRequest{
		ReplyToken: message.ReplyToken,
		Messages:   []messaging_api.MessageInterface{messaging_api.TextMessage{Text: text.Text}},
	})
	return err
}
