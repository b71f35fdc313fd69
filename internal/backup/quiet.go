package backup

import (
	"context"
	"math"
	"time"

	"fastness/internal/store"
	"fastness/internal/vault"
)

// leasePoll is how often a lease is looked at that may run out.
const leasePoll = 500 * time.Millisecond

// unserved waits until the leases of servers that have stopped run out, and
// fails with ErrServed if one is renewed. A server with nothing to do may hold
// none: see unchanged.
func unserved(ctx context.Context, s store.Snapshotter) error {
	first := make(map[string]time.Time)
	for {
		var held []store.Lease
		err := s.Snapshot(ctx, func(r store.Reader) (err error) {
			held, err = r.Rows().Held(time.Now())
			return err
		})
		if err != nil || len(held) == 0 {
			return err
		}
		for _, l := range held {
			if at, ok := first[l.Name]; ok && l.Expires.After(at) {
				return served("it has just renewed its lease " + l.Name)
			}
			first[l.Name] = l.Expires
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leasePoll):
		}
	}
}

// state tells whether a store has been written to: every change leaves an entry
// in the log.
type state struct {
	deployment string
	tree       store.TreeState
	waiting    int   // batches
	last       int64 // the number of the last of them
}

func stateOf(r store.Reader) (s state, err error) {
	if s.deployment, _, err = vault.Deployment(r); err != nil {
		return s, err
	}
	if s.tree, err = r.Log().State(); err != nil {
		return s, err
	}
	pending, err := r.Log().Pending(math.MaxInt)
	if s.waiting = len(pending); s.waiting > 0 {
		s.last = pending[s.waiting-1].Batch
	}
	return s, err
}

// unchanged fails with ErrServed if the store has been written to since.
func unchanged(ctx context.Context, s store.Snapshotter, before state) error {
	return s.Snapshot(ctx, func(r store.Reader) error {
		now, err := stateOf(r)
		if err == nil && now != before {
			err = served("it has been written to meanwhile")
		}
		return err
	})
}
