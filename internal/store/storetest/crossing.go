package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// victim is a tenant with one of everything, and intruder another one with
// nothing, who knows all of the victim's ids.
type victim struct {
	tenant   *store.Tenant
	secret   *store.Secret
	version  *store.Version
	intruder *store.Tenant
}

func newVictim(d *db) *victim {
	v := &victim{tenant: d.addTenant("acme"), intruder: d.addTenant("bolt")}
	v.secret, v.version = d.addSecret(v.tenant, "db/password")
	d.update(func(tx store.Tx) error {
		return errors.Join(
			tx.EditTenants().PutKey(v.tenant.ID, &store.TenantKey{Number: 1, KEK: []byte("kek"), Created: epoch}),
			tx.EditSecrets(v.tenant.ID).Touch(store.VersionRef{Secret: v.secret.ID, Number: 1}, "alice", 9),
			tx.EditPrincipals().Create(newVictimPrincipal(v.tenant)),
			tx.EditCredentials().Create(newVictimToken(v.tenant)),
			tx.EditDocuments().Create(newVictimDocument(v.tenant)))
	})
	return v
}

// newVictimPrincipal returns a principal that a provider knows.
func newVictimPrincipal(t *store.Tenant) *store.Principal {
	p := newPrincipal(t, "alice")
	p.Subject = "s"
	return p
}

// newVictimToken returns a token that has ended.
func newVictimToken(t *store.Tenant) *store.Credential {
	c := newToken(t, "tok_victim")
	c.Revoked = epoch
	return c
}

// newVictimDocument returns a document with a sealed part.
func newVictimDocument(t *store.Tenant) *store.Document {
	d := newDocument(t, "factor", "alice/1")
	d.Sealed, d.Key = []byte("sealed"), 1
	return d
}

// crossing holds, for every method of a role, an attempt to reach the victim's
// rows through another tenant's handle. It must end with ErrAbsent, or with
// nothing found.
type crossing[R any] map[string]func(v *victim, r R) error

// nothing is the answer of a list that must be empty.
func nothing[T any](list []T, err error) error {
	if err == nil && len(list) == 0 {
		return store.ErrAbsent
	}
	return errors.Join(err, fmt.Errorf("found %d", len(list)))
}

var secretReaderCrossing = crossing[store.SecretReader]{
	"Secret": func(v *victim, r store.SecretReader) error { _, err := r.Secret(v.secret.Name); return err },
	"Find": func(v *victim, r store.SecretReader) error {
		for _, sel := range []store.Selector{{}, {Number: 1}, {ID: v.version.ID}, {Label: secret.Previous}} {
			s, version, err := r.Find(v.secret.Name, sel, "alice")
			if !errors.Is(err, store.ErrAbsent) || s != nil || version != nil {
				return fmt.Errorf("%+v found %v, %v, %v", sel, s, version, err)
			}
		}
		return store.ErrAbsent
	},
	"Versions":    func(v *victim, r store.SecretReader) error { return nothing(r.Versions(v.secret.ID, 0, 9)) },
	"Version":     func(v *victim, r store.SecretReader) error { _, err := r.Version(v.secret.ID, 1); return err },
	"List":        func(v *victim, r store.SecretReader) error { return nothing(r.List(store.Query{Limit: 9})) },
	"NotUnderKey": func(v *victim, r store.SecretReader) error { return nothing(r.NotUnderKey(9, store.VersionRef{}, 9)) },
	"Consumers":   func(v *victim, r store.SecretReader) error { return nothing(r.Consumers(v.secret.ID)) },
	"Usage": func(v *victim, r store.SecretReader) error {
		u, err := r.Usage()
		return nothing(make([]byte, u.Secrets+u.Versions+u.Bytes), err)
	},
}

