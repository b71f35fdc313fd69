package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

var metaCases = []testcase{
	{"CompareAndSet", func(t *testing.T, d *db) {
		d.absent(func(r store.Reader) error { _, err := r.Meta("k"); return err })
		set := func(old, value []byte) func(store.Tx) error {
			return func(tx store.Tx) error { return tx.SetMeta("k", old, value) }
		}
		d.refused(store.ErrStale, set([]byte("x"), []byte("y")))
		d.update(set(nil, []byte("one")))
		d.refused(store.ErrStale, set(nil, []byte("two")))
		d.refused(store.ErrStale, set([]byte("two"), []byte("three")))
		d.update(set([]byte("one"), []byte("two")))
		same(t, get(d, func(r store.Reader) ([]byte, error) { return r.Meta("k") }), []byte("two"))
		d.absent(func(r store.Reader) error { _, err := r.Meta("K"); return err })
	}},
	{"Empty", func(t *testing.T, d *db) {
		d.update(func(tx store.Tx) error { return tx.SetMeta("k", nil, []byte{}) })
		if b := get(d, func(r store.Reader) ([]byte, error) { return r.Meta("k") }); b == nil || len(b) != 0 {
			t.Fatalf("an empty value came back as %v", b)
		}
		d.refused(store.ErrStale, func(tx store.Tx) error { return tx.SetMeta("k", nil, []byte("x")) })
		d.update(func(tx store.Tx) error { return tx.SetMeta("k", []byte{}, []byte("x")) })
	}},
}

var tenantCases = []testcase{
	{"CreateAndRead", func(t *testing.T, d *db) {
		a, b := newTenant("acme"), newTenant("bolt")
		b.State, b.Algorithm, b.Key, b.Account = store.Suspended, secret.HybridQuantum, 7, "000000000042"
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditTenants().Create(a), tx.EditTenants().Create(b))
		})
		for _, want := range []*store.Tenant{a, b} {
			d.view(func(r store.Reader) error {
				byID, err1 := r.Tenants().Tenant(want.ID)
				byName, err2 := r.Tenants().ByName(want.Name)
				byAccount, err3 := r.Tenants().ByAccount(want.Account)
				for _, got := range []*store.Tenant{byID, byName, byAccount} {
					if diff := diff(got, want); diff != "" {
						return errors.New(diff)
					}
				}
				return errors.Join(err1, err2, err3)
			})
		}
		d.absent(func(r store.Reader) error { _, err := r.Tenants().Tenant(secret.NewTenantID()); return err })
		d.absent(func(r store.Reader) error { _, err := r.Tenants().Tenant(secret.TenantID{}); return err })
		d.absent(func(r store.Reader) error { _, err := r.Tenants().ByName("acm"); return err })
		d.absent(func(r store.Reader) error { _, err := r.Tenants().ByAccount("42"); return err })
		same(t, get(d, func(r store.Reader) (int64, error) { return r.Tenants().Count() }), 2)
	}},
	{"Taken", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		for _, change := range []func(*store.Tenant){
			func(b *store.Tenant) { b.ID = a.ID },
			func(b *store.Tenant) { b.Name = a.Name },
			func(b *store.Tenant) { b.Account = a.Account },
		} {
			b := newTenant("bolt")
			change(b)
			d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditTenants().Create(b) })
		}
		same(t, get(d, func(r store.Reader) (int64, error) { return r.Tenants().Count() }), 1)
	}},
	{"Update", func(t *testing.T, d *db) {
		a, other := d.addTenant("acme"), d.addTenant("bolt")
		old := *a
		a.State, a.Algorithm, a.Key = store.Suspended, secret.HybridQuantum, 2
		d.update(func(tx store.Tx) error { return tx.EditTenants().Update(a) })
		same(t, a.Revision, old.Revision+1)
		same(t, get(d, func(r store.Reader) (*store.Tenant, error) { return r.Tenants().Tenant(a.ID) }), a)
		d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditTenants().Update(&old) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditTenants().Update(newTenant("none")) })
		same(t, get(d, func(r store.Reader) (*store.Tenant, error) { return r.Tenants().Tenant(other.ID) }), other)
	}},
	{"List", func(t *testing.T, d *db) {
		var want []secret.TenantName
		for i := range 7 {
			want = append(want, d.addTenant(fmt.Sprintf("t%d", i)).Name)
		}
		var got []secret.TenantName
		var after secret.TenantName
		for {
			page := get(d, func(r store.Reader) ([]*store.Tenant, error) { return r.Tenants().List(after, 3) })
			if len(page) == 0 {
				break
			}
			for _, x := range page {
				got, after = append(got, x.Name), x.Name
			}
		}
		same(t, got, want)
	}},
	{"Keys", testKeys},
	{"AllKeys", testAllKeys},
	{"Expired", testExpired},
	{"Work", testWork},
	{"Erase", testErase},
}

