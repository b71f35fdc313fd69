package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

var errBusiness = errors.New("refused by a rule of the business")

var transactionCases = []testcase{
	// An operation that fails takes back what it wrote and keeps what it recorded.
	{"Rollback", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		d.refused(errBusiness, func(tx store.Tx) error {
			tx.Audit(newRecord("acme", "refused"))
			if err := tx.EditSecrets(a.ID).Create(newSecret("x")); err != nil {
				return err
			}
			if err := tx.EditTenants().Create(newTenant("bolt")); err != nil {
				return err
			}
			return errBusiness
		})
		same(t, d.list(a, store.Query{Limit: 9}), nil)
		d.absent(func(r store.Reader) error { _, err := r.Tenants().ByName("bolt"); return err })
		same(t, d.correlations(), []string{"refused"})
	}},
	// An operation may go on after a statement that failed.
	{"GoOn", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, _ := d.addSecret(a, "x")
		d.update(func(tx store.Tx) error {
			if err := tx.EditSecrets(a.ID).Create(newSecret("y")); err != nil {
				return err
			}
			if err := tx.EditSecrets(a.ID).Create(newSecret("x")); !errors.Is(err, store.ErrTaken) {
				return fmt.Errorf("error is %v", err)
			}
			return tx.EditSecrets(a.ID).Purge(s.ID)
		})
		same(t, d.list(a, store.Query{Limit: 9}), []secret.Name{"y"})
	}},
	{"OwnWrites", func(t *testing.T, d *db) {
		a := newTenant("acme")
		d.update(func(tx store.Tx) error {
			s, v := newSecret("x"), newVersion(1)
			w := tx.EditSecrets(a.ID)
			if err := errors.Join(tx.EditTenants().Create(a), w.Create(s), w.AddVersion(s.ID, v)); err != nil {
				return err
			}
			got, version, err := tx.Secrets(a.ID).Find("x", store.Selector{}, "")
			return errors.Join(err, differ(got, s), differ(version, v))
		})
	}},
	{"Fresh copies", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, v := d.addSecret(a, "x")
		for range 2 {
			d.view(func(r store.Reader) error {
				got, version, err := r.Secrets(a.ID).Find("x", store.Selector{}, "")
				if err != nil {
					return err
				}
				err = errors.Join(differ(got, s), differ(version, v))
				got.Labels[secret.Current] = 77
				clear(version.Envelope)
				clear(version.Ciphertext)
				return err
			})
		}
	}},
	{"Snapshot", testSnapshot},
	{"Look", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		for range 3 {
			var got *store.Tenant
			err := d.Look(t.Context(), func(r store.Reader) (err error) { got, err = r.Tenants().ByName("acme"); return err })
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, a)
			a.State ^= store.Suspended // seen by the next look
			d.update(func(tx store.Tx) error { return tx.EditTenants().Update(a) })
		}
		err := d.Look(t.Context(), func(r store.Reader) error { _, err := r.Meta("none"); return err })
		if !errors.Is(err, store.ErrAbsent) {
			t.Errorf("error is %v", err)
		}
	}},
	{"Concurrent", testConcurrent},
	{"LostUpdate", testLostUpdate},
	{"Together", testTogether},
	{"Canceled", func(t *testing.T, d *db) {
		ran := false
		f := func() error { ran = true; return nil }
		for name, err := range map[string]error{
			"View":   d.View(canceled(), func(store.Reader) error { return f() }),
			"Look":   d.Look(canceled(), func(store.Reader) error { return f() }),
			"Update": d.Update(canceled(), func(store.Tx) error { return f() }),
			"Record": d.Record(canceled(), newRecord("", "x")),
		} {
			if !errors.Is(err, context.Canceled) || ran {
				t.Errorf("%s: error is %v; ran: %v", name, err, ran)
			}
		}
		same(t, d.correlations(), nil)
	}},
	{"CanceledWhileRunning", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		ctx, cancel := context.WithCancel(t.Context())
		err := d.View(ctx, func(r store.Reader) error {
			cancel()
			_, err := r.Tenants().Tenant(a.ID)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
		// An Update that runs is seen through, and says what became of it.
		ctx, cancel = context.WithCancel(t.Context())
		err = d.Update(ctx, func(tx store.Tx) error {
			cancel()
			return tx.SetMeta("k", nil, []byte("v"))
		})
		_, absent := d.meta("k")
		if (err == nil) == absent {
			t.Errorf("error is %v; absent: %v", err, absent)
		}
	}},
	{"Large", func(t *testing.T, d *db) {
		const tenants, secrets = 50, 100
		d.update(func(tx store.Tx) error {
			for i := range tenants {
				a := newTenant(fmt.Sprintf("t%03d", i))
				if err := tx.EditTenants().Create(a); err != nil {
					return err
				}
				for j := range secrets {
					s := newSecret(fmt.Sprintf("s%03d", j))
					if err := errors.Join(tx.EditSecrets(a.ID).Create(s), tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(1))); err != nil {
						return err
					}
				}
			}
			return nil
		})
		last := get(d, func(r store.Reader) (*store.Tenant, error) { return r.Tenants().ByName("t049") })
		same(t, len(d.list(last, store.Query{Limit: 1000})), secrets)
	}},
	{"Stats", func(t *testing.T, d *db) {
		d.addTenant("acme")
		stats, err := d.Store.Stats(t.Context())
		if err != nil || stats.DataBytes <= 0 || stats.GroupCommits == 0 || stats.GroupedOps < stats.GroupCommits {
			t.Errorf("stats are %+v, %v", stats, err)
		}
	}},
	// Those who keep rows must learn of a change before its caller does.
	{"Epochs", func(t *testing.T, d *db) {
		s, ok := d.Store.(store.Epochs)
		if !ok {
			return // nobody keeps rows then
		}
		a := d.addTenant("acme")
		sec, _ := d.addSecret(a, "x")
		for name, c := range map[string]struct {
			run               func(store.Tx) error
			identity, secrets bool
		}{
			"tenants":     {func(tx store.Tx) error { return tx.EditTenants().Update(a) }, true, false},
			"principals":  {func(tx store.Tx) error { return tx.EditPrincipals().Create(newPrincipal(a, "bob")) }, true, false},
			"credentials": {func(tx store.Tx) error { return putCredential(tx, newToken(a, "tok_1")) }, true, false},
			"lasting documents": {func(tx store.Tx) error {
				return tx.EditDocuments().Create(newDocument(a, "k", "x"))
			}, true, false},
			"deleted documents": {func(tx store.Tx) error {
				return errors.Join(tx.EditDocuments().Create(newDocument(a, "k", "y")), tx.EditDocuments().Delete(a.ID, "k", "y"))
			}, true, false},
			"expiring documents": {func(tx store.Tx) error {
				row := newDocument(a, "once", "x")
				row.Expires = epoch.Add(time.Second)
				w := tx.EditDocuments()
				if err := errors.Join(w.Create(row), w.Update(row)); err != nil {
					return err
				}
				_, err := w.Expire(row.Expires, 9)
				return err
			}, false, false},
			"secrets": {func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(sec) }, false, true},
			"both": {func(tx store.Tx) error {
				return errors.Join(tx.EditTenants().Update(a), tx.EditSecrets(a.ID).Update(sec))
			}, true, true},
			"neither": {func(tx store.Tx) error { return tx.SetMeta("other", nil, []byte("x")) }, false, false},
		} {
			identity, secrets := s.IdentityEpoch(), s.SecretsEpoch(a.ID)
			d.update(c.run)
			if (s.IdentityEpoch() != identity) != c.identity || (s.SecretsEpoch(a.ID) != secrets) != c.secrets {
				t.Errorf("after a change of %s the epochs went from %d, %d to %d, %d", name, identity, secrets, s.IdentityEpoch(), s.SecretsEpoch(a.ID))
			}
		}
		identity, secrets := s.IdentityEpoch(), s.SecretsEpoch(a.ID)
		d.record("acme", "r")
		if s.IdentityEpoch() != identity || s.SecretsEpoch(a.ID) != secrets {
			t.Error("an epoch changes for a record, so nothing can be kept")
		}
	}},
	{"Scrub", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, _ := d.addSecret(a, "x")
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Purge(s.ID) })
		if err := d.Store.Scrub(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.addSecret(a, "y")
		same(t, d.list(a, store.Query{Limit: 9}), []secret.Name{"y"})
	}},
}

