package vault_test

import (
	"errors"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// TestEmbeddedSwappedRows moves rows, whole or in part, between versions, secrets and
// tenants: none opens where it does not belong.
func TestEmbeddedSwappedRows(t *testing.T) {
	c := newTampering(t)
	const envelope, ciphertext = 1, 2
	swap := func(parts int, a, b at) func(store.Tx) error {
		return func(tx store.Tx) error {
			x, err1 := a.find(tx)
			y, err2 := b.find(tx)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if parts&envelope != 0 {
				x.Envelope, y.Envelope = y.Envelope, x.Envelope
			}
			if parts&ciphertext != 0 {
				x.Ciphertext, y.Ciphertext = y.Ciphertext, x.Ciphertext
			}
			return errors.Join(replace(tx, x.tenant, x.secret, *x.Version), replace(tx, y.tenant, y.secret, *y.Version))
		}
	}
	move := func(from, to at) func(store.Tx) error {
		return func(tx store.Tx) error {
			x, err1 := from.find(tx)
			y, err2 := to.find(tx)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			return replace(tx, y.tenant, y.secret, *x.Version)
		}
	}
	change := func(a at, f func(*store.Version)) func(store.Tx) error {
		return func(tx store.Tx) error {
			x, err := a.find(tx)
			if err != nil {
				return err
			}
			f(x.Version)
			return replace(tx, x.tenant, x.secret, *x.Version)
		}
	}
	swapKeys := func(f func(a, b *store.TenantKey)) func(store.Tx) error {
		return func(tx store.Tx) error {
			var acme *store.TenantKey
			err := editKey(tx, "acme", func(k *store.TenantKey) { acme = k })
			if err != nil {
				return err
			}
			if err := editKey(tx, "beta", func(k *store.TenantKey) { f(acme, k) }); err != nil {
				return err
			}
			return editKey(tx, "acme", func(k *store.TenantKey) { *k = *acme })
		}
	}
	const both = envelope | ciphertext
	for _, tt := range []struct {
		name   string
		change func(store.Tx) error
		broken []string
	}{
		{"versions", swap(both, at{"acme", 0, 1}, at{"acme", 0, 2}), []string{"acme/s0/1", "acme/s0/2"}},
		{"versions' envelopes", swap(envelope, at{"acme", 0, 1}, at{"acme", 0, 2}), []string{"acme/s0/1", "acme/s0/2"}},
		{"versions' values", swap(ciphertext, at{"acme", 0, 1}, at{"acme", 0, 2}), []string{"acme/s0/1", "acme/s0/2"}},
		{"hybrid versions", swap(both, at{"acme", 2, 1}, at{"acme", 2, 2}), []string{"acme/s2/1", "acme/s2/2"}},
		{"secrets", swap(both, at{"acme", 0, 1}, at{"acme", 1, 1}), []string{"acme/s0/1", "acme/s1/1"}},
		{"secrets of two algorithms", swap(both, at{"acme", 0, 1}, at{"acme", 2, 1}), []string{"acme/s0/1", "acme/s2/1"}},
		{"tenants", swap(both, at{"acme", 0, 1}, at{"beta", 0, 1}), []string{"acme/s0/1", "beta/s0/1"}},
		{"tenants, hybrid", swap(both, at{"acme", 2, 1}, at{"beta", 2, 1}), []string{"acme/s2/1", "beta/s2/1"}},
		{"a row to another secret", move(at{"acme", 0, 1}, at{"acme", 1, 1}), []string{"acme/s1/1"}},
		{"a row to another tenant", move(at{"acme", 0, 1}, at{"beta", 0, 1}), []string{"beta/s0/1"}},
		{"a hybrid row to another tenant", move(at{"acme", 2, 1}, at{"beta", 2, 1}), []string{"beta/s2/1"}},
		{"another algorithm in the row", change(at{"acme", 2, 1}, func(v *store.Version) { v.Algorithm = secret.AES256GCM }), []string{"acme/s2/1"}},
		{"another version id", change(at{"acme", 0, 1}, func(v *store.Version) { v.ID = secret.NewVersionID() }), []string{"acme/s0/1"}},
		{"a key that is not there", change(at{"acme", 0, 1}, func(v *store.Version) { v.Key = 9 }), []string{"acme/s0/1"}},
		{"tenants' KEM keys", swapKeys(func(a, b *store.TenantKey) {
			a.KEMSeed, b.KEMSeed, a.KEMPublic, b.KEMPublic = b.KEMSeed, a.KEMSeed, b.KEMPublic, a.KEMPublic
		}), []string{"acme/s2/1", "acme/s2/2", "beta/s2/1", "beta/s2/2"}},
		{"a tenant's keys to another", swapKeys(func(a, b *store.TenantKey) { *b = *a }),
			[]string{"beta/s0/1", "beta/s0/2", "beta/s1/1", "beta/s1/2", "beta/s2/1", "beta/s2/2"}},
		{"a KEK and a KEM seed", swapKeys(func(a, _ *store.TenantKey) { a.KEK, a.KEMSeed = a.KEMSeed, a.KEK }), allOfAcme},
		{"another key number", renumber, allOfAcme},
	} {
		t.Run(tt.name, func(t *testing.T) { wantIntact(t, c.with(t, tt.change), tt.broken...) })
	}
}

// renumber makes acme's key number 1 its number 2, wherever it is named.
func renumber(tx store.Tx) error {
	acme, err := tx.Tenants().ByName("acme")
	if err != nil {
		return err
	}
	if err := editKey(tx, "acme", func(k *store.TenantKey) { k.Number = 2 }); err != nil {
		return err
	}
	acme.Key = 2
	err = errors.Join(tx.EditTenants().DeleteKey(acme.ID, 1), tx.EditTenants().Update(acme))
	for i := range tamperedSecrets {
		for _, n := range []secret.Version{1, 2} {
			v, ferr := at{"acme", i, n}.find(tx)
			if err = errors.Join(err, ferr); err != nil {
				return err
			}
			v.Key = 2
			err = replace(tx, v.tenant, v.secret, *v.Version)
		}
	}
	return err
}
