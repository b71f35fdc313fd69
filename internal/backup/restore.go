package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Restore brings a backup back: all of it into an empty store, as a deployment
// with an id of its own, or one tenant into a deployment that is there.
type Restore struct {
	File
	To   Place
	Keys Keys // the root key of the target
	// Backed is the root key of the backup, if that is another; empty if not, or
	// if the backup brings it along for recovery.
	Backed Keys
	// Tenant is the only one that is restored; empty for all that the backup has.
	Tenant secret.TenantName
	// At is the time to which Tenant is restored, as far as its versions reach;
	// zero for that of the backup.
	At time.Time
	// Replace lets go of what the tenant has in the target.
	Replace bool
	// Erased is what was erased, purged and revoked since the backup; nil if no
	// later log is at hand.
	Erased   *Erased
	Choice   Choice // of credentials; empty: what a later log says of them, else Keep
	Progress func(Stage)
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Restored is what a restore has done.
type Restored struct {
	vault.Inspection
	Created time.Time         // when the backup was made
	Tenant  secret.TenantName // empty: the whole deployment
	Rows    int64
	Counts  map[string]int64
	Erased  int // tenants and secrets that were erased or purged since the backup, and were left out
	Revoked int // credentials and principals that were live in the backup, and are no more
	// Unknown says that credentials were kept, and that neither a log nor a choice
	// says whether some were revoked since the backup.
	Unknown bool
}

// restoring is a restore under way.
type restoring struct {
	Restore
	header header
	heed   heed
	keys   Keys // of the backup
	rows   *dump.Digest
	loaded *dump.Digest
	state  store.TenantState // of the only tenant, once it is restored
}

// Run restores. It proves the backup whole before it writes anything, and what
// it has written before a server may open it. A restore that was cut off is
// begun again, with an empty store.
func (r Restore) Run(ctx context.Context) (*Restored, error) {
	if r.Now == nil {
		r.Now = time.Now
	}
	w := &restoring{Restore: r}
	owned, err := w.prove()
	if owned {
		defer w.keys.release()
	}
	if err != nil {
		return nil, err
	}
	if w.header.Tenant != "" {
		w.Tenant = w.header.Tenant
	}
	w.heed = heed{w.Choice, w.header.Created, w.Now().UTC().Truncate(time.Millisecond)}
	if err := w.checkLog(); err != nil {
		return nil, err
	}
	to, err := r.To.open(ctx, r.Logger)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	var out *Restored
	if w.Tenant == "" {
		out, err = w.deployment(ctx, to)
	} else {
		out, err = w.tenant(ctx, to)
	}
	return out, errors.Join(err, to.Close())
}

// checkLog refuses a later log that does not tell who was shut out.
func (w *restoring) checkLog() error {
	switch {
	case w.Erased == nil:
		return nil
	case w.Erased.until.Before(w.header.Created):
		return ErrShortLog
	}
	return w.heed.check(w.Erased)
}

// prove reads all of the backup, and opens what is sealed in it.
func (w *restoring) prove() (owned bool, err error) {
	var check *vault.Inspector
	defer func() {
		if check != nil {
			check.Close()
		}
	}()
	tell := stage(w.Progress, "checking the backup", 0)
	w.rows, err = w.read(func(h header) (err error) {
		w.header = h
		if h.Tenant != "" && w.Tenant != "" && h.Tenant != w.Tenant {
			return fmt.Errorf("the backup is of the tenant %s alone", h.Tenant)
		}
		backed := w.Backed
		if backed.Current == nil {
			backed = w.Restore.Keys
		}
		if w.keys, owned, err = backed.of(h, w.Identities); err != nil {
			return err
		}
		if h.Tenant != "" {
			check, err = vault.NewTenantInspector(h.Deployment, h.Check, w.keys.Current, w.keys.Previous)
			return err
		}
		check = vault.NewInspector(w.keys.Current, w.keys.Previous)
		return nil
	}, func(r *dump.Row) error {
		tell()
		return check.Row(r)
	})
	if err == nil {
		_, err = check.End()
	}
	return owned, err
}

// rekeyer makes the backup's rows those of the target's deployment.
func (w *restoring) rekeyer(id [16]byte) (*vault.Rekeyer, error) {
	what := fmt.Sprintf("restored from the backup of %s", w.header.Created.Format(time.RFC3339))
	if !w.At.IsZero() {
		what += ", to " + w.At.UTC().Format(time.RFC3339)
	}
	return vault.NewRekeyer(w.header.Deployment, w.header.Check, w.keys.Current, w.keys.Previous, w.Restore.Keys.Current, id, what, w.Now())
}

// deployment restores all of it.
func (w *restoring) deployment(ctx context.Context, to store.Store) (*Restored, error) {
	loader, err := dump.NewLoader(ctx, to, "restore "+secret.NewUUID())
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	rekey, err := w.rekeyer([16]byte{})
	if err != nil {
		return nil, err
	}
	defer rekey.Close()
	tell := stage(w.Progress, "restoring", w.rows.Rows)
	without := w.Erased.filter(w.heed)
	if err := w.again(func(r *dump.Row) error {
		tell()
		if r = without.row(r); r == nil {
			return nil
		}
		return rekey.Row(r, loader.Row)
	}); err != nil {
		return nil, err
	}
	if w.loaded, err = loader.Flush(); err != nil {
		return nil, err
	}
	check := inspection{master: w.Restore.Keys.Current, counters: true}
	if err := w.compare(ctx, to, &check); err != nil {
		return nil, err
	}
	return w.report(check, without), dump.Finish(ctx, to)
}

// again reads the backup a second time. It must be the one that was proven.
func (w *restoring) again(row func(*dump.Row) error) error {
	digest, err := w.read(func(header) error { return nil }, row)
	if err == nil && digest.Sum != w.rows.Sum {
		err = fmt.Errorf("%w: while it was read", ErrDamaged)
	}
	return err
}

// compare proves what has been loaded.
func (w *restoring) compare(ctx context.Context, to store.Store, check *inspection) error {
	check.progress = stage(w.Progress, "checking the target", w.loaded.Rows)
	err := to.Snapshot(ctx, func(r store.Reader) error {
		got, err := check.run(r)
		if err == nil && got.Sum != w.loaded.Sum {
			err = fmt.Errorf("%w: %s", ErrDifferent, differences(w.loaded.Counts(), got.Counts()))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	return nil
}

func (w *restoring) report(check inspection, without *withoutErased) *Restored {
	return &Restored{
		Inspection: check.found, Created: w.header.Created, Tenant: w.Tenant,
		Rows: w.loaded.Rows, Counts: w.loaded.Counts(), Erased: without.left, Revoked: without.revoked,
		Unknown: w.Erased == nil && w.Choice == "",
	}
}
