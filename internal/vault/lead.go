package vault

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

const (
	// rotationLease is held by the one worker of a deployment.
	rotationLease = "rotation"
	// RotationLease is how long the lease outlives a worker that died: short
	// enough that another one works within ten seconds. It is renewed while work is
	// in hand; an effect on a target begins with at least half of it left, and is
	// cut off before its end if it cannot be renewed.
	RotationLease = 6 * time.Second
	// maxHistory is how many rotations that are over are kept of a secret.
	maxHistory = 20
)

// Lead is the rotation worker's handle to all tenants, good for as long as it
// holds the deployment's lease. Each of its writes checks the lease within its
// own transaction: whoever has lost it changes nothing, and gets store.ErrFenced.
type Lead struct {
	vault *Vault
	fence int64
}

// Lead takes the lease for rotations, or renews it; store.ErrFenced while
// another node has it.
func (v *Vault) Lead(ctx context.Context) (*Lead, error) {
	l := &Lead{vault: v}
	err := v.store.Update(ctx, func(tx store.Tx) (err error) {
		l.fence, err = tx.Leases().Acquire(rotationLease, v.journal.node, v.now(), RotationLease)
		return err
	})
	return settled(l, err)
}

// Renew prolongs the lease; store.ErrFenced if another node has had it since,
// even if it is free again.
func (l *Lead) Renew(ctx context.Context) error {
	return l.vault.store.Update(ctx, func(tx store.Tx) error {
		fence, err := tx.Leases().Acquire(rotationLease, l.vault.journal.node, l.vault.now(), RotationLease)
		if err == nil && fence != l.fence {
			err = store.ErrFenced // and what was acquired is rolled back
		}
		return err
	})
}

// Release gives the lease up, so that another node need not wait for its end.
func (l *Lead) Release(ctx context.Context) error {
	return l.vault.answer(l.vault.store.Update(ctx, func(tx store.Tx) error {
		err := tx.Leases().Release(rotationLease, l.fence)
		if errors.Is(err, store.ErrFenced) {
			return nil // another node has it
		}
		return err
	}))
}

// HasRotations reports whether a worker has anything to do by now. It costs
// one look at an index, whoever holds the lease.
func (v *Vault) HasRotations(ctx context.Context) (found bool, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		refs, err := r.Tenants().Work(v.now(), 1)
		found = len(refs) > 0
		return err
	})
	return found, v.answer(err)
}

// RotationsAsked receives after somebody has asked this node for something that
// a worker is to do at once: once for all that were asked for meanwhile.
func (v *Vault) RotationsAsked() <-chan struct{} { return v.asked }

// wakeWorker sends to RotationsAsked.
func (v *Vault) wakeWorker() {
	select {
	case v.asked <- struct{}{}:
	default: // it is awake, and will look again
	}
}

// Work lists secrets that there is something to do with by now, oldest first.
func (l *Lead) Work(ctx context.Context, limit int) (refs []store.SecretRef, err error) {
	err = l.vault.store.View(ctx, func(r store.Reader) error {
		refs, err = r.Tenants().Work(l.vault.now(), limit)
		return err
	})
	return refs, l.vault.answer(err)
}

// Taken is a secret that the worker has in hand.
type Taken struct {
	Rotation
	Tenant                           secret.TenantName
	Name                             secret.Name
	CurrentAt, PreviousAt, PendingAt secret.VersionID // empty for nowhere
	Due                              bool             // by its policy, and within its window
	Next                             time.Time        // when it is, if it is not now
	// RetireOld has Finish note that the old credential is to be revoked, if the
	// policy says after what time. It is the worker's to set.
	RetireOld bool

	lead *Lead
	ref  store.SecretRef
	row  *rotationRow
}

