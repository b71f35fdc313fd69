package storetest

import (
	"testing"
	"time"

	"fastness/internal/store"
)

var leaseCases = []testcase{
	{"Fencing", func(t *testing.T, d *db) {
		const ttl = time.Minute
		now := epoch
		acquire := func(holder string) (fence int64) {
			d.update(func(tx store.Tx) (err error) {
				fence, err = tx.Leases().Acquire("worker", holder, now, ttl)
				return err
			})
			return fence
		}
		taken := func(holder string) {
			t.Helper()
			d.refused(store.ErrFenced, func(tx store.Tx) error {
				_, err := tx.Leases().Acquire("worker", holder, now, ttl)
				return err
			})
		}
		check := func(fence int64) func(store.Tx) error {
			return func(tx store.Tx) error { return tx.Leases().Check("worker", fence) }
		}
		release := func(fence int64) func(store.Tx) error {
			return func(tx store.Tx) error { return tx.Leases().Release("worker", fence) }
		}
		d.refused(store.ErrFenced, check(0))
		d.refused(store.ErrFenced, check(1))
		one := acquire("a")
		d.update(check(one))
		taken("b")
		now = now.Add(ttl - time.Millisecond)
		taken("b")
		same(t, acquire("a"), one) // renewed
		now = now.Add(ttl - time.Millisecond)
		taken("b")
		now = now.Add(time.Millisecond)
		two := acquire("b") // it has expired
		if two <= one {
			t.Fatalf("fencing number went from %d to %d", one, two)
		}
		d.refused(store.ErrFenced, check(one))
		d.update(release(one)) // does nothing any more
		d.update(check(two))
		taken("a")
		d.update(release(two))
		d.refused(store.ErrFenced, check(two))
		if three := acquire("b"); three <= two {
			t.Fatalf("fencing number went from %d to %d", two, three)
		}
		d.reopen()
		taken("a")
	}},
	{"ByName", func(t *testing.T, d *db) {
		for _, name := range []string{"x", "y"} {
			d.update(func(tx store.Tx) error {
				_, err := tx.Leases().Acquire(name, "holder of "+name, epoch, time.Hour)
				return err
			})
		}
	}},
	// A write under a lease that was lost meanwhile is not made.
	{"Protects", func(t *testing.T, d *db) {
		var fence int64
		d.update(func(tx store.Tx) (err error) {
			fence, err = tx.Leases().Acquire("worker", "a", epoch, time.Second)
			return err
		})
		d.update(func(tx store.Tx) error {
			_, err := tx.Leases().Acquire("worker", "b", epoch.Add(time.Hour), time.Second)
			return err
		})
		d.refused(store.ErrFenced, func(tx store.Tx) error {
			if err := tx.SetMeta("k", nil, []byte("late")); err != nil {
				return err
			}
			return tx.Leases().Check("worker", fence)
		})
		d.absent(func(r store.Reader) error { _, err := r.Meta("k"); return err })
	}},
}
