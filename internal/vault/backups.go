package vault

import (
	"context"
	"errors"
	"time"

	"fastness/internal/store"
)

// Scheduled backups are made by one node of a deployment at a time. What all of
// them know of it is in the store.
const (
	// metaBackup is when the newest backup was made that was verified after.
	metaBackup = "backup.verified"
	// backupLease is held by the node that backs up.
	backupLease = "backup"
	// BackupLease is how long the lease outlives a node that died. It is to be
	// renewed well before.
	BackupLease = time.Minute
)

// LeadBackup takes the lease for backups, or renews it; store.ErrFenced while
// another node has it.
func (v *Vault) LeadBackup(ctx context.Context) (fence int64, err error) {
	err = v.store.Update(ctx, func(tx store.Tx) (err error) {
		fence, err = tx.Leases().Acquire(backupLease, v.journal.node, v.now(), BackupLease)
		return err
	})
	return fence, err
}

// EndBackup gives the lease up.
func (v *Vault) EndBackup(ctx context.Context, fence int64) error {
	return v.store.Update(ctx, func(tx store.Tx) error { return tx.Leases().Release(backupLease, fence) })
}

// Snapshot runs f over a snapshot of the whole store, for as long as f takes. It
// knows no caller: it is for backups, which see nothing but what is sealed.
func (v *Vault) Snapshot(ctx context.Context, f func(store.Reader) error) error {
	return v.store.Snapshot(ctx, f)
}

// BackupVerified tells when the newest backup was made that was verified; the
// zero time if there is none.
func (v *Vault) BackupVerified(ctx context.Context) (at time.Time, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		at, err = backupVerified(r)
		return err
	})
	return at, err
}

func backupVerified(r store.Reader) (at time.Time, err error) {
	b, err := r.Meta(metaBackup)
	if errors.Is(err, store.ErrAbsent) {
		return at, nil
	}
	if err != nil {
		return at, err
	}
	return at, at.UnmarshalText(b)
}

// NoteBackup notes that a backup made then has been verified, if the lease is
// still held.
func (v *Vault) NoteBackup(ctx context.Context, fence int64, at time.Time) error {
	text, err := at.UTC().MarshalText()
	if err != nil {
		return err
	}
	return v.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Leases().Check(backupLease, fence); err != nil {
			return err
		}
		return tx.SetMeta(metaBackup, existing(tx, metaBackup), text)
	})
}

// NewInspector inspects rows of this deployment with the root key that the vault
// holds, which stays the vault's.
func (v *Vault) NewInspector() *Inspector {
	i := NewInspector(nil, nil)
	i.lent = &v.roots
	return i
}