// Take reads a secret; secret.ErrNotFound if it is not to be rotated any more.
func (l *Lead) Take(ctx context.Context, ref store.SecretRef) (*Taken, error) {
	k := &Taken{Name: ref.Name, lead: l, ref: ref}
	err := l.vault.store.View(ctx, func(r store.Reader) error {
		t, sec, err := k.load(r)
		if err != nil {
			return err
		}
		k.Tenant = t.Name
		k.Due, k.Next = k.row.Policy.due(t.ID, sec, k.vault().now())
		k.Rotation = k.row.Rotation
		for label, at := range map[secret.Label]*secret.VersionID{secret.Current: &k.CurrentAt, secret.Previous: &k.PreviousAt, secret.Pending: &k.PendingAt} {
			if *at, err = labelled(r, t, sec, label); err != nil {
				return err
			}
		}
		return nil
	})
	return settled(k, l.vault.answer(err))
}

// labelled returns the id of the version that has a label; empty if none has.
func labelled(r store.Reader, t *store.Tenant, sec *store.Secret, label secret.Label) (secret.VersionID, error) {
	n := sec.Labels[label]
	if n == 0 {
		return "", nil
	}
	v, err := r.Secrets(t.ID).Version(sec.ID, n)
	if err != nil {
		return "", err
	}
	return v.ID, nil
}

func (k *Taken) vault() *Vault { return k.lead.vault }

// load reads the rows, and finds out that the secret is still the one that
// was listed.
func (k *Taken) load(r store.Reader) (*store.Tenant, *store.Secret, error) {
	t, err := r.Tenants().Tenant(k.ref.Tenant)
	if err != nil {
		return nil, nil, err
	}
	sec, err := r.Secrets(t.ID).Secret(k.ref.Name)
	if err != nil {
		return nil, nil, err
	}
	if t.State != store.Active || sec.ID != k.ref.ID || !sec.Deletion.IsZero() {
		return nil, nil, store.ErrAbsent
	}
	k.row, err = readRotation(r, t.ID, sec.ID)
	return t, sec, err
}

func (k *Taken) session() *Session { return k.vault().Session(k.vault().system(), k.Tenant) }

