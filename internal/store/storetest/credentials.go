package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// newToken returns a token of a tenant, or of an operator if t is nil.
func newToken(t *store.Tenant, id string) *store.Credential {
	c := &store.Credential{
		ID: id, Kind: store.Token, Principal: "alice",
		Grants: []policy.Grant{{Role: policy.Admin}}, Created: epoch,
	}
	if t != nil {
		c.Tenant = t.ID
	}
	rand.Read(c.Hash[:])
	return c
}

// newAccessKey returns an access key of a tenant.
func newAccessKey(t *store.Tenant, id string) *store.Credential {
	c := newToken(t, id)
	c.Kind, c.Hash, c.Sealed, c.Key = store.AccessKey, [32]byte{}, []byte("sealed"), 1
	return c
}

var credentialCases = []testcase{
	{"RoundTrip", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		full := &store.Credential{
			ID: "FSKAABCDEFGHIJKLMNOP", Kind: store.AccessKey, Tenant: a.ID, Principal: "svc:web@eu", Sealed: []byte("sealed"), Key: 3,
			Grants:  []policy.Grant{{Role: policy.Reader, Patterns: []string{"db/*", `"\é`}}, {Role: policy.Auditor, Patterns: []string{}}},
			Service: "web", Environment: secret.Prod, Created: epoch, Expires: epoch.Add(1e6), Revoked: epoch.Add(2e6), LastUsed: 20000,
		}
		bare := newToken(a, "tok_bare")
		bare.Grants = nil
		operator := newToken(nil, "tok_operator")
		for _, want := range []*store.Credential{full, bare, operator} {
			d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(want) })
			d.view(func(r store.Reader) error {
				got, owner, err := r.Credentials().ByID(want.ID)
				return errors.Join(err, expectCredential(got, owner, want, a))
			})
			if want.Kind == store.Token {
				d.view(func(r store.Reader) error {
					got, owner, err := r.Credentials().ByHash(want.Hash)
					return errors.Join(err, expectCredential(got, owner, want, a))
				})
			}
		}
		d.absent(func(r store.Reader) error { _, _, err := r.Credentials().ByID("tok_none"); return err })
		d.absent(func(r store.Reader) error { _, _, err := r.Credentials().ByHash([32]byte{}); return err })
	}},
	{"Taken", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		c := newToken(a, "tok_1")
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(c) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditCredentials().Create(newToken(b, "tok_1")) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditCredentials().Create(newToken(nil, "tok_1")) })
		byHash := newToken(b, "tok_2")
		byHash.Hash = c.Hash
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditCredentials().Create(byHash) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Create(newToken(newTenant("none"), "tok_3")) })
		// Access keys have no hash, and any number of them does not clash.
		for i := range 2 {
			k := newAccessKey(a, fmt.Sprint("FSKA", i))
			d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(k) })
		}
	}},
	{"Update", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		c, other := newToken(a, "tok_1"), newToken(b, "tok_2")
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditCredentials().Create(c), tx.EditCredentials().Create(other))
		})
		neighbour := newToken(a, "tok_neighbour")
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(neighbour) })
		for _, sealed := range []string{"one", "two", "a longer one", ""} {
			c.Sealed = []byte(sealed)
			d.update(func(tx store.Tx) error { return tx.EditCredentials().Update(c) })
			same(t, d.dump(a).Credentials, []*store.Credential{c, neighbour})
		}
		c.Revoked, c.LastUsed, c.Expires, c.Sealed = epoch, 20001, time.Time{}, nil
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Update(c) })
		d.view(func(r store.Reader) error {
			got, owner, err := r.Credentials().ByHash(c.Hash)
			return errors.Join(err, expectCredential(got, owner, c, a))
		})
		same(t, d.dump(b).Credentials, []*store.Credential{other})
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Update(newToken(a, "tok_none")) })
		// A credential does not change hands.
		stolen := *other
		stolen.Tenant = a.ID
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Update(&stolen) })
	}},
	{"Delete", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		c := newToken(a, "tok_1")
		c.Sealed = []byte("sealed")
		drop := func(tx store.Tx) error { return tx.EditCredentials().Delete(c.ID) }
		d.refused(store.ErrAbsent, drop)
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(c) })
		d.update(drop)
		d.absent(func(r store.Reader) error { _, _, err := r.Credentials().ByHash(c.Hash); return err })
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(c) })
	}},
	{"List", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		d.update(func(tx store.Tx) error {
			var errs []error
			for i := range 5 {
				errs = append(errs, tx.EditCredentials().Create(newToken(a, fmt.Sprint("tok_a", i))))
			}
			return errors.Join(append(errs, tx.EditCredentials().Create(newToken(b, "tok_b")), tx.EditCredentials().Create(newToken(nil, "tok_o")))...)
		})
		list := func(id secret.TenantID, after string, limit int) (ids []string) {
			for _, c := range get(d, func(r store.Reader) ([]*store.Credential, error) { return r.Credentials().List(id, after, limit) }) {
				if c.Tenant != id {
					t.Fatalf("credential of tenant %v came with those of %v", c.Tenant, id)
				}
				ids = append(ids, c.ID)
			}
			return ids
		}
		same(t, list(a.ID, "", 3), []string{"tok_a0", "tok_a1", "tok_a2"})
		same(t, list(a.ID, "tok_a2", 3), []string{"tok_a3", "tok_a4"})
		same(t, list(b.ID, "", 3), []string{"tok_b"})
		same(t, list(secret.TenantID{}, "", 3), []string{"tok_o"})
		same(t, list(secret.NewTenantID(), "", 3), nil)
	}},
}

// expectCredential compares what was found with what was stored.
func expectCredential(got *store.Credential, owner *store.Tenant, want *store.Credential, tenant *store.Tenant) error {
	if want.Tenant.IsZero() {
		tenant = nil
	}
	if diff := diff(got, want) + diff(owner, tenant); diff != "" {
		return fmt.Errorf("got (-), want (+):\n%s", diff)
	}
	return nil
}
