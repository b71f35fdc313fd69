package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
)

var secretCases = []testcase{
	{"RoundTrip", testSecretRoundTrip},
	{"Taken", func(t *testing.T, d *db) {
		a, b := d.addTenant("acme"), d.addTenant("bolt")
		s, _ := d.addSecret(a, "db/password")
		byName, byID := newSecret("db/password"), newSecret("other")
		byID.ID = s.ID
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditSecrets(a.ID).Create(byName) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditSecrets(a.ID).Create(byID) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditSecrets(secret.NewTenantID()).Create(byName) })
		d.update(func(tx store.Tx) error { return tx.EditSecrets(b.ID).Create(byName) })
	}},
	{"Update", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, _ := d.addSecret(a, "db/password")
		old := *s
		s.Metadata.Description, s.Changed = "new", epoch.Add(days(1))
		s.Labels = map[secret.Label]secret.Version{secret.Current: 2, secret.Previous: 1, "blue": 2}
		s.Last, s.Versions = 2, 2
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(s) })
		same(t, s.Revision, old.Revision+1)
		same(t, get(d, func(r store.Reader) (*store.Secret, error) { return r.Secrets(a.ID).Secret(s.Name) }), s)
		d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(&old) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(newSecret("none")) })
	}},
	{"Names", testNames},
	{"List", testList},
	{"Due", testDue},
	{"Paging", testPaging},
	{"Usage", testUsage},
	{"Purge", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, v := d.addSecret(a, "db/password")
		kept, _ := d.addSecret(a, "db/password2")
		touch := func(id secret.ID) func(store.Tx) error {
			return func(tx store.Tx) error {
				return tx.EditSecrets(a.ID).Touch(store.VersionRef{Secret: id, Number: 1}, "alice", 9)
			}
		}
		d.update(touch(s.ID))
		d.update(touch(kept.ID))
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Purge(s.ID) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditSecrets(a.ID).Purge(s.ID) })
		d.absent(func(r store.Reader) error { _, err := r.Secrets(a.ID).Secret(s.Name); return err })
		d.absent(func(r store.Reader) error { _, err := r.Secrets(a.ID).Version(s.ID, v.Number); return err })
		out := d.dump(a)
		same(t, len(out.Secrets), 1)
		same(t, out.Consumers[kept.ID], []store.Consumer{{Principal: "alice", Version: 1, Day: 9}})
		same(t, get(d, func(r store.Reader) ([]store.Consumer, error) { return r.Secrets(a.ID).Consumers(s.ID) }), nil)
		// The name and even the id are free again, and nothing of the past shows.
		again := newSecret("db/password")
		again.ID = s.ID
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditSecrets(a.ID).Create(again), tx.EditSecrets(a.ID).AddVersion(again.ID, newVersion(1)))
		})
		got := get(d, func(r store.Reader) (*store.Version, error) { return r.Secrets(a.ID).Version(again.ID, 1) })
		same(t, got.LastRead, 0)
	}},
}

// fullSecret has every field set.
func fullSecret() *store.Secret {
	return &store.Secret{
		ID: secret.NewID(), Name: "A-z/0_9+=.@-!",
		Metadata: secret.Metadata{
			Description:      "Zürich \"quoted\" \\ 日本",
			Tags:             map[string]string{"team": "core", "ключ": "", "a b": "\n"},
			Algorithm:        secret.HybridQuantum,
			RotationRequired: true,
			RotationInterval: schedule.Every7d,
			AccessPolicy: secret.AccessPolicy{
				AllowedServices: []string{"web", "api"}, AllowedEnvironments: []secret.Environment{secret.Prod}, RequiresMFA: true,
			},
		},
		AWS: secret.AWS{
			KMSKeyID: "alias/x", Type: "y", Policy: "{}", Tagged: true, Home: "eu-west-1", Suffix: "AbCdEf",
			Rotation: secret.AWSRotation{
				Enabled: true, Function: "fastness:rotator/z", Days: 30, Duration: "3h", Schedule: "rate(30 days)",
				External: []secret.AWSMetadata{{Key: "k", Text: "v"}}, ExternalRole: "arn:aws:iam::123456789012:role/r",
			},
			Replicas: []secret.AWSReplica{{Region: "eu-west-1", KMSKeyID: "k", Failure: "f"}},
		},
		Labels: map[secret.Label]secret.Version{
			secret.Current: 9, secret.Previous: 8, secret.Pending: 10, "blue": 3, "Ünïcode \"x\"": 4,
		},
		Last: 10, Versions: 7, Revision: 41,
		Created: epoch, Changed: epoch.Add(1e6), LastRotated: epoch.Add(2e6), NextRotation: epoch.Add(3e6), Deletion: epoch.Add(4e6), WorkAt: epoch.Add(5e6),
	}
}