var secretWriterCrossing = crossing[store.SecretWriter]{
	// The same name is another secret; even the same id is.
	"Create": func(v *victim, w store.SecretWriter) error {
		s := newSecret(string(v.secret.Name))
		s.ID = v.secret.ID
		return errors.Join(w.Create(s), w.Purge(s.ID), store.ErrAbsent)
	},
	"Update": func(v *victim, w store.SecretWriter) error {
		s := *v.secret
		s.Metadata.Description = "crossed"
		return w.Update(&s)
	},
	"Purge":      func(v *victim, w store.SecretWriter) error { return w.Purge(v.secret.ID) },
	"AddVersion": func(v *victim, w store.SecretWriter) error { return w.AddVersion(v.secret.ID, newVersion(2)) },
	"Rewrap": func(v *victim, w store.SecretWriter) error {
		crossed := *v.version
		crossed.Envelope = []byte("crossed")
		return w.Rewrap(v.secret.ID, &crossed, v.version.Envelope)
	},
	"DeleteVersion": func(v *victim, w store.SecretWriter) error { return w.DeleteVersion(v.secret.ID, 1) },
	"Touch": func(v *victim, w store.SecretWriter) error {
		return w.Touch(store.VersionRef{Secret: v.secret.ID, Number: 1}, "mallory", 10)
	},
}

// The roles that name the tenant in each call are tried with the intruder's id
// and the victim's other ids. What looks up by a name or a hash of the whole
// deployment has nothing to cross.
var tenantReaderCrossing = crossing[store.TenantReader]{
	"Tenant":    nil,
	"ByName":    nil,
	"ByAccount": nil,
	"List":      nil,
	"AllKeys":   nil,
	"Count":     nil,
	"Expired":   nil,
	"Work":      nil,
	"WorkLoad":  nil,
	"Key":       func(v *victim, r store.TenantReader) error { _, err := r.Key(v.intruder.ID, 1); return err },
	"Keys":      func(v *victim, r store.TenantReader) error { return nothing(r.Keys(v.intruder.ID)) },
}

var tenantWriterCrossing = crossing[store.TenantWriter]{
	"Create": func(v *victim, w store.TenantWriter) error {
		t := newTenant("crossed")
		t.ID = v.tenant.ID
		if err := w.Create(t); !errors.Is(err, store.ErrTaken) {
			return err
		}
		return store.ErrAbsent
	},
	"Update": func(v *victim, w store.TenantWriter) error {
		t := *v.tenant
		t.ID = v.intruder.ID
		return errors.Join(w.Update(&t), store.ErrAbsent)
	},
	"PutKey": func(v *victim, w store.TenantWriter) error {
		return errors.Join(w.PutKey(v.intruder.ID, &store.TenantKey{Number: 1, KEK: []byte("crossed")}), w.DeleteKey(v.intruder.ID, 1), store.ErrAbsent)
	},
	"DeleteKey": func(v *victim, w store.TenantWriter) error { return w.DeleteKey(v.intruder.ID, 1) },
	"Erase": func(v *victim, w store.TenantWriter) error {
		return errors.Join(w.Erase(v.intruder.ID), store.ErrAbsent)
	},
}

var credentialWriterCrossing = crossing[store.CredentialWriter]{
	"Create": func(v *victim, w store.CredentialWriter) error {
		if err := w.Create(newToken(v.intruder, "tok_victim")); !errors.Is(err, store.ErrTaken) {
			return err
		}
		return store.ErrAbsent
	},
	"Update": func(v *victim, w store.CredentialWriter) error { return w.Update(newToken(v.intruder, "tok_victim")) },
	"Delete": nil, // ids are of the whole deployment; the service knows whose they are
}

var credentialReaderCrossing = crossing[store.CredentialReader]{
	"ByHash": nil,
	"ByID":   nil,
	"List":   func(v *victim, r store.CredentialReader) error { return nothing(r.List(v.intruder.ID, "", 9)) },
	"OfPrincipal": func(v *victim, r store.CredentialReader) error {
		return nothing(r.OfPrincipal(v.intruder.ID, "alice", 9))
	},
	"Ended": func(v *victim, r store.CredentialReader) error {
		return nothing(r.Ended(v.intruder.ID, epoch.Add(days(10_000)), 9))
	},
	"Count": func(v *victim, r store.CredentialReader) error {
		n, err := r.Count(v.intruder.ID)
		return nothing(make([]byte, n), err)
	},
}

var principalReaderCrossing = crossing[store.PrincipalReader]{
	"Principal": func(v *victim, r store.PrincipalReader) error {
		_, err := r.Principal(v.intruder.ID, "alice")
		return err
	},
	"BySubject": func(v *victim, r store.PrincipalReader) error { _, err := r.BySubject(v.intruder.ID, "s"); return err },
	"List":      func(v *victim, r store.PrincipalReader) error { return nothing(r.List(v.intruder.ID, "", 9)) },
	"Count": func(v *victim, r store.PrincipalReader) error {
		n, err := r.Count(v.intruder.ID)
		return nothing(make([]byte, n), err)
	},
}

