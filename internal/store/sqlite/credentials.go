package sqlite

import (
	"errors"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type credentials struct{ *reader }

// credentialColumns is the number of columns of the part of that name.
const credentialColumns = 13

func scanCredential(s *stmt, col int) (*store.Credential, error) {
	sealed, err := s.cellAt(col + 4)
	if err != nil {
		return nil, err
	}
	c := &store.Credential{
		ID:          s.string(col),
		Kind:        store.CredentialKind(s.int64(col + 1)),
		Principal:   s.string(col + 2),
		Sealed:      sealed,
		Key:         uint32(s.int64(col + 5)),
		Service:     s.string(col + 7),
		Environment: secret.Environment(s.string(col + 8)),
		Created:     s.timeAt(col + 9),
		Expires:     s.timeAt(col + 10),
		Revoked:     s.timeAt(col + 11),
		LastUsed:    int32(s.int64(col + 12)),
	}
	s.fixed(col+3, c.Hash[:])
	return c, s.jsonAt(col+6, &c.Grants)
}

// find reads a credential and its tenant's row, nil for an operator's.
func (r credentials) find(s *stmt) (*store.Credential, *store.Tenant, error) {
	defer s.reset()
	if err := s.one(); err != nil {
		return nil, nil, err
	}
	c, err := scanCredential(s, 0)
	if err != nil || s.isNull(credentialColumns) {
		return c, nil, err
	}
	t, err := scanTenant(s, credentialColumns)
	if err != nil {
		return nil, nil, err
	}
	c.Tenant = t.ID
	return c, t, nil
}

func (r credentials) ByHash(hash [32]byte) (*store.Credential, *store.Tenant, error) {
	return r.find(r.query("credential_by_hash").blob(1, hash[:]))
}

func (r credentials) ByID(id string) (*store.Credential, *store.Tenant, error) {
	return r.find(r.query("credential_by_id").text(1, id))
}

func (r credentials) List(t secret.TenantID, after string, limit int) ([]*store.Credential, error) {
	return rows(r.query("credential_list").blob(1, t[:]).text(2, after).limit(3, limit),
		func(s *stmt, col int) (*store.Credential, error) {
			c, err := scanCredential(s, col)
			if err == nil {
				c.Tenant = t
			}
			return c, err
		})
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
	there, _, err := w.Credentials().ByID(c.ID)
	if err != nil {
		return err
	}
	if there.Tenant != c.Tenant {
		return store.ErrAbsent
	}
	sealed, err := row(w.query("credential_cell").text(1, c.ID), number)
	if err != nil {
		return err
	}
	if sealed, err = w.replaceCell(sealed, c.Sealed); err != nil {
		return err
	}
	return change(bindCredential(w.write("credential_update"), c, sealed))
}

func (w credentialWriter) Delete(id string) error {
	sealed, err := row(w.query("credential_cell").text(1, id), number)
	if err != nil {
		return err
	}
	if err := w.clearCell(sealed); err != nil {
		return err
	}
	return change(w.write("credential_delete").text(1, id))
}

func bindCredential(q *stmt, c *store.Credential, sealed int64) *stmt {
	var hash []byte
	if c.Hash != [32]byte{} {
		hash = c.Hash[:]
	}
	return q.blob(1, c.Tenant[:]).text(2, c.ID).
		int(3, int64(c.Kind)).text(4, c.Principal).blob(5, hash).optional(6, sealed).int(7, int64(c.Key)).
		json(8, c.Grants, c.Grants == nil).optionalText(9, c.Service).optionalText(10, string(c.Environment)).
		time(11, c.Created).time(12, c.Expires).time(13, c.Revoked).int(14, int64(c.LastUsed))
}
