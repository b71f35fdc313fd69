package rotation

import (
	"context"
	"errors"
	"sync"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

const (
	// renewPeriod is how often the lease is renewed while anything is in hand.
	renewPeriod = vault.RotationLease / 4
	// margin is how long before its end a lease that could not be renewed counts as
	// lost: what is cut off then needs a moment, and clocks differ.
	margin = vault.RotationLease / 4
)

// tenure is the time through which a worker holds the deployment's lease under
// one fencing number. Its context ends, and all work with it, when another
// worker has the lease or may soon have it. Safe for concurrent use.
type tenure struct {
	lead *vault.Lead
	ctx  context.Context
	end  context.CancelFunc
	over *time.Timer // ends it

	mu    sync.Mutex // guards until, briefly
	until time.Time  // when the lease ends, unless it is renewed
}

// newTenure begins a tenure within work. began is before the lease was had: it
// is never believed to last longer than it does.
func newTenure(work context.Context, lead *vault.Lead, began time.Time) *tenure {
	t := &tenure{lead: lead, until: began.Add(vault.RotationLease)}
	t.ctx, t.end = context.WithCancel(work)
	t.over = time.AfterFunc(time.Until(t.until)-margin, t.end)
	return t
}

// renew prolongs the lease; store.ErrFenced, and the end, if another worker has
// had it.
func (t *tenure) renew(ctx context.Context) error {
	began := time.Now()
	if err := t.lead.Renew(ctx); err != nil {
		if errors.Is(err, store.ErrFenced) {
			t.end()
		}
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := began.Add(vault.RotationLease); until.After(t.until) && t.over.Stop() {
		t.until = until
		t.over.Reset(time.Until(until) - margin)
	}
	return t.ctx.Err()
}

// ensure sees to it that at least half of the lease is left, so that an effect
// that begins now does not meet its end.
func (t *tenure) ensure(ctx context.Context) error {
	t.mu.Lock()
	left := time.Until(t.until)
	t.mu.Unlock()
	if left >= vault.RotationLease/2 {
		return t.ctx.Err()
	}
	return t.renew(ctx)
}

// hold begins a tenure, or renews the one that there is.
func (w *Worker) hold(ctx, work context.Context) (*tenure, error) {
	if t := w.current(); t != nil && t.ctx.Err() == nil {
		return t, t.renew(ctx)
	}
	began := time.Now()
	lead, err := w.vault.Lead(ctx)
	if err != nil {
		return nil, err
	}
	t := newTenure(work, lead, began)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tenure = t
	return t, nil
}

// current returns the last tenure, which may be over; nil if there was none.
func (w *Worker) current() *tenure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tenure
}

func (w *Worker) busy() bool { return w.InHand() > 0 }

// InHand is how many rotations the worker has in hand now.
func (w *Worker) InHand() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.inHand)
}

// renewing renews the lease while anything is in hand, until it is stopped. A
// worker with nothing to do writes nothing.
func (w *Worker) renewing(work context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(work)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(renewPeriod)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			t := w.current()
			if t == nil || t.ctx.Err() != nil || !w.busy() {
				continue
			}
			if err := t.renew(ctx); err != nil && ctx.Err() == nil {
				w.log.WarnContext(ctx, "renewing the lease for rotations", "error", err, "cause", secret.Of(err).Cause)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
