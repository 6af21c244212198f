package keeper

import "context"

// outbox has reports that wait to be delivered one after another, in their order,
// by one goroutine at a time.
type outbox[V any] struct {
	waiting    []Report[V]
	delivering bool
}

// report puts a report into the outbox. k.mu is held.
func (k *Keeper[V]) report(r Report[V]) {
	if k.reports == nil {
		k.reports = new(outbox[V])
	}
	k.reports.waiting = append(k.reports.waiting, r)
}

// deliver delivers what is in the outbox, unless another goroutine does.
func (k *Keeper[V]) deliver(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.reports
	if o == nil || o.delivering {
		return
	}
	o.delivering = true
	for len(o.waiting) > 0 {
		r := o.waiting[0]
		o.waiting = o.waiting[1:]
		func() {
			k.mu.Unlock()
			defer k.mu.Lock() // also when a handler of events panics
			k.renewer.Settled(ctx, r)
		}()
	}
	k.reports = nil
}
