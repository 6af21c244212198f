package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lineoauth/lineoauth/internal/clock"
	"github.com/lineoauth/lineoauth/internal/keeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	attempt = keeper.Attempt[int]
	result  = keeper.Result[int]
	report  = keeper.Report[int]
	held    = keeper.Held[int]
)

const (
	life        = time.Hour
	timeout     = time.Minute
	maxAttempts = 3
)

var errLINE = errors.New("LINE answers 500")

// issuer is a Renewer that answers as a test wants.
type issuer struct {
	clock   *clock.Clock
	answer  func(context.Context, attempt) result // nil issues a value of an hour, if it may
	settled func(context.Context, report)

	mu       sync.Mutex
	attempts []attempt
	at       []time.Time
	reports  []report
	issued   int
}

func (i *issuer) Renew(ctx context.Context, a attempt) result {
	i.mu.Lock()
	i.attempts, i.at = append(i.attempts, a), append(i.at, time.Now())
	answer := i.answer
	i.mu.Unlock()
	switch {
	case answer != nil:
		return answer(ctx, a)
	case a.Issue:
		return i.issue(life)
	}
	return result{}
}

func (i *issuer) Settled(ctx context.Context, r report) {
	if i.settled != nil {
		i.settled(ctx, r)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reports = append(i.reports, r)
}

// issue returns the next value.
func (i *issuer) issue(life time.Duration) result {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issued++
	return result{New: true, Value: i.issued, Expires: i.clock.Now().Add(life), Life: life}
}

// then has the issuer answer otherwise from now on.
func (i *issuer) then(answer func(context.Context, attempt) result) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.attempts)
}

func (i *issuer) last() attempt {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.attempts[len(i.attempts)-1]
}

func (i *issuer) told() []report {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.reports)
}

func failing(context.Context, attempt) result { return result{Err: errLINE} }
func keeping(context.Context, attempt) result { return result{} }

// slow answers after d, or when ctx ends.
func slow(d time.Duration, then func(context.Context, attempt) result) func(context.Context, attempt) result {
	return func(ctx context.Context, a attempt) result {
		select {
		case <-time.After(d):
			return then(ctx, a)
		case <-ctx.Done():
			return result{Err: ctx.Err()}
		}
	}
}

func newKeeper(c *clock.Clock) (*keeper.Keeper[int], *issuer) {
	i := &issuer{clock: c}
	return keeper.New(i, &keeper.Settings{Clock: c, Attempts: maxAttempts, Timeout: timeout, Window: life}), i
}

// bubble runs a test in virtual time. The bubble's end proves that Close leaves no
// goroutine.
func bubble(t *testing.T, test func(*testing.T, *keeper.Keeper[int], *issuer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k, i := newKeeper(clock.New(time.Now))
		defer k.Close()
		test(t, k, i)
	})
}

// get returns the value, which must be there within the given time.
func get(t *testing.T, k *keeper.Keeper[int], within time.Duration) *held {
	t.Helper()
	begun := time.Now()
	h, err := k.Get(t.Context())
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(begun), err)
	}
	if took := time.Since(begun); took > within {
		t.Fatalf("took %v, longer than %v", took, within)
	}
	return h
}

// untilDue passes the time until a value of an hour is renewed for certain.
func untilDue() { time.Sleep(life - life/8 + time.Second) }

func TestOneFlight(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		if k.Current() != nil {
			t.Fatal("there is a value before the first call")
		}
		i.then(slow(time.Second, func(context.Context, attempt) result { return i.issue(life) }))
		var callers sync.WaitGroup
		for n := range 1000 {
			callers.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				if h, err := k.Get(t.Context()); err != nil || h.Value != 1 {
					t.Error(h, err)
				}
			})
		}
		callers.Wait()
		if i.count() != 1 || k.Waits() != 1000 {
			t.Errorf("%d attempts, %d waits of 1000 callers", i.count(), k.Waits())
		}
		if a := i.last(); a.Have != nil || !a.Issue || !a.Wait {
			t.Errorf("asked for %+v", a)
		}
		for range 100 {
			get(t, k, 0)
		}
		if i.count() != 1 || k.Waits() != 1000 {
			t.Error("a valid value was not enough")
		}
		if r := i.told(); len(r) != 1 || !r[0].Used || r[0].Old != nil || r[0].Wait < 45*time.Minute {
			t.Errorf("reported %+v", r)
		}
	})
}

