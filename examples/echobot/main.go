// Command echobot is a LINE bot that repeats each message. Its tokens
// come from a lineoauth.Source, through the transport under line-bot-sdk-go.
//
// It listens on the address in ADDR (default 127.0.0.1:8080) and takes its
// credentials from LINE_CHANNEL_ID, LINE_CHANNEL_SECRET (which also signs LINE's
// webhook) and, if there is one, LINE_PRIVATE_KEY with LINE_KEY_ID.
package main

import (
	"cmp"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/line/line-bot-sdk-go/v8/linebot/messaging_api"
	"github.com/line/line-bot-sdk-go/v8/linebot/webhook"

	"github.com/lineoauth/lineoauth"
)

func main() {
	cfg, err := lineoauth.ConfigFromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	cfg.Logger = slog.Default()
	handler, source, err := newBot(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	server := &http.Server{Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	log.Print(server.ListenAndServe())
}

// newBot returns the handler of LINE's webhook. Close the source at the end.
func newBot(cfg lineoauth.Config) (http.Handler, *lineoauth.Source, error) {
	client, err := lineoauth.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		return nil, nil, err
	}
	options := []messaging_api.MessagingApiAPIOption{
		messaging_api.WithHTTPClient(&http.Client{Transport: &lineoauth.Transport{Source: source, Base: cfg.Transport}}),
	}
	if cfg.BaseURL != "" {
		options = append(options, messaging_api.WithEndpoint(cfg.BaseURL))
	}
	// The SDK demands a static token; the transport replaces it.
	bot, err := messaging_api.NewMessagingApiAPI("unused", options...)
	if err != nil {
		return nil, nil, err
	}
	secret := cfg.ChannelSecret.Reveal()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		callback, err := webhook.ParseRequest(secret, r)
		switch {
		case errors.Is(err, webhook.ErrInvalidSignature):
			http.Error(w, "not signed by LINE", http.StatusBadRequest)
			return
		case err != nil:
			http.Error(w, "not a webhook of LINE's", http.StatusBadRequest)
			return
		}
		for _, event := range callback.Events {
			if err := reply(bot.WithContext(r.Context()), event); err != nil {
				http.Error(w, "cannot reply", http.StatusBadGateway)
				slog.ErrorContext(r.Context(), "cannot reply", "error", err)
				return
			}
		}
	}), source, nil
}

func reply(bot *messaging_api.MessagingApiAPI, event webhook.EventInterface) error {
	message, ok := event.(webhook.MessageEvent)
	if !ok {
		return nil
	}
	text, ok := message.Message.(webhook.TextMessageContent)
	if !ok {
		return nil
	}
	_, err := bot.ReplyMessage(&messaging_api.ReplyMessageRequest{
		ReplyToken: message.ReplyToken,
		Messages:   []messaging_api.MessageInterface{messaging_api.TextMessage{Text: text.Text}},
	})
	return err
}