// Open opens a version of the secret for its rotator, with an entry in the
// audit log; nil if there is no such version.
func (k *Taken) Open(ctx context.Context, id secret.VersionID) (*secretbuf.Buffer, error) {
	if id == "" {
		return nil, nil
	}
	reading, err := k.session().Get(ctx, k.Name, store.Selector{ID: id})
	if errors.Is(err, secret.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return reading.Value, nil
}

// Lookup opens the current version of another secret that the policy names.
func (k *Taken) Lookup(ctx context.Context, ref string) (*secretbuf.Buffer, error) {
	name := nameIn(ref)
	if !slices.Contains(k.Policy.Uses, name) {
		return nil, secret.Invalid("uses", "the rotation's policy does not name the secret that its rotator looks up")
	}
	reading, err := k.session().Get(ctx, name, store.Selector{})
	if err != nil {
		return nil, err
	}
	return reading.Value, nil
}

// Begin stores the pending version and the journal that tells of it, in one
// transaction. A version that is there already under its id keeps its value.
func (k *Taken) Begin(ctx context.Context, id secret.VersionID, value *secretbuf.Buffer, journal any) error {
	if value == nil {
		return k.Save(ctx, "pending", journal, time.Time{})
	}
	_, err := k.session().Rotate(ctx, k.Name, Put{
		Value: value, Token: id, Labels: []secret.Label{secret.Pending},
		within: func(tx store.Tx, t *store.Tenant, sec *store.Secret, e *audit.Entry) error {
			e.Detail = rotationPending
			// A value that nobody uses yet is no rotation: the secret stays due.
			stored, err := tx.Secrets(t.ID).Secret(sec.Name)
			if err != nil {
				return err
			}
			sec.LastRotated = stored.LastRotated
			return k.store(tx, t, sec, journal, time.Time{})
		},
	})
	return err
}

// Save stores the journal after a step. The worker looks again at the given
// time; zero is at once.
func (k *Taken) Save(ctx context.Context, step string, journal any, again time.Time) error {
	return k.change(ctx, step, nil, func(tx store.Tx, t *store.Tenant, sec *store.Secret, _ *audit.Entry) error {
		return k.store(tx, t, sec, journal, again)
	})
}

// Fail stores the journal after a step that failed, with an entry that says
// so. The worker looks again at the given time; zero is never.
func (k *Taken) Fail(ctx context.Context, step string, journal any, again time.Time, failure error) error {
	return k.keepFailure(ctx, failedIn(step, again), journal, again, failure)
}

// Stick is Fail for a rotation that nobody goes on with until it is repaired.
func (k *Taken) Stick(ctx context.Context, journal any, failure error) error {
	return k.keepFailure(ctx, strings.TrimPrefix(rotationStuck, rotationDetail), journal, time.Time{}, failure)
}

func (k *Taken) keepFailure(ctx context.Context, what string, journal any, again time.Time, failure error) error {
	return k.change(ctx, what, failure, func(tx store.Tx, t *store.Tenant, sec *store.Secret, _ *audit.Entry) error {
		return k.save(tx, t, sec, journal, func(row *rotationRow) {
			row.Active, row.Asked, row.Stuck = true, false, again.IsZero()
		}, again)
	})
}

// Finish moves AWSCURRENT to the pending version, takes AWSPENDING off, and
// stores the journal of a rotation that is over, in one transaction. If
// somebody has moved either label since it was looked at, that is
// secret.ErrConflict, and what it means has to be found out first.
func (k *Taken) Finish(ctx context.Context, id secret.VersionID, journal any) error {
	return k.end(ctx, "finished", journal, func(tx store.Tx, t *store.Tenant, sec *store.Secret, e *audit.Entry) error {
		number, err := numberOf(tx, t, sec, id)
		if err != nil {
			return err
		}
		e.OldVersion, e.NewVersion = versionText(sec.Labels[secret.Current]), versionText(number)
		moveCurrent(sec.Labels, number)
		if sec.Labels[secret.Pending] == number {
			delete(sec.Labels, secret.Pending)
		}
		sec.LastRotated = k.vault().now()
		old, err := labelled(tx, t, sec, secret.Previous)
		if k.row.Retiring = nil; err == nil && k.RetireOld {
			k.row.retireOld(old, id, sec.LastRotated)
		}
		return err
	})
}

// Abandon takes AWSPENDING off the version, if it is there, and stores the
// journal of a rotation that is over. Labels that were moved are as in Finish.
func (k *Taken) Abandon(ctx context.Context, id secret.VersionID, journal any) error {
	return k.end(ctx, "abandoned", journal, func(tx store.Tx, t *store.Tenant, sec *store.Secret, e *audit.Entry) error {
		number, err := numberOf(tx, t, sec, id)
		if err == nil && sec.Labels[secret.Pending] == number {
			e.OldVersion = versionText(number)
			delete(sec.Labels, secret.Pending)
		}
		if errors.Is(err, secret.ErrNotFound) {
			return nil
		}
		return err
	})
}

func (k *Taken) end(ctx context.Context, step string, journal any, labels func(store.Tx, *store.Tenant, *store.Secret, *audit.Entry) error) error {
	record, err := json.Marshal(journal)
	if err != nil {
		return err
	}
	return k.change(ctx, step, nil, func(tx store.Tx, t *store.Tenant, sec *store.Secret, e *audit.Entry) error {
		if err := k.unmoved(tx, t, sec); err != nil {
			return err
		}
		sec.Labels = maps.Clone(sec.Labels)
		if err := labels(tx, t, sec, e); err != nil {
			return err
		}
		now := k.vault().now()
		row := k.row
		row.Journal, row.Active, row.Asked, row.Stuck, row.Token = nil, false, false, false, ""
		row.History = append([]json.RawMessage{record}, row.History...)
		row.History = row.History[:min(len(row.History), maxHistory)]
		row.schedule(t, sec, now)
		return row.write(tx, now)
	})
}

// errMoved is a decision that was made about other labels than there are now.
var errMoved = secret.Conflict("the secret's labels have moved meanwhile")

// unmoved checks that the labels are still those that the worker decided by.
func (k *Taken) unmoved(r store.Reader, t *store.Tenant, sec *store.Secret) error {
	for label, was := range map[secret.Label]secret.VersionID{secret.Current: k.CurrentAt, secret.Pending: k.PendingAt} {
		at, err := labelled(r, t, sec, label)
		if err != nil {
			return err
		}
		if at != was {
			return errMoved
		}
	}
	return nil
}

// Postpone has the worker look at a secret at which nothing is to be done, or
// cannot be yet, at another time.
func (k *Taken) Postpone(ctx context.Context, until time.Time) error {
	return k.edit(ctx, func(tx store.Tx, t *store.Tenant, sec *store.Secret) error {
		k.row.schedule(t, sec, k.vault().now())
		if !until.IsZero() && !k.row.Policy.Paused {
			sec.WorkAt = until
		}
		return nil
	})
}

// store puts the journal of a rotation under way into its row.
func (k *Taken) store(tx store.Tx, t *store.Tenant, sec *store.Secret, journal any, again time.Time) error {
	return k.save(tx, t, sec, journal, func(row *rotationRow) { row.Active, row.Asked, row.Stuck = true, false, false }, again)
}

func (k *Taken) save(tx store.Tx, t *store.Tenant, sec *store.Secret, journal any, state func(*rotationRow), again time.Time) error {
	if err := tx.Leases().Check(rotationLease, k.lead.fence); err != nil {
		return err
	}
	row, err := readRotation(tx, t.ID, sec.ID)
	if err != nil {
		return err
	}
	if row.Journal, err = json.Marshal(journal); err != nil {
		return err
	}
	now := k.vault().now()
	state(row)
	row.schedule(t, sec, now)
	if !again.IsZero() && !row.Policy.Paused {
		sec.WorkAt = again
	}
	return row.write(tx, now)
}

// change runs f in a fenced transaction, with an entry of the step.
func (k *Taken) change(ctx context.Context, step string, failure error, f func(store.Tx, *store.Tenant, *store.Secret, *audit.Entry) error) error {
	e := k.session().entry(audit.Rotate, k.Name)
	e.Detail = rotationDetail + step
	if failure == nil {
		return k.vault().change(ctx, e, func(tx store.Tx, e *audit.Entry) error { return k.fenced(tx, e, f) })
	}
	e.Result, e.Error = audit.Failed, failure.Error()
	record, err := audit.NewRecord(e)
	if err != nil {
		return err
	}
	return k.vault().answer(k.vault().store.Update(ctx, func(tx store.Tx) error {
		tx.Audit(record)
		return k.fenced(tx, &e, f)
	}))
}

// edit is change without an entry, for what changes nothing that anybody sees.
func (k *Taken) edit(ctx context.Context, f func(store.Tx, *store.Tenant, *store.Secret) error) error {
	return k.vault().store.Update(ctx, func(tx store.Tx) error {
		return k.fenced(tx, nil, func(tx store.Tx, t *store.Tenant, sec *store.Secret, _ *audit.Entry) error { return f(tx, t, sec) })
	})
}

func (k *Taken) fenced(tx store.Tx, e *audit.Entry, f func(store.Tx, *store.Tenant, *store.Secret, *audit.Entry) error) error {
	if err := tx.Leases().Check(rotationLease, k.lead.fence); err != nil {
		return err
	}
	t, sec, err := k.load(tx)
	if err != nil {
		return err
	}
	if err := f(tx, t, sec, e); err != nil {
		return err
	}
	sec.Changed = later(sec, k.vault().now())
	return stale(tx.EditSecrets(t.ID).Update(sec))
}