func testKeys(t *testing.T, d *db) {
	a := d.addTenant("acme")
	k1 := &store.TenantKey{Number: 1, KEK: []byte("kek 1"), Created: epoch}
	k2 := &store.TenantKey{Number: 2, KEK: []byte("kek 2"), KEMPublic: []byte("public"), KEMSeed: []byte("seed"), Created: epoch}
	d.update(func(tx store.Tx) error {
		return errors.Join(tx.EditTenants().PutKey(a.ID, k2), tx.EditTenants().PutKey(a.ID, k1))
	})
	keys := func() []*store.TenantKey {
		return get(d, func(r store.Reader) ([]*store.TenantKey, error) { return r.Tenants().Keys(a.ID) })
	}
	same(t, keys(), []*store.TenantKey{k1, k2})
	same(t, get(d, func(r store.Reader) (*store.TenantKey, error) { return r.Tenants().Key(a.ID, 2) }), k2)
	d.absent(func(r store.Reader) error { _, err := r.Tenants().Key(a.ID, 3); return err })

	k1.KEK, k1.KEMPublic, k1.KEMSeed = []byte("kek 1 again"), []byte("p"), []byte("s")
	d.update(func(tx store.Tx) error { return tx.EditTenants().PutKey(a.ID, k1) })
	same(t, keys(), []*store.TenantKey{k1, k2})
	d.update(func(tx store.Tx) error { return tx.EditTenants().DeleteKey(a.ID, 1) })
	same(t, keys(), []*store.TenantKey{k2})
	d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditTenants().DeleteKey(a.ID, 1) })
	d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditTenants().PutKey(secret.NewTenantID(), k1) })
}

func testAllKeys(t *testing.T, d *db) {
	want := make(map[secret.TenantID]int)
	for i := range 4 {
		a := d.addTenant(fmt.Sprintf("t%d", i))
		want[a.ID] = i
		d.update(func(tx store.Tx) error {
			for n := range uint32(i) {
				if err := tx.EditTenants().PutKey(a.ID, &store.TenantKey{Number: n + 1, KEK: []byte("kek"), Created: epoch}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	got := make(map[secret.TenantID]int)
	var last store.OwnedKey
	for {
		page := get(d, func(r store.Reader) ([]*store.OwnedKey, error) {
			return r.Tenants().AllKeys(last.Tenant, last.Number, 2)
		})
		if len(page) == 0 {
			break
		}
		for _, k := range page {
			if c := compare(k.Tenant[:], last.Tenant[:]); c < 0 || c == 0 && k.Number <= last.Number {
				t.Fatalf("key %v %d came after %v %d", k.Tenant, k.Number, last.Tenant, last.Number)
			}
			got[k.Tenant]++
			last = *k
		}
	}
	for id, n := range want {
		same(t, got[id], n)
	}
}

func compare(a, b []byte) int {
	switch {
	case string(a) < string(b):
		return -1
	case string(a) > string(b):
		return 1
	}
	return 0
}

func testExpired(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	var want []store.SecretRef
	for i, owner := range []*store.Tenant{b, a, b, a} {
		s, _ := d.addSecret(owner, fmt.Sprintf("s%d", i))
		s.Deletion = epoch.Add(days(i))
		d.update(func(tx store.Tx) error { return tx.EditSecrets(owner.ID).Update(s) })
		want = append(want, store.SecretRef{Tenant: owner.ID, ID: s.ID, Name: s.Name})
	}
	d.addSecret(a, "live")
	expired := func(n, limit int) []store.SecretRef {
		return get(d, func(r store.Reader) ([]store.SecretRef, error) {
			return r.Tenants().Expired(epoch.Add(days(n)), limit)
		})
	}
	same(t, expired(-1, 10), nil)
	same(t, expired(2, 10), want[:3])
	same(t, expired(9, 2), want[:2])
	d.update(func(tx store.Tx) error { return tx.EditSecrets(b.ID).Purge(want[0].ID) })
	same(t, expired(9, 10), want[1:])
}

func testWork(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	var want []store.SecretRef
	var rows []*store.Secret
	for i, owner := range []*store.Tenant{b, a, b, a} {
		s, _ := d.addSecret(owner, fmt.Sprintf("s%d", i))
		s.WorkAt = epoch.Add(days(i))
		d.update(func(tx store.Tx) error { return tx.EditSecrets(owner.ID).Update(s) })
		want, rows = append(want, store.SecretRef{Tenant: owner.ID, ID: s.ID, Name: s.Name}), append(rows, s)
	}
	d.addSecret(a, "never")
	work := func(n, limit int) []store.SecretRef {
		return get(d, func(r store.Reader) ([]store.SecretRef, error) {
			return r.Tenants().Work(epoch.Add(days(n)), limit)
		})
	}
	same(t, work(-1, 10), nil)
	same(t, work(2, 10), want[:3])
	same(t, work(9, 2), want[:2])
	load := func(from, to, due time.Time) (n int64, earliest time.Time) {
		d.view(func(r store.Reader) (err error) {
			n, earliest, err = r.Tenants().WorkLoad(from, to, due)
			return err
		})
		return n, earliest
	}
	due := rows[0].NextRotation
	if n, earliest := load(epoch.Add(-1), epoch.Add(days(2)), due); n != 3 || !earliest.Equal(due) {
		t.Errorf("the load is %d since %v", n, earliest)
	}
	if n, _ := load(epoch, epoch.Add(days(2)), due); n != 2 {
		t.Errorf("the load after the first is %d", n)
	}
	if n, earliest := load(epoch.Add(-1), epoch.Add(days(9)), due.Add(-time.Millisecond)); n != 0 || !earliest.IsZero() {
		t.Errorf("the load that was due before is %d since %v", n, earliest)
	}
	rows[0].Deletion = epoch
	d.update(func(tx store.Tx) error { return tx.EditSecrets(b.ID).Update(rows[0]) })
	same(t, work(9, 10), want[1:])
	rows[1].WorkAt = time.Time{}
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(rows[1]) })
	same(t, work(9, 10), want[2:])
	b.State = store.Suspended
	d.update(func(tx store.Tx) error { return tx.EditTenants().Update(b) })
	same(t, work(9, 10), want[3:])
}

// testErase expects the tenant's row and all of the other tenant to stay.
func testErase(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	fill := func(owner *store.Tenant) {
		s, _ := d.addSecret(owner, "db/password")
		d.update(func(tx store.Tx) error {
			return errors.Join(
				tx.EditTenants().PutKey(owner.ID, &store.TenantKey{Number: 1, KEK: []byte("kek"), KEMPublic: []byte("p"), KEMSeed: []byte("seed"), Created: epoch}),
				tx.EditSecrets(owner.ID).Touch(store.VersionRef{Secret: s.ID, Number: 1}, "alice", 9),
				putCredential(tx, newToken(owner, "tok_"+string(owner.Name))),
				putCredential(tx, newAccessKey(owner, "FSKA"+string(owner.Name))),
				tx.EditDocuments().Create(newDocument(owner, "factor", "alice/1")))
		})
	}
	fill(a)
	fill(b)
	before := d.dump(b)
	d.update(func(tx store.Tx) error { return tx.EditTenants().Erase(a.ID) })
	same(t, d.dump(b), before)
	same(t, d.dump(a), dump{Tenant: a})
	d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditTenants().Erase(secret.NewTenantID()) })

	again := newTenant("acme")
	d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditTenants().Create(again) })
	// Erasing what is erased does nothing.
	d.update(func(tx store.Tx) error { return tx.EditTenants().Erase(a.ID) })
}