func TestCallersLeave(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(slow(10*time.Second, func(context.Context, attempt) result { return i.issue(life) }))
		for _, deadline := range []time.Duration{time.Second, 2 * time.Second} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				begun := time.Now()
				if _, err := k.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != deadline {
					t.Errorf("left after %v, not %v: %v", time.Since(begun), deadline, err)
				}
			}()
			synctest.Wait()
		}
		get(t, k, 10*time.Second)
		if i.count() != 1 {
			t.Errorf("%d attempts", i.count())
		}

		over, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := k.Get(over); err != nil {
			t.Errorf("there is a value, and an ended context gets %v", err)
		}
		time.Sleep(2 * life)
		if _, err := k.Get(over); !errors.Is(err, context.Canceled) || i.count() != 1 {
			t.Errorf("an ended context: %v, and %d attempts", err, i.count())
		}
	})
}

type traceKey struct{}

func TestContext(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.settled = func(ctx context.Context, _ report) {
			if ctx.Value(traceKey{}) != "first" || ctx.Err() != nil {
				t.Error("the report lost its trace, or its context ended")
			}
		}
		i.then(func(ctx context.Context, _ attempt) result {
			time.Sleep(2 * time.Second)
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left != timeout-2*time.Second || ctx.Err() != nil {
				t.Errorf("the attempt has %v left, and %v", left, ctx.Err())
			}
			if ctx.Value(traceKey{}) != "first" {
				t.Error("the attempt lost its trace")
			}
			return i.issue(life)
		})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), traceKey{}, "first"), time.Second)
		defer cancel()
		go func() { _, _ = k.Get(ctx) }()
		synctest.Wait()
		get(t, k, 2*time.Second)
	})
}

// While a value is valid no caller waits and none gets an error, whatever becomes
// of its renewal.
func TestBackground(t *testing.T) {
	for name, answer := range map[string]func(context.Context, attempt) result{
		"fails":      failing,
		"hangs":      func(ctx context.Context, _ attempt) result { <-ctx.Done(); return result{Err: ctx.Err()} },
		"is busy":    func(context.Context, attempt) result { return result{Busy: true, Look: time.Second} },
		"is held":    func(context.Context, attempt) result { return result{Err: errLINE, Hold: 10 * time.Minute} },
		"comes late": func(context.Context, attempt) result { return result{New: true, Value: 7, Expires: 1, Life: life} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
				first := get(t, k, 0)
				i.then(answer)
				end := time.Now().Add(life)
				for time.Now().Before(end) {
					if h := get(t, k, 0); h != first {
						t.Fatal("another value")
					}
					if n := i.count(); n > 1 && i.last().Have != first {
						t.Fatalf("asked for %+v", i.last())
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := i.count(); n < 2 || n > 1000 {
					t.Errorf("%d attempts", n)
				}
				if i.at[1].Sub(i.at[0]) < life*3/4 {
					t.Errorf("renewed after %v", i.at[1].Sub(i.at[0]))
				}
			})
		})
	}
}

// One call finds that the renewal is due, and returns at once like all others.
func TestRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		first := get(t, k, 0)
		i.then(slow(time.Second, func(context.Context, attempt) result { return i.issue(life) }))
		untilDue()
		for range 100 {
			if get(t, k, 0) != first {
				t.Fatal("another value")
			}
			synctest.Wait()
		}
		if a := i.last(); i.count() != 2 || a.Have != first || !a.Issue || a.Wait {
			t.Errorf("%d attempts, the last one for %+v", i.count(), a)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if get(t, k, 0).Value != 2 || i.count() != 2 {
			t.Error("the new value is not in use")
		}
		if r := i.told(); len(r) != 2 || r[1].Old != first || !r[1].Used {
			t.Errorf("reported %+v", r)
		}
	})
}