func differ(got, want any) error {
	if diff := diff(got, want); diff != "" {
		return fmt.Errorf("got (-), want (+):\n%s", diff)
	}
	return nil
}

func (d *db) meta(key string) (value []byte, absent bool) {
	d.t.Helper()
	d.view(func(r store.Reader) (err error) {
		value, err = r.Meta(key)
		if absent = errors.Is(err, store.ErrAbsent); absent {
			return nil
		}
		return err
	})
	return value, absent
}

// testSnapshot changes everything while a View is open.
func testSnapshot(t *testing.T, d *db) {
	a := d.addTenant("acme")
	s, v := d.addSecret(a, "x")
	d.view(func(r store.Reader) error {
		if _, err := r.Tenants().Tenant(a.ID); err != nil {
			return err
		}
		changed := *s
		changed.Metadata.Description = "changed"
		err := d.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.EditSecrets(a.ID).Update(&changed), tx.EditSecrets(a.ID).DeleteVersion(s.ID, 1),
				tx.EditSecrets(a.ID).Create(newSecret("y")))
		})
		if err != nil {
			return err
		}
		got, version, err := r.Secrets(a.ID).Find("x", store.Selector{}, "")
		list, err2 := r.Secrets(a.ID).List(store.Query{Limit: 9})
		return errors.Join(err, err2, differ(got, s), differ(version, v), differ(len(list), 1))
	})
	same(t, d.list(a, store.Query{Limit: 9}), []secret.Name{"x", "y"})
}