// dump is all that a database holds of one tenant.
type dump struct {
	Tenant      *store.Tenant
	Keys        []*store.TenantKey
	Secrets     []*store.Secret
	Deleted     []*store.Secret
	Versions    map[secret.ID][]*store.Version
	Consumers   map[secret.ID][]store.Consumer
	Principals  []*store.Principal
	Credentials []*store.Credential
	Documents   []*store.Document
	Usage       store.Usage
}

// documentKinds are those that dumps look for.
var documentKinds = []string{"k", "factor", "once"}

func (d *db) dump(t *store.Tenant) dump {
	d.t.Helper()
	return get(d, func(r store.Reader) (dump, error) { return readDump(r, t.ID) })
}

func readDump(r store.Reader, id secret.TenantID) (out dump, err error) {
	const all = 1 << 20
	out.Versions, out.Consumers = make(map[secret.ID][]*store.Version), make(map[secret.ID][]store.Consumer)
	if out.Tenant, err = r.Tenants().Tenant(id); err != nil {
		return out, err
	}
	if out.Keys, err = r.Tenants().Keys(id); err != nil {
		return out, err
	}
	if out.Credentials, err = r.Credentials().List(id, "", all); err != nil {
		return out, err
	}
	if out.Principals, err = r.Principals().List(id, "", all); err != nil {
		return out, err
	}
	for _, kind := range documentKinds {
		list, err := r.Documents().Documents(id, kind, "", "", all)
		if err != nil {
			return out, err
		}
		out.Documents = append(out.Documents, list...)
	}
	h := r.Secrets(id)
	if out.Usage, err = h.Usage(); err != nil {
		return out, err
	}
	if out.Secrets, err = h.List(store.Query{Limit: all}); err != nil {
		return out, err
	}
	if out.Deleted, err = h.List(store.Query{Deleted: true, Limit: all}); err != nil {
		return out, err
	}
	for _, list := range [][]*store.Secret{out.Secrets, out.Deleted} {
		for _, s := range list {
			if err := out.readVersions(h, s.ID); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

func (out *dump) readVersions(h store.SecretReader, id secret.ID) error {
	versions, err := h.Versions(id, 0, 1<<20)
	if err != nil {
		return err
	}
	for _, v := range versions {
		whole, err := h.Version(id, v.Number)
		if err != nil {
			return err
		}
		v.Ciphertext = whole.Ciphertext
		if diff := diff(v, whole); diff != "" {
			return fmt.Errorf("the list of versions and the version differ:\n%s", diff)
		}
	}
	if len(versions) > 0 {
		out.Versions[id] = versions
	}
	consumers, err := h.Consumers(id)
	if len(consumers) > 0 {
		out.Consumers[id] = consumers
	}
	return err
}
