package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth/internal/life"
	"github.com/lineoauth/lineoauth/store"
)

// What is checked, and what is exempt:
//
// I1: a call of Get or GetFor that fails, or whose own context ends, while LINE
// accepts the token that the process told of last; and a token that is dropped
// although LINE accepts it. Exempt is a process whose clocks together ran ahead of
// true time since it got the token, as one that was set forward does (that is not to
// be told from a sleep), by as much; and the last seconds of a token (margin).
//
// I2: an answer after the token expired by LINE's clock. Exempt is as much time as
// could be seen on neither clock: a clock that is set back and a sleep with no
// look between, drift, and a second for each event that clock.maxApart hides; what
// the store understated of an entry's age since its clock was set back; and
// answers of a process that is frozen while it answers. A revoked token has
// ended for a process once Refused said so.
//
// I3: an error, or a wait, more than 5 s after all worked again for this process
// and this channel (quietSince, and channel.bad: what other processes were in the
// middle of), and a caller asked. Exempt are a Retry-After that has not passed,
// the hold-off after three lost answers, and the pause after three tokens that LINE
// revoked within hours.
//
// I4: in calm weather, two issues of a channel closer together than a token's
// life without its window, unless a caller asked for one that is valid for longer
// or LINE revoked it; more than three tokens in a row that reached nobody, but for
// one after each hold-off; an issue of a limited kind while the store has been
// read-only or down; and the thirty-first token. Without a store each process
// counts for itself, and as long as it runs.
//
// Also a caller that gets an error after less than the full number of attempts
// when all works.
//
// I5: a count of lost answers in the store that is larger than that of requests
// that were sent and not answered, or whose process was killed.
//
// I6: more than 60 calls of the store in 5 s by one process for one channel, in any
// weather (180 while whatever is saved conflicts); in calm, more than one a minute
// and what the issues of the channel ask for.
//
// I7: Close or Revoke that takes longer than the calls under way may; work after
// it; a lease that is not released, while the store works; more than 10 concurrent calls of
// the store; a leaked goroutine.
//
// I8 is I4 at the start; signatures are not simulated.
const (
	margin       = 10 * time.Second // of a token's last seconds: each save takes 2 s off
	recovery     = 5 * time.Second
	maxInFlight  = 10
	closeWithin  = 25 * time.Second
	callsIn5s    = 60
	windowLength = 10 * time.Minute
	firstHold    = 10 * time.Minute
)

// observe is the event handler of a process.
func (c *channelLife) observe(_ context.Context, e life.Event) {
	w := c.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.p.killed {
		return
	}
	now := w.now()
	switch e.Kind {
	case life.Issued, life.Refreshed, life.Adopted:
		c.current, c.since = w.find(e.Token.AccessToken), now
		w.note(c.p.n, c.ch, [...]string{"issued and uses ", "refreshed to ", "adopts "}[e.Kind], e.Token.AccessToken)
	case life.Failed:
		c.failures++
		w.note(c.p.n, c.ch, "fails: ", e.Err.Error())
	case life.StoreFailed:
		c.failures++
		w.note(c.p.n, c.ch, "store failed: ", e.Err.Error())
	case life.Dropped:
		w.note(c.p.n, c.ch, "drops ", e.Token.AccessToken)
		t := w.find(e.Token.AccessToken)
		if c.holds(t, now) {
			w.breachLocked("I1", "process %d drops %s, which LINE accepts", c.p.n, t.id)
		}
		if t.revoked {
			c.refusals = append(c.refusals, now)
		}
		if c.current == t {
			c.current = nil
		}
	}
}

// knows records when a process first had a token. w.mu is held.
func (c *channelLife) knows(id string, behind, ahead, lie time.Duration) {
	if _, ok := c.behind[id]; !ok {
		c.behind[id], c.ahead[id] = behind, ahead
	}
	if lie > 0 {
		c.lies[id] = max(c.lies[id], lie)
	} else {
		c.ahead[id] = min(c.ahead[id], ahead+lie)
	}
}