func testSecretRoundTrip(t *testing.T, d *db) {
	a := d.addTenant("acme")
	bare := &store.Secret{
		ID: secret.NewID(), Name: "x", Revision: 1, Created: epoch,
		Metadata: secret.Metadata{Algorithm: secret.AES256GCM, RotationInterval: schedule.Default},
	}
	none := newSecret("none")
	none.Metadata.AccessPolicy = secret.AccessPolicy{AllowedServices: []string{}, AllowedEnvironments: []secret.Environment{}}
	for _, want := range []*store.Secret{fullSecret(), bare, none} {
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Create(want) })
		got := get(d, func(r store.Reader) (*store.Secret, error) { return r.Secrets(a.ID).Secret(want.Name) })
		same(t, got, want)
	}
	d.absent(func(r store.Reader) error { _, err := r.Secrets(a.ID).Secret("X"); return err })
	d.absent(func(r store.Reader) error { _, err := r.Secrets(a.ID).Secret(""); return err })
}

// testNames makes sure that names are compared byte by byte and mean nothing.
func testNames(t *testing.T, d *db) {
	a := d.addTenant("acme")
	names := []string{"a", "A", "a/", "a//b", "../a", "a%2Fb", "a.b", "a_b", "a-b", strings.Repeat("n", secret.MaxName)}
	for _, n := range names {
		d.addSecret(a, n)
	}
	for _, n := range names {
		got := get(d, func(r store.Reader) (*store.Secret, error) { return r.Secrets(a.ID).Secret(secret.Name(n)) })
		same(t, got.Name, secret.Name(n))
	}
	same(t, len(d.list(a, store.Query{Prefix: "a", Limit: 100})), 7)
	same(t, d.list(a, store.Query{Prefix: "a_", Limit: 100}), []secret.Name{"a_b"})
	same(t, d.list(a, store.Query{Prefix: "a%", Limit: 100}), []secret.Name{"a%2Fb"})
}

func (d *db) list(t *store.Tenant, q store.Query) []secret.Name {
	d.t.Helper()
	list := get(d, func(r store.Reader) ([]*store.Secret, error) { return r.Secrets(t.ID).List(q) })
	var names []secret.Name
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}

func testList(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	for _, n := range []string{"c", "a/2", "b", "a", "a/1", "a0"} {
		d.addSecret(a, n)
	}
	d.addSecret(b, "a/other")
	gone, _ := d.addSecret(a, "a/gone")
	gone.Deletion = epoch
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Update(gone) })
	for _, c := range []struct {
		q    store.Query
		want []secret.Name
	}{
		{store.Query{Limit: 10}, []secret.Name{"a", "a/1", "a/2", "a0", "b", "c"}},
		{store.Query{Limit: 2}, []secret.Name{"a", "a/1"}},
		{store.Query{Limit: 2, After: "a/1"}, []secret.Name{"a/2", "a0"}},
		{store.Query{Limit: 10, After: "c"}, nil},
		{store.Query{Limit: 10, Prefix: "a/"}, []secret.Name{"a/1", "a/2"}},
		{store.Query{Limit: 10, Prefix: "a/", After: "a/1"}, []secret.Name{"a/2"}},
		{store.Query{Limit: 10, Prefix: "a/", After: "a"}, []secret.Name{"a/1", "a/2"}},
		{store.Query{Limit: 10, Prefix: "a/", After: "b"}, nil},
		{store.Query{Limit: 10, Prefix: "z"}, nil},
		{store.Query{Limit: 10, Deleted: true}, []secret.Name{"a/gone"}},
		{store.Query{Limit: 10, Deleted: true, Prefix: "b"}, nil},
		{store.Query{Limit: 10, Deleted: true, After: "a/gone"}, nil},
		{store.Query{}, nil},
	} {
		if diff := diff(d.list(a, c.q), c.want); diff != "" {
			t.Errorf("%+v: got (-), want (+):\n%s", c.q, diff)
		}
	}
}

