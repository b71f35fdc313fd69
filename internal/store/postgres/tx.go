package postgres

import (
	"errors"
	"fmt"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// tx is one run of an operation. Counters of what tenants have are summed up
// here and written at the end, just before the commit: their rows are those on
// which the transactions of a tenant meet.
type tx struct {
	reader
	records []audit.Record
	counts  map[secret.TenantID]counts
	undo    []func() // takes back what was done to the caller's rows
	// read is the revision under which each document and credential was looked at:
	// they are read by too many for each to lock them.
	read map[rowKey]int64
}

// rowKey names a document, or with the empty kind a credential, of any owner.
type rowKey struct {
	owner    secret.TenantID
	kind, id string
}

// saw notes the revision of a row.
func (t *tx) saw(key rowKey, revision int64) {
	if t.read == nil {
		t.read = make(map[rowKey]int64, 1)
	}
	t.read[key] = revision
}

// swapped ends a swap of a row that had a revision: if the transaction had read it
// under that one, somebody else was faster, and all of it runs again.
func (t *tx) swapped(key rowKey, revision *int64, err error) error {
	seen, ok := t.read[key]
	switch {
	case err == nil:
		t.raise(revision)
		delete(t.read, key)
	case errors.Is(err, store.ErrStale) && ok && seen == *revision:
		t.fault = fmt.Errorf("%w: a row has changed since it was read", errConflict)
		return t.fault
	}
	return err
}

// counts is by how much a tenant's counters change.
type counts struct{ secrets, versions, bytes, principals, credentials int64 }

// count adds to a tenant's counters.
func (t *tx) count(id secret.TenantID, by counts) {
	if t.counts == nil {
		t.counts = make(map[secret.TenantID]counts, 1)
	}
	c := t.counts[id]
	c.secrets += by.secrets
	c.versions += by.versions
	c.bytes += by.bytes
	c.principals += by.principals
	c.credentials += by.credentials
	t.counts[id] = c
}

// flush writes a tenant's counters, for a statement that is to see them.
func (t *tx) flush(id secret.TenantID) error {
	c := t.counts[id]
	delete(t.counts, id)
	if c == (counts{}) {
		return nil
	}
	_, err := t.exec("owner_count", c.args(id)...)
	return err
}

func (c counts) args(id secret.TenantID) []any {
	return []any{id[:], c.secrets, c.versions, c.bytes, c.principals, c.credentials}
}

// raise raises the revision of a caller's row, unless the transaction is
// rolled back.
func (t *tx) raise(revision *int64) {
	*revision++
	t.undo = append(t.undo, func() { *revision-- })
}

// takeBack undoes what a run that did not commit has done to the caller's rows.
func (t *tx) takeBack() {
	for _, f := range t.undo {
		f()
	}
	t.undo = nil
}

// change runs a statement that is to change a row; ErrAbsent if it did not.
func (t *tx) change(name string, args ...any) error {
	n, err := t.exec(name, args...)
	if err == nil && n == 0 {
		err = store.ErrAbsent
	}
	return err
}

// add runs a statement that is to add a row to an owner. If it did not,
// the owner that parent looks for tells ErrTaken from ErrAbsent.
func (t *tx) add(name string, args []any, parent string, key ...any) error {
	n, err := t.exec(name, args...)
	if err != nil || n > 0 {
		return err
	}
	there, err := t.exists(parent, key...)
	switch {
	case err != nil:
		return err
	case there:
		return store.ErrTaken
	}
	return store.ErrAbsent
}

// swap runs a statement that changes a row if it is as the caller knows it. If
// nothing was changed, present tells ErrStale from ErrAbsent.
func (t *tx) swap(name string, args []any, present string, key ...any) error {
	n, err := t.exec(name, args...)
	if err != nil || n > 0 {
		return err
	}
	there, err := t.exists(present, key...)
	switch {
	case err != nil:
		return err
	case there:
		return store.ErrStale
	}
	return store.ErrAbsent
}

// Audit implements store.Tx.
func (t *tx) Audit(r audit.Record) { t.records = append(t.records, r) }

// SetMeta implements store.Tx.
func (t *tx) SetMeta(key string, old, value []byte) error {
	var n int64
	var err error
	switch {
	case old == nil && value == nil:
		there, err := t.exists("meta_held", key)
		if err == nil && there {
			err = store.ErrStale
		}
		return err
	case old == nil:
		n, err = t.exec("meta_add", key, value)
	case value == nil:
		n, err = t.exec("meta_drop", key, old)
	default:
		n, err = t.exec("meta_swap", key, old, value)
	}
	if err == nil && n == 0 {
		err = store.ErrStale
	}
	return err
}

// EditTenants implements store.Tx.
func (t *tx) EditTenants() store.TenantWriter { return tenantWriter{t} }

// EditSecrets implements store.Tx.
func (t *tx) EditSecrets(id secret.TenantID) store.SecretWriter { return secretWriter{t, id} }

// EditCredentials implements store.Tx.
func (t *tx) EditCredentials() store.CredentialWriter { return credentialWriter{t} }

// EditPrincipals implements store.Tx.
func (t *tx) EditPrincipals() store.PrincipalWriter { return principalWriter{t} }

// EditDocuments implements store.Tx.
func (t *tx) EditDocuments() store.DocumentWriter { return documentWriter{t} }

// EditLog implements store.Tx.
func (t *tx) EditLog() store.LogWriter { return logWriter{t} }

// AddRows implements store.Tx.
func (t *tx) AddRows() store.RowWriter { return rowWriter{t} }

// Leases implements store.Tx.
func (t *tx) Leases() store.Leases { return leases{t} }
