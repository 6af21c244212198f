package simulate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth/internal/fleet"
	"github.com/lineoauth/lineoauth/store"
)

// channel is LINE's state of a channel. World.mu guards it.
type channel struct {
	n      int
	tokens []*token

	issuedAt time.Duration // the newest token; -1 for none
	wanted   bool          // since then, one was asked for that is valid for longer
	retry    time.Duration // until then LINE asked to wait
	bad      time.Duration // until then something else was in the way
	sent     int           // requests to issue whose answers were lost
	leased   time.Duration // until then a process had the lease that was not about to be done
	marker   int           // the process that saved a mark last
	lost     map[int]*losses
	silent   map[int]bool // an answer was lost, and LINE has answered nothing since
}

// losses is a series of tokens that reached no process.
type losses struct {
	n     int
	third time.Duration // when the third was lost
}

// token is an issued token.
type token struct {
	id      string
	ch      *channel
	at      time.Duration
	expires time.Duration
	revoked bool
	dead    time.Duration // when it was revoked
}

func (t *token) alive(now time.Duration) bool { return !t.revoked && now < t.expires }

// find returns a token by its text. w.mu is held.
func (w *world) find(id string) *token {
	return w.tokens[id]
}

// lineConn is a process's connection to LINE.
type lineConn struct{ c *channelLife }

// lineError is a call of LINE that failed.
type lineError struct {
	text string
	fleet.Failure
}

func (e *lineError) Error() string { return e.text }

// Failure implements [fleet.LINE] like the root package.
func (l *lineConn) Failure(err error) fleet.Failure {
	if e := new(lineError); errors.As(err, &e) {
		return e.Failure
	}
	return fleet.Failure{Sent: errors.Is(err, fleet.ErrAbandoned)}
}

