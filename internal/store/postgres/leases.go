package postgres

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
	fence, err := row(l.session, "lease_acquire", number, name, holder, now.UnixMilli(), now.Add(ttl).UnixMilli())
	if errors.Is(err, store.ErrAbsent) {
		err = store.ErrFenced
	}
	return fence, err
}

func (l leases) Check(name string, fence int64) error {
	held, err := l.exists("lease_check", name, fence)
	if err == nil && !held {
		err = store.ErrFenced
	}
	return err
}

func (l leases) Release(name string, fence int64) error {
	_, err := l.exec("lease_release", name, fence)
	return err
}
