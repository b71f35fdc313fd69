package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// documented is a vault over a store of its own, with a tenant, and a clock
// that the test moves.
type documented struct {
	*Vault
	store  store.Store
	tenant *store.Tenant
	clock  atomic.Int64 // seconds
}

func openDocumented(t *testing.T) *documented {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d := &documented{store: db}
	d.clock.Store(1_000_000)
	master := secretbuf.Take([]byte("a test's root key is at least sixty-four characters long, is it not?"))
	defer master.Release()
	d.Vault, err = Open(t.Context(), Config{
		Store: db, Master: master, NoBackground: true, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(d.clock.Load(), 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	made, err := d.Operator(d.Local(Origin{})).CreateTenant(t.Context(), "acme", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	d.view(t, func(r store.Reader) (err error) { d.tenant, err = r.Tenants().ByName("acme"); return err })
	return d
}

func (d *documented) view(t *testing.T, f func(store.Reader) error) {
	t.Helper()
	if err := d.store.View(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func (d *documented) update(t *testing.T, f func(store.Tx) error) {
	t.Helper()
	if err := d.store.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// add stores a document whose sealed part is its id.
func (d *documented) add(t *testing.T, kind, id string) {
	t.Helper()
	d.update(t, func(tx store.Tx) error {
		doc := &store.Document{Owner: d.tenant.ID, Kind: kind, ID: id, Created: d.now()}
		if err := d.sealInto(tx, doc, []byte(id)); err != nil {
			return err
		}
		return tx.EditDocuments().Create(doc)
	})
}

// opens reports whether a document opens under the key that it names.
func (d *documented) opens(t *testing.T, kind, id string) (number uint32) {
	t.Helper()
	d.view(t, func(r store.Reader) error {
		doc, err := r.Documents().Document(d.tenant.ID, kind, id)
		if err != nil {
			return err
		}
		plain, err := d.openSealed(r, doc)
		if err != nil {
			return err
		}
		defer plain.Release()
		if string(plain.Bytes()) != id {
			t.Errorf("%s %s holds %q", kind, id, plain.Bytes())
		}
		number = doc.Key
		return nil
	})
	return number
}

// TestDocumentsUnderNewKey: a rotation of the key seals documents anew, in as
// many rounds as they take, and keeps the old key for one that does not open.
func TestDocumentsUnderNewKey(t *testing.T) {
	d := openDocumented(t)
	const many = rewrapChunk + 10
	for i := range many {
		d.add(t, []string{"factor", "password"}[i%2], fmt.Sprint("p/", i))
	}
	s := d.Session(d.Local(Origin{}), "acme")
	if n, err := s.RotateKey(t.Context(), nil); err != nil || n != 2 {
		t.Fatalf("key %d, %v", n, err)
	}
	for i := range many {
		if n := d.opens(t, []string{"factor", "password"}[i%2], fmt.Sprint("p/", i)); n != 2 {
			t.Errorf("document %d is under key %d", i, n)
		}
	}
	// One is spoilt: all others move on, and its key stays.
	d.update(t, func(tx store.Tx) error {
		doc, err := tx.Documents().Document(d.tenant.ID, "factor", "p/0")
		if err != nil {
			return err
		}
		doc.Sealed[len(doc.Sealed)-1] ^= 1
		return tx.EditDocuments().Update(doc)
	})
	if _, err := s.RotateKey(t.Context(), nil); !errors.Is(err, secret.ErrDecryption) {
		t.Errorf("rotating with a document that does not open: %v", err)
	}
	if n := d.opens(t, "password", "p/1"); n != 3 {
		t.Errorf("a good document is under key %d", n)
	}
	d.view(t, func(r store.Reader) error {
		keys, err := r.Tenants().Keys(d.tenant.ID)
		if len(keys) != 2 {
			t.Errorf("%d keys are there, want the old one too", len(keys))
		}
		return err
	})
	d.update(t, func(tx store.Tx) error { return tx.EditDocuments().Delete(d.tenant.ID, "factor", "p/0") })
	if n, err := s.RotateKey(t.Context(), nil); err != nil || n != 3 {
		t.Errorf("going on: key %d, %v", n, err)
	}
}

func TestExpireDocuments(t *testing.T) {
	d := openDocumented(t)
	const many = 2*janitorChunk + 1
	d.update(t, func(tx store.Tx) error {
		var errs []error
		for i := range many {
			errs = append(errs, tx.EditDocuments().Create(&store.Document{
				Owner: d.tenant.ID, Kind: "once", ID: fmt.Sprint(i), Created: d.now(), Expires: d.now().Add(time.Minute),
			}))
		}
		return errors.Join(append(errs, tx.EditDocuments().Create(&store.Document{Kind: "once", ID: "stays", Created: d.now()}))...)
	})
	count := func(owner secret.TenantID) (n int) {
		d.view(t, func(r store.Reader) error {
			docs, err := r.Documents().Documents(owner, "once", "", "", 10*many)
			n = len(docs)
			return err
		})
		return n
	}
	for _, wait := range []int64{59, 1} {
		if n := count(d.tenant.ID); n != many {
			t.Errorf("%d documents are left before they expire", n)
		}
		d.clock.Add(wait)
		if err := d.ExpireDocuments(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n, lasting := count(d.tenant.ID), count(secret.TenantID{}); n != 0 || lasting != 1 {
		t.Errorf("%d documents are left after they have expired, and %d that do not", n, lasting)
	}
}

// TestPossessions: a principal that is deleted takes its documents along, and
// nobody else's.
func TestPossessions(t *testing.T) {
	d := openDocumented(t)
	ps := d.Session(d.Local(Origin{}), "acme").Principals()
	for _, name := range []string{"a", "a/b", "ab"} {
		if _, err := ps.Create(t.Context(), PrincipalSpec{Name: name, Kind: store.Person}); err != nil {
			t.Fatal(err)
		}
	}
	factors := map[string]bool{"a/1": true, "a/2": true, "a/b/1": false, "ab/1": false} // whether they go
	for id := range factors {
		d.add(t, "factor", id)
		d.add(t, "other", id)
	}
	passwords := map[string]bool{"a": true, "a/b": false, "ab": false}
	for id := range passwords {
		d.add(t, "password", id)
	}
	if err := ps.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	d.view(t, func(r store.Reader) error {
		for kind, ids := range map[string]map[string]bool{"factor": factors, "password": passwords} {
			for id, goes := range ids {
				if _, err := r.Documents().Document(d.tenant.ID, kind, id); goes != errors.Is(err, store.ErrAbsent) {
					t.Errorf("%s %s: %v", kind, id, err)
				}
			}
		}
		for id := range factors {
			if _, err := r.Documents().Document(d.tenant.ID, "other", id); err != nil {
				t.Errorf("other %s: %v", id, err)
			}
		}
		return nil
	})
}
