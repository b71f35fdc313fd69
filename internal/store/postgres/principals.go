package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type principals struct{ *reader }

// principalRow is the part principal_columns.
type principalRow struct {
	name, grants                  []byte
	service, environment, subject *string
	kind, lastUsed, lastRead      int64
	created, disabled             *int64
	revision                      int64
}

func (r *principalRow) columns() []any {
	return []any{
		&r.name, &r.kind, &r.grants, &r.service, &r.environment, &r.subject,
		&r.created, &r.disabled, &r.lastUsed, &r.lastRead, &r.revision,
	}
}

func (r *principalRow) principal(t secret.TenantID) (*store.Principal, error) {
	p := &store.Principal{
		Tenant: t, Name: string(r.name), Kind: store.PrincipalKind(r.kind),
		Service: textOf(r.service), Environment: secret.Environment(textOf(r.environment)), Subject: textOf(r.subject),
		Created: moment(r.created), Disabled: moment(r.disabled),
		LastUsed: int32(r.lastUsed), LastRead: int32(r.lastRead), Revision: r.revision,
	}
	return p, parseJSON(r.grants, &p.Grants)
}

// of returns a scanner of a tenant's principals.
func (r principals) of(t secret.TenantID) func(pgx.CollectableRow) (*store.Principal, error) {
	return func(row pgx.CollectableRow) (*store.Principal, error) {
		var r principalRow
		if err := row.Scan(r.columns()...); err != nil {
			return nil, err
		}
		return r.principal(t)
	}
}

func (r principals) Principal(t secret.TenantID, name string) (*store.Principal, error) {
	return row(r.session, "principal"+r.held, r.of(t), t[:], []byte(name))
}

func (r principals) BySubject(t secret.TenantID, subject string) (*store.Principal, error) {
	return row(r.session, "principal_by_subject"+r.held, r.of(t), t[:], optionalText(subject))
}

func (r principals) List(t secret.TenantID, after string, limit int) ([]*store.Principal, error) {
	if err := r.alone(t); err != nil {
		return nil, err
	}
	return rows(r.session, "principal_list", r.of(t), t[:], []byte(after), max(limit, 0))
}

func (r principals) Count(t secret.TenantID) (int64, error) {
	u, err := r.usage(t)
	return u.principals, err
}

// usage reads the counters of a tenant, which who is not there has at zero.
func (r *reader) usage(t secret.TenantID) (counts, error) {
	if r.flush != nil {
		if err := r.flush(t); err != nil {
			return counts{}, err
		}
	}
	u, err := row(r.session, "usage"+r.held, func(row pgx.CollectableRow) (c counts, err error) {
		return c, row.Scan(&c.secrets, &c.versions, &c.bytes, &c.principals, &c.credentials)
	}, t[:])
	if errors.Is(err, store.ErrAbsent) {
		err = nil
	}
	return u, err
}

// alone sees to it that no other transaction that writes decides by a list of
// the tenant's before this one ends, if this one writes.
func (r *reader) alone(t secret.TenantID) error {
	if r.held == "" {
		return nil
	}
	_, err := r.usage(t)
	return err
}

type principalWriter struct{ *tx }

func (w principalWriter) Create(p *store.Principal) error {
	args, err := principalArgs(p)
	if err != nil {
		return err
	}
	if err := w.add("principal_create", args, "owner_exists", p.Tenant[:]); err != nil {
		return err
	}
	w.count(p.Tenant, counts{principals: 1})
	return nil
}

// Update finds out, where nothing was changed, which of the reasons it was.
func (w principalWriter) Update(p *store.Principal) error {
	args, err := principalArgs(p)
	if err != nil {
		return err
	}
	n, err := w.exec("principal_update", args...)
	if err != nil {
		return err
	}
	if n > 0 {
		w.raise(&p.Revision)
		return nil
	}
	switch now, err := w.Principals().Principal(p.Tenant, p.Name); {
	case err != nil:
		return err
	case now.Kind != p.Kind || now.Revision != p.Revision:
		return store.ErrStale
	}
	return store.ErrTaken
}

func (w principalWriter) Delete(t secret.TenantID, name string) error {
	n, err := w.exec("principal_delete", t[:], []byte(name))
	if err != nil {
		return err
	}
	if n > 0 {
		w.count(t, counts{principals: -1})
		return nil
	}
	if _, err := w.Principals().Principal(t, name); err != nil {
		return err
	}
	return store.ErrInUse
}

func principalArgs(p *store.Principal) ([]any, error) {
	grants, err := jsonText(p.Grants, p.Grants == nil)
	return []any{
		p.Tenant[:], []byte(p.Name), int64(p.Kind), grants, optionalText(p.Service), optionalText(p.Environment),
		optionalText(p.Subject), millis(p.Created), millis(p.Disabled), int64(p.LastUsed), int64(p.LastRead), p.Revision,
	}, err
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