// Those who find an expired value join an attempt that began while no caller waited.
// Its failure is not theirs.
func TestJoinBackground(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		get(t, k, 0)
		i.then(slow(10*time.Second, failing))
		time.Sleep(life - 5*time.Second)
		get(t, k, 0) // begins it
		time.Sleep(6 * time.Second)
		i.then(nil)
		if get(t, k, 6*time.Second).Value != 2 || i.count() != 3 {
			t.Errorf("%d attempts", i.count())
		}
		if !i.last().Wait || i.last().Have != nil {
			t.Errorf("asked for %+v", i.last())
		}
	})
}

// The same a moment after such an attempt failed: nobody has waited for a value
// yet.
func TestAfterBackground(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		get(t, k, 0)
		i.then(slow(10*time.Second, failing))
		time.Sleep(life - 5*time.Second)
		get(t, k, 0)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		i.then(nil)
		if get(t, k, time.Second).Value != 2 {
			t.Error("another value")
		}
	})
}

func TestTries(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(failing)
		begun := time.Now()
		_, err := k.Get(t.Context())
		if !errors.Is(err, errLINE) || !strings.Contains(err.Error(), "3 failed attempts") || i.count() != maxAttempts {
			t.Errorf("after %d attempts: %v", i.count(), err)
		}
		if took := time.Since(begun); took < 750*time.Millisecond || took > 1500*time.Millisecond {
			t.Errorf("%d attempts took %v", maxAttempts, took)
		}
		// A caller that comes now has the same error, without a request.
		begun = time.Now()
		for range 100 {
			if _, again := k.Get(t.Context()); !errors.Is(again, errLINE) || time.Since(begun) != 0 || i.count() != maxAttempts {
				t.Fatalf("after %v and %d attempts: %v", time.Since(begun), i.count(), again)
			}
		}
		i.then(nil)
		time.Sleep(time.Second)
		get(t, k, 0)
		for _, r := range i.told()[:maxAttempts] {
			if !errors.Is(r.Err, errLINE) || r.Used || r.Wait < 250*time.Millisecond || r.Wait > time.Second {
				t.Errorf("reported %+v", r)
			}
		}
	})
}

// An outage of any length is over for callers a second after LINE answers again.
func TestOutage(t *testing.T) {
	for _, length := range []time.Duration{time.Second, time.Minute, time.Hour, 30 * 24 * time.Hour} {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			get(t, k, 0)
			untilDue()
			i.then(failing)
			for begun := time.Now(); time.Since(begun) < length; time.Sleep(length / 50) {
				_, _ = k.Get(t.Context())
			}
			i.then(nil)
			for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				if h, err := k.Get(t.Context()); err == nil && h.Value == 2 {
					return
				}
				if took := time.Since(begun); took > time.Second && length >= time.Hour || took > time.Minute {
					t.Fatalf("%v after an outage of %v there is no value", took, length)
				}
			}
		})
	}
}

// The end of a flight's time is an error for those who wait, and no more.
func TestTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(slow(timeout-time.Second, failing))
		begun := time.Now()
		if _, err := k.Get(t.Context()); err == nil || time.Since(begun) > timeout+time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if i.count() != 2 {
			t.Errorf("%d attempts", i.count())
		}
	})
}

