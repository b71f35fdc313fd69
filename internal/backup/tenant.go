package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

var (
	// ErrTenantThere is a tenant that the target has, while it was not said that
	// what it has may go.
	ErrTenantThere = errors.New("the target has the tenant: what it has there now is lost if it is replaced")
	// ErrTenantErased is a tenant that was erased, and stays so.
	ErrTenantErased = errors.New("the tenant was erased in the target; a restore does not take that back")
	// ErrLogArchived is a target whose log no longer tells all that was purged.
	ErrLogArchived = errors.New("the beginning of the target's log was archived, with what it says of purges; give the whole log with --log, from `fastness audit export --deployment --archive FOLDER`")
	// ErrNoTenant is a backup without the tenant.
	ErrNoTenant = errors.New("the backup does not have the tenant")
)

// tenant restores one tenant into a deployment that is there. Its entries stay
// where they were logged; one that tells of the restore is added.
func (w *restoring) tenant(ctx context.Context, to store.Store) (*Restored, error) {
	if err := unserved(ctx, to); err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	id, check, there, err := w.target(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	rekey, err := w.rekeyer(id)
	if err != nil {
		return nil, err
	}
	defer rekey.Close()
	without, err := w.loadTenant(ctx, to, rekey, there)
	if err != nil {
		return nil, err
	}
	proof := inspection{master: w.Restore.Keys.Current, counters: true, tenant: w.Tenant, deployment: hex.EncodeToString(id[:]), check: check}
	if err := w.compare(ctx, to, &proof); err != nil {
		return nil, err
	}
	entry, err := rekey.Entry(w.Tenant)
	if err != nil {
		return nil, err
	}
	return w.report(proof, without), w.open(ctx, to, entry)
}

// open ends the tenant's suspension.
func (w *restoring) open(ctx context.Context, to store.Store, entry audit.Record) error {
	return to.Update(ctx, func(tx store.Tx) error {
		t, err := tx.Tenants().ByName(w.Tenant)
		if err != nil {
			return err
		}
		tx.Audit(entry)
		t.State = w.state
		return tx.EditTenants().Update(t)
	})
}

// target reads what the target is, and its row of the tenant, if there is one.
func (w *restoring) target(ctx context.Context, to store.Store) (id [16]byte, check []byte, there *store.Tenant, err error) {
	err = to.View(ctx, func(r store.Reader) error {
		name, proof, err := vault.Deployment(r)
		if errors.Is(err, store.ErrAbsent) {
			return errors.New("there is no deployment yet; make one with `fastness operator init`, or restore all of the backup")
		}
		if err != nil {
			return err
		}
		if err := vault.ProveRoot(name, proof, w.Restore.Keys.Current, nil); err != nil {
			return err
		}
		check = proof
		if _, err := hex.Decode(id[:], []byte(name)); err != nil {
			return err
		}
		there, err = r.Tenants().ByName(w.Tenant)
		if errors.Is(err, store.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		if there.State == store.Erased {
			return ErrTenantErased
		}
		if !w.Replace {
			return ErrTenantThere
		}
		if w.Erased, err = erasedIn(r, w.Erased); err != nil {
			return err
		}
		return w.heed.check(w.Erased)
	})
	return id, check, there, err
}

// loadTenant loads the tenant's rows, in the place of what it has. The tenant is
// suspended until all of it is there and proven. It returns how much was left out
// because it was destroyed or revoked since.
func (w *restoring) loadTenant(ctx context.Context, to store.Store, rekey *vault.Rekeyer, there *store.Tenant) (_ *withoutErased, err error) {
	only := &onlyTenant{name: w.Tenant, without: w.Erased.filter(w.heed)}
	if !w.At.IsZero() {
		look := &onlyTenant{name: w.Tenant, without: w.Erased.filter(w.heed), reach: newReach(w.At)}
		if err := w.again(look.look); err != nil {
			return nil, err
		}
		only.reach = look.reach
	}
	var row *store.Tenant
	loader := dump.NewLoaderInto(ctx, to, func(tx store.Tx) error {
		if there == nil {
			return nil
		}
		return replaceTenant(tx, there, row)
	})
	tell := stage(w.Progress, "restoring", w.rows.Rows)
	err = w.again(func(r *dump.Row) error {
		tell()
		r, err := only.row(r)
		switch {
		case r == nil || err != nil:
			return err
		case r.Tenant == nil:
			return rekey.Row(r, loader.Row)
		case there != nil && there.ID != r.Tenant.Tenant.ID:
			return fmt.Errorf("%w; it is another one", ErrTenantThere)
		}
		row, w.state = r.Tenant.Tenant, r.Tenant.State
		row.State = store.Suspended
		if there != nil {
			row.Revision = there.Revision + 1
		}
		return loader.RowBut(r, there != nil)
	})
	if err == nil && row == nil {
		err = ErrNoTenant
	}
	if err == nil {
		w.loaded, err = loader.Flush()
	}
	return only.without, err
}

// replaceTenant lets go of what a tenant has.
func replaceTenant(tx store.Tx, there, row *store.Tenant) error {
	if err := tx.EditTenants().Erase(there.ID); err != nil {
		return err
	}
	now := *there
	now.State, now.Algorithm, now.Key = row.State, row.Algorithm, row.Key
	return tx.EditTenants().Update(&now)
}

// onlyTenant passes the rows of one tenant, without its part of the log.
type onlyTenant struct {
	name    secret.TenantName
	without *withoutErased
	reach   *reach // nil: as of the backup
	in      bool   // the rows are the tenant's
}

// mine returns the row if it is the tenant's and was not destroyed since.
func (o *onlyTenant) mine(r *dump.Row) *dump.Row {
	switch {
	case r.Tenant != nil:
		o.in = r.Tenant.Name == o.name
	case r.Run != nil, r.Checkpoint != nil, r.Batch != nil, r.Pending != nil, r.Tile != nil, r.Tree != nil, r.Meta != nil:
		return nil
	}
	if !o.in {
		return nil
	}
	return o.without.row(r)
}

// look takes note of a row, before the rows are passed.
func (o *onlyTenant) look(r *dump.Row) error {
	if r = o.mine(r); r != nil {
		o.reach.look(r)
	}
	return nil
}

func (o *onlyTenant) row(r *dump.Row) (*dump.Row, error) {
	if r = o.mine(r); r == nil {
		return nil, nil
	}
	if r.Tenant != nil && r.Tenant.State == store.Erased {
		return nil, ErrTenantErased
	}
	if o.reach != nil {
		r = o.reach.row(r)
	}
	return r, nil
}

// erasedIn adds to a list what a store's own log says was destroyed and revoked.
func erasedIn(r store.Reader, e *Erased) (*Erased, error) {
	kept, _, err := store.ReadArchive(r)
	if err == nil && kept.Size > 0 && e == nil {
		err = fmt.Errorf("%w: entries 0 to %d", ErrLogArchived, kept.Size-1)
	}
	if err != nil {
		return nil, err
	}
	out := newErased(e)
	tree, err := r.Log().State()
	if err != nil {
		return nil, err
	}
	add := func(records []audit.Record) error {
		for _, record := range records {
			if !tells(record.Action()) {
				continue
			}
			entry, err := record.Entry()
			if err != nil {
				return err
			}
			if err := out.add(entry); err != nil {
				return err
			}
		}
		return nil
	}
	const window = 4096
	for from := int64(0); from < tree.Size; from += window {
		batches, err := r.Log().Batches(from, from+window)
		if err != nil {
			return nil, err
		}
		for _, b := range batches {
			if err := add(b.Records); err != nil {
				return nil, err
			}
		}
	}
	pending, err := r.Log().Pending(1 << 30)
	for _, b := range pending {
		err = errors.Join(err, add(b.Records))
	}
	return out, err
}

// tells reports whether entries of an action may tell of something that was
// destroyed or revoked. There are many others, which need not be taken apart.
func tells(a audit.Action) bool {
	switch a {
	case audit.TenantErase, audit.Purge, audit.TenantSuspend, audit.TenantResume, audit.PrincipalDisable, audit.PrincipalEnable,
		audit.PrincipalDelete, audit.PasswordSet, audit.PasswordRemove:
		return true
	}
	return vault.EndsCredentials(a)
}
