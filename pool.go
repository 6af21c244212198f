package lineoauth

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// DefaultMaxSources is the default of [Pool.MaxSources].
const DefaultMaxSources = 100_000

// Pool keeps the sources of many channels, each made on its first use. When
// there are too many, it lets go of the least recently used; their holders can keep
// using them. A channel that is not in use costs no goroutine and no timer. A Pool is
// safe for concurrent use.
//
// A source that is created again issues a new token. For V21 and ShortLived tokens
// that counts toward the channel's limit of 30, so MaxSources should be no less
// than the channels in use; or the sources have a Store, where the token is found
// again. A source with a [store.Watcher] costs a goroutine from its first token
// on. Where that is too much, hide the watch: struct{ store.Store }{watcher}.
type Pool struct {
	// New makes the source of a channel, usually from its credentials. It is called
	// once for a channel, whatever the number of callers that wait for it, with
	// the context of the first. Clients that share a Key and a Transport cost
	// little.
	New func(ctx context.Context, channelID string) (*Source, error)
	// MaxSources is how many sources are kept. 0 means DefaultMaxSources. Those that
	// New still makes do not count.
	MaxSources int

	mu     sync.Mutex
	byID   map[string]*list.Element
	recent list.List        // of *pooled, the last used first
	works  map[string]*work // by the channels without a source yet
	closed bool
}

// pooled is a channel's source.
type pooled struct {
	channelID string
	source    *Source
}

// work is a call of New. Its fields are set before done is closed.
type work struct {
	done      chan struct{}
	source    *Source
	err       error
	abandoned bool // since the caller's context ended
}

// Source returns the source of a channel. It waits, no longer than ctx allows,
// while New makes it. The error is New's, the context's, [ErrClosed] after Close,
// or matches [ErrInvalid] if there is no New.
func (p *Pool) Source(ctx context.Context, channelID string) (*Source, error) {
	if p.New == nil {
		return nil, fmt.Errorf("lineoauth: %w: the pool has no New function; set it", ErrInvalid)
	}
	for {
		source, work, mine, err := p.lookup(channelID)
		if work == nil {
			return source, err
		}
		if mine {
			p.run(ctx, channelID, work)
			return work.source, work.err
		}
		select {
		case <-work.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("lineoauth: waiting for the source of channel %q: %w", channelID, ctx.Err())
		}
		if !work.abandoned {
			return work.source, work.err
		}
	}
}

// lookup returns the source of a channel or the work on it, which is the caller's
// to do if no other call does it yet.
func (p *Pool) lookup(channelID string) (source *Source, _ *work, mine bool, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, false, ErrClosed
	}
	if e := p.byID[channelID]; e != nil {
		p.recent.MoveToFront(e)
		return e.Value.(*pooled).source, nil, false, nil
	}
	if w := p.works[channelID]; w != nil {
		return nil, w, false, nil
	}
	if p.byID == nil {
		p.byID, p.works = make(map[string]*list.Element), make(map[string]*work)
	}
	w := &work{done: make(chan struct{})}
	p.works[channelID] = w
	return nil, w, true, nil
}

// run has New make a source.
func (p *Pool) run(ctx context.Context, channelID string, w *work) {
	w.err = fmt.Errorf("lineoauth: %w: the pool's New function panicked", ErrInvalid)
	defer func() {
		w.abandoned = w.err != nil && ctx.Err() != nil
		if p.settle(channelID, w) {
			_ = w.source.Close()
			w.source, w.err = nil, ErrClosed
		}
		close(w.done)
	}()
	w.source, w.err = p.New(ctx, channelID)
	if w.source == nil && w.err == nil {
		w.err = fmt.Errorf("lineoauth: %w: the pool's New function returned no source", ErrInvalid)
	}
}

// settle keeps the source that was made. It reports whether the pool was closed
// meanwhile.
func (p *Pool) settle(channelID string, w *work) (late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	current := p.works[channelID] == w // else it was forgotten
	if current {
		delete(p.works, channelID)
	}
	if current && w.err == nil {
		p.byID[channelID] = p.recent.PushFront(&pooled{channelID, w.source})
		p.evict()
	} else if w.source != nil {
		w.source.life.Forget()
	}
	return p.closed && w.err == nil
}

// evict lets go of what is too much. p.mu is held.
func (p *Pool) evict() {
	limit := p.MaxSources
	if limit == 0 {
		limit = DefaultMaxSources
	}
	for p.recent.Len() > max(limit, 1) {
		p.remove(p.recent.Back())
	}
}

func (p *Pool) remove(e *list.Element) {
	entry := p.recent.Remove(e).(*pooled)
	delete(p.byID, entry.channelID)
	entry.source.life.Forget()
}

// Forget lets go of the source of a channel; the next call for it makes another.
// Holders of the old one can keep using it.
func (p *Pool) Forget(channelID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.works, channelID)
	if e := p.byID[channelID]; e != nil {
		p.remove(e)
	}
}

// Len returns how many sources the pool keeps now.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recent.Len()
}

// Close closes the sources that the pool keeps. Later calls of Source return
// [ErrClosed]. It never fails.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var sources []*Source
	for e := p.recent.Front(); e != nil; e = e.Next() {
		sources = append(sources, e.Value.(*pooled).source)
	}
	p.recent.Init()
	p.byID, p.works = nil, nil
	p.mu.Unlock()
	for _, s := range sources {
		_ = s.Close()
	}
	return nil
}
