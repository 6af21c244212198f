package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Watch implements [lineoauth.StoreWatcher] by a subscription to a channel. It
// returns an error when Redis is not there at the beginning, or refuses;
// later, go-redis connects again by itself. Each watch takes a connection of its
// own, beside the client's pool; see [lineoauth.Pool] for very many channels.
func (s *Store) Watch(ctx context.Context, key string, changed func()) error {
	subscription, err := await(ctx, func() (*redis.PubSub, error) {
		p := s.cfg.Client.Subscribe(ctx, s.entry(key))
		if _, err := p.ReceiveTimeout(ctx, subscribeTimeout); err != nil {
			_ = p.Close()
			return nil, err
		}
		return p, nil
	}, closeSubscription)
	if err != nil {
		return failure(err)
	}
	// While go-redis connects again to a Redis that hangs, Close waits for it.
	defer func() { go closeSubscription(subscription) }()
	changed()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	notices := subscription.ChannelWithSubscriptions()
	for {
		select {
		case _, open := <-notices: // also of a new subscription
			if !open {
				return failure(errors.New("the client is closed"))
			}
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		changed()
	}
}

func closeSubscription(p *redis.PubSub) { _ = p.Close() }
