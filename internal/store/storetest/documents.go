package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// newDocument returns a document of a tenant, or of the deployment if t is nil.
func newDocument(t *store.Tenant, kind, id string) *store.Document {
	d := &store.Document{Kind: kind, ID: id, Data: []byte(`{"of":"` + id + `"}`), Created: epoch, Changed: epoch}
	if t != nil {
		d.Owner = t.ID
	}
	return d
}

// document reads a document.
func document(owner secret.TenantID, kind, id string) func(store.Reader) (*store.Document, error) {
	return func(r store.Reader) (*store.Document, error) { return r.Documents().Document(owner, kind, id) }
}

var documentCases = []testcase{
	{"RoundTrip", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		full := newDocument(a, "factor", "svc:web@eu/1")
		full.Sealed, full.Key, full.Expires, full.Changed, full.Revision = []byte("sealed"), 3, epoch.Add(1e9), epoch.Add(1e6), 7
		empty := newDocument(a, "once", "x")
		empty.Data = nil
		for _, want := range []*store.Document{full, empty, newDocument(nil, "quotas", "x"), newDocument(a, "quotas", "x")} {
			d.update(func(tx store.Tx) error { return tx.EditDocuments().Create(want) })
			same(t, get(d, document(want.Owner, want.Kind, want.ID)), want)
		}
		for _, none := range []*store.Document{newDocument(nil, "factor", full.ID), newDocument(a, "factor", "x"), newDocument(a, "Factor", full.ID)} {
			d.absent(func(r store.Reader) error { _, err := document(none.Owner, none.Kind, none.ID)(r); return err })
		}
	}},
	{"Taken", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		row := newDocument(a, "once", "jti")
		row.Expires, row.Sealed, row.Key = epoch.Add(time.Minute), []byte("old"), 1
		d.update(func(tx store.Tx) error { return tx.EditDocuments().Create(row) })
		again := func(created time.Time) func(store.Tx) error {
			return func(tx store.Tx) error {
				next := newDocument(a, "once", "jti")
				next.Created = created
				return tx.EditDocuments().Create(next)
			}
		}
		d.refused(store.ErrTaken, again(epoch))
		d.refused(store.ErrTaken, again(row.Expires.Add(-time.Millisecond)))
		d.update(func(tx store.Tx) error { return tx.EditDocuments().Create(newDocument(b, "once", "jti")) })
		d.update(again(row.Expires))
		got := get(d, document(a.ID, "once", "jti"))
		same(t, got.Sealed, nil)
		// What replaced it does not expire.
		d.refused(store.ErrTaken, again(epoch.Add(days(10_000))))
		d.refused(store.ErrAbsent, func(tx store.Tx) error {
			return tx.EditDocuments().Create(newDocument(newTenant("none"), "once", "jti"))
		})
	}},
	{"Update", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		row, neighbour, twin := newDocument(a, "k", "x"), newDocument(a, "k", "y"), newDocument(b, "k", "x")
		d.update(func(tx store.Tx) error {
			w := tx.EditDocuments()
			return errors.Join(w.Create(row), w.Create(neighbour), w.Create(twin))
		})
		old := *row
		for _, sealed := range []string{"one", "two", "a longer one that takes another cell", "", "back"} {
			row.Data, row.Sealed, row.Key, row.Changed = []byte(sealed), []byte(sealed), row.Key+1, row.Changed.Add(time.Second)
			if sealed == "" {
				row.Data, row.Sealed = nil, nil
			}
			before := row.Revision
			d.update(func(tx store.Tx) error { return tx.EditDocuments().Update(row) })
			same(t, row.Revision, before+1)
			same(t, d.dump(a).Documents, []*store.Document{row, neighbour})
		}
		same(t, d.dump(b).Documents, []*store.Document{twin})
		d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditDocuments().Update(&old) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditDocuments().Update(newDocument(a, "k", "none")) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditDocuments().Update(newDocument(nil, "k", "x")) })
	}},
	{"Delete", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		row := newDocument(a, "k", "x")
		row.Sealed, row.Key = []byte("sealed"), 1
		drop := func(tx store.Tx) error { return tx.EditDocuments().Delete(a.ID, "k", "x") }
		d.refused(store.ErrAbsent, drop)
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditDocuments().Create(row), tx.EditDocuments().Create(newDocument(b, "k", "x")))
		})
		d.update(drop)
		d.refused(store.ErrAbsent, drop)
		same(t, len(d.dump(b).Documents), 1)
		d.update(func(tx store.Tx) error { return tx.EditDocuments().Create(row) })
	}},
	{"List", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		d.update(func(tx store.Tx) error {
			var errs []error
			for _, id := range []string{"alice/1", "alice/2", "alice/3", "alicia/1", "bob/1"} {
				errs = append(errs, tx.EditDocuments().Create(newDocument(a, "factor", id)))
			}
			return errors.Join(append(errs, tx.EditDocuments().Create(newDocument(a, "factors", "alice/4")),
				tx.EditDocuments().Create(newDocument(b, "factor", "alice/5")), tx.EditDocuments().Create(newDocument(nil, "factor", "alice/6")))...)
		})
		list := func(owner secret.TenantID, prefix, after string, limit int) (ids []string) {
			for _, row := range get(d, func(r store.Reader) ([]*store.Document, error) {
				return r.Documents().Documents(owner, "factor", prefix, after, limit)
			}) {
				if row.Owner != owner || row.Kind != "factor" {
					t.Fatalf("got %v", row)
				}
				ids = append(ids, row.ID)
			}
			return ids
		}
		same(t, list(a.ID, "alice/", "", 9), []string{"alice/1", "alice/2", "alice/3"})
		same(t, list(a.ID, "alice/", "", 2), []string{"alice/1", "alice/2"})
		same(t, list(a.ID, "alice/", "alice/2", 2), []string{"alice/3"})
		same(t, list(a.ID, "alice/", "zoe", 2), nil)
		same(t, list(a.ID, "", "", 9), []string{"alice/1", "alice/2", "alice/3", "alicia/1", "bob/1"})
		same(t, list(b.ID, "", "", 9), []string{"alice/5"})
		same(t, list(secret.TenantID{}, "", "", 9), []string{"alice/6"})
		same(t, list(secret.NewTenantID(), "", "", 9), nil)
	}},
	{"NotUnderKey", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		for _, owner := range []*store.Tenant{a, b} {
			d.update(func(tx store.Tx) error {
				var errs []error
				for i := range 6 {
					row := newDocument(owner, fmt.Sprint("k", i/3), fmt.Sprint("x", i))
					if i != 4 {
						row.Sealed, row.Key = []byte("sealed"), uint32(1+i%2)
					}
					errs = append(errs, tx.EditDocuments().Create(row))
				}
				return errors.Join(errs...)
			})
		}
		walk := func(key uint32, after store.DocumentRef, limit int) (ids []string) {
			for _, row := range get(d, func(r store.Reader) ([]*store.Document, error) {
				return r.Documents().NotUnderKey(a.ID, key, after, limit)
			}) {
				ids = append(ids, row.ID)
			}
			return ids
		}
		same(t, walk(2, store.DocumentRef{}, 9), []string{"x0", "x2"})
		same(t, walk(1, store.DocumentRef{}, 9), []string{"x1", "x3", "x5"})
		same(t, walk(9, store.DocumentRef{}, 2), []string{"x0", "x1"})
		same(t, walk(9, store.DocumentRef{Kind: "k0", ID: "x1"}, 9), []string{"x2", "x3", "x5"})
	}},
	{"Expire", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		for i, owner := range []*store.Tenant{a, b, nil, a} {
			row := newDocument(owner, "once", fmt.Sprint("x", i))
			row.Expires = epoch.Add(time.Duration(i) * time.Second)
			if i == 0 {
				row.Sealed, row.Key = []byte("sealed"), 1
			}
			d.update(func(tx store.Tx) error { return tx.EditDocuments().Create(row) })
		}
		d.update(func(tx store.Tx) error { return tx.EditDocuments().Create(newDocument(a, "once", "stays")) })
		expire := func(at time.Time, limit int) (n int) {
			d.update(func(tx store.Tx) (err error) { n, err = tx.EditDocuments().Expire(at, limit); return err })
			return n
		}
		same(t, expire(epoch.Add(-time.Second), 9), 0)
		same(t, expire(epoch.Add(time.Second), 1), 1)
		same(t, len(d.dump(a).Documents), 2)
		same(t, len(d.dump(b).Documents), 1)
		same(t, expire(epoch.Add(2*time.Second), 9), 2)
		same(t, expire(epoch.Add(days(10_000)), 9), 1)
		d.absent(func(r store.Reader) error { _, err := document(secret.TenantID{}, "once", "x2")(r); return err })
		same(t, get(d, document(a.ID, "once", "stays")).ID, "stays")
	}},
}
