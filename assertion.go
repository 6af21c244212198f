package lineoauth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lineoauth/lineoauth/gen"
	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/clock"
)

// audience is LINE itself, wherever BaseURL points.
const audience = gen.DefaultServerURL + "/"

// signedAssertion serves all calls until it is old.
type signedAssertion struct {
	text     Secret
	by       Credentials
	validFor time.Duration
	skew     time.Duration // that it was signed with
	reuse    clock.Instant // until then
	expires  clock.Instant
}

// Assertion returns a client assertion (RFC 7523) whose token_exp asks for a
// v2.1 token that is valid for validFor: whole seconds, 1 s to 30 days; 0 means
// 30 days. It needs a ChannelID, a Key and a key ID, and no network, unless the
// key's signer does.
//
// An assertion expires AssertionLifetime after it was signed. The same one is
// returned until nine tenths of that have passed, or a [Source] of the client has
// issued a token with it.
//
// https://developers.line.biz/en/docs/messaging-api/generate-json-web-token/
func (c *Client) Assertion(ctx context.Context, validFor time.Duration) (Secret, error) {
	cl := &call{by: byAssertion, validFor: validFor}
	if err := c.lookUpCredentials(ctx, cl); err != nil {
		return Secret{}, err
	}
	a, err := c.sign(ctx, cl)
	if err != nil && c.replaced(ctx, cl, err) {
		a, err = c.sign(ctx, cl)
	}
	if err != nil {
		return Secret{}, err
	}
	return a.text, nil
}

// anyLife asks for an assertion whose token_exp does not matter.
const anyLife time.Duration = math.MinInt64

// sign returns an assertion for a call, the last one if that still serves.
func (c *Client) sign(ctx context.Context, cl *call) (*signedAssertion, error) {
	validFor, skew := cl.validFor, time.Duration(c.skew.Load())
	if validFor == 0 {
		validFor = assertion.DefaultValidFor
	}
	by := c.credentials(cl)
	last := func() *signedAssertion {
		if a := c.signed.Load(); a != nil && a.skew == skew && a.by.same(by) && (a.validFor == validFor || validFor == anyLife) && c.clock.Now() < a.reuse {
			return a
		}
		return nil
	}
	if a := last(); a != nil {
		return a, nil
	}
	if validFor == anyLife {
		validFor = assertion.DefaultValidFor
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("lineoauth: assertion: %w", err)
	}
	if err := c.require("assertion", by, needChannelID, needKey, needKeyID); err != nil {
		return nil, err
	}
	// A KMS signs once for all callers.
	signing, begun := by.Key.in(), c.clock.Now()
	name := fmt.Sprintf("%p %d %d %s", c.shared, validFor, skew, by.KeyID)
	signed := signing.group.DoChan(name, func() (any, error) {
		if a := last(); a != nil { // another call has signed since
			return signature{a, by.Key}, nil
		}
		signing.running.Add(1)
		defer signing.running.Add(-1)
		a, err := c.signAnew(by, validFor, skew)
		return signature{a, by.Key}, err
	})
	select {
	case s := <-signed:
		done, _ := s.Val.(signature)
		if errors.Is(s.Err, assertion.ErrSigner) && !by.Key.sameSigner(done.by) {
			return c.sign(ctx, cl) // another signer of the same public key failed
		}
		return done.a, s.Err
	case <-ctx.Done():
		// A signer takes no context. One that hangs must not hold up the next call.
		if c.clock.Now().Sub(begun) >= hungSigner && signing.running.Load() < maxHungSigners {
			signing.group.Forget(name)
		}
		return nil, fmt.Errorf("lineoauth: assertion: %w", ctx.Err())
	}
}

// signature is what became of a signature that callers wait for.
type signature struct {
	a  *signedAssertion
	by *Key
}

const (
	// hungSigner is how long a signature takes until another is begun beside it.
	hungSigner = 2 * time.Second
	// maxHungSigners bounds the goroutines that hang in one key.
	maxHungSigners = 64
)

// forgetAssertion frees the memory of an assertion that will be of use again in
// minutes at the earliest.
func (c *Client) forgetAssertion() { c.signed.Store(nil) }

// signAnew signs an assertion for the channel, and keeps it for the calls that follow.
func (c *Client) signAnew(by Credentials, validFor, skew time.Duration) (*signedAssertion, error) {
	now, at := c.cfg.Now(), c.clock.Now()
	text, err := by.Key.in().Sign(assertion.Claims{
		ChannelID: c.cfg.ChannelID,
		Audience:  audience,
		KeyID:     by.KeyID,
		Now:       now.Add(skew),
		ExpiresIn: c.cfg.AssertionLifetime,
		ValidFor:  validFor,
		Unchecked: c.cfg.SkipChecks,
	})
	if errors.Is(err, assertion.ErrSigner) {
		return nil, fmt.Errorf("lineoauth: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("lineoauth: %w: %w", ErrInvalid, err)
	}
	a := &signedAssertion{
		text:     NewSecret(text),
		by:       by,
		validFor: validFor,
		skew:     skew,
		reuse:    at.Add(c.cfg.AssertionLifetime * 9 / 10),
		expires:  at.Add(c.cfg.AssertionLifetime),
	}
	c.signed.Store(a)
	return a, nil
}

// minSkew is more than a Date header and the way of an answer can be off.
const minSkew = 5 * time.Second

// outdated reports whether LINE refused an assertion for its exp because it
// expired on the way, or because the clock that it was signed by is off; then
// it takes note of by how much.
func (c *Client) outdated(ctx context.Context, a *signedAssertion, e *Error) bool {
	refused := e.known()
	if refused == nil || refused.is != ErrInvalidAssertion { //nolint:errorlint // facts hold the sentinels themselves
		return false
	}
	aboutExp := refused.advice == adviceOnExp
	now := c.cfg.Now().Round(0)
	skew := e.serverTime.Sub(now)
	off := !e.serverTime.IsZero() && (skew-a.skew).Abs() >= minSkew
	if aboutExp && off {
		off = c.follow(ctx, skew)
	}
	c.signed.CompareAndSwap(a, nil) // it will not become better
	return aboutExp && (off || c.clock.Now() >= a.expires)
}

// follow has assertions signed by LINE's clock from now on, unless that is further
// ahead or behind than the configuration allows.
func (c *Client) follow(ctx context.Context, skew time.Duration) bool {
	event := Event{Kind: EventClockSkew, Skew: skew}
	if skew.Abs()-minSkew > c.cfg.MaxClockSkew {
		event.Err = fmt.Errorf("lineoauth: the Date of LINE's answer is %v off this machine's clock, which is more than MaxClockSkew allows (%v); synchronize the clock (NTP)",
			skew, max(c.cfg.MaxClockSkew, 0))
	} else {
		c.skew.Store(int64(skew))
	}
	c.emit(ctx, event)
	return event.Err == nil
}
