package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// subscribeTimeout bounds the first answer to a subscription.
	subscribeTimeout = 5 * time.Second
	// lookEvery is how often a watcher assumes that it missed a notice, since Redis
	// delivers each at most once.
	lookEvery = time.Minute
	// pingEvery keeps idle connections open.
	pingEvery = 30 * time.Second
)

// Watch implements [store.Watcher] by a subscription to a channel of Redis. It also
// calls changed when a lease of the key is released, and once a minute. It returns an
// error when Redis is not there at the beginning, or refuses; later, go-redis
// connects again by itself.
//
// All watches of a Store share one connection outside the
// client's pool, which is closed after the last of them. It carries a PING every 30
// seconds.
func (s *Store) Watch(ctx context.Context, key string, changed func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	notice := make(chan struct{}, 1)
	sub, leave := s.join(ctx, s.entry(key), notice)
	defer leave()
	late := time.NewTimer(subscribeTimeout)
	defer late.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-notice: // also for a new subscription
			late.Stop()
			look.Reset(lookEvery)
		case <-look.C:
		case <-late.C:
			return failure(ctx, fmt.Errorf("no answer to the subscription within %v; check that Redis is reachable and that its user may subscribe", subscribeTimeout))
		case <-sub.failed:
			return failure(ctx, sub.failure)
		case <-ctx.Done():
			return ctx.Err()
		}
		changed()
	}
}

// subscriber is the connection of a store's watches. Its goroutine exits after the
// last of them.
type subscriber struct {
	end     context.CancelFunc
	failed  chan struct{} // closed once failure is set
	failure error

	// The store's mutex guards the following fields.
	watches map[string][]chan struct{} // by channel
	due     map[string]struct{}        // channels to subscribe to or unsubscribe from
	wake    chan struct{}              // signals that there are some
}

// join adds a watch of a channel, without waiting for Redis.
func (s *Store) join(ctx context.Context, channel string, notice chan struct{}) (sub *subscriber, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscriber == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		s.subscriber = &subscriber{
			end:     cancel,
			failed:  make(chan struct{}),
			watches: make(map[string][]chan struct{}),
			due:     make(map[string]struct{}),
			wake:    make(chan struct{}, 1),
		}
		go s.subscribe(ctx, s.subscriber)
	}
	sub = s.subscriber
	sub.watches[channel] = append(sub.watches[channel], notice)
	sub.touch(channel)
	return sub, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		others := slices.DeleteFunc(sub.watches[channel], func(c chan struct{}) bool { return c == notice })
		if sub.watches[channel] = others; len(others) > 0 {
			return
		}
		delete(sub.watches, channel)
		sub.touch(channel)
		if len(sub.watches) == 0 {
			s.drop(sub)
		}
	}
}

func (sub *subscriber) touch(channel string) {
	sub.due[channel] = struct{}{}
	tell(sub.wake)
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one pending notice is enough
	}
}

// drop closes a subscriber; the next watch creates a new one. s.mu is held.
func (s *Store) drop(sub *subscriber) {
	sub.end()
	if s.subscriber == sub {
		s.subscriber = nil
	}
}

// fail closes a subscriber and all its watches.
func (s *Store) fail(sub *subscriber, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(sub)
	sub.failure = err
	close(sub.failed)
}

// subscribe is a subscriber's goroutine.
func (s *Store) subscribe(ctx context.Context, sub *subscriber) {
	p := s.cfg.Client.Subscribe(ctx)
	// While go-redis connects again to a Redis that hangs, Close waits for it.
	defer func() { _ = p.Close() }()
	s.catchUp(ctx, sub, p)
	// go-redis reports a refusal of Redis only with the first answer.
	first, err := p.ReceiveTimeout(ctx, subscribeTimeout)
	if err != nil {
		s.fail(sub, err)
		return
	}
	s.notify(sub, first)
	notices := p.ChannelWithSubscriptions(redis.WithChannelHealthCheckInterval(pingEvery))
	for {
		select {
		case <-sub.wake:
			s.catchUp(ctx, sub, p)
		case notice, open := <-notices:
			if !open {
				s.fail(sub, errors.New("the client is closed"))
				return
			}
			s.notify(sub, notice)
		case <-ctx.Done():
			return
		}
	}
}

// catchUp unsubscribes from channels without watches, and subscribes to those of new
// ones. For an existing subscription, Redis answers again, which starts the watch.
// After an error, go-redis subscribes again when it reconnects.
func (s *Store) catchUp(ctx context.Context, sub *subscriber, p *redis.PubSub) {
	var join, leave []string
	s.mu.Lock()
	for channel := range sub.due {
		if len(sub.watches[channel]) > 0 {
			join = append(join, channel)
		} else {
			leave = append(leave, channel)
		}
	}
	clear(sub.due)
	s.mu.Unlock()
	if len(leave) > 0 { // no argument would mean all channels
		_ = p.Unsubscribe(ctx, leave...)
	}
	if len(join) > 0 {
		_ = p.Subscribe(ctx, join...)
	}
}

// notify notifies the watches of a notice's channel.
func (s *Store) notify(sub *subscriber, notice any) {
	var channel string
	switch notice := notice.(type) {
	case *redis.Message:
		channel = notice.Channel
	case *redis.Subscription: // new, or repeated on a new connection
		channel = notice.Channel
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, watch := range sub.watches[channel] {
		tell(watch)
	}
}
