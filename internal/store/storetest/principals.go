package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// newPrincipal returns a principal of a tenant, or an operator if t is nil.
func newPrincipal(t *store.Tenant, name string) *store.Principal {
	p := &store.Principal{Name: name, Kind: store.OperatorKind, Created: epoch}
	if t != nil {
		p.Tenant, p.Kind = t.ID, store.Person
	}
	return p
}

var principalCases = []testcase{
	{"RoundTrip", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		full := &store.Principal{
			Tenant: a.ID, Name: "spiffe://acme/web:1@eu", Kind: store.Service,
			Grants:  []policy.Grant{{Role: policy.Reader, Patterns: []string{"db/*"}}},
			Service: "web", Environment: secret.Prod, Subject: "oidc-1 00u1", Created: epoch, Disabled: epoch.Add(1e6),
			LastUsed: 20000, LastRead: 20001, Revision: 7,
		}
		empty := newPrincipal(a, "empty")
		empty.Grants = []policy.Grant{}
		for _, want := range []*store.Principal{full, newPrincipal(a, "bare"), empty, newPrincipal(nil, "operator")} {
			d.update(func(tx store.Tx) error { return tx.EditPrincipals().Create(want) })
			got := get(d, func(r store.Reader) (*store.Principal, error) {
				return r.Principals().Principal(want.Tenant, want.Name)
			})
			same(t, got, want)
			same(t, got.Grants == nil, want.Grants == nil)
		}
		bySubject := func(id secret.TenantID, subject string) func(store.Reader) (*store.Principal, error) {
			return func(r store.Reader) (*store.Principal, error) { return r.Principals().BySubject(id, subject) }
		}
		same(t, get(d, bySubject(a.ID, "oidc-1 00u1")), full)
		for _, none := range []func(store.Reader) (*store.Principal, error){
			bySubject(a.ID, ""), bySubject(a.ID, "oidc-1"), bySubject(secret.TenantID{}, "oidc-1 00u1"),
			func(r store.Reader) (*store.Principal, error) { return r.Principals().Principal(a.ID, "operator") },
			func(r store.Reader) (*store.Principal, error) {
				return r.Principals().Principal(secret.TenantID{}, "bare")
			},
		} {
			d.absent(func(r store.Reader) error { _, err := none(r); return err })
		}
	}},
	{"Taken", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		p := newPrincipal(a, "alice")
		p.Subject = "s"
		d.update(func(tx store.Tx) error { return tx.EditPrincipals().Create(p) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditPrincipals().Create(newPrincipal(a, "alice")) })
		bob := newPrincipal(a, "bob")
		bob.Subject = "s"
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditPrincipals().Create(bob) })
		bob.Subject = ""
		twin := newPrincipal(b, "alice")
		twin.Subject = "s"
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditPrincipals().Create(bob), tx.EditPrincipals().Create(twin))
		})
		bob.Subject = "s"
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditPrincipals().Update(bob) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditPrincipals().Create(newPrincipal(newTenant("none"), "x")) })
	}},
	{"Update", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		p, neighbour, twin := newPrincipal(a, "alice"), newPrincipal(a, "bob"), newPrincipal(b, "alice")
		d.update(func(tx store.Tx) error {
			w := tx.EditPrincipals()
			return errors.Join(w.Create(p), w.Create(neighbour), w.Create(twin))
		})
		old := *p
		p.Grants, p.Service, p.Environment, p.Subject = []policy.Grant{{Role: policy.Writer}}, "web", secret.Dev, "s"
		p.Disabled, p.LastUsed, p.LastRead = epoch, 20000, 20001
		d.update(func(tx store.Tx) error { return tx.EditPrincipals().Update(p) })
		same(t, p.Revision, old.Revision+1)
		same(t, d.dump(a).Principals, []*store.Principal{p, neighbour})
		same(t, d.dump(b).Principals, []*store.Principal{twin})
		d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditPrincipals().Update(&old) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditPrincipals().Update(newPrincipal(a, "none")) })
		p.Grants, p.Service, p.Environment, p.Subject, p.Disabled = nil, "", "", "", time.Time{}
		d.update(func(tx store.Tx) error { return tx.EditPrincipals().Update(p) })
		same(t, d.dump(a).Principals, []*store.Principal{p, neighbour})
	}},
	{"Delete", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		d.update(func(tx store.Tx) error {
			return errors.Join(putCredential(tx, newToken(a, "tok_a")), putCredential(tx, newToken(b, "tok_b")))
		})
		drop := func(tx store.Tx) error { return tx.EditPrincipals().Delete(a.ID, "alice") }
		d.refused(store.ErrInUse, drop)
		d.update(func(tx store.Tx) error { return errors.Join(tx.EditCredentials().Delete("tok_a"), drop(tx)) })
		d.refused(store.ErrAbsent, drop)
		same(t, len(d.dump(b).Principals), 1)
	}},
	{"List", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		d.update(func(tx store.Tx) error {
			var errs []error
			for i := range 5 {
				errs = append(errs, tx.EditPrincipals().Create(newPrincipal(a, fmt.Sprint("p", i))))
			}
			return errors.Join(append(errs, tx.EditPrincipals().Create(newPrincipal(b, "q")), tx.EditPrincipals().Create(newPrincipal(nil, "o")))...)
		})
		list := func(id secret.TenantID, after string, limit int) (names []string) {
			for _, p := range get(d, func(r store.Reader) ([]*store.Principal, error) { return r.Principals().List(id, after, limit) }) {
				if p.Tenant != id {
					t.Fatalf("principal of tenant %v came with those of %v", p.Tenant, id)
				}
				names = append(names, p.Name)
			}
			return names
		}
		same(t, list(a.ID, "", 3), []string{"p0", "p1", "p2"})
		same(t, list(a.ID, "p2", 3), []string{"p3", "p4"})
		same(t, list(b.ID, "", 3), []string{"q"})
		same(t, list(secret.TenantID{}, "", 3), []string{"o"})
		same(t, list(secret.NewTenantID(), "", 3), nil)
		count := func(id secret.TenantID) int64 {
			return get(d, func(r store.Reader) (int64, error) { return r.Principals().Count(id) })
		}
		same(t, []int64{count(a.ID), count(b.ID), count(secret.TenantID{}), count(secret.NewTenantID())}, []int64{5, 1, 1, 0})
		d.refused(errBusiness, func(tx store.Tx) error {
			return errors.Join(tx.EditPrincipals().Delete(a.ID, "p0"), errBusiness)
		})
		same(t, count(a.ID), 5)
		d.update(func(tx store.Tx) error { return tx.EditPrincipals().Delete(a.ID, "p0") })
		same(t, count(a.ID), 4)
	}},
}