// testConcurrent lets many operations share commits. Every third fails after it
// has written; all leave a record.
func testConcurrent(t *testing.T, d *db) {
	const goroutines, each = 64, 12
	a := d.addTenant("acme")
	var want, recorded []string
	var wg sync.WaitGroup
	for g := range goroutines {
		for i := range each {
			name := fmt.Sprintf("s%02d-%02d", g, i)
			recorded = append(recorded, name)
			if i%3 != 2 {
				want = append(want, name)
			}
		}
		wg.Go(func() {
			for i := range each {
				if err := concurrentStep(d, a.ID, fmt.Sprintf("s%02d-%02d", g, i), i%3 == 2); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var got []string
	for _, n := range d.list(a, store.Query{Limit: goroutines * each}) {
		got = append(got, string(n))
	}
	same(t, got, want)
	records := d.correlations()
	slices.Sort(records)
	same(t, records, recorded)
}

func concurrentStep(d *db, tenant secret.TenantID, name string, fail bool) error {
	ctx := d.t.Context()
	err := d.Update(ctx, func(tx store.Tx) error {
		tx.Audit(newRecord("acme", name))
		s := newSecret(name)
		w := tx.EditSecrets(tenant)
		if err := errors.Join(w.Create(s), w.AddVersion(s.ID, newVersion(1))); err != nil {
			return err
		}
		if fail {
			return errBusiness
		}
		return nil
	})
	if fail && !errors.Is(err, errBusiness) || !fail && err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	// What was acknowledged is seen by the next View.
	return d.View(ctx, func(r store.Reader) error {
		_, _, err := r.Secrets(tenant).Find(secret.Name(name), store.Selector{}, "")
		if fail && errors.Is(err, store.ErrAbsent) {
			return nil
		}
		if err == nil && fail {
			err = fmt.Errorf("%s is there, though it was rolled back", name)
		}
		return err
	})
}

// testLostUpdate lets many compare and set one row: each must win once.
func testLostUpdate(t *testing.T, d *db) {
	const goroutines, each = 16, 5
	a := d.addTenant("acme")
	d.addSecret(a, "x")
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				for {
					var s *store.Secret
					err := d.View(t.Context(), func(r store.Reader) (err error) { s, err = r.Secrets(a.ID).Secret("x"); return err })
					if err == nil {
						s.Last++
						err = d.Update(t.Context(), func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(s) })
					}
					if err == nil {
						break
					}
					if !errors.Is(err, store.ErrStale) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	got := get(d, func(r store.Reader) (*store.Secret, error) { return r.Secrets(a.ID).Secret("x") })
	same(t, got.Last, 1+goroutines*each)
	same(t, got.Revision, 1+goroutines*each)
}
