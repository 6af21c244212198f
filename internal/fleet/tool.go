package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lineoauth/lineoauth/store"
)

// Revoke records for all processes that a token is not valid any more, if it is the
// stored one.
func (f *Fleet) Revoke(ctx context.Context, token *store.Token) error {
	f.Reject(token)
	if f.place == nil {
		return nil
	}
	for range maxConflicts {
		held, err := f.load(ctx)
		if err != nil || held.Token == nil || held.Token.AccessToken != token.AccessToken {
			return err
		}
		held.Token, held.Revoked = nil, token.ID()
		if _, err = f.save(ctx, held); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// Stored returns the valid token that the store has, or nil, and how long it is
// valid.
func (f *Fleet) Stored(ctx context.Context) (*store.Token, time.Duration, error) {
	held, err := f.load(ctx)
	if err == nil {
		err = held.damaged
	}
	if err != nil {
		return nil, 0, err
	}
	o := f.adopt(ctx, &Attempt{}, &held)
	return o.Token, o.Expires.Sub(f.Clock.Now()), o.Err
}

// Put saves a token in place of the one that is there.
func (f *Fleet) Put(ctx context.Context, token *store.Token) error {
	now := f.Clock.Now()
	for attempt := 1; ; attempt++ {
		held, err := f.load(ctx)
		if err != nil {
			return err
		}
		_, err = f.save(ctx, stored{Record: store.Record{Token: token}, revision: held.revision, at: now})
		if attempt == maxConflicts || !errors.Is(err, store.ErrConflict) {
			return err
		}
		if err := f.Clock.Sleep(ctx, firstStep); err != nil {
			return fmt.Errorf("storing the token: %w", err)
		}
	}
}

// Check fails unless the store can be read and written. It changes nothing, but for
// a damaged value, which it replaces; the error then matches [store.ErrCorrupt].
func (f *Fleet) Check(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		held, err := f.load(ctx)
		if err != nil {
			return err
		}
		if held.age < 0 && held.Token != nil {
			return f.checkLease(ctx) // what is left of the token is unknown, so a save would lose it
		}
		if _, err = f.save(ctx, held); err == nil {
			return held.damaged
		}
		if attempt == maxConflicts || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// checkLease fails unless the store can be written.
func (f *Fleet) checkLease(ctx context.Context) error {
	release, err := f.lease(ctx)
	if errors.Is(err, store.ErrLeased) {
		return nil
	}
	if err == nil {
		release()
	}
	return err
}

// Has reports whether a token is the stored one.
func (f *Fleet) Has(ctx context.Context, token *store.Token) (bool, error) {
	if f.place == nil {
		return false, nil
	}
	held, err := f.load(ctx)
	return held.Token != nil && held.Token.AccessToken == token.AccessToken, err
}