var principalWriterCrossing = crossing[store.PrincipalWriter]{
	// The same name is another principal.
	"Create": func(v *victim, w store.PrincipalWriter) error {
		return errors.Join(w.Create(newPrincipal(v.intruder, "alice")), w.Delete(v.intruder.ID, "alice"), store.ErrAbsent)
	},
	"Update": func(v *victim, w store.PrincipalWriter) error { return w.Update(newPrincipal(v.intruder, "alice")) },
	"Delete": func(v *victim, w store.PrincipalWriter) error { return w.Delete(v.intruder.ID, "alice") },
}

var documentReaderCrossing = crossing[store.DocumentReader]{
	"Document": func(v *victim, r store.DocumentReader) error {
		_, err := r.Document(v.intruder.ID, "factor", "alice/1")
		return err
	},
	"Documents": func(v *victim, r store.DocumentReader) error {
		return nothing(r.Documents(v.intruder.ID, "factor", "", "", 9))
	},
	"NotUnderKey": func(v *victim, r store.DocumentReader) error {
		return nothing(r.NotUnderKey(v.intruder.ID, 9, store.DocumentRef{}, 9))
	},
}

var documentWriterCrossing = crossing[store.DocumentWriter]{
	"Create": func(v *victim, w store.DocumentWriter) error {
		return errors.Join(w.Create(newVictimDocument(v.intruder)), w.Delete(v.intruder.ID, "factor", "alice/1"), store.ErrAbsent)
	},
	"Update": func(v *victim, w store.DocumentWriter) error { return w.Update(newVictimDocument(v.intruder)) },
	"Delete": func(v *victim, w store.DocumentWriter) error { return w.Delete(v.intruder.ID, "factor", "alice/1") },
	"Expire": nil, // it is for all owners alike
}

var crossingCases = []testcase{
	{"SecretReader", func(t *testing.T, d *db) {
		cross(t, d, secretReaderCrossing, func(v *victim, tx store.Tx) store.SecretReader { return tx.Secrets(v.intruder.ID) })
	}},
	{"SecretReader of nobody", func(t *testing.T, d *db) {
		cross(t, d, secretReaderCrossing, func(_ *victim, tx store.Tx) store.SecretReader { return tx.Secrets(secret.TenantID{}) })
	}},
	{"SecretWriter", func(t *testing.T, d *db) {
		cross(t, d, secretWriterCrossing, func(v *victim, tx store.Tx) store.SecretWriter { return tx.EditSecrets(v.intruder.ID) })
	}},
	{"TenantReader", func(t *testing.T, d *db) {
		cross(t, d, tenantReaderCrossing, func(_ *victim, tx store.Tx) store.TenantReader { return tx.Tenants() })
	}},
	{"TenantWriter", func(t *testing.T, d *db) {
		cross(t, d, tenantWriterCrossing, func(_ *victim, tx store.Tx) store.TenantWriter { return tx.EditTenants() })
	}},
	{"Twins", testTwins},
	{"PrincipalReader", func(t *testing.T, d *db) {
		cross(t, d, principalReaderCrossing, func(_ *victim, tx store.Tx) store.PrincipalReader { return tx.Principals() })
	}},
	{"PrincipalWriter", func(t *testing.T, d *db) {
		cross(t, d, principalWriterCrossing, func(_ *victim, tx store.Tx) store.PrincipalWriter { return tx.EditPrincipals() })
	}},
	{"DocumentReader", func(t *testing.T, d *db) {
		cross(t, d, documentReaderCrossing, func(_ *victim, tx store.Tx) store.DocumentReader { return tx.Documents() })
	}},
	{"DocumentWriter", func(t *testing.T, d *db) {
		cross(t, d, documentWriterCrossing, func(_ *victim, tx store.Tx) store.DocumentWriter { return tx.EditDocuments() })
	}},
	{"CredentialReader", func(t *testing.T, d *db) {
		cross(t, d, credentialReaderCrossing, func(_ *victim, tx store.Tx) store.CredentialReader { return tx.Credentials() })
	}},
	{"CredentialWriter", func(t *testing.T, d *db) {
		cross(t, d, credentialWriterCrossing, func(_ *victim, tx store.Tx) store.CredentialWriter { return tx.EditCredentials() })
	}},
}

