package storetest

import (
	"errors"
	"fmt"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
)

var durabilityCases = []testcase{
	{"Reopen", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		var want []string
		for i := range 20 {
			s, _ := d.addSecret(a, fmt.Sprint("s", i))
			d.addSecret(b, fmt.Sprint("s", i))
			d.update(func(tx store.Tx) error {
				return tx.EditSecrets(a.ID).Touch(store.VersionRef{Secret: s.ID, Number: 1}, "alice", int32(20000+i))
			})
			d.record("acme", fmt.Sprint("r", i))
			want = append(want, fmt.Sprint("r", i))
		}
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.SetMeta("k", nil, []byte("v")), sequence(tx, 10),
				putCredential(tx, newToken(a, "tok_1")),
				tx.EditDocuments().Create(newDocument(a, "k", "x")),
				tx.EditTenants().PutKey(a.ID, &store.TenantKey{Number: 1, KEK: []byte("kek"), Created: epoch}))
		})
		dumpA, dumpB, waiting, state := d.dump(a), d.dump(b), d.correlations(), d.state()
		for range 2 {
			d.reopen()
			same(t, d.dump(a), dumpA)
			same(t, d.dump(b), dumpB)
			same(t, d.correlations(), waiting)
			same(t, d.state(), state)
			value, _ := d.meta("k")
			same(t, value, []byte("v"))
		}
		d.update(func(tx store.Tx) error { return sequence(tx, 100) })
		checkLog(t, d, want)
	}},
	// What waits for its place goes on in the same order after opening again.
	{"Batches", func(t *testing.T, d *db) {
		var want []string
		for i := range 6 {
			id := fmt.Sprint("r", i)
			d.record("acme", id)
			want = append(want, id)
			d.reopen()
			if i%2 == 1 {
				d.update(func(tx store.Tx) error { return sequence(tx, 1) })
			}
		}
		d.update(func(tx store.Tx) error { return sequence(tx, 100) })
		checkLog(t, d, want)
	}},
	{"Closed", func(t *testing.T, d *db) {
		s := d.Store
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		_, statsErr := s.Stats(ctx)
		for name, err := range map[string]error{
			"View":   s.View(ctx, func(store.Reader) error { return nil }),
			"Look":   s.Look(ctx, func(store.Reader) error { return nil }),
			"Update": s.Update(ctx, func(store.Tx) error { return nil }),
			"Record": s.Record(ctx, newRecord("", "x")),
			"Scrub":  s.Scrub(ctx),
			"Stats":  statsErr,
		} {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s on a closed store: %v", name, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	}},
	// Rolled back is rolled back for ever.
	{"RolledBack", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		d.refused(errBusiness, func(tx store.Tx) error {
			return errors.Join(tx.EditSecrets(a.ID).Create(newSecret("x")), errBusiness)
		})
		d.reopen()
		same(t, d.list(a, store.Query{Limit: 9}), []secret.Name(nil))
	}},
}