// request sends a request to LINE; the request or its answer may be lost.
func (l *lineConn) request(ctx context.Context, name string, effect func() error) (sent bool, err error) {
	c, w := l.c, l.c.p.w
	if err := c.p.gate(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, lineTimeout)
	defer cancel()
	w.mu.Lock()
	if c.closed {
		w.breachLocked("I7", "process %d asks LINE to %s after Close", c.p.n, name)
	}
	trip := between(c.conn, 5*time.Millisecond, 60*time.Millisecond)
	luck, half := c.conn.Float64(), c.conn.IntN(2) == 0
	slow := between(c.conn, time.Second, 6*time.Second)
	w.mu.Unlock()
	fail := func(sent bool, text string) (bool, error) {
		if err := c.p.gate(); err != nil {
			return sent, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.note(c.p.n, c.ch, name+" fails: ", text)
		return sent, &lineError{text, fleet.Failure{Sent: sent}}
	}
	struck := func(kind faultKind) bool {
		f := w.active(kind, -1)
		return f != nil && (f.chance == 0 || luck < f.chance)
	}
	switch {
	case w.active(netRefuses, c.p.n) != nil:
		_ = c.p.wait(ctx, time.Millisecond+trip/20)
		return fail(false, "the proxy refuses")
	case w.active(netHangs, c.p.n) != nil:
		_ = c.p.wait(ctx, time.Minute)
		return fail(false, "the proxy hangs")
	case struck(lineRefuses):
		_ = c.p.wait(ctx, trip)
		return fail(false, "connection refused")
	}
	w.mu.Lock()
	c.onTheWay = true
	w.mu.Unlock()
	if err := c.p.wait(ctx, trip); err != nil {
		return fail(true, "ended while on the way")
	}
	switch {
	case struck(lineRetryAfter):
		f := w.active(lineRetryAfter, -1)
		_ = c.p.wait(ctx, trip)
		if err := c.p.gate(); err != nil {
			return false, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if f != nil {
			w.line[c.ch].retry = max(w.line[c.ch].retry, w.now()+f.amount)
			w.note(c.p.n, c.ch, name+" is answered 429", "")
			return false, &lineError{"429", fleet.Failure{RetryAfter: f.amount}}
		}
		return false, &lineError{"429", fleet.Failure{}}
	case struck(line500):
		if luck*2 < 1 && half { // by a gateway, which may have forwarded it
			if half {
				_ = effect()
			}
			_ = c.p.wait(ctx, trip)
			return fail(true, "502")
		}
		_ = c.p.wait(ctx, trip)
		return fail(false, "500")
	case struck(lineLoses):
		if half {
			_ = effect()
		}
		_ = c.p.wait(ctx, trip)
		return fail(true, "connection reset")
	case struck(lineHangs):
		if half {
			_ = effect()
		}
		_ = c.p.wait(ctx, time.Minute)
		return fail(true, "no answer")
	case struck(lineSlow):
		if c.p.wait(ctx, slow/2) != nil {
			return fail(true, "slow and ended")
		}
		trip = slow / 2
	}
	w.mu.Lock()
	delete(w.line[c.ch].silent, w.counter(c))
	w.mu.Unlock()
	refused := effect()
	if c.p.wait(ctx, trip) != nil {
		return fail(true, "ended while on the way back")
	}
	if err := c.p.gate(); err != nil {
		return true, err
	}
	return true, refused
}

// Issue implements [fleet.LINE].
func (l *lineConn) Issue(ctx context.Context) (*store.Token, error) {
	c, w := l.c, l.c.p.w
	begun := w.now()
	w.mu.Lock()
	behind, ahead := c.p.behind, c.p.ahead
	c.issuing, c.onTheWay = true, false
	silent := w.line[c.ch].silent
	if w.limited && silent[w.counter(c)] {
		w.breachLocked("I4", "process %d issues after a lost answer, though LINE has not answered since", c.p.n)
	}
	w.mu.Unlock()
	abandoned := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if c.onTheWay {
			w.line[c.ch].sent++
			silent[w.counter(c)] = true
		}
	}
	stop := context.AfterFunc(ctx, abandoned)
	var t *token
	sent, err := l.request(ctx, "issue", func() (err error) { t, err = w.issue(c); return err })
	w.mu.Lock()
	defer w.mu.Unlock()
	c.issuing = false
	if w.quietSince(-1) > begun || w.quietSince(c.p.n) > begun {
		w.line[c.ch].bad = w.now()
	}
	if err != nil {
		if stop() && sent {
			w.line[c.ch].sent++
			silent[w.counter(c)] = true
		}
		if t != nil {
			w.lose(c, t)
		}
		return nil, err
	}
	stop()
	if w.line[c.ch].holdOff() {
		w.line[c.ch].bad = w.now()
	}
	delete(w.line[c.ch].lost, w.counter(c))
	c.knows(t.id, behind, ahead, 0)
	w.note(c.p.n, c.ch, "issued ", t.id)
	return &store.Token{
		AccessToken: t.id, TokenType: "Bearer", Kind: "v2.1", KeyID: t.id,
		ExpiresIn: int64(w.life / time.Second), Left: w.life.Milliseconds(),
	}, nil
}

// Knock implements [fleet.LINE].
func (l *lineConn) Knock(ctx context.Context) error {
	_, err := l.request(ctx, "knock", func() error { return nil })
	return err
}

// Verify implements [fleet.LINE].
func (l *lineConn) Verify(ctx context.Context, stored *store.Token) (time.Duration, error) {
	w := l.c.p.w
	var left time.Duration
	_, err := l.request(ctx, "verify", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		t := w.find(stored.AccessToken)
		if t == nil || !t.alive(w.now()) {
			return fleet.ErrInvalid
		}
		left = (t.expires - w.now()).Truncate(time.Second)
		return nil
	})
	return left, err
}

// issue is LINE's side of an issue.
func (w *world) issue(c *channelLife) (*token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, now := w.line[c.ch], w.now()
	places := 0
	for _, t := range l.tokens {
		if t.alive(now) {
			places++
		}
	}
	if w.limited && places >= placesOfLINE {
		if !w.withoutStore && w.store != noStore {
			w.breachLocked("I4", "channel %d has %d tokens, and asks for another", c.ch, places)
		}
		return nil, &lineError{"400, the limit is reached", fleet.Failure{}}
	}
	w.checkIssue(c, l, now)
	t := &token{id: fmt.Sprintf("token-%d-%d", c.ch, len(l.tokens)), ch: l, at: now, expires: now + w.life}
	l.tokens = append(l.tokens, t)
	w.tokens[t.id] = t
	l.issuedAt, l.wanted = now, false
	w.issued++
	w.note(c.p.n, c.ch, "LINE issues ", t.id)
	return t, nil
}

func (w *world) revokeNewest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.line {
		if n := len(l.tokens); n > 0 && l.tokens[n-1].alive(w.now()) {
			l.tokens[n-1].revoked, l.tokens[n-1].dead = true, w.now()
		}
	}
}
