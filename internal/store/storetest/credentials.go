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

// putCredential stores a credential, and its principal if that is not there yet.
func putCredential(tx store.Tx, c *store.Credential) error {
	p := &store.Principal{Tenant: c.Tenant, Name: c.Principal, Created: epoch}
	if c.Tenant.IsZero() {
		p.Kind = store.OperatorKind
	}
	if err := tx.EditPrincipals().Create(p); err != nil && !errors.Is(err, store.ErrTaken) {
		return err
	}
	return tx.EditCredentials().Create(c)
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
			MFA: epoch.Add(3e6), Locked: true, Source: "login:password", Revision: 7,
		}
		bare := newToken(a, "tok_bare")
		bare.Grants = nil
		none := newToken(a, "tok_none")
		none.Grants = []policy.Grant{}
		operator := newToken(nil, "tok_operator")
		for _, want := range []*store.Credential{full, bare, none, operator} {
			d.update(func(tx store.Tx) error { return putCredential(tx, want) })
			d.view(func(r store.Reader) error {
				got, err := r.Credentials().ByID(want.ID)
				return errors.Join(err, expectCredential(got, want, a))
			})
			if want.Kind == store.Token {
				d.view(func(r store.Reader) error {
					got, err := r.Credentials().ByHash(want.Hash)
					return errors.Join(err, expectCredential(got, want, a))
				})
			}
		}
		d.absent(func(r store.Reader) error { _, err := r.Credentials().ByID("tok_nobody"); return err })
		d.absent(func(r store.Reader) error { _, err := r.Credentials().ByHash([32]byte{}); return err })
		// No grants of its own, and none at all, are not the same.
		d.view(func(r store.Reader) error {
			got, err := r.Credentials().ByID(none.ID)
			if err == nil && got.Credential.Grants == nil {
				err = errors.New("an empty list of grants came back as none")
			}
			return err
		})
	}},
	{"Principal", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		p := newPrincipal(a, "alice")
		p.Grants, p.Service, p.LastRead = []policy.Grant{{Role: policy.Reader}}, "web", 7
		twin := newPrincipal(b, "alice")
		c := newToken(a, "tok_1")
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Create(c) })
		d.update(func(tx store.Tx) error { return tx.EditPrincipals().Create(twin) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Create(c) })
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditPrincipals().Create(p), tx.EditCredentials().Create(c))
		})
		got := get(d, func(r store.Reader) (*store.Identity, error) { return r.Credentials().ByHash(c.Hash) })
		same(t, got, &store.Identity{Credential: c, Principal: p, Tenant: a})
	}},
	{"Taken", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		c := newToken(a, "tok_1")
		d.update(func(tx store.Tx) error { return putCredential(tx, c) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return putCredential(tx, newToken(b, "tok_1")) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return putCredential(tx, newToken(nil, "tok_1")) })
		byHash := newToken(b, "tok_2")
		byHash.Hash = c.Hash
		d.refused(store.ErrTaken, func(tx store.Tx) error { return putCredential(tx, byHash) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Create(newToken(newTenant("none"), "tok_3")) })
		// Access keys have no hash, and any number of them does not clash.
		for i := range 2 {
			k := newAccessKey(a, fmt.Sprint("FSKA", i))
			d.update(func(tx store.Tx) error { return putCredential(tx, k) })
		}
	}},
	{"Update", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		c, other := newToken(a, "tok_1"), newToken(b, "tok_2")
		neighbour := newToken(a, "tok_neighbour")
		d.update(func(tx store.Tx) error {
			return errors.Join(putCredential(tx, c), putCredential(tx, other), putCredential(tx, neighbour))
		})
		for _, sealed := range []string{"one", "two", "a longer one", ""} {
			c.Sealed = []byte(sealed)
			d.update(func(tx store.Tx) error { return tx.EditCredentials().Update(c) })
			same(t, d.dump(a).Credentials, []*store.Credential{c, neighbour})
		}
		old := *c
		c.Revoked, c.LastUsed, c.Expires, c.Sealed = epoch, 20001, time.Time{}, nil
		c.MFA, c.Locked, c.Source = epoch, true, "login:password"
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Update(c) })
		same(t, c.Revision, old.Revision+1)
		d.view(func(r store.Reader) error {
			got, err := r.Credentials().ByHash(c.Hash)
			return errors.Join(err, expectCredential(got, c, a))
		})
		d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditCredentials().Update(&old) })
		same(t, d.dump(a).Credentials, []*store.Credential{c, neighbour})
		same(t, d.dump(b).Credentials, []*store.Credential{other})
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Update(newToken(a, "tok_none")) })
		// A credential does not change hands, nor what it is.
		for _, change := range []func(*store.Credential){
			func(c *store.Credential) { c.Tenant = a.ID },
			func(c *store.Credential) { c.Principal = "bob" },
			func(c *store.Credential) { c.Kind = store.AccessKey },
		} {
			stolen := *other
			change(&stolen)
			d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditCredentials().Update(&stolen) })
		}
	}},
	{"Delete", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		c := newToken(a, "tok_1")
		c.Sealed = []byte("sealed")
		drop := func(tx store.Tx) error { return tx.EditCredentials().Delete(c.ID) }
		d.refused(store.ErrAbsent, drop)
		d.update(func(tx store.Tx) error { return putCredential(tx, c) })
		d.update(drop)
		d.absent(func(r store.Reader) error { _, err := r.Credentials().ByHash(c.Hash); return err })
		d.update(func(tx store.Tx) error { return tx.EditCredentials().Create(c) })
	}},
	{"Ended", testEnded},
	{"OfPrincipal", testOfPrincipal},
	{"List", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		d.update(func(tx store.Tx) error {
			var errs []error
			for i := range 5 {
				errs = append(errs, putCredential(tx, newToken(a, fmt.Sprint("tok_a", i))))
			}
			return errors.Join(append(errs, putCredential(tx, newToken(b, "tok_b")), putCredential(tx, newToken(nil, "tok_o")))...)
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

// testEnded gives credentials every way to end, or none.
func testEnded(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	add := func(owner *store.Tenant, id string, expires, revoked time.Time) {
		c := newToken(owner, id)
		c.Expires, c.Revoked = expires, revoked
		d.update(func(tx store.Tx) error { return putCredential(tx, c) })
	}
	add(a, "tok_live", time.Time{}, time.Time{})
	add(a, "tok_expires", at(4), time.Time{})
	add(a, "tok_revoked", time.Time{}, at(3))
	add(a, "tok_revoked_first", at(9), at(2))
	add(a, "tok_expired_first", at(1), at(9))
	add(b, "tok_b", at(1), time.Time{})
	add(nil, "tok_o", at(1), time.Time{})
	ended := func(owner secret.TenantID, by time.Time, limit int) (ids []string) {
		for _, c := range get(d, func(r store.Reader) ([]*store.Credential, error) { return r.Credentials().Ended(owner, by, limit) }) {
			ids = append(ids, c.ID)
		}
		return ids
	}
	same(t, ended(a.ID, at(0), 9), nil)
	same(t, ended(a.ID, at(3), 9), []string{"tok_expired_first", "tok_revoked_first", "tok_revoked"})
	same(t, ended(a.ID, at(99), 9), []string{"tok_expired_first", "tok_revoked_first", "tok_revoked", "tok_expires"})
	same(t, ended(a.ID, at(99), 1), []string{"tok_expired_first"})
	same(t, ended(secret.TenantID{}, at(99), 9), []string{"tok_o"})
	same(t, ended(secret.NewTenantID(), at(99), 9), nil)
	count := func(owner secret.TenantID) int64 {
		return get(d, func(r store.Reader) (int64, error) { return r.Credentials().Count(owner) })
	}
	same(t, []int64{count(a.ID), count(b.ID), count(secret.TenantID{}), count(secret.NewTenantID())}, []int64{5, 1, 1, 0})
	d.update(func(tx store.Tx) error { return tx.EditCredentials().Delete("tok_live") })
	same(t, count(a.ID), 4)
	d.update(func(tx store.Tx) error { return tx.EditTenants().Erase(a.ID) })
	same(t, []int64{count(a.ID), count(b.ID)}, []int64{0, 1})
}

func testOfPrincipal(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	for _, c := range []*store.Credential{
		newToken(a, "tok_2"), newAccessKey(a, "FSKA1"), newToken(a, "tok_3"), newToken(b, "tok_4"), newToken(nil, "tok_5"),
	} {
		d.update(func(tx store.Tx) error { return putCredential(tx, c) })
	}
	bobs := newToken(a, "tok_1")
	bobs.Principal = "bob"
	d.update(func(tx store.Tx) error { return putCredential(tx, bobs) })
	of := func(owner secret.TenantID, principal string, limit int) (ids []string) {
		for _, c := range get(d, func(r store.Reader) ([]*store.Credential, error) {
			return r.Credentials().OfPrincipal(owner, principal, limit)
		}) {
			ids = append(ids, c.ID)
		}
		return ids
	}
	same(t, of(a.ID, "alice", 9), []string{"FSKA1", "tok_2", "tok_3"})
	same(t, of(a.ID, "alice", 2), []string{"FSKA1", "tok_2"})
	same(t, of(a.ID, "bob", 9), []string{"tok_1"})
	same(t, of(a.ID, "eve", 9), nil)
	same(t, of(secret.TenantID{}, "alice", 9), []string{"tok_5"})
}

// expectCredential compares what was found with what was stored.
func expectCredential(got *store.Identity, want *store.Credential, tenant *store.Tenant) error {
	if want.Tenant.IsZero() {
		tenant = nil
	}
	if diff := diff(got.Credential, want) + diff(got.Tenant, tenant) + diff(got.Principal.Name, want.Principal); diff != "" {
		return fmt.Errorf("got (-), want (+):\n%s", diff)
	}
	return nil
}
