package sqlite

import (
	"errors"
	"time"

	"fastness/internal/store"
)

type leases struct{ *tx }

func (l leases) Acquire(name, holder string, now time.Time, ttl time.Duration) (int64, error) {
	if holder == "" {
		return 0, errors.New("acquiring a lease: no holder")
	}
	fences, err := rows(l.write("lease_acquire").
		text(1, name).text(2, holder).int(3, now.UnixMilli()).int(4, now.Add(ttl).UnixMilli()), number)
	switch {
	case err != nil:
		return 0, err
	case len(fences) == 0:
		return 0, store.ErrFenced
	}
	return fences[0], nil
}

func (l leases) Check(name string, fence int64) error {
	held, err := l.query("lease_check").text(1, name).int(2, fence).exists()
	if err == nil && !held {
		err = store.ErrFenced
	}
	return err
}

func (l leases) Release(name string, fence int64) error {
	_, err := l.write("lease_release").text(1, name).int(2, fence).run()
	return err
}