func testDue(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	owner := b
	add := func(name string, change func(*store.Secret)) {
		s := newSecret(name)
		s.Metadata.RotationRequired, s.NextRotation = true, epoch
		change(s)
		d.update(func(tx store.Tx) error { return tx.EditSecrets(owner.ID).Create(s) })
	}
	add("of another tenant", func(s *store.Secret) {})
	owner = a
	add("now", func(s *store.Secret) {})
	add("before", func(s *store.Secret) { s.NextRotation = epoch.Add(-days(9)) })
	add("after", func(s *store.Secret) { s.NextRotation = epoch.Add(1e6) })
	add("free", func(s *store.Secret) { s.Metadata.RotationRequired = false })
	add("deleted", func(s *store.Secret) { s.Deletion = epoch })
	add("never", func(s *store.Secret) { s.NextRotation = time.Time{} })
	same(t, d.list(a, store.Query{DueBefore: epoch, Limit: 9}), []secret.Name{"before", "now"})
	same(t, d.list(a, store.Query{DueBefore: epoch, Limit: 1}), []secret.Name{"before"})
	same(t, d.list(a, store.Query{DueBefore: epoch, Limit: 1, After: "before"}), []secret.Name{"now"})
	same(t, d.list(a, store.Query{DueBefore: epoch.Add(-days(10)), Limit: 9}), nil)
	same(t, d.list(a, store.Query{DueBefore: epoch, Prefix: "n", Limit: 9}), []secret.Name{"now"})
}

// testPaging walks pages while others come and go: what was there all the time
// is seen exactly once, in order.
func testPaging(t *testing.T, d *db) {
	a := d.addTenant("acme")
	var want []secret.Name
	for i := range 40 {
		s, _ := d.addSecret(a, fmt.Sprintf("s%03d", 10*i))
		want = append(want, s.Name)
	}
	isWanted := make(map[secret.Name]bool)
	for _, n := range want {
		isWanted[n] = true
	}
	var got []secret.Name
	var after secret.Name
	var passing []secret.ID
	for i := 0; ; i++ {
		page := d.list(a, store.Query{After: after, Limit: 7})
		if len(page) == 0 {
			break
		}
		for _, n := range page {
			if isWanted[n] {
				got = append(got, n)
			}
			after = n
		}
		// One comes in behind the cursor, one before it, and one of those leaves.
		behind, _ := d.addSecret(a, fmt.Sprintf("s000-%d", i))
		d.addSecret(a, fmt.Sprintf("s%03d-%d", 395-i, i))
		if passing = append(passing, behind.ID); len(passing) > 1 {
			d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Purge(passing[len(passing)-2]) })
		}
	}
	same(t, got, want)
}

// testUsage holds the counters to what is there, through every way that rows
// come and go.
func testUsage(t *testing.T, d *db) {
	a, b := d.addTenant("acme"), d.addTenant("bolt")
	s, _ := d.addSecret(a, "one")
	d.addSecret(b, "one")
	expect := func(secrets, versions int64, bytes int) {
		t.Helper()
		same(t, get(d, func(r store.Reader) (store.Usage, error) { return r.Secrets(a.ID).Usage() }),
			store.Usage{Secrets: secrets, Versions: versions, Bytes: int64(bytes)})
		same(t, get(d, func(r store.Reader) (store.Usage, error) { return r.Secrets(b.ID).Usage() }),
			store.Usage{Secrets: 1, Versions: 1, Bytes: int64(versionSize)})
	}
	expect(1, 1, versionSize)
	d.addSecret(a, "two")
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(2)) })
	expect(2, 3, 3*versionSize)
	d.refused(errBusiness, func(tx store.Tx) error {
		return errors.Join(tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(3)), errBusiness)
	})
	d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(2)) })
	expect(2, 3, 3*versionSize)
	d.update(func(tx store.Tx) error {
		v := newVersion(2)
		v.Envelope = make([]byte, 1000)
		return tx.EditSecrets(a.ID).Rewrap(s.ID, v, newVersion(2).Envelope)
	})
	expect(2, 3, 3*versionSize+1000-len(newVersion(2).Envelope))
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).DeleteVersion(s.ID, 2) })
	expect(2, 2, 2*versionSize)
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Purge(s.ID) })
	expect(1, 1, versionSize)
	d.reopen()
	expect(1, 1, versionSize)
	d.update(func(tx store.Tx) error { return tx.EditTenants().Erase(a.ID) })
	expect(0, 0, 0)
}

// versionSize is how much a newVersion counts.
const versionSize = len("envelope 1") + len("ciphertext 1")
