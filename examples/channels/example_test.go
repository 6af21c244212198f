// Package channels shows a service that runs bots for many channels: one Pool
// with a source for each, one transport for all, credentials looked up on a
// channel's first use.
package channels

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// messenger pushes messages for any channel.
type messenger struct {
	baseURL string
	pool    *lineoauth.Pool
}

// newMessenger takes a function that finds the credentials of a channel, in a
// database say.
func newMessenger(baseURL string, credentials func(channelID string) (lineoauth.Config, error)) *messenger {
	return &messenger{baseURL: baseURL, pool: &lineoauth.Pool{
		MaxSources: 10_000,
		New: func(_ context.Context, channelID string) (*lineoauth.Source, error) {
			cfg, err := credentials(channelID)
			if err != nil {
				return nil, err
			}
			client, err := lineoauth.New(cfg)
			if err != nil {
				return nil, err
			}
			return client.Source(lineoauth.SourceConfig{})
		},
	}}
}

// push sends one text message from a channel's bot.
func (m *messenger) push(ctx context.Context, channelID, to, text string) error {
	source, err := m.pool.Source(ctx, channelID)
	if err != nil {
		return fmt.Errorf("channel %s: %w", channelID, err)
	}
	body, err := json.Marshal(map[string]any{"to": to, "messages": []any{map[string]string{"type": "text", "text": text}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.baseURL+"/v2/bot/message/push", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	// A Transport is a small struct: one for each request costs nothing, since
	// all of them share the connections of their clients' Transport.
	bot := &http.Client{Transport: &lineoauth.Transport{Source: source}}
	rsp, err := bot.Do(req)
	if err != nil {
		return err
	}
	defer rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		return fmt.Errorf("channel %s: %s", channelID, rsp.Status)
	}
	return nil
}

func Example() {
	line := lineoauthtest.NewServer() // in place of LINE
	defer line.Close()
	channels := map[string]lineoauth.Config{}
	for _, id := range []string{"1000000001", "1000000002", "1000000003"} {
		channel, err := line.AddChannel(id, "")
		if err != nil {
			log.Fatal(err)
		}
		channels[id] = channel.Config()
	}

	m := newMessenger(line.URL, func(channelID string) (lineoauth.Config, error) {
		cfg, ok := channels[channelID]
		if !ok {
			return cfg, errors.New("no such channel")
		}
		return cfg, nil
	})
	defer m.pool.Close()

	ctx := context.Background()
	for _, id := range []string{"1000000001", "1000000002", "1000000001", "1000000002", "1000000004"} {
		if err := m.push(ctx, id, "U1", "hello"); err != nil {
			fmt.Println(err)
		}
	}
	for _, message := range line.State().Messages {
		fmt.Println(message.ChannelID, "said", string(message.Message))
	}
	fmt.Println("sources:", m.pool.Len(), "tokens:", len(line.State().Tokens))
	// Output:
	// channel 1000000004: no such channel
	// 1000000001 said {"text":"hello","type":"text"}
	// 1000000002 said {"text":"hello","type":"text"}
	// 1000000001 said {"text":"hello","type":"text"}
	// 1000000002 said {"text":"hello","type":"text"}
	// sources: 2 tokens: 2
}