// cross makes every attempt, commits what it did, and expects the victim whole.
func cross[R any](t *testing.T, d *db, attempts crossing[R], role func(*victim, store.Tx) R) {
	v := newVictim(d)
	before := d.dump(v.tenant)
	for m := range reflect.TypeFor[R]().Methods() {
		attempt, known := attempts[m.Name]
		if !known {
			t.Errorf("no attempt is made to cross by %s", m.Name)
		}
		if attempt == nil {
			continue
		}
		d.update(func(tx store.Tx) error {
			if err := attempt(v, role(v, tx)); !errors.Is(err, store.ErrAbsent) {
				t.Errorf("%s: error is %v, want %v", m.Name, err, store.ErrAbsent)
			}
			return nil
		})
		same(t, d.dump(v.tenant), before)
	}
}

// newTwins makes two tenants that hold the same: secrets with the same names
// and ids, of versions with the same numbers and ids, read by the same people.
// It returns one secret of many.
func newTwins(d *db) (a *store.Tenant, s *store.Secret, b *store.Tenant) {
	a, b = d.addTenant("acme"), d.addTenant("bolt")
	for i := range 4 {
		s = newSecret(fmt.Sprint("s", i))
		s.Last, s.Versions = 3, 3
		versions := []*store.Version{newVersion(1), newVersion(2), newVersion(3)}
		for _, t := range []*store.Tenant{a, b} {
			d.update(func(tx store.Tx) error {
				w := tx.EditSecrets(t.ID)
				err := w.Create(s)
				for _, v := range versions {
					err = errors.Join(err, w.AddVersion(s.ID, v), w.Touch(store.VersionRef{Secret: s.ID, Number: v.Number}, "alice", 9))
				}
				return err
			})
		}
	}
	return a, s, b
}

// neighbours is what a tenant holds beside one version.
func (d *db) neighbours(t *store.Tenant, ref store.VersionRef) dump {
	d.t.Helper()
	out := d.dump(t)
	out.Tenant, out.Usage = nil, store.Usage{}
	out.Secrets = slices.DeleteFunc(out.Secrets, func(s *store.Secret) bool { return s.ID == ref.Secret })
	out.Versions[ref.Secret] = slices.DeleteFunc(out.Versions[ref.Secret], func(v *store.Version) bool { return v.Number == ref.Number })
	out.Consumers[ref.Secret] = slices.DeleteFunc(out.Consumers[ref.Secret], func(c store.Consumer) bool { return c.Version == ref.Number })
	return out
}

// testTwins changes one version in every way. Its twin in the other tenant
// stays as it is, and so do its neighbours.
func testTwins(t *testing.T, d *db) {
	a, s, b := newTwins(d)
	before := d.dump(b)
	ref := store.VersionRef{Secret: s.ID, Number: 2}
	steps := []struct {
		name string
		run  func(store.SecretWriter) error
	}{
		{"Touch", func(w store.SecretWriter) error { return w.Touch(ref, "bob", 10) }},
		{"Rewrap", func(w store.SecretWriter) error {
			return w.Rewrap(s.ID, &store.Version{Number: 2, Algorithm: secret.HybridQuantum, Key: 2, Envelope: []byte("new")}, newVersion(2).Envelope)
		}},
		{"Update", func(w store.SecretWriter) error {
			changed := *s
			changed.Metadata.Description = "changed"
			return w.Update(&changed)
		}},
		{"DeleteVersion", func(w store.SecretWriter) error { return w.DeleteVersion(s.ID, 2) }},
		{"AddVersion", func(w store.SecretWriter) error { return w.AddVersion(s.ID, newVersion(2)) }},
	}
	for _, step := range steps {
		d.update(func(tx store.Tx) error { return step.run(tx.EditSecrets(a.ID)) })
		if diff := diff(d.dump(b), before) + diff(d.neighbours(a, ref), d.neighbours(b, ref)); diff != "" {
			t.Fatalf("%s changed more than its version: got (-), want (+):\n%s", step.name, diff)
		}
	}
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).Purge(s.ID) })
	same(t, d.dump(b), before)
	same(t, len(d.dump(a).Secrets), len(before.Secrets)-1)
	d.update(func(tx store.Tx) error { return tx.EditTenants().Erase(a.ID) })
	same(t, d.dump(b), before)
}
