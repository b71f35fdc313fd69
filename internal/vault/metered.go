package vault

import (
	"fastness/internal/secret"
	"fastness/internal/store"
)

// metered is a transaction that notices which tenants grow in it, and holds
// them to their quotas before it commits. Every change of the vault runs in
// one, so that no way to grow can be forgotten.
type metered struct {
	store.Tx
	vault *Vault
	grown map[secret.TenantID]*growth
}

// growth is what a transaction adds to a tenant.
type growth struct {
	quotas secret.Quotas
	before secret.Use // as far as it is limited and grows
	added  secret.Use // at most: what is deleted in between is not taken off

	secrets, principals bool // whether before tells of them
}

// growth returns that of a tenant; nil if it has no quota. Operators are
// nobody's principals, and have none.
func (m *metered) growth(t secret.TenantID) (*growth, error) {
	if g, ok := m.grown[t]; ok || t.IsZero() {
		return g, nil
	}
	q, err := m.quotas(t)
	if err != nil || q == (secret.Quotas{}) {
		return nil, err
	}
	g := &growth{quotas: q}
	if m.grown == nil {
		m.grown = make(map[secret.TenantID]*growth)
	}
	m.grown[t] = g
	return g, nil
}

// quotas takes a tenant's quotas from those that are kept, or reads them. What
// is read here is not kept: another operation of this commit may have changed
// it, and be undone.
func (m *metered) quotas(t secret.TenantID) (secret.Quotas, error) {
	if q, ok := m.vault.limits.get(t); ok {
		return q, nil
	}
	return m.vault.quotas(m, t)
}

// addSecrets notes that a tenant's secrets are about to grow.
func (m *metered) addSecrets(t secret.TenantID, added secret.Use) error {
	g, err := m.growth(t)
	if g == nil || err != nil {
		return err
	}
	g.added = g.added.Plus(added)
	if q := g.quotas; g.secrets || q.Secrets == 0 && q.Versions == 0 && q.Bytes == 0 {
		return nil
	}
	g.secrets = true
	use, err := storedUse(m, t)
	g.before = g.before.Plus(use)
	return err
}

// addPrincipal notes that a tenant is about to get one more principal.
func (m *metered) addPrincipal(t secret.TenantID) error {
	g, err := m.growth(t)
	if g == nil || err != nil {
		return err
	}
	g.added.Principals++
	if g.principals || g.quotas.Principals == 0 {
		return nil
	}
	g.principals = true
	g.before.Principals, err = m.Principals().Count(t)
	return err
}

// check decides on what the transaction has written: an ErrQuota if a tenant
// has grown past a quota. Far from one, what there was and what was added tell
// so. Close to it the counters are read again: within the transaction, whose
// own writes have them locked, so that no other one passes meanwhile.
func (m *metered) check() error {
	for t, g := range m.grown {
		if g.quotas.Allow(g.before, g.before.Plus(g.added)) == nil {
			continue
		}
		after, err := useOf(m, t)
		if err != nil {
			return err
		}
		if err := g.quotas.Allow(g.before, g.only(after)); err != nil {
			return err
		}
	}
	return nil
}

// only keeps of a use what before tells of.
func (g *growth) only(u secret.Use) secret.Use {
	if !g.secrets {
		u.Secrets, u.Versions, u.Bytes = 0, 0, 0
	}
	if !g.principals {
		u.Principals = 0
	}
	return u
}

// EditSecrets changes one tenant's secrets.
func (m *metered) EditSecrets(t secret.TenantID) store.SecretWriter {
	return &meteredSecrets{m.Tx.EditSecrets(t), m, t}
}

// EditPrincipals changes principals.
func (m *metered) EditPrincipals() store.PrincipalWriter {
	return &meteredPrincipals{m.Tx.EditPrincipals(), m}
}

// meteredSecrets notes the writes by which a tenant's secrets grow.
type meteredSecrets struct {
	store.SecretWriter
	meter  *metered
	tenant secret.TenantID
}

// Create adds a secret.
func (w *meteredSecrets) Create(s *store.Secret) error {
	if err := w.meter.addSecrets(w.tenant, secret.Use{Secrets: 1}); err != nil {
		return err
	}
	return w.SecretWriter.Create(s)
}

// AddVersion adds a version.
func (w *meteredSecrets) AddVersion(id secret.ID, v *store.Version) error {
	if err := w.meter.addSecrets(w.tenant, secret.Use{Versions: 1, Bytes: int64(len(v.Envelope) + len(v.Ciphertext))}); err != nil {
		return err
	}
	return w.SecretWriter.AddVersion(id, v)
}

// Rewrap replaces a version's envelope, maybe by a longer one.
func (w *meteredSecrets) Rewrap(id secret.ID, v *store.Version, old []byte) error {
	if err := w.meter.addSecrets(w.tenant, secret.Use{Bytes: int64(len(v.Envelope) - len(old))}); err != nil {
		return err
	}
	return w.SecretWriter.Rewrap(id, v, old)
}

// meteredPrincipals notes principals that are added.
type meteredPrincipals struct {
	store.PrincipalWriter
	meter *metered
}

// Create adds a principal.
func (w *meteredPrincipals) Create(p *store.Principal) error {
	if err := w.meter.addPrincipal(p.Tenant); err != nil {
		return err
	}
	return w.PrincipalWriter.Create(p)
}
