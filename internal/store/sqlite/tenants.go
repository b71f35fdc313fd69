package sqlite

import (
	"errors"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type tenants struct{ *reader }

func scanTenant(s *stmt, col int) (*store.Tenant, error) {
	t := &store.Tenant{
		Name:     secret.TenantName(s.string(col + 1)),
		Account:  formatAccount(s.int64(col + 2)),
		State:    store.TenantState(s.int64(col + 3)),
		Key:      uint32(s.int64(col + 5)),
		Created:  s.timeAt(col + 6),
		Revision: s.int64(col + 7),
	}
	s.fixed(col, t.ID[:])
	var err error
	t.Algorithm, err = s.algorithmAt(col + 4)
	return t, err
}

func (r tenants) Tenant(id secret.TenantID) (*store.Tenant, error) {
	return row(r.query("tenant").blob(1, id[:]), scanTenant)
}

func (r tenants) ByName(name secret.TenantName) (*store.Tenant, error) {
	return row(r.query("tenant_by_name").text(1, string(name)), scanTenant)
}

func (r tenants) ByAccount(a secret.AccountNumber) (*store.Tenant, error) {
	if _, ok := parseAccount(a); !ok {
		return nil, store.ErrAbsent
	}
	return row(r.query("tenant_by_account").account(1, a), scanTenant)
}

func (r tenants) List(after secret.TenantName, limit int) ([]*store.Tenant, error) {
	return rows(r.query("tenant_list").text(1, string(after)).limit(2, limit), scanTenant)
}

func (r tenants) Count() (int64, error) { return row(r.query("tenant_count"), number) }

const keyColumns = 5

func scanKey(s *stmt, col int) (*store.TenantKey, error) {
	kek, err := s.cellAt(col + 1)
	if err != nil {
		return nil, err
	}
	seed, err := s.cellAt(col + 3)
	return &store.TenantKey{
		Number: uint32(s.int64(col)), KEK: kek, KEMPublic: s.bytes(col + 2), KEMSeed: seed, Created: s.timeAt(col + 4),
	}, err
}

func (r tenants) Key(t secret.TenantID, number uint32) (*store.TenantKey, error) {
	return row(r.query("key").blob(1, t[:]).int(2, int64(number)), scanKey)
}

func (r tenants) Keys(t secret.TenantID) ([]*store.TenantKey, error) {
	return rows(r.query("key_list").blob(1, t[:]), scanKey)
}

func (r tenants) AllKeys(after secret.TenantID, number uint32, limit int) ([]*store.OwnedKey, error) {
	return rows(r.query("key_walk").blob(1, after[:]).int(2, int64(number)).limit(3, limit), scanOwnedKey)
}

func scanOwnedKey(s *stmt, col int) (*store.OwnedKey, error) {
	k, err := scanKey(s, col)
	if err != nil {
		return nil, err
	}
	owned := &store.OwnedKey{TenantKey: *k}
	s.fixed(col+keyColumns, owned.Tenant[:])
	return owned, nil
}

func (r tenants) Expired(t time.Time, limit int) ([]store.SecretRef, error) {
	return r.refs("secret_expired_anywhere", t, limit)
}

func (r tenants) Work(t time.Time, limit int) ([]store.SecretRef, error) {
	return r.refs("secret_work_anywhere", t, limit)
}

func (r tenants) WorkLoad(from, to, due time.Time) (n int64, earliest time.Time, err error) {
	n, err = row(r.query("secret_work_load").int(1, from.UnixMilli()).int(2, to.UnixMilli()).int(3, due.UnixMilli()),
		func(s *stmt, col int) (int64, error) {
			earliest = s.timeAt(col + 1)
			return s.int64(col), nil
		})
	return n, earliest, err
}

func (r tenants) refs(query string, t time.Time, limit int) ([]store.SecretRef, error) {
	return rows(r.query(query).time(1, t).limit(2, limit),
		func(s *stmt, col int) (ref store.SecretRef, err error) {
			s.fixed(col, ref.Tenant[:])
			s.fixed(col+1, ref.ID[:])
			ref.Name = secret.Name(s.string(col + 2))
			return ref, nil
		})
}

type tenantWriter struct{ *tx }

func (w tenantWriter) Create(t *store.Tenant) error {
	_, err := w.write("tenant_create").
		blob(1, t.ID[:]).text(2, string(t.Name)).account(3, t.Account).int(4, int64(t.State)).
		algorithm(5, t.Algorithm).int(6, int64(t.Key)).time(7, t.Created).int(8, t.Revision).run()
	return err
}

func (w tenantWriter) Update(t *store.Tenant) error {
	err := swap(w.write("tenant_update").
		blob(1, t.ID[:]).int(2, t.Revision).int(3, int64(t.State)).
		algorithm(4, t.Algorithm).int(5, int64(t.Key)),
		func() *stmt { return w.query("tenant").blob(1, t.ID[:]) })
	if err == nil {
		t.Revision++
	}
	return err
}

func (w tenantWriter) PutKey(t secret.TenantID, k *store.TenantKey) error {
	kek, seed, err := w.keyCells(t, k.Number)
	if err != nil && !errors.Is(err, store.ErrAbsent) {
		return err
	}
	if kek, err = w.replaceCell(kek, k.KEK); err != nil {
		return err
	}
	if seed, err = w.replaceCell(seed, k.KEMSeed); err != nil {
		return err
	}
	return change(w.write("key_put").
		blob(1, t[:]).int(2, int64(k.Number)).optional(3, kek).blob(4, k.KEMPublic).optional(5, seed).time(6, k.Created))
}

// keyCells returns the cells of a key.
func (w tenantWriter) keyCells(t secret.TenantID, number uint32) (kek, seed int64, err error) {
	s := w.query("key_cells").blob(1, t[:]).int(2, int64(number))
	defer s.reset()
	if err := s.one(); err != nil {
		return 0, 0, err
	}
	return s.int64(0), s.int64(1), nil
}

func (w tenantWriter) DeleteKey(t secret.TenantID, number uint32) error {
	kek, seed, err := w.keyCells(t, number)
	if err != nil {
		return err
	}
	if err := errors.Join(w.clearCell(kek), w.clearCell(seed)); err != nil {
		return err
	}
	return change(w.write("key_delete").blob(1, t[:]).int(2, int64(number)))
}

// Erase starts with the keys: without them nothing of the rest can be opened.
func (w tenantWriter) Erase(t secret.TenantID) error {
	if _, err := (tenants{&w.reader}).Tenant(t); err != nil {
		return err
	}
	for _, name := range []string{
		"erase_key_cells", "erase_credential_cells", "erase_document_cells", "erase_version_cells",
		"erase_keys", "erase_credentials", "erase_principals", "erase_documents",
		"erase_consumers", "erase_versions", "erase_secrets",
	} {
		if _, err := w.write(name).blob(1, t[:]).run(); err != nil {
			return err
		}
	}
	return nil
}
