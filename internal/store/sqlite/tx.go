package sqlite

import (
	"bytes"
	"errors"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// tx is one operation within a group's transaction. Its savepoint is made by
// its first write: many operations only look and leave a record. An operation
// that is the only one of its group needs none, since all that there is to
// take back is its own.
type tx struct {
	reader
	alone    bool
	wrote    bool
	identity bool              // may have changed a row that says who a caller is
	tenants  []secret.TenantID // whose secrets it may have changed
	records  []audit.Record
	batches  bool // has added batches of its own
}

// write returns a statement that changes rows.
func (t *tx) write(name string) *stmt {
	s := t.query(name)
	if s.err != nil || t.wrote {
		return s
	}
	if !t.alone {
		if err := t.conn.run("savepoint"); err != nil {
			return &stmt{err: err}
		}
	}
	t.wrote = true
	return s
}

// finish keeps or takes back what the operation wrote.
func (t *tx) finish(keep bool) error {
	var statements []string
	switch {
	case !t.wrote || keep && t.alone:
	case keep:
		statements = []string{"release"}
	case t.alone:
		statements = []string{"rollback", "begin"}
	default:
		statements = []string{"rollback_to", "release"}
	}
	for _, name := range statements {
		if err := t.conn.run(name); err != nil {
			return err
		}
	}
	return nil
}

// change runs a statement that is to change a row; ErrAbsent if it did not.
func change(s *stmt) error {
	n, err := s.run()
	if err == nil && n == 0 {
		err = store.ErrAbsent
	}
	return err
}

// swap runs a statement that changes a row if it is as the caller knows it. If
// nothing was changed, present tells ErrStale from ErrAbsent.
func swap(s *stmt, present func() *stmt) error {
	n, err := s.run()
	if err != nil || n > 0 {
		return err
	}
	there, err := present().exists()
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
	now, err := t.Meta(key)
	if err != nil && !errors.Is(err, store.ErrAbsent) {
		return err
	}
	if (now == nil) != (old == nil) || !bytes.Equal(now, old) {
		return store.ErrStale
	}
	var cell int64
	if now != nil {
		if cell, err = row(t.query("meta_cell").text(1, key), number); err != nil {
			return err
		}
	}
	if cell, err = t.replaceCell(cell, value); err != nil {
		return err
	}
	s := t.write("meta_delete").text(1, key)
	if value != nil {
		s = t.write("meta_put").text(1, key).int(2, cell)
	}
	_, err = s.run()
	return err
}

// EditTenants implements store.Tx.
func (t *tx) EditTenants() store.TenantWriter {
	t.identity = true
	return tenantWriter{t}
}

// EditSecrets implements store.Tx.
func (t *tx) EditSecrets(id secret.TenantID) store.SecretWriter {
	if n := len(t.tenants); n == 0 || t.tenants[n-1] != id {
		t.tenants = append(t.tenants, id)
	}
	return secretWriter{t, id}
}

// EditCredentials implements store.Tx.
func (t *tx) EditCredentials() store.CredentialWriter {
	t.identity = true
	return credentialWriter{t}
}

// EditPrincipals implements store.Tx.
func (t *tx) EditPrincipals() store.PrincipalWriter {
	t.identity = true
	return principalWriter{t}
}

// EditDocuments implements store.Tx.
func (t *tx) EditDocuments() store.DocumentWriter { return documentWriter{t} }

// EditLog implements store.Tx.
func (t *tx) EditLog() store.LogWriter { return logWriter{t} }

// AddRows implements store.Tx.
func (t *tx) AddRows() store.RowWriter { return rowWriter{t} }

// Leases implements store.Tx.
func (t *tx) Leases() store.Leases { return leases{t} }
