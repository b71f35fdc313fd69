package sqlite

import (
	"errors"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type credentials struct{ *reader }

// credentialColumns is the number of columns of the part of that name.
const credentialColumns = 17

func scanCredential(s *stmt, col int, t secret.TenantID) (*store.Credential, error) {
	sealed, err := s.cellAt(col + 4)
	if err != nil {
		return nil, err
	}
	c := &store.Credential{
		ID:          s.string(col),
		Kind:        store.CredentialKind(s.int64(col + 1)),
		Tenant:      t,
		Principal:   s.string(col + 2),
		Sealed:      sealed,
		Key:         uint32(s.int64(col + 5)),
		Service:     s.string(col + 7),
		Environment: secret.Environment(s.string(col + 8)),
		Created:     s.timeAt(col + 9),
		Expires:     s.timeAt(col + 10),
		Revoked:     s.timeAt(col + 11),
		LastUsed:    int32(s.int64(col + 12)),
		MFA:         s.timeAt(col + 13),
		Locked:      s.int64(col+14) != 0,
		Source:      s.string(col + 15),
		Revision:    s.int64(col + 16),
	}
	s.fixed(col+3, c.Hash[:])
	return c, s.jsonAt(col+6, &c.Grants)
}

// scanIdentity reads a credential, its principal and its tenant's row, which
// an operator has none of.
func scanIdentity(s *stmt, col int) (*store.Identity, error) {
	var i store.Identity
	var id secret.TenantID
	var err error
	if at := col + credentialColumns + principalColumns; !s.isNull(at) {
		if i.Tenant, err = scanTenant(s, at); err != nil {
			return nil, err
		}
		id = i.Tenant.ID
	}
	if i.Principal, err = scanPrincipal(s, col+credentialColumns, id); err != nil {
		return nil, err
	}
	i.Credential, err = scanCredential(s, col, id)
	return &i, err
}

func (r credentials) ByHash(hash [32]byte) (*store.Identity, error) {
	return row(r.query("credential_by_hash").blob(1, hash[:]), scanIdentity)
}

func (r credentials) ByID(id string) (*store.Identity, error) {
	return row(r.query("credential_by_id").text(1, id), scanIdentity)
}

// of returns a scanner of a tenant's credentials.
func (r credentials) of(t secret.TenantID) func(*stmt, int) (*store.Credential, error) {
	return func(s *stmt, col int) (*store.Credential, error) { return scanCredential(s, col, t) }
}

func (r credentials) List(t secret.TenantID, after string, limit int) ([]*store.Credential, error) {
	return rows(r.query("credential_list").blob(1, t[:]).text(2, after).limit(3, limit), r.of(t))
}

func (r credentials) OfPrincipal(t secret.TenantID, principal string, limit int) ([]*store.Credential, error) {
	return rows(r.query("credential_of_principal").blob(1, t[:]).text(2, principal).limit(3, limit), r.of(t))
}

func (r credentials) Ended(t secret.TenantID, by time.Time, limit int) ([]*store.Credential, error) {
	return rows(r.query("credential_ended").blob(1, t[:]).time(2, by).limit(3, limit), r.of(t))
}

func (r credentials) Count(t secret.TenantID) (int64, error) {
	return counter(r.query("credential_count").blob(1, t[:]))
}

type credentialWriter struct{ *tx }

func (w credentialWriter) Create(c *store.Credential) error {
	sealed, err := w.replaceCell(0, c.Sealed)
	if err != nil {
		return err
	}
	if err := change(bindCredential(w.write("credential_create"), c, sealed)); err != nil {
		return errors.Join(err, w.clearCell(sealed)) // the operation may go on without it
	}
	return nil
}

func (w credentialWriter) Update(c *store.Credential) error {
	there, err := w.Credentials().ByID(c.ID)
	switch {
	case err != nil:
		return err
	case there.Credential.Tenant != c.Tenant || there.Credential.Principal != c.Principal || there.Credential.Kind != c.Kind:
		return store.ErrAbsent
	case there.Credential.Revision != c.Revision:
		return store.ErrStale
	}
	sealed, err := w.cell(c.ID)
	if err != nil {
		return err
	}
	if sealed, err = w.replaceCell(sealed, c.Sealed); err != nil {
		return err
	}
	if err := change(bindCredential(w.write("credential_update"), c, sealed)); err != nil {
		return err
	}
	c.Revision++
	return nil
}

func (w credentialWriter) Delete(id string) error {
	sealed, err := w.cell(id)
	if err != nil {
		return err
	}
	if err := w.clearCell(sealed); err != nil {
		return err
	}
	return change(w.write("credential_delete").text(1, id))
}

// cell returns the cell of a credential's sealed part; 0 if it has none.
func (w credentialWriter) cell(id string) (int64, error) {
	return row(w.query("credential_cell").text(1, id), number)
}

func bindCredential(q *stmt, c *store.Credential, sealed int64) *stmt {
	var hash []byte
	if c.Hash != [32]byte{} {
		hash = c.Hash[:]
	}
	return q.blob(1, c.Tenant[:]).text(2, c.ID).
		int(3, int64(c.Kind)).text(4, c.Principal).blob(5, hash).optional(6, sealed).int(7, int64(c.Key)).
		json(8, c.Grants, c.Grants == nil).optionalText(9, c.Service).optionalText(10, string(c.Environment)).
		time(11, c.Created).time(12, c.Expires).time(13, c.Revoked).int(14, int64(c.LastUsed)).
		time(15, c.MFA).int(16, bit(c.Locked)).optionalText(17, c.Source).int(18, c.Revision)
}
