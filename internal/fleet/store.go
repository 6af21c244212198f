package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/store"
)

// stored is what a store held, or is to hold, at an instant.
type stored struct {
	store.Record
	revision string
	at       clock.Instant
	age      time.Duration // at that instant, since the save; negative if unknown
	damaged  error         // and may be replaced
}

// since is how long ago the record was saved.
func (s *stored) since(now clock.Instant) time.Duration {
	if s.age < 0 {
		return math.MaxInt64
	}
	return s.age + min(now.Sub(s.at), math.MaxInt64-s.age)
}

// left is how long the token is still valid; 0 or less if it is not, or if
// that is unknown.
func (s *stored) left(now clock.Instant) time.Duration {
	if s.Token == nil {
		return 0
	}
	return time.Duration(s.Token.Left)*time.Millisecond - s.since(now)
}

// holds is how long no process may issue.
func (s *stored) holds(now clock.Instant) time.Duration {
	return time.Duration(s.Hold)*time.Millisecond - s.since(now)
}

// rebase has the record's times count from now.
func (s *stored) rebase(now clock.Instant) {
	s.Hold = max(s.holds(now).Milliseconds(), 0)
	if s.Token != nil {
		t := *s.Token
		t.Left = max(s.left(now).Milliseconds(), 0)
		s.Token = &t
	}
	s.at, s.age = now, 0
}

// lose counts the answer to a process that ended after the record was saved. As
// after other lost answers, no process may then issue for a while.
func (s *stored) lose(now clock.Instant, limited bool) {
	ago := time.Duration(0)
	if s.age >= 0 {
		ago = s.since(now)
	}
	s.rebase(now)
	s.Lost++
	if limited {
		s.Hold = max(s.Hold, (holdOff(s.Lost) - ago).Milliseconds())
	}
}

// load returns what the store has. What is damaged and may be replaced is no
// error.
func (f *Fleet) load(ctx context.Context) (s stored, err error) {
	for range 2 {
		if s, err = f.loadOnce(ctx); err != nil || f.Clock.Now().Sub(s.at) <= storeTimeout {
			break
		}
		// The process was stopped on the way; which part of the age is from before is
		// unknown.
	}
	return s, err
}

func (f *Fleet) loadOnce(ctx context.Context) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s := stored{at: f.Clock.Now()}
	entry, err := guarded(ctx, &f.calls, func(ctx context.Context) (store.Entry, error) { return f.Store.Load(ctx, f.Key) }, nil)
	s.revision, s.age = entry.Revision, entry.Age
	if err == nil && entry.Revision != "" {
		if s.Record, err = store.DecodeRecord(f.Key, entry.Value); err == nil {
			err = f.check(s.Record)
		}
	}
	if errors.Is(err, store.ErrCorrupt) {
		s.Record = store.Record{}
		s.damaged, err = fmt.Errorf("loading the stored token: %w", err), nil
	}
	if err != nil {
		return s, fmt.Errorf("loading the stored token: %w", err)
	}
	return s, nil
}

// check refuses what no process of the fleet saved.
func (f *Fleet) check(r store.Record) error {
	switch {
	case r.Token != nil && !f.Usable(r.Token):
		return fmt.Errorf("%w: it is not a token of this kind", store.ErrCorrupt)
	case r.Hold > longestHold.Milliseconds():
		return fmt.Errorf("%w: it asks to wait for too long", store.ErrCorrupt)
	}
	return nil
}

// save has the store put a record, whose times then count from now, in the place of
// what was loaded. It continues when ctx ends.
func (f *Fleet) save(ctx context.Context, s stored) (revision string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.Key = f.Key
	s.rebase(f.Clock.Now())
	lifetime := max(time.Duration(s.Hold)*time.Millisecond, time.Minute)
	if s.Token != nil {
		s.Token.Left = min(s.Token.Left, s.Token.ExpiresIn*1000) // clocks may disagree
		lifetime = max(lifetime, time.Duration(s.Token.Left)*time.Millisecond)
	}
	if s.Issuing != "" || s.Lost > 0 || s.Revoked != "" {
		lifetime = max(lifetime, keepLoss)
	}
	value, err := s.Encode()
	if err == nil {
		revision, err = guarded(ctx, &f.calls, func(ctx context.Context) (string, error) {
			return f.Store.Save(ctx, f.Key, store.Update{Value: value, Replaces: s.revision, Lifetime: lifetime})
		}, nil)
	}
	if err != nil {
		return "", fmt.Errorf("storing the token: %w", err)
	}
	return revision, nil
}
