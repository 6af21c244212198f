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
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// messenger pushes messages for any channel.
type messenger struct {
	baseURL string
	pool    *lineoauth.Pool
}

// find finds the credentials of a channel, in a database say.
type find func(ctx context.Context, channelID string) (lineoauth.Credentials, error)

// newMessenger takes a function that is asked again for each token that is issued, so
// that a channel may change its credentials.
func newMessenger(baseURL string, credentials find) *messenger {
	return &messenger{baseURL: baseURL, pool: &lineoauth.Pool{
		MaxSources: 10_000,
		New: func(ctx context.Context, channelID string) (*lineoauth.Source, error) {
			if _, err := credentials(ctx, channelID); err != nil {
				return nil, err // no source for a channel that is not there
			}
			client, err := lineoauth.New(lineoauth.Config{
				ChannelID: channelID,
				BaseURL:   baseURL,
				Credentials: func(ctx context.Context) (lineoauth.Credentials, error) {
					return credentials(ctx, channelID)
				},
			})
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
	// A Transport is a small struct: creating one per request is cheap, since all
	// share the connections of their clients' Transport.
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

// letGo forgets a channel that is no longer served. Its stateless token expires by
// itself; one of another kind is to be revoked first, by the source's Revoke.
func (m *messenger) letGo(channelID string) { m.pool.Forget(channelID) }

func Example() {
	line := lineoauthtest.NewServer() // in place of LINE
	defer line.Close()
	database := map[string]lineoauth.Credentials{}
	var changing *lineoauthtest.Channel
	for _, id := range []string{"1000000001", "1000000002", "1000000003"} {
		channel, err := line.AddChannel(id, "")
		if err != nil {
			log.Fatal(err)
		}
		if id == "1000000002" {
			changing = channel
		}
		database[id] = lineoauth.Credentials{ChannelSecret: lineoauth.NewSecret(channel.Secret)}
	}

	m := newMessenger(line.URL, func(_ context.Context, channelID string) (lineoauth.Credentials, error) {
		c, ok := database[channelID]
		if !ok {
			return c, errors.New("no such channel")
		}
		return c, nil
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

	// A channel's secret is issued again; its next token is issued by the new one.
	database[changing.ID] = lineoauth.Credentials{ChannelSecret: lineoauth.NewSecret(changing.ReissueSecret(""))}
	line.Advance(15 * time.Minute)
	fmt.Println("with a new secret:", m.push(ctx, changing.ID, "U1", "hello again"))

	// The channel leaves.
	delete(database, changing.ID)
	m.letGo(changing.ID)
	fmt.Println(m.push(ctx, changing.ID, "U1", "bye"))
	// Output:
	// channel 1000000004: no such channel
	// 1000000001 said {"text":"hello","type":"text"}
	// 1000000002 said {"text":"hello","type":"text"}
	// 1000000001 said {"text":"hello","type":"text"}
	// 1000000002 said {"text":"hello","type":"text"}
	// sources: 2 tokens: 2
	// with a new secret: <nil>
	// channel 1000000002: no such channel
}
