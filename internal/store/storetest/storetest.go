// Package storetest is what every backend of package store must pass. It takes
// a way to make fresh databases and runs all cases against them: each role,
// transactions and their isolation, the audit log, durability, and streams of
// random operations beside a model in memory.
//
// It knows nothing of any backend: no file, no SQL, and no more of time than
// that it is kept to the millisecond. New behaviour of a backend enters here
// first. Start with Run and its table of cases.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fastness/internal/audit"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Fresh makes an empty database for one test, and returns a function that
// opens it. It is called again after the store was closed, to see what stayed.
type Fresh func(t *testing.T) (open func() (store.Store, error))

// Run runs every case, each on a database of its own.
func Run(t *testing.T, fresh Fresh) {
	groups := []struct {
		name  string
		cases []testcase
	}{
		{"Meta", metaCases},
		{"Tenants", tenantCases},
		{"Secrets", secretCases},
		{"Versions", versionCases},
		{"Principals", principalCases},
		{"Credentials", credentialCases},
		{"Documents", documentCases},
		{"Leases", leaseCases},
		{"Log", logCases},
		{"Rows", rowCases},
		{"Transactions", transactionCases},
		{"Crossing", crossingCases},
		{"Durability", durabilityCases},
		{"Streams", streamCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, newDB(t, fresh)) })
			}
		})
	}
}

type testcase struct {
	name string
	run  func(t *testing.T, d *db)
}

// db is the database of one test.
type db struct {
	store.Store
	t    *testing.T
	open func() (store.Store, error)
}

func newDB(t *testing.T, fresh Fresh) *db {
	t.Helper()
	d := &db{t: t, open: fresh(t)}
	s, err := d.open()
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	d.Store = s
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return d
}

// reopen closes the store and opens it again.
func (d *db) reopen() {
	d.t.Helper()
	if err := d.Close(); err != nil {
		d.t.Fatalf("closing: %v", err)
	}
	s, err := d.open()
	if err != nil {
		d.t.Fatalf("opening again: %v", err)
	}
	d.Store = s
}

// update runs f, which must succeed.
func (d *db) update(f func(store.Tx) error) {
	d.t.Helper()
	if err := d.Update(d.t.Context(), f); err != nil {
		d.t.Fatalf("updating: %v", err)
	}
}

// refused runs f, which must fail with want.
func (d *db) refused(want error, f func(store.Tx) error) {
	d.t.Helper()
	if err := d.Update(d.t.Context(), f); !errors.Is(err, want) {
		d.t.Fatalf("error is %v, want %v", err, want)
	}
}

// view runs f, which must succeed.
func (d *db) view(f func(store.Reader) error) {
	d.t.Helper()
	if err := d.View(d.t.Context(), f); err != nil {
		d.t.Fatalf("viewing: %v", err)
	}
}

// absent runs f in a View, which must fail with ErrAbsent.
func (d *db) absent(f func(store.Reader) error) {
	d.t.Helper()
	if err := d.View(d.t.Context(), f); !errors.Is(err, store.ErrAbsent) {
		d.t.Fatalf("error is %v, want %v", err, store.ErrAbsent)
	}
}

// get reads one value in a View.
func get[T any](d *db, f func(store.Reader) (T, error)) T {
	d.t.Helper()
	var out T
	d.view(func(r store.Reader) (err error) {
		out, err = f(r)
		return err
	})
	return out
}

// same fails the test if got differs from want. Absent and empty lists and
// maps are the same.
func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := diff(got, want); diff != "" {
		t.Fatalf("got (-), want (+):\n%s", diff)
	}
}

func diff(got, want any) string { return cmp.Diff(got, want, diffOptions) }

var diffOptions = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(secret.AccessPolicy.Equal),
	// Byte by byte, cmp takes most of the suite's time.
	cmp.FilterValues(func(a, b []byte) bool { return len(a) > 0 && len(b) > 0 }, cmp.Comparer(bytes.Equal)),
}

// epoch is a time in whole milliseconds that tests count from.
var epoch = time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// newTenant returns a row that no other test case has used.
func newTenant(name string) *store.Tenant {
	return &store.Tenant{
		ID: secret.NewTenantID(), Name: secret.TenantName(name), Account: secret.NewAccountNumber(),
		Algorithm: secret.AES256GCM, Key: 1, Created: epoch, Revision: 1,
	}
}

// addTenant stores a new tenant.
func (d *db) addTenant(name string) *store.Tenant {
	d.t.Helper()
	t := newTenant(name)
	d.update(func(tx store.Tx) error { return tx.EditTenants().Create(t) })
	return t
}

// newSecret returns a row with one version under the label Current.
func newSecret(name string) *store.Secret {
	return &store.Secret{
		ID: secret.NewID(), Name: secret.Name(name),
		Metadata: secret.Metadata{Algorithm: secret.AES256GCM, RotationInterval: schedule.Default},
		Labels:   map[secret.Label]secret.Version{secret.Current: 1},
		Last:     1, Versions: 1, Revision: 1,
		Created: epoch, Changed: epoch, LastRotated: epoch, NextRotation: epoch.Add(days(90)),
	}
}

func newVersion(number secret.Version) *store.Version {
	return &store.Version{
		Number: number, ID: secret.NewVersionID(), Algorithm: secret.AES256GCM, Key: 1,
		Envelope:   []byte("envelope " + number.String()),
		Ciphertext: []byte("ciphertext " + number.String()),
		Created:    epoch,
	}
}

// addSecret stores a new secret with its first version.
func (d *db) addSecret(t *store.Tenant, name string) (*store.Secret, *store.Version) {
	d.t.Helper()
	s, v := newSecret(name), newVersion(1)
	d.update(func(tx store.Tx) error {
		w := tx.EditSecrets(t.ID)
		return errors.Join(w.Create(s), w.AddVersion(s.ID, v))
	})
	return s, v
}

// newRecord returns an audit record, told apart by its correlation id.
func newRecord(t secret.TenantName, correlation string) audit.Record {
	r, err := audit.NewRecord(audit.Entry{
		Timestamp: epoch, TenantID: t, Action: audit.Read, Result: audit.Success,
		SecretName: "db/password", UserID: "alice", CorrelationID: correlation,
	})
	if err != nil {
		panic(err)
	}
	return r
}

// record commits a record by itself.
func (d *db) record(t secret.TenantName, correlation string) {
	d.t.Helper()
	if err := d.Record(d.t.Context(), newRecord(t, correlation)); err != nil {
		d.t.Fatalf("recording: %v", err)
	}
}

// correlations returns those of all records that wait for their place, in order.
func (d *db) correlations() []string {
	d.t.Helper()
	return get(d, func(r store.Reader) ([]string, error) {
		var out []string
		batches, err := r.Log().Pending(1 << 30)
		for _, b := range batches {
			for _, rec := range b.Records {
				e, err := rec.Entry()
				if err != nil {
					return nil, err
				}
				out = append(out, e.CorrelationID)
			}
		}
		return out, err
	})
}

// canceled is a context that has ended.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
