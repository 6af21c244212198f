package lineoauth

import (
	"container/list"
	"fmt"
	"sync"
)

// DefaultMaxSources is how many sources a [Pool] keeps when it is not told.
const DefaultMaxSources = 100_000

// Pool keeps the sources of many channels, each made on its first use. When
// there are too many, it forgets those that were not asked for for the longest
// time; whoever holds one can go on using it. A channel that is not in use costs
// no goroutine and no timer. It is safe for concurrent use.
//
// A source that is made anew issues a new token. For V21 and ShortLived tokens
// that takes another of the channel's 30 places, so MaxSources should be no less
// than the channels in use; or the sources have a Store, where it is found again.
// A source that watches its store costs a goroutine from its first token on. Where
// that is too much, hide the watch: struct{ lineoauth.Store }{store}.
type Pool struct {
	// New makes the source of a channel; it is called without a lock, and more
	// than once for a channel that is asked for by several goroutines at first.
	// Clients that share a Key and a Transport cost little.
	New func(channelID string) (*Source, error)
	// MaxSources is how many sources are kept. 0 means DefaultMaxSources.
	MaxSources int

	mu     sync.Mutex
	byID   map[string]*list.Element
	recent list.List // of *pooled, the last used first
	closed bool
}

type pooled struct {
	channelID string
	source    *Source
}

// Source returns the source of a channel. The error is New's, or [ErrClosed]
// after Close.
func (p *Pool) Source(channelID string) (*Source, error) {
	if source, err := p.lookup(channelID); source != nil || err != nil {
		return source, err
	}
	if p.New == nil {
		return nil, fmt.Errorf("lineoauth: %w: the pool has no New function", ErrInvalid)
	}
	made, err := p.New(channelID)
	if err != nil {
		return nil, err
	}
	return p.add(channelID, made)
}

func (p *Pool) lookup(channelID string) (*Source, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	e := p.byID[channelID]
	if e == nil {
		return nil, nil
	}
	p.recent.MoveToFront(e)
	return e.Value.(*pooled).source, nil
}

// add keeps a source, and returns the one to use.
func (p *Pool) add(channelID string, made *Source) (*Source, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if e := p.byID[channelID]; e != nil { // somebody else was faster
		return e.Value.(*pooled).source, nil
	}
	if p.byID == nil {
		p.byID = make(map[string]*list.Element)
	}
	p.byID[channelID] = p.recent.PushFront(&pooled{channelID, made})
	limit := p.MaxSources
	if limit == 0 {
		limit = DefaultMaxSources
	}
	for p.recent.Len() > max(limit, 1) {
		oldest := p.recent.Remove(p.recent.Back()).(*pooled)
		delete(p.byID, oldest.channelID)
		oldest.source.forget()
	}
	return made, nil
}

// Len returns how many sources the pool keeps now.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recent.Len()
}

// Close closes the sources that the pool keeps. From then on Source ends in
// [ErrClosed]. It never fails.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var sources []*Source
	for e := p.recent.Front(); e != nil; e = e.Next() {
		sources = append(sources, e.Value.(*pooled).source)
	}
	p.recent.Init()
	p.byID = nil
	p.mu.Unlock()
	for _, s := range sources {
		_ = s.Close()
	}
	return nil
}