// holds reports whether a process must continue to use a token that it has. w.mu is
// held.
func (c *channelLife) holds(t *token, now time.Duration) bool {
	return t != nil && !t.revoked && now+margin+c.p.ahead-c.ahead[t.id] < t.expires
}

// ask calls a token's life periodically, until the process or the run ends.
func (c *channelLife) ask(n int) {
	w, p := c.p.w, c.p
	var first time.Duration // consecutive failure
	var have *token
	for {
		select {
		case <-w.over:
			return
		case <-p.dead:
			return
		case <-time.After(c.gap(n, have, first)):
		}
		if p.gate() != nil {
			return
		}
		t, err := c.call(n)
		if errors.Is(err, life.ErrClosed) {
			return
		}
		if have = t; err == nil {
			first = 0
			c.use(n, t)
		} else if first == 0 {
			first = w.now()
		}
	}
}

// gap is how long a caller waits before the next call: shorter where something happens.
func (c *channelLife) gap(n int, have *token, failing time.Duration) time.Duration {
	w, p := c.p.w, c.p
	w.mu.Lock()
	defer w.mu.Unlock()
	now, r := w.now(), c.caller[n]
	if now == 0 {
		return between(r, 0, time.Second)
	}
	next, last := w.length, p.started
	for i := range w.faults {
		f := &w.faults[i]
		if f.proc >= 0 && f.proc != p.n {
			continue
		}
		for _, at := range []time.Duration{f.at, f.end()} {
			if at > now {
				next = min(next, at)
			} else {
				last = max(last, at)
			}
		}
	}
	near := now-last < 10*time.Second || next-now < 2*time.Second || have != nil && have.expires-now < 2*time.Second
	switch {
	case near || failing > 0 && now-failing < time.Minute:
		return between(r, 20*time.Millisecond, 500*time.Millisecond)
	case failing > 0:
		return min(between(r, time.Second, 10*time.Second), next-now-time.Second)
	}
	if have != nil && have.expires > now {
		next = min(next, have.expires)
	}
	return min(between(r, 10*time.Second, 2*time.Minute), next-now-time.Second)
}