func TestHold(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		hold := 20 * time.Second
		held := func(context.Context, attempt) result { return result{Err: errLINE, Hold: hold} }
		i.then(func(ctx context.Context, a attempt) result { i.then(nil); return held(ctx, a) })
		begun := time.Now()
		get(t, k, hold)
		if took := time.Since(begun); took != hold || i.count() != 2 {
			t.Errorf("a hold of %v took %v and %d attempts", hold, took, i.count())
		}

		time.Sleep(2 * life)
		hold = 10 * time.Minute
		i.then(held)
		for begun = time.Now(); time.Since(begun) < hold; time.Sleep(time.Second) {
			asked := time.Now()
			if _, err := k.Get(t.Context()); !errors.Is(err, errLINE) || time.Since(asked) != 0 {
				t.Fatalf("after %v: %v", time.Since(asked), err)
			}
			i.then(nil)
		}
		if i.count() != 3 {
			t.Errorf("%d attempts during the hold", i.count()-2)
		}
		get(t, k, 0)
	})
}

// Looks at what others did, which a held process makes, are no attempts: its callers
// wait for the end of the hold, or get what others have sooner.
func TestHoldWithLooks(t *testing.T) {
	for _, sooner := range []time.Duration{5 * time.Second, time.Hour} {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			const hold = 20 * time.Second
			begun := time.Now()
			i.then(func(_ context.Context, a attempt) result {
				switch passed := time.Since(begun); {
				case passed == 0:
					return result{Err: errLINE, Hold: hold, Look: time.Second}
				case passed >= sooner, a.Issue:
					return i.issue(life)
				}
				return result{Look: time.Second}
			})
			get(t, k, hold)
			if took, want := time.Since(begun), min(sooner, hold); took < want || took > want+time.Second {
				t.Errorf("took %v, want %v", took, want)
			}
		})
	}
}

// A longer hold is an error at once, and what others have is looked for by those
// who ask later.
func TestLongHoldWithLooks(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(func(context.Context, attempt) result { return result{Err: errLINE, Hold: life, Look: time.Second} })
		for range 10 {
			begun := time.Now()
			if _, err := k.Get(t.Context()); !errors.Is(err, errLINE) || time.Since(begun) != 0 {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
			time.Sleep(time.Second)
			i.then(func(context.Context, attempt) result { return result{Look: time.Second} })
		}
		if n := i.count(); n < 5 || n > 10 || i.last().Issue {
			t.Errorf("%d attempts, the last for %+v", n, i.last())
		}
	})
}

func TestGetFor(t *testing.T) {
	const need = 30 * time.Minute
	getFor := func(t *testing.T, k *keeper.Keeper[int]) *held {
		t.Helper()
		h, err := k.GetFor(t.Context(), need)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	t.Run("long enough", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			first := getFor(t, k)
			time.Sleep(life - need)
			if getFor(t, k) != first || i.count() != 1 {
				t.Error("another value, although the first was valid for long enough")
			}
		})
	})
	t.Run("too short", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			first := getFor(t, k)
			time.Sleep(life - need + 1)
			if getFor(t, k) == first || i.count() != 2 {
				t.Error("no longer valid one")
			}
			if a := i.last(); !a.Issue || !a.Wait || a.Have != first {
				t.Errorf("asked for %+v", a)
			}
		})
	})
	t.Run("during a look", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			first := getFor(t, k)
			time.Sleep(life - need + 1)
			i.then(slow(time.Second, func(context.Context, attempt) result { i.then(nil); return result{} }))
			k.Changed(t.Context())
			synctest.Wait()
			if i.count() != 2 || i.last().Issue {
				t.Fatalf("no look: %+v", i.last())
			}
			if getFor(t, k) == first {
				t.Error("the value that is valid for too short")
			}
		})
	})
	t.Run("failing", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			first := getFor(t, k)
			time.Sleep(life - need + 1)
			i.then(failing)
			if getFor(t, k) != first || i.count() != 1+maxAttempts {
				t.Errorf("not the valid value, after %d attempts", i.count()-1)
			}
			if getFor(t, k) != first || i.count() != 1+maxAttempts {
				t.Error("an attempt within the wait")
			}
		})
	})
	t.Run("deadline", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			first := getFor(t, k)
			time.Sleep(life - need + 1)
			i.then(slow(10*time.Second, failing))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for range 2 { // the second time, the context has ended before
				if h, err := k.GetFor(ctx, need); h != first || err != nil {
					t.Errorf("not the valid value: %v", err)
				}
			}
		})
	})
	t.Run("what is renewed is never valid for so long", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			i.then(func(context.Context, attempt) result { return i.issue(need / 2) })
			if getFor(t, k).Value != 1 || i.count() != 1 {
				t.Errorf("%d attempts", i.count())
			}
		})
	})
	t.Run("what is due within seconds", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			i.then(func(context.Context, attempt) result { return i.issue(20 * time.Second) })
			begun := time.Now()
			if getFor(t, k).Value != 1 || i.count() != 1 || time.Since(begun) > 0 {
				t.Errorf("%d attempts in %v, none of which can help", i.count(), time.Since(begun))
			}
		})
	})
	// Others, who need it for less, do not wait on.
	t.Run("beside Get", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
			i.then(func(context.Context, attempt) result {
				i.then(slow(10*time.Second, failing))
				time.Sleep(time.Second)
				r := i.issue(need / 2) // what is left of another process's
				r.Life = life * 4
				return r
			})
			go func() { _, _ = k.GetFor(t.Context(), need) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			begun := time.Now()
			if _, err := k.Get(ctx); err != nil || time.Since(begun) != time.Second {
				t.Errorf("there is a valid value after a second, and a caller gets %v after %v", err, time.Since(begun))
			}
			if n := k.Waits(); n != 2 {
				t.Errorf("%d waits of 2 callers", n)
			}
		})
	})
}

