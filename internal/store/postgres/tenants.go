package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type tenants struct{ *reader }

// tenantRow is the part tenant_columns, all of which is NULL where a tenant was
// looked for beside another row and there is none.
type tenantRow struct {
	id, name                                          []byte
	account, state, algorithm, key, created, revision *int64
}

func (r *tenantRow) columns() []any {
	return []any{&r.id, &r.name, &r.account, &r.state, &r.algorithm, &r.key, &r.created, &r.revision}
}

func (r *tenantRow) tenant() (*store.Tenant, error) {
	algorithm, err := algorithmOf(*r.algorithm)
	return &store.Tenant{
		ID: secret.TenantID(r.id), Name: secret.TenantName(r.name), Account: formatAccount(*r.account),
		State: store.TenantState(*r.state), Algorithm: algorithm, Key: uint32(*r.key),
		Created: moment(r.created), Revision: *r.revision,
	}, err
}

func scanTenant(row pgx.CollectableRow) (*store.Tenant, error) {
	var r tenantRow
	if err := row.Scan(r.columns()...); err != nil {
		return nil, err
	}
	return r.tenant()
}

func (r tenants) Tenant(id secret.TenantID) (*store.Tenant, error) {
	return row(r.session, "tenant"+r.held, scanTenant, id[:])
}

func (r tenants) ByName(name secret.TenantName) (*store.Tenant, error) {
	return row(r.session, "tenant_by_name"+r.held, scanTenant, []byte(name))
}

func (r tenants) ByAccount(a secret.AccountNumber) (*store.Tenant, error) {
	n, err := parseAccount(a)
	if err != nil {
		return nil, store.ErrAbsent // nobody has such a number
	}
	return row(r.session, "tenant_by_account"+r.held, scanTenant, n)
}

func (r tenants) List(after secret.TenantName, limit int) ([]*store.Tenant, error) {
	return rows(r.session, "tenant_list", scanTenant, []byte(after), max(limit, 0))
}

func (r tenants) Count() (int64, error) { return row(r.session, "tenant_count", number) }

func scanKey(row pgx.CollectableRow, more ...any) (*store.TenantKey, error) {
	var k store.TenantKey
	var created *int64
	err := row.Scan(append([]any{&k.Number, &k.KEK, &k.KEMPublic, &k.KEMSeed, &created}, more...)...)
	k.Created = moment(created)
	return &k, err
}

func scanOnlyKey(row pgx.CollectableRow) (*store.TenantKey, error) { return scanKey(row) }

func (r tenants) Key(t secret.TenantID, number uint32) (*store.TenantKey, error) {
	return row(r.session, "key", scanOnlyKey, t[:], int64(number))
}

func (r tenants) Keys(t secret.TenantID) ([]*store.TenantKey, error) {
	return rows(r.session, "key_list", scanOnlyKey, t[:])
}

func (r tenants) AllKeys(after secret.TenantID, number uint32, limit int) ([]*store.OwnedKey, error) {
	return rows(r.session, "key_walk", func(row pgx.CollectableRow) (*store.OwnedKey, error) {
		var owner []byte
		k, err := scanKey(row, &owner)
		if err != nil {
			return nil, err
		}
		return &store.OwnedKey{Tenant: secret.TenantID(owner), TenantKey: *k}, nil
	}, after[:], int64(number), max(limit, 0))
}

func (r tenants) Expired(t time.Time, limit int) ([]store.SecretRef, error) {
	return rows(r.session, "secret_expired_anywhere", scanRef, t.UnixMilli(), max(limit, 0))
}

func (r tenants) Work(t time.Time, limit int) ([]store.SecretRef, error) {
	return rows(r.session, "secret_work_anywhere", scanRef, t.UnixMilli(), max(limit, 0))
}

func (r tenants) WorkLoad(from, to, due time.Time) (n int64, earliest time.Time, err error) {
	n, err = row(r.session, "secret_work_load_anywhere", func(row pgx.CollectableRow) (n int64, err error) {
		var first *int64
		err = row.Scan(&n, &first)
		earliest = moment(first)
		return n, err
	}, from.UnixMilli(), to.UnixMilli(), due.UnixMilli())
	return n, earliest, err
}

func scanRef(row pgx.CollectableRow) (ref store.SecretRef, err error) {
	var tenant, id, name []byte
	if err := row.Scan(&tenant, &id, &name); err != nil {
		return ref, err
	}
	return store.SecretRef{Tenant: secret.TenantID(tenant), ID: secret.ID(id), Name: secret.Name(name)}, nil
}

type tenantWriter struct{ *tx }

func (w tenantWriter) Create(t *store.Tenant) error {
	account, err := parseAccount(t.Account)
	if err != nil {
		return err
	}
	algorithm, err := algorithmNumber(t.Algorithm)
	if err != nil {
		return err
	}
	n, err := w.exec("tenant_create", t.ID[:], []byte(t.Name), account, int64(t.State), algorithm, int64(t.Key), millis(t.Created), t.Revision)
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrTaken
	}
	_, err = w.exec("owner_create", t.ID[:])
	return err
}

func (w tenantWriter) Update(t *store.Tenant) error {
	algorithm, err := algorithmNumber(t.Algorithm)
	if err != nil {
		return err
	}
	err = w.swap("tenant_update", []any{t.ID[:], t.Revision, int64(t.State), algorithm, int64(t.Key)}, "tenant", t.ID[:])
	if err == nil {
		w.raise(&t.Revision)
	}
	return err
}

func (w tenantWriter) PutKey(t secret.TenantID, k *store.TenantKey) error {
	return w.change("key_put", t[:], int64(k.Number), k.KEK, k.KEMPublic, k.KEMSeed, millis(k.Created))
}

func (w tenantWriter) DeleteKey(t secret.TenantID, number uint32) error {
	return w.change("key_delete", t[:], int64(number))
}

// Erase waits for those who look at the tenant in a transaction that writes,
// and starts with the keys: without them nothing of the rest can be opened.
// Who read what goes with the versions.
func (w tenantWriter) Erase(t secret.TenantID) error {
	there, err := w.exists("tenant_lock", t[:])
	if err != nil {
		return err
	}
	if !there {
		return store.ErrAbsent
	}
	delete(w.counts, t)
	for _, name := range []string{
		"erase_keys", "erase_credentials", "erase_principals", "erase_documents", "erase_versions", "erase_secrets", "owner_reset",
	} {
		if _, err := w.exec(name, t[:]); err != nil {
			return err
		}
	}
	return nil
}