// call makes one call and checks its answer.
func (c *channelLife) call(n int) (*token, error) {
	w, p, r := c.p.w, c.p, c.caller[n]
	ctx := context.Background()
	w.mu.Lock()
	var need, deadline time.Duration
	if n > 0 {
		switch r.IntN(8) {
		case 0:
			need = between(r, 0, time.Minute)
		case 1, 2:
			deadline = between(r, 10*time.Millisecond, 20*time.Second)
		}
		if r.IntN(500) == 0 && !w.plain {
			need = w.life * 9 / 10
		}
	}
	begun := w.now()
	c.asks(begun)
	alone, failures := c.waiting == 0 && (c.waited == 0 || begun-c.waited > time.Minute), c.failures
	c.waiting++
	if need > 0 {
		w.line[c.ch].wanted = w.line[c.ch].wanted || c.current == nil || c.current.expires-begun <= need+margin
	}
	w.mu.Unlock()
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	var got *life.Held
	var err error
	if need > 0 {
		got, err = c.life.GetFor(ctx, need)
	} else {
		got, err = c.life.Get(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.killed || c.closing && (c.closed || errors.Is(err, life.ErrClosed)) {
		return nil, life.ErrClosed
	}
	w.answers++
	c.waiting--
	now := w.now()
	var t *token
	if err == nil {
		t = w.find(got.Value.AccessToken)
	}
	if p.stopped == nil {
		c.checkAnswer(t, err, begun, now, ctx.Err() != nil && errors.Is(err, ctx.Err()), need > 0)
	}
	if now > begun {
		c.waited = now
	}
	l := w.line[c.ch]
	if since := max(w.quietSince(p.n), p.started, l.retry, l.leased); err != nil && ctx.Err() == nil && alone && now > begun && since <= begun && c.failures-failures < 2 {
		w.breachLocked("I3", "process %d: a caller waited for %v, and got an error after %d attempts: %v", p.n, now-begun, c.failures-failures, err)
	}
	return t, err
}

// asks records that a caller asks. w.mu is held.
func (c *channelLife) asks(now time.Duration) {
	if calm := c.calm(); calm != c.askedFor || c.firstAsk < 0 {
		c.askedFor, c.firstAsk = calm, now
	}
}

// checkAnswer checks I1, I2 and I3. w.mu is held.
func (c *channelLife) checkAnswer(t *token, err error, begun, now time.Duration, own, forNeed bool) {
	w, p := c.p.w, c.p
	calm := c.calm()
	working := max(calm, c.firstAsk, begun) // since then a token is being got
	if err == nil {
		if late := now - t.expires; late > 0 && late > c.slack(t) {
			w.breachLocked("I2", "process %d gives %s %v after it expired, exempt is %v", p.n, t.id, late, c.slack(t))
		}
		if c.gone[t.id] {
			w.breachLocked("I2", "process %d gives %s, which Refused reported as replaced", p.n, t.id)
		}
		if c.failing && calm <= now && c.askedFor == calm {
			w.waits = append(w.waits, now-max(calm, c.firstAsk))
		}
		c.failing = false
	} else {
		w.note(p.n, c.ch, "a caller gets an error: ", err.Error())
		c.failing = true
		if c.since < now && c.holds(c.current, now) {
			w.breachLocked("I1", "process %d holds %s, which LINE accepts, and a caller gets: %v", p.n, c.current.id, err)
		}
		if since := max(calm, c.firstAsk); !own && now-since > recovery {
			w.breachLocked("I3", "process %d fails %v after all worked again: %v", p.n, now-since, err)
		}
	}
	if (err == nil || own) && now-working > recovery && (!forNeed || c.current == nil) {
		w.breachLocked("I3", "process %d: a call took %v of calm", p.n, now-working)
	}
}

// slack is how long a process may use an expired token. w.mu is held.
func (c *channelLife) slack(t *token) time.Duration {
	d := 2*time.Millisecond + c.p.behind - c.behind[t.id] + c.lies[t.id]
	for i := range c.p.w.faults {
		if f := &c.p.w.faults[i]; f.proc == c.p.n && f.at < c.p.w.now() && f.end() > t.at && (f.kind == procSet || f.kind == procSleeps) {
			d += time.Second
		}
	}
	return d
}

// quietSince returns since when a process has no faults; -1 means all processes.
func (w *world) quietSince(proc int) time.Duration {
	now := w.now()
	var quiet time.Duration
	for i := range w.faults {
		f := &w.faults[i]
		if f.at > now {
			break
		}
		if f.proc < 0 || f.proc == proc || proc < 0 {
			quiet = max(quiet, f.end())
		}
	}
	return quiet
}

// calm returns since when a process can get a token of the channel. w.mu is held.
func (c *channelLife) calm() time.Duration {
	w, l := c.p.w, c.p.w.line[c.ch]
	calm := max(w.quietSince(c.p.n), c.p.started, l.retry, l.bad, l.leased)
	if l.holdOff() {
		calm = max(calm, w.now()+time.Second)
	}
	if n := len(c.refusals); n > 2 {
		calm = max(calm, c.refusals[n-1]+time.Minute)
	}
	return calm
}

// use uses a token as a program does.
func (c *channelLife) use(n int, t *token) {
	w := c.p.w
	w.mu.Lock()
	dead, since := t.revoked, t.dead
	refused := dead || w.active(line401, -1) != nil && c.caller[n].IntN(4) == 0
	begun := w.now()
	w.mu.Unlock()
	if !refused {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	replaced, err := c.life.Refused(ctx, t.id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.p.killed || c.closed {
		return
	}
	w.note(c.p.n, c.ch, "Refused of ", t.id)
	if replaced {
		c.gone[t.id] = true
	} else if err == nil && dead && begun-since > 2*time.Second {
		w.breachLocked("I2", "process %d gets that %s is valid, which LINE revoked %v ago", c.p.n, t.id, begun-since)
	}
}

// holdOff reports whether three answers were lost in a row. w.mu is held.
func (l *channel) holdOff() bool {
	for _, x := range l.lost {
		if x.n >= 3 {
			return true
		}
	}
	return l.sent >= 3
}

// counter counts lost answers.
func (w *world) counter(c *channelLife) int {
	if w.store == noStore || w.withoutStore {
		return c.p.id
	}
	return 0
}

// lose records a token that reached no process. w.mu is held.
func (w *world) lose(c *channelLife, t *token) {
	l := t.ch
	x := l.lost[w.counter(c)]
	if x == nil {
		x = &losses{}
		l.lost[w.counter(c)] = x
	}
	x.n++
	w.note(c.p.n, c.ch, "lost is ", t.id)
	if x.n == 3 {
		x.third = w.now()
	}
	allowed := 3
	for hold := firstHold; x.n > 3 && w.now()-x.third >= hold; hold = 2*hold + firstHold {
		allowed++
	}
	if w.limited && x.n > allowed {
		w.breachLocked("I4", "channel %d: %d consecutive tokens reached no process", c.ch, x.n)
	}
}

// checkIssue checks I4 when LINE issues a token. w.mu is held.
func (w *world) checkIssue(c *channelLife, l *channel, now time.Duration) {
	if w.store == noStore {
		return
	}
	if !w.withoutStore && w.limited {
		for _, kind := range []faultKind{storeReadOnly, storeDown} {
			if f := w.active(kind, -1); f != nil && now-f.at > 30*time.Second {
				w.breachLocked("I4", "process %d issues while %v", c.p.n, kind)
			}
		}
	}
	n := len(l.tokens)
	if n == 0 || l.wanted || l.tokens[n-1].revoked || w.quietSince(-1)+2*time.Minute > l.issuedAt || max(l.bad, l.leased)+2*time.Minute > l.issuedAt {
		return
	}
	if apart := now - l.issuedAt; apart < w.life-min(w.life/4, window)-margin {
		w.breachLocked("I4", "process %d issues for channel %d, %v after the last in calm", c.p.n, c.ch, apart)
	}
}

// checkSave checks I5 when a record is saved. w.mu is held.
func (w *world) checkSave(c *channelLife, key string, r store.Record) {
	l := w.line[c.ch]
	if before, ok := w.shared.entries[key]; ok {
		b := before.record
		// Another's mark may stand for a request that was sent, also if none was.
		if r.Issuing == "" && b.Issuing != "" && r.Lost == b.Lost+1 && l.marker != c.p.id {
			l.sent = max(l.sent, r.Lost)
		}
		if !before.damaged && r.Token != nil && b.Token != nil {
			older, newer := w.find(r.Token.AccessToken), w.find(b.Token.AccessToken)
			if older.at < newer.at && newer.alive(w.now()) {
				w.breachLocked("I4", "process %d saves %s in the place of %s, which is newer", c.p.n, older.id, newer.id)
			}
		}
	}
	if r.Lost > l.sent {
		w.breachLocked("I5", "process %d counts %d lost answers, there are %d", c.p.n, r.Lost, l.sent)
	}
	switch {
	case r.Lost == 0 && r.Issuing == "" && r.Token != nil:
		if l.holdOff() {
			l.bad = w.now()
		}
		l.sent = 0
		w.note(c.p.n, c.ch, "saves ", fmt.Sprintf("%s, which is valid for %v (%v)", r.Token.AccessToken, time.Duration(r.Token.Left)*time.Millisecond, w.find(r.Token.AccessToken).expires-w.now()))
	case r.Issuing != "":
		l.marker = c.p.id
		w.note(c.p.n, c.ch, "saves its mark", "")
	default:
		w.note(c.p.n, c.ch, "saves ", "counts")
	}
}

// checkLeased records a lease whose process will not finish soon. w.mu is held.
func (w *world) checkLeased(c *channelLife, l *lease) {
	p := l.p
	if p.killed || l.orphan || l.c.closed || w.stoppedUntil(p.n) != 0 || w.quietSince(p.n) >= w.now() || w.quietSince(p.n)+lineTimeout > w.now() && l.c.issuing {
		w.line[c.ch].leased = w.now()
	}
}

// called checks I6 when a process calls the store. w.mu is held.
func (c *channelLife) called(name string) {
	w := c.p.w
	now := w.now()
	if c.closed && name != "release" && !c.p.killed {
		w.breachLocked("I7", "process %d calls the store to %s after Close", c.p.n, name)
	}
	i := 0
	for i < len(c.calls) && now-c.calls[i] > 5*time.Second {
		i++
	}
	w.storeCalls++
	c.calls = append(c.calls[i:], now)
	allowed := callsIn5s
	if slices.ContainsFunc(w.faults, func(f fault) bool { return f.kind == storeConflicts && f.at <= now && now < f.end()+5*time.Second }) {
		allowed *= 3
	}
	if len(c.calls) == allowed+1 {
		w.breachLocked("I6", "process %d makes %d calls of the store in %v", c.p.n, len(c.calls), now-c.calls[0])
	}
	if now-c.windowFrom >= windowLength {
		c.window, c.windowFrom = 0, now
	}
	c.window++
	l := w.line[c.ch]
	if l.holdOff() { // a process that waits for it to end polls for tokens of others
		l.bad = now
	}
	if w.quietSince(-1)+2*time.Minute < c.windowFrom && max(l.bad, l.leased, l.retry)+2*time.Minute < c.windowFrom {
		allowed := int(windowLength/time.Minute) + 10
		for _, t := range slices.Backward(l.tokens) {
			if t.at < c.windowFrom-time.Minute {
				break
			}
			allowed += 15
		}
		if c.window > allowed {
			w.breachLocked("I6", "process %d makes %d calls of the store in %v of calm", c.p.n, c.window, now-c.windowFrom)
			c.window = 0
		}
	}
}

// close closes a token's life with its process.
func (c *channelLife) close(kill bool) {
	w := c.p.w
	begun := w.now()
	w.mu.Lock()
	c.closing = true
	revoke := !kill && c.end.IntN(3) == 0
	w.mu.Unlock()
	if revoke {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := c.life.Revoke(ctx, c.revoke)
		cancel()
		w.mu.Lock()
		w.note(c.p.n, c.ch, "Revoke returned", "")
		w.mu.Unlock()
		_ = err
	} else {
		c.life.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c.closed = true
	if c.p.killed || c.p.stopped != nil {
		return
	}
	if took := w.now() - max(begun, min(w.now(), w.stoppedEnd(c.p.n))); took > closeWithin {
		w.breachLocked("I7", "process %d: Close took %v", c.p.n, took)
	}
	if l := w.shared.leases[w.key(c.ch)]; l != nil && l.c == c && w.now() < l.until && w.quietSince(c.p.n)+5*time.Second < begun {
		w.breachLocked("I7", "process %d is closed and has the lease", c.p.n)
	}
	w.note(c.p.n, c.ch, "is closed", "")
}

// stoppedEnd returns when a machine's last stop ended.
func (w *world) stoppedEnd(proc int) time.Duration {
	var end time.Duration
	for i := range w.faults {
		if f := &w.faults[i]; f.proc == proc && f.at <= w.now() && (f.kind == procFreezes || f.kind == procSleeps) {
			end = max(end, f.end())
		}
	}
	return end
}

// revoke revokes a token at LINE.
func (c *channelLife) revoke(ctx context.Context, stored *store.Token) error {
	_, err := (&lineConn{c}).request(ctx, "revoke", func() error {
		w := c.p.w
		w.mu.Lock()
		defer w.mu.Unlock()
		t := w.find(stored.AccessToken)
		for _, m := range w.machines {
			if m.run != nil && m.run != c.p && m.run.lives[c.ch].current == t && t.alive(w.now()) {
				w.breachLocked("I1", "process %d revokes %s, which process %d uses", c.p.n, t.id, m.n)
			}
		}
		if !t.revoked {
			t.revoked, t.dead = true, w.now()
		}
		return nil
	})
	return err
}
