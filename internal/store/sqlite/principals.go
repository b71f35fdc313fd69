package sqlite

import (
	"fastness/internal/secret"
	"fastness/internal/store"
)

type principals struct{ *reader }

// principalColumns is the number of columns of the part of that name.
const principalColumns = 11

func scanPrincipal(s *stmt, col int, t secret.TenantID) (*store.Principal, error) {
	p := &store.Principal{
		Tenant:      t,
		Name:        s.string(col),
		Kind:        store.PrincipalKind(s.int64(col + 1)),
		Service:     s.string(col + 3),
		Environment: secret.Environment(s.string(col + 4)),
		Subject:     s.string(col + 5),
		Created:     s.timeAt(col + 6),
		Disabled:    s.timeAt(col + 7),
		LastUsed:    int32(s.int64(col + 8)),
		LastRead:    int32(s.int64(col + 9)),
		Revision:    s.int64(col + 10),
	}
	return p, s.jsonAt(col+2, &p.Grants)
}

// of returns a scanner of a tenant's principals.
func (r principals) of(t secret.TenantID) func(*stmt, int) (*store.Principal, error) {
	return func(s *stmt, col int) (*store.Principal, error) { return scanPrincipal(s, col, t) }
}

func (r principals) Principal(t secret.TenantID, name string) (*store.Principal, error) {
	return row(r.query("principal").blob(1, t[:]).text(2, name), r.of(t))
}

func (r principals) BySubject(t secret.TenantID, subject string) (*store.Principal, error) {
	return row(r.query("principal_by_subject").blob(1, t[:]).optionalText(2, subject), r.of(t))
}

func (r principals) List(t secret.TenantID, after string, limit int) ([]*store.Principal, error) {
	return rows(r.query("principal_list").blob(1, t[:]).text(2, after).limit(3, limit), r.of(t))
}

func (r principals) Count(t secret.TenantID) (int64, error) {
	return counter(r.query("principal_count").blob(1, t[:]))
}

// counter reads a counter, which who is not there has at zero.
func counter(s *stmt) (int64, error) {
	defer s.reset()
	ok, err := s.step()
	if err != nil || !ok {
		return 0, err
	}
	return s.int64(0), nil
}

type principalWriter struct{ *tx }

func (w principalWriter) Create(p *store.Principal) error {
	_, err := bindPrincipal(w.write("principal_create"), p).run()
	return err
}

func (w principalWriter) Update(p *store.Principal) error {
	err := swap(bindPrincipal(w.write("principal_update"), p),
		func() *stmt { return w.query("principal").blob(1, p.Tenant[:]).text(2, p.Name) })
	if err == nil {
		p.Revision++
	}
	return err
}

func (w principalWriter) Delete(t secret.TenantID, name string) error {
	switch used, err := w.query("credential_of_principal").blob(1, t[:]).text(2, name).limit(3, 1).exists(); {
	case err != nil:
		return err
	case used:
		return store.ErrInUse
	}
	return change(w.write("principal_delete").blob(1, t[:]).text(2, name))
}

func bindPrincipal(q *stmt, p *store.Principal) *stmt {
	return q.blob(1, p.Tenant[:]).text(2, p.Name).int(3, int64(p.Kind)).
		json(4, p.Grants, p.Grants == nil).optionalText(5, p.Service).optionalText(6, string(p.Environment)).
		optionalText(7, p.Subject).time(8, p.Created).time(9, p.Disabled).
		int(10, int64(p.LastUsed)).int(11, int64(p.LastRead)).int(12, p.Revision)
}