func TestDrop(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		first := get(t, k, 0)
		if !k.Drop(t.Context(), first) || k.Current() != nil {
			t.Error("the value is in use still")
		}
		synctest.Wait()
		if i.count() != 2 || get(t, k, 0).Value != 2 {
			t.Errorf("it was not replaced, after %d attempts", i.count())
		}
		if k.Drop(t.Context(), first) || get(t, k, 0).Value != 2 {
			t.Error("a value was dropped twice")
		}
		r := i.told()
		if len(r) != 3 || !r[1].Dropped || r[1].Old != first || r[2].Old != nil || !r[2].Used {
			t.Errorf("reported %+v", r)
		}
		// A server that refuses each value has few of them.
		for begun := time.Now(); time.Since(begun) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
			if h := k.Current(); h != nil {
				k.Drop(t.Context(), h)
				synctest.Wait()
			}
			if _, err := k.Get(t.Context()); err != nil && !strings.Contains(err.Error(), "refused") {
				t.Fatal(err)
			}
		}
		if i.issued < 10 || i.issued > 40 {
			t.Errorf("%d values in 10 minutes in which all were refused", i.issued)
		}
	})
}

// A background attempt after a drop that fails is no error of those who come next.
func TestDropAndFail(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		first := get(t, k, 0)
		i.then(failing)
		k.Drop(t.Context(), first)
		synctest.Wait()
		i.then(nil)
		get(t, k, time.Second)
	})
}

func TestDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		first := get(t, k, 0)
		i.then(slow(time.Second, func(context.Context, attempt) result { return i.issue(24 * time.Hour) }))
		k.Doubt(t.Context(), first)
		synctest.Wait()
		if a := i.last(); i.count() != 2 || a.Wait || !a.Issue || a.Have != first || get(t, k, 0) != first {
			t.Errorf("%d attempts, the last for %+v", i.count(), a)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		second := get(t, k, 0)
		if second == first {
			t.Error("it was not replaced")
		}
		k.Doubt(t.Context(), first) // in use no more
		for range 9 {
			k.Doubt(t.Context(), second)
			time.Sleep(time.Minute)
		}
		if get(t, k, 0) != second || i.count() != 2 {
			t.Errorf("%d attempts within 10 minutes", i.count()-1)
		}
		time.Sleep(time.Minute)
		k.Doubt(t.Context(), second)
		time.Sleep(time.Second)
		synctest.Wait()
		if get(t, k, 0) == second || i.count() != 3 {
			t.Errorf("%d attempts after 10 minutes", i.count()-2)
		}
		i.then(failing)
		k.Doubt(t.Context(), get(t, k, 0))
		time.Sleep(time.Hour)
		get(t, k, 0)
	})
}

