package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type credentials struct{ *reader }

// credentialRow is the part credential_columns.
type credentialRow struct {
	id, principal, hash, sealed, grants []byte
	kind, key, lastUsed, revision       int64
	service, environment, source        *string
	created, expires, revoked, mfa      *int64
	locked                              bool
}

func (r *credentialRow) columns() []any {
	return []any{
		&r.id, &r.kind, &r.principal, &r.hash, &r.sealed, &r.key, &r.grants, &r.service, &r.environment,
		&r.created, &r.expires, &r.revoked, &r.lastUsed, &r.mfa, &r.locked, &r.source, &r.revision,
	}
}

func (r *credentialRow) credential(t secret.TenantID) (*store.Credential, error) {
	c := &store.Credential{
		ID: string(r.id), Kind: store.CredentialKind(r.kind), Tenant: t, Principal: string(r.principal),
		Sealed: r.sealed, Key: uint32(r.key), Service: textOf(r.service), Environment: secret.Environment(textOf(r.environment)),
		Created: moment(r.created), Expires: moment(r.expires), Revoked: moment(r.revoked), LastUsed: int32(r.lastUsed),
		MFA: moment(r.mfa), Locked: r.locked, Source: textOf(r.source), Revision: r.revision,
	}
	copy(c.Hash[:], r.hash)
	return c, parseJSON(r.grants, &c.Grants)
}

// scanIdentity reads a credential, its principal and its tenant's row, which
// an operator has none of.
func scanIdentity(row pgx.CollectableRow) (*store.Identity, error) {
	var c credentialRow
	var p principalRow
	var t tenantRow
	if err := row.Scan(append(append(c.columns(), p.columns()...), t.columns()...)...); err != nil {
		return nil, err
	}
	var i store.Identity
	var id secret.TenantID
	var err error
	if t.id != nil {
		if i.Tenant, err = t.tenant(); err != nil {
			return nil, err
		}
		id = i.Tenant.ID
	}
	if i.Principal, err = p.principal(id); err != nil {
		return nil, err
	}
	i.Credential, err = c.credential(id)
	return &i, err
}

func (r credentials) ByHash(hash [32]byte) (*store.Identity, error) {
	if err := r.hold("credential_lock_by_hash", hash[:]); err != nil {
		return nil, err
	}
	return row(r.session, "credential_by_hash", scanIdentity, hash[:])
}

func (r credentials) ByID(id string) (*store.Identity, error) {
	if err := r.hold("credential_lock_by_id", []byte(id)); err != nil {
		return nil, err
	}
	return row(r.session, "credential_by_id", scanIdentity, []byte(id))
}

// hold locks a credential and its principal, in a transaction that writes.
func (r credentials) hold(query string, key []byte) error {
	if r.held == "" {
		return nil
	}
	type owner struct{ tenant, principal []byte }
	o, err := row(r.session, query, func(row pgx.CollectableRow) (o owner, err error) {
		return o, row.Scan(&o.tenant, &o.principal)
	}, key)
	if err != nil {
		return err
	}
	_, err = r.exists("principal_held", o.tenant, o.principal)
	return err
}

// of returns a scanner of a tenant's credentials.
func (r credentials) of(t secret.TenantID) func(pgx.CollectableRow) (*store.Credential, error) {
	return func(row pgx.CollectableRow) (*store.Credential, error) {
		var c credentialRow
		if err := row.Scan(c.columns()...); err != nil {
			return nil, err
		}
		if r.saw != nil {
			r.saw(rowKey{t, "", string(c.id)}, c.revision)
		}
		return c.credential(t)
	}
}

func (r credentials) List(t secret.TenantID, after string, limit int) ([]*store.Credential, error) {
	if err := r.alone(t); err != nil {
		return nil, err
	}
	return rows(r.session, "credential_list", r.of(t), t[:], []byte(after), max(limit, 0))
}

func (r credentials) OfPrincipal(t secret.TenantID, principal string, limit int) ([]*store.Credential, error) {
	if err := r.alone(t); err != nil {
		return nil, err
	}
	return rows(r.session, "credential_of_principal", r.of(t), t[:], []byte(principal), max(limit, 0))
}

func (r credentials) Ended(t secret.TenantID, by time.Time, limit int) ([]*store.Credential, error) {
	return rows(r.session, "credential_ended", r.of(t), t[:], by.UnixMilli(), max(limit, 0))
}

func (r credentials) Count(t secret.TenantID) (int64, error) {
	u, err := r.usage(t)
	return u.credentials, err
}

type credentialWriter struct{ *tx }

func (w credentialWriter) Create(c *store.Credential) error {
	args, err := credentialArgs(c)
	if err != nil {
		return err
	}
	if err := w.add("credential_create", args, "principal", c.Tenant[:], []byte(c.Principal)); err != nil {
		return err
	}
	w.count(c.Tenant, counts{credentials: 1})
	return nil
}

func (w credentialWriter) Update(c *store.Credential) error {
	args, err := credentialArgs(c)
	if err != nil {
		return err
	}
	err = w.swap("credential_update", args, "credential_exists", c.Tenant[:], []byte(c.ID), int64(c.Kind), []byte(c.Principal))
	return w.swapped(rowKey{c.Tenant, "", c.ID}, &c.Revision, err)
}

func (w credentialWriter) Delete(id string) error {
	tenant, err := row(w.session, "credential_delete", blob, []byte(id))
	if err != nil {
		return err
	}
	w.count(secret.TenantID(tenant), counts{credentials: -1})
	return nil
}

func credentialArgs(c *store.Credential) ([]any, error) {
	grants, err := jsonText(c.Grants, c.Grants == nil)
	var hash []byte
	if c.Hash != [32]byte{} {
		hash = c.Hash[:]
	}
	return []any{
		c.Tenant[:], []byte(c.ID), int64(c.Kind), []byte(c.Principal), hash, c.Sealed, int64(c.Key), grants,
		optionalText(c.Service), optionalText(c.Environment), millis(c.Created), millis(c.Expires), millis(c.Revoked),
		int64(c.LastUsed), millis(c.MFA), c.Locked, optionalText(c.Source), c.Revision, earliest(c.Expires, c.Revoked),
	}, err
}
