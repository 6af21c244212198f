package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/store"
)

// adopt takes the stored token, if it is valid and another one than the one in
// use.
func (f *Fleet) adopt(ctx context.Context, a *Attempt, held *stored) (o Outcome) {
	if a.Have != nil && held.Revoked == a.Have.ID() {
		f.Reject(a.Have)
		a.Have, o.Gone = nil, true
	}
	t := held.Token
	if t == nil || !f.Usable(t) || f.Rejected(t) {
		return o
	}
	now := f.Clock.Now()
	left := held.left(now)
	if a.Have != nil && a.Have.AccessToken == t.AccessToken {
		return f.compare(ctx, a, held, now)
	}
	expired := a.Expired != nil && a.Expired.AccessToken == t.AccessToken
	if expired || left <= 0 && (f.Limited || held.age < 0) {
		// The store does not know, or a clock is off. LINE knows.
		outlived := held.age >= 0 && left <= 0 || f.outlived(held, now)
		var err error
		now = f.Clock.Now()
		left, err = f.Verify(ctx, t)
		if errors.Is(err, ErrInvalid) {
			f.Reject(t)
			return o
		}
		if err != nil && (!f.Limited || outlived && f.knock(ctx, 0) == nil) {
			return o // LINE answers other requests, and by the store's clock or this one the token has expired
		}
		if err != nil {
			return f.failed(o, fmt.Errorf("asking LINE how long the stored token is valid: %w", err))
		}
		held.rebase(now)
		t = held.Token
		t.Left = left.Milliseconds()
	}
	if left > 0 {
		o.Token, o.Expires, o.Stored = t, now.Add(left), true
	}
	return o
}

// outlived reports whether the process has known a record for as long as its token can be
// valid.
func (f *Fleet) outlived(held *stored, now clock.Instant) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known != held.revision {
		f.known, f.knownAt = held.revision, now
	}
	return now.Sub(f.knownAt) >= time.Duration(held.Token.ExpiresIn)*time.Second
}

// compare is for the token in use, when the store has it, too. If they disagree on
// when it expires, LINE knows: a clock was set, or the save came through late.
func (f *Fleet) compare(ctx context.Context, a *Attempt, held *stored, now clock.Instant) (o Outcome) {
	known, left := a.Expires.Sub(now), held.left(now)
	o.Stored = true
	switch {
	case held.age < 0: // this process knows
		held.rebase(now)
		held.Token.Left = max(known-storeTimeout, 0).Milliseconds()
		return o
	case apart(left, known) <= maxApart:
		return o
	}
	now = f.Clock.Now()
	verified, err := f.Verify(ctx, held.Token)
	switch {
	case errors.Is(err, ErrInvalid):
		f.Reject(a.Have)
		a.Have, o.Stored, o.Gone = nil, false, true
	case err == nil && apart(verified, known) > maxApart:
		o.Token, o.Expires = held.Token, now.Add(verified)
	case err == nil:
		o.Stored = apart(verified, left) <= maxApart // or else it is put back
	case 0 < left && left < known: // the safe side
		o.Token, o.Expires = held.Token, now.Add(left)
	}
	return o
}

func apart(a, b time.Duration) time.Duration { return max(a-b, b-a) }

// putBack saves the token in use if the store has none, and no process is about to
// issue one.
func (f *Fleet) putBack(ctx context.Context, a Attempt, held stored, o *Outcome) {
	switch t := held.Token; {
	case a.Have == nil || o.Stored || held.Issuing != "" && held.Issuing != f.ownMark():
		return
	case t != nil && t.AccessToken != a.Have.AccessToken && f.Usable(t) && !f.Rejected(t) && (held.age < 0 || held.left(f.Clock.Now()) > 0):
		return // it cannot be adopted, but is as good
	}
	now := f.Clock.Now()
	held.rebase(now)
	t := *a.Have
	t.Left = (a.Expires.Sub(now) - storeTimeout).Milliseconds()
	if t.Left <= 0 {
		return
	}
	held.Token, held.Revoked, held.Issuing = &t, "", ""
	_, err := f.save(ctx, held)
	switch {
	case err == nil:
		o.Stored = true
	case !errors.Is(err, store.ErrConflict): // with a conflict, there is something to look at
		o.Store = err
	}
}

// maxRevoked is how many revoked tokens are remembered; a store has one token.
const maxRevoked = 8

// Reject remembers that LINE refused a token, so that it is not adopted.
func (f *Fleet) Reject(token *store.Token) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := token.ID()
	if slices.Contains(f.revoked, id) {
		return
	}
	if len(f.revoked) == maxRevoked {
		f.revoked = f.revoked[1:]
	}
	f.revoked = append(f.revoked, id)
}

// Rejected reports whether LINE refused a token.
func (f *Fleet) Rejected(token *store.Token) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.revoked) > 0 && slices.Contains(f.revoked, token.ID())
}