func TestChanged(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		k.Changed(t.Context())
		synctest.Wait()
		if i.count() != 0 {
			t.Error("a look for nobody")
		}
		first := get(t, k, 0)
		i.then(keeping)
		time.Sleep(time.Minute)
		k.Changed(t.Context())
		synctest.Wait()
		if a := i.last(); i.count() != 2 || a.Issue || a.Wait || a.Have != first {
			t.Errorf("%d attempts, the last for %+v", i.count(), a)
		}
		// A store that reports too much has a look a second.
		begun := time.Now()
		for range 1000 {
			k.Changed(t.Context())
			get(t, k, 0)
			time.Sleep(10 * time.Millisecond)
		}
		if n := i.count() - 2; n < 5 || n > int(time.Since(begun)/time.Second)+1 {
			t.Errorf("%d looks in %v", n, time.Since(begun))
		}
		// What is said during a look is looked at after it.
		time.Sleep(time.Minute)
		before := i.count()
		i.then(slow(time.Second, func(context.Context, attempt) result {
			i.then(func(context.Context, attempt) result { return i.issue(life) })
			return result{}
		}))
		k.Changed(t.Context())
		synctest.Wait()
		k.Changed(t.Context())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if i.count() != before+2 || get(t, k, 0).Value != 2 {
			t.Errorf("%d looks", i.count()-before)
		}
	})
}

// A process that waits after failures takes what others have.
func TestChangedWithoutValue(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(func(context.Context, attempt) result { return result{Err: errLINE, Hold: time.Hour} })
		_, _ = k.Get(t.Context())
		time.Sleep(10 * time.Second)
		i.then(func(_ context.Context, a attempt) result {
			if a.Issue {
				t.Error("asked to issue, although held")
			}
			return i.issue(life)
		})
		k.Changed(t.Context())
		get(t, k, 0)
	})
}

// Gone is a value that others say is not valid any more.
func TestGone(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		first := get(t, k, 0)
		i.then(func(context.Context, attempt) result { return result{Gone: true} })
		time.Sleep(time.Minute)
		k.Changed(t.Context())
		synctest.Wait()
		if r := i.told(); k.Current() != nil || len(r) != 2 || !r[1].Dropped || r[1].Old != first {
			t.Errorf("reported %+v", r)
		}
		i.then(nil)
		get(t, k, 0)
		i.then(func(context.Context, attempt) result { r := i.issue(life); r.Gone = true; return r })
		time.Sleep(time.Minute)
		k.Changed(t.Context())
		synctest.Wait()
		if r := i.told(); get(t, k, 0).Value != 3 || r[3].Dropped || !r[3].Used {
			t.Errorf("reported %+v", r[3])
		}
	})
}

// A value that comes when it has expired already is a failure.
func TestTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(func(context.Context, attempt) result {
			r := i.issue(time.Second)
			time.Sleep(time.Second)
			return r
		})
		if _, err := k.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "valid") {
			t.Errorf("got %v", err)
		}
		for _, r := range i.told() {
			if r.Used || r.Err == nil {
				t.Errorf("reported %+v", r)
			}
		}
	})
}

