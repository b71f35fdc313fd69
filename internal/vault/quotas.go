package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// The document that keeps a tenant's quotas.
const (
	quotaKind = "quotas"
	quotaID   = "tenant"
)

// QuotaInfo is what is told of a tenant's quotas.
type QuotaInfo struct {
	Tenant     secret.TenantName
	Own        secret.Quotas // set for this tenant
	Deployment secret.Quotas // that hold for every tenant
	Use        secret.Use
	Revision   int64 // how often Own was set: for SetQuotas
}

// Effective is what holds: of each quota, the tighter one.
func (q QuotaInfo) Effective() secret.Quotas { return q.Own.Within(q.Deployment) }

// Quotas tells the session's tenant of its quotas and what of them is used.
func (s *Session) Quotas(ctx context.Context) (QuotaInfo, error) {
	var info QuotaInfo
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		if err := s.authorize(r, t, policy.Review); err != nil {
			return err
		}
		info, err = s.vault.quotaInfo(r, t)
		return err
	})
	return settled(info, s.vault.conclude(ctx, s.entry(audit.QuotaRead, ""), err))
}

// SetQuotas replaces a tenant's quotas. What a tenant has above a quota that is
// lowered stays; it cannot grow. With expected, the quotas must still have that
// revision: ErrConflict otherwise.
func (o *Operator) SetQuotas(ctx context.Context, name secret.TenantName, q secret.Quotas, expected *int64) (QuotaInfo, error) {
	var info QuotaInfo
	e := o.entry(audit.QuotaSet, name)
	if err := o.allow(policy.ManageQuotas); err != nil {
		return info, o.vault.conclude(ctx, e, err)
	}
	if err := q.Validate(); err != nil {
		return info, o.vault.refuse(ctx, e, err)
	}
	err := o.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		t, err := tenantByName(tx, name)
		if err != nil {
			return err
		}
		if t.State == store.Erased {
			return secret.Conflict("the tenant was erased")
		}
		old, err := o.vault.setQuotas(tx, t.ID, q, expected)
		if err != nil {
			return err
		}
		e.Detail = quotaChange(old, q)
		info, err = o.vault.quotaInfo(tx, t)
		return err
	})
	o.vault.quotasSet.Add(1)
	return settled(info, err)
}

// setQuotas replaces the document, and returns the quotas that were in it.
func (v *Vault) setQuotas(tx store.Tx, t secret.TenantID, q secret.Quotas, expected *int64) (old secret.Quotas, err error) {
	d, err := quotaDocument(tx, t)
	if err != nil {
		return old, err
	}
	if expected != nil && *expected != revisionOf(d) {
		return old, secret.Conflict("the quotas have changed")
	}
	if old, err = quotasIn(d); err != nil {
		return old, err
	}
	if d.Data, err = json.Marshal(q); err != nil {
		return old, err
	}
	d.Changed = v.now()
	if revisionOf(d) == 0 {
		d.Created = d.Changed
		return old, tx.EditDocuments().Create(d)
	}
	return old, tx.EditDocuments().Update(d)
}

// quotaDocument reads the document of a tenant's quotas; one without data if
// there is none.
func quotaDocument(r store.Reader, t secret.TenantID) (*store.Document, error) {
	d, err := r.Documents().Document(t, quotaKind, quotaID)
	if errors.Is(err, store.ErrAbsent) {
		return &store.Document{Owner: t, Kind: quotaKind, ID: quotaID}, nil
	}
	return d, err
}

// revisionOf is how often the document was written; 0 if it never was.
func revisionOf(d *store.Document) int64 {
	if d.Created.IsZero() {
		return 0
	}
	return d.Revision + 1
}

func quotasIn(d *store.Document) (q secret.Quotas, err error) {
	if len(d.Data) == 0 {
		return q, nil
	}
	if err := json.Unmarshal(d.Data, &q); err != nil {
		return q, fmt.Errorf("reading the quotas of a tenant: %w", err)
	}
	return q, nil
}

// quotaInfo tells of a tenant's quotas within one snapshot.
func (v *Vault) quotaInfo(r store.Reader, t *store.Tenant) (QuotaInfo, error) {
	info := QuotaInfo{Tenant: t.Name, Deployment: v.ceiling}
	d, err := quotaDocument(r, t.ID)
	if err != nil {
		return info, err
	}
	info.Revision = revisionOf(d)
	if info.Own, err = quotasIn(d); err != nil {
		return info, err
	}
	info.Use, err = useOf(r, t.ID)
	return info, err
}

// quotaChange tells the log what was changed.
func quotaChange(from, to secret.Quotas) string {
	var changes []string
	before := map[string]int64{}
	for name, v := range from.All() {
		before[name] = *v
	}
	for name, v := range to.All() {
		if *v != before[name] {
			changes = append(changes, fmt.Sprintf("%s %s -> %s", name, quotaText(before[name]), quotaText(*v)))
		}
	}
	if len(changes) == 0 {
		return "nothing"
	}
	return "changed " + strings.Join(changes, ", ")
}

func quotaText(v int64) string {
	if v == 0 {
		return "none"
	}
	return fmt.Sprint(v)
}

// quotas reads what binds a tenant.
func (v *Vault) quotas(r store.Reader, t secret.TenantID) (secret.Quotas, error) {
	d, err := quotaDocument(r, t)
	if err != nil {
		return secret.Quotas{}, err
	}
	q, err := quotasIn(d)
	return q.Within(v.ceiling), err
}

// useOf reads what a tenant has from the store's counters.
func useOf(r store.Reader, t secret.TenantID) (secret.Use, error) {
	use, err := storedUse(r, t)
	if err != nil {
		return use, err
	}
	use.Principals, err = r.Principals().Count(t)
	return use, err
}

func storedUse(r store.Reader, t secret.TenantID) (secret.Use, error) {
	u, err := r.Secrets(t).Usage()
	return secret.Use{Secrets: u.Secrets, Versions: u.Versions, Bytes: u.Bytes}, err
}
