package vault

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// maxRetireAfter bounds RotationPolicy.RetireAfter.
	maxRetireAfter = 365 * 24 * time.Hour
	// retirePeriod is how soon after a rotation it is first looked whether its old
	// credential can be revoked. The longer nothing comes of it, the rarer, down to
	// once an hour.
	retirePeriod = time.Minute
)

// Retirement is an old credential that is to be revoked on the target, now that
// a rotation has taken its place.
type Retirement struct {
	Old   secret.VersionID `json:"old"` // the version that holds it
	New   secret.VersionID `json:"new"` // that took its place
	Since time.Time        `json:"since"`
	Until time.Time        `json:"until"` // then also if somebody still uses it
	// Failed is why the last attempt to revoke it has failed; empty if none has.
	Failed string `json:"failed,omitzero"`
}

// retireAfter is how long the policy leaves an old credential valid for those
// who use it; 0 for as long as the target does.
func (p RotationPolicy) retireAfter() (time.Duration, error) {
	if p.RetireAfter == "" {
		return 0, nil
	}
	d, err := identity.ParseDuration(p.RetireAfter)
	if err != nil || d < retirePeriod || d > maxRetireAfter {
		return 0, secret.Invalid("retireAfter", "a number and a unit, 1m to 365d: 30m, 12h or 7d")
	}
	return d, nil
}

// retireOld notes, when a rotation ends, that its old credential is to be revoked.
func (d *rotationRow) retireOld(from, to secret.VersionID, now time.Time) {
	after, err := d.Policy.retireAfter() // it was checked
	if err == nil && after > 0 && from != "" && from != to {
		d.Retiring = &Retirement{Old: from, New: to, Since: now, Until: now.Add(after)}
	}
}

// next is when to look again.
func (r *Retirement) next(now time.Time) time.Time {
	next := now.Add(min(max(retirePeriod, now.Sub(r.Since)/8), time.Hour))
	if now.Before(r.Until) && next.After(r.Until) {
		return r.Until
	}
	return next
}

// Retirable reports whether the old credential can be revoked now: every
// principal that had read it has read a newer version, or is no more, or the time
// for that is over. It is secret.ErrNotFound if it must not be revoked at all any
// more, since somebody has moved AWSCURRENT.
func (k *Taken) Retirable(ctx context.Context) (ready bool, err error) {
	err = k.vault().store.View(ctx, func(r store.Reader) error {
		t, sec, err := k.load(r)
		if err != nil {
			return err
		}
		retiring := k.row.Retiring
		if retiring == nil || k.CurrentAt != retiring.New {
			return secret.ErrNotFound
		}
		number, err := numberOf(r, t, sec, retiring.Old)
		if err != nil {
			return err
		}
		if ready = !k.vault().now().Before(retiring.Until); ready {
			return nil
		}
		holders, err := holdersOf(r, t, sec, number)
		ready = err == nil && holders == 0
		return err
	})
	return ready, k.vault().answer(err)
}

// holdersOf counts the principals whose newest version is the given one.
func holdersOf(r store.Reader, t *store.Tenant, sec *store.Secret, number secret.Version) (n int, err error) {
	all, err := consumersOf(r, t, sec)
	if err != nil {
		return 0, err
	}
	readers := 0
	for _, c := range all {
		if c.Version >= number {
			readers++
		}
		if c.Version != number {
			continue
		}
		gone, err := isGone(r, t.ID, c.Principal)
		if err != nil {
			return 0, err
		}
		if !gone {
			n++
		}
	}
	if readers >= secret.MaxConsumers {
		return max(n, 1), nil // there may be more than are known
	}
	return n, nil
}

// isGone reports whether a principal can read nothing any more: it was disabled
// or deleted. Whoever works within the process is not among the principals.
func isGone(r store.Reader, t secret.TenantID, name string) (bool, error) {
	if name == localName {
		return false, nil
	}
	for _, owner := range []secret.TenantID{t, {}} {
		p, err := r.Principals().Principal(owner, name)
		switch {
		case err == nil && p.Disabled.IsZero():
			return false, nil
		case err != nil && !errors.Is(err, store.ErrAbsent):
			return false, err
		}
	}
	return true, nil
}

// Retired notes that the old credential was revoked. record replaces that of
// the rotation in the history.
func (k *Taken) Retired(ctx context.Context, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return k.change(ctx, "retired", nil, func(tx store.Tx, t *store.Tenant, sec *store.Secret, e *audit.Entry) error {
		if k.row.Retiring == nil {
			return errMoved
		}
		k.row.Retiring = nil
		if len(k.row.History) > 0 {
			k.row.History[0] = text
		}
		k.row.schedule(t, sec, k.vault().now())
		return k.row.write(tx, k.vault().now())
	})
}

// DropRetirement leaves the old credential as it is.
func (k *Taken) DropRetirement(ctx context.Context) error {
	return k.edit(ctx, func(tx store.Tx, t *store.Tenant, sec *store.Secret) error {
		k.row.Retiring = nil
		k.row.schedule(t, sec, k.vault().now())
		return k.row.write(tx, k.vault().now())
	})
}

// RetireFailed notes that the old credential could not be revoked, and returns
// when that is tried again.
func (k *Taken) RetireFailed(ctx context.Context, failure error) (again time.Time, err error) {
	err = k.change(ctx, "retire"+rotationFailed, failure, func(tx store.Tx, t *store.Tenant, sec *store.Secret, _ *audit.Entry) error {
		now := k.vault().now()
		if k.row.Retiring == nil {
			return errMoved
		}
		k.row.Retiring.Failed = failure.Error()
		k.row.schedule(t, sec, now)
		again = sec.WorkAt
		return k.row.write(tx, now)
	})
	return again, err
}