// Settled hears of everything once and in its order, one after another, however
// long it takes; callers do not wait for it.
func TestReportsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		var at atomic.Int32
		i.settled = func(context.Context, report) {
			if at.Add(1) != 1 {
				t.Error("two reports at a time")
			}
			time.Sleep(time.Second)
			at.Add(-1)
		}
		for range 10 {
			asked := time.Now()
			h, err := k.Get(t.Context())
			for ; err != nil; h, err = k.Get(t.Context()) { // refused too often
				time.Sleep(time.Second)
				asked = time.Now()
			}
			if took := time.Since(asked); took > 30*time.Second {
				t.Fatalf("waited %v", took)
			}
			go k.Drop(t.Context(), h)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		next := 1
		told := slices.DeleteFunc(i.told(), func(r report) bool { return !r.Used && !r.Dropped }) // looks
		for n, r := range told {
			switch {
			case n%2 == 0 && (!r.Used || r.Value != next), n%2 == 1 && (!r.Dropped || r.Old.Value != next):
				t.Fatalf("report %d: %+v", n, r)
			case n%2 == 1:
				next++
			}
		}
		if next < 11 {
			t.Errorf("reports of %d values", next)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		first := get(t, k, 0)
		untilDue()
		ended := false
		i.then(func(ctx context.Context, _ attempt) result {
			<-ctx.Done()
			time.Sleep(3 * time.Second) // a lease has to be given back
			ended = true
			return i.issue(life)
		})
		get(t, k, 0)
		synctest.Wait()
		begun := time.Now()
		if k.Close() != first || !ended || time.Since(begun) != 3*time.Second {
			t.Errorf("closed after %v", time.Since(begun))
		}
		// What came too late is reported, so that it is not lost, and is not used.
		if r := i.told(); len(r) != 2 || r[1].Used || !r[1].New || r[1].Value != 2 {
			t.Errorf("reported %+v", r)
		}
		for name, err := range map[string]error{
			"Get":    second(k.Get(t.Context())),
			"GetFor": second(k.GetFor(t.Context(), time.Second)),
		} {
			if !errors.Is(err, keeper.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		k.Changed(t.Context())
		k.Doubt(t.Context(), first)
		if k.Drop(t.Context(), first) || k.Current() != nil || k.Close() != nil {
			t.Error("something is left")
		}
		synctest.Wait()
		if i.count() != 2 {
			t.Errorf("%d attempts", i.count())
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestCloseEndsWaits(t *testing.T) {
	for name, answer := range map[string]func(context.Context, attempt) result{
		"attempt": func(ctx context.Context, _ attempt) result { <-ctx.Done(); return result{Err: ctx.Err()} },
		"pause":   func(context.Context, attempt) result { return result{Err: errLINE, Hold: 20 * time.Second} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
				i.then(answer)
				var callers sync.WaitGroup
				for range 10 {
					callers.Go(func() {
						if _, err := k.Get(t.Context()); !errors.Is(err, keeper.ErrClosed) {
							t.Errorf("a caller that waited: %v", err)
						}
					})
				}
				time.Sleep(time.Second)
				begun := time.Now()
				k.Close()
				callers.Wait()
				if time.Since(begun) != 0 {
					t.Errorf("after %v", time.Since(begun))
				}
			})
		})
	}
}

func TestFinish(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		k.Finish(t.Context())
		if _, err := k.Get(t.Context()); !errors.Is(err, keeper.ErrClosed) {
			t.Errorf("after Finish: %v", err)
		}
	})
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		i.then(slow(5*time.Second, func(context.Context, attempt) result { return i.issue(life) }))
		go func() { _, _ = k.Get(t.Context()) }()
		synctest.Wait()
		begun := time.Now()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		k.Finish(impatient)
		if time.Since(begun) != time.Second {
			t.Errorf("took %v, longer than its context", time.Since(begun))
		}
		k.Finish(t.Context())
		if time.Since(begun) != 5*time.Second {
			t.Errorf("did not wait for the flight, but %v", time.Since(begun))
		}
		k.Close()
		if r := i.told(); len(r) != 1 || !r[0].New || r[0].Used {
			t.Errorf("reported %+v", r)
		}
	})
}

// While a machine sleeps, values expire.
func TestSleep(t *testing.T) {
	bubble(t, func(t *testing.T, _ *keeper.Keeper[int], _ *issuer) {
		var wall, mono time.Duration
		k, i := newKeeper(clock.NewFromReadings(func() clock.Reading { return clock.Reading{Wall: wall, Mono: mono} }, nil))
		defer k.Close()
		first := get(t, k, 0)
		wall -= 5 * time.Hour // set back
		mono += life - 1
		if get(t, k, 0) != first {
			t.Error("another value")
		}
		mono++
		if get(t, k, 0) == first {
			t.Error("the value outlived itself since a clock was set back")
		}
		synctest.Wait()
		second := get(t, k, 0)
		wall += life + 1
		mono += time.Millisecond // until its processes are stopped
		if get(t, k, 0) == second {
			t.Error("the value outlived itself in sleep")
		}
		_ = i
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	k, _ := newKeeper(clock.New(time.Now))
	defer k.Close()
	ctx := t.Context()
	if _, err := k.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = k.Get(ctx) }); n != 0 {
		t.Errorf("a call allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = k.GetFor(ctx, time.Minute) }); n != 0 {
		t.Errorf("a call for a minute allocates %v times", n)
	}
}

// A renewal is one attempt, also while callers come all the time.
func TestNoLookAfterRenewal(t *testing.T) {
	k, i := newKeeper(clock.New(time.Now))
	defer k.Close()
	const values = 2000
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = k.Get(t.Context())
					runtime.Gosched()
				}
			}
		})
	}
	for range values {
		h, err := k.GetFor(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		k.Doubt(t.Context(), h)
		_, _ = k.GetFor(t.Context(), life) // the next one
	}
	close(stop)
	callers.Wait()
	k.Close()
	for n, a := range i.attempts {
		if !a.Issue {
			t.Fatalf("attempt %d of %d is a look, for which nobody asked", n, len(i.attempts))
		}
	}
}

// Everything at once, for the race detector. No caller gets an expired value.
func TestEverythingAtOnce(t *testing.T) {
	c := clock.New(time.Now)
	k, i := newKeeper(c)
	defer k.Close()
	var trouble atomic.Int32 // a little, since each has all wait
	i.then(func(_ context.Context, a attempt) result {
		switch n := rand.IntN(10); {
		case n == 0 && trouble.Add(1) < 5:
			return result{Err: errLINE}
		case n == 1 && trouble.Add(1) < 5:
			return result{Gone: true, Look: time.Millisecond}
		case a.Issue || n < 3:
			return i.issue(time.Duration(1 + rand.IntN(int(20*time.Millisecond))))
		}
		return result{Look: time.Millisecond}
	})
	var callers sync.WaitGroup
	var good atomic.Int32
	for range 50 {
		callers.Go(func() {
			for good.Load() < 10000 {
				before := c.Now()
				var h *held
				var err error
				switch rand.IntN(6) {
				case 0:
					if h := k.Current(); h != nil && trouble.Add(1) < 5 {
						k.Drop(t.Context(), h)
					}
				case 1:
					if h := k.Current(); h != nil {
						k.Doubt(t.Context(), h)
					}
				case 2:
					k.Changed(t.Context())
				case 3:
					h, err = k.GetFor(t.Context(), time.Duration(rand.IntN(int(10*time.Millisecond))))
				default:
					h, err = k.Get(t.Context())
				}
				if h != nil && err == nil {
					good.Add(1)
					if h.Expires <= before {
						t.Error("an expired value")
					}
				}
				if h != nil && err != nil || errors.Is(err, keeper.ErrClosed) {
					t.Error(fmt.Errorf("%v and %w", h, err))
				}
			}
		})
	}
	callers.Wait()
}

// A doubt during a back-off is acted on when that is over.
func TestDoubtDuringABackOff(t *testing.T) {
	bubble(t, func(t *testing.T, k *keeper.Keeper[int], i *issuer) {
		h := get(t, k, 0)
		time.Sleep(life / 10)
		i.then(failing)
		k.Changed(t.Context())
		synctest.Wait()
		k.Doubt(t.Context(), h)
		i.then(nil)
		time.Sleep(time.Second)
		get(t, k, 0) // begins the attempt
		synctest.Wait()
		if get(t, k, 0).Value == h.Value {
			t.Error("the value that was doubted is still in use")
		}
	})
}
