package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
)

var versionCases = []testcase{
	{"RoundTrip", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, first := d.addSecret(a, "db/password")
		big := newVersion(2)
		big.Kind, big.Algorithm, big.Key = secret.Binary, secret.HybridQuantum, 1<<32-1
		big.ID = secret.VersionID(strings.Repeat("~!", secret.MaxRequestToken/2))
		big.Envelope, big.Ciphertext = bytes.Repeat([]byte{0, 255}, 1<<10), bytes.Repeat([]byte{0, 1, 2, 255}, secret.MaxValue/4)
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, big) })
		for _, want := range []*store.Version{first, big} {
			same(t, get(d, func(r store.Reader) (*store.Version, error) { return r.Secrets(a.ID).Version(s.ID, want.Number) }), want)
		}
		d.absent(func(r store.Reader) error { _, err := r.Secrets(a.ID).Version(s.ID, 3); return err })
		d.absent(func(r store.Reader) error { _, err := r.Secrets(a.ID).Version(secret.NewID(), 1); return err })
	}},
	{"Taken", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, v := d.addSecret(a, "db/password")
		other, _ := d.addSecret(a, "other")
		byNumber, byID := newVersion(1), newVersion(2)
		byID.ID = v.ID
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, byNumber) })
		d.refused(store.ErrTaken, func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, byID) })
		d.refused(store.ErrAbsent, func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(secret.NewID(), newVersion(1)) })
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(other.ID, byID) })
	}},
	{"IDs", testVersionIDs},
	{"Find", testFind},
	{"List", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, _ := d.addSecret(a, "db/password")
		d.update(func(tx store.Tx) error {
			var errs []error
			for _, n := range []secret.Version{12, 3, 2, 1 << 40} {
				errs = append(errs, tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(n)))
			}
			return errors.Join(errs...)
		})
		list := func(after secret.Version, limit int) (out []secret.Version) {
			for _, v := range get(d, func(r store.Reader) ([]*store.Version, error) { return r.Secrets(a.ID).Versions(s.ID, after, limit) }) {
				if v.Ciphertext != nil {
					t.Fatalf("version %v is listed with its ciphertext", v.Number)
				}
				out = append(out, v.Number)
			}
			return out
		}
		same(t, list(0, 9), []secret.Version{1, 2, 3, 12, 1 << 40})
		same(t, list(2, 2), []secret.Version{3, 12})
		same(t, list(1<<40, 2), nil)
	}},
	{"Delete", func(t *testing.T, d *db) {
		a := d.addTenant("acme")
		s, _ := d.addSecret(a, "db/password")
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(2)),
				tx.EditSecrets(a.ID).Touch(store.VersionRef{Secret: s.ID, Number: 1}, "alice", 4),
				tx.EditSecrets(a.ID).Touch(store.VersionRef{Secret: s.ID, Number: 2}, "alice", 4))
		})
		drop := func(tx store.Tx) error { return tx.EditSecrets(a.ID).DeleteVersion(s.ID, 1) }
		d.update(drop)
		d.refused(store.ErrAbsent, drop)
		out := d.dump(a)
		same(t, len(out.Versions[s.ID]), 1)
		same(t, out.Consumers[s.ID], []store.Consumer{{Principal: "alice", Version: 2, Day: 4}})
	}},
	{"Rewrap", testRewrap},
	{"NotUnderKey", testNotUnderKey},
	{"Touch", testTouch},
	{"TouchLimit", testTouchLimit},
}

// testVersionIDs stores ids of every form, some of which a backend may be
// tempted to pack.
func testVersionIDs(t *testing.T, d *db) {
	a := d.addTenant("acme")
	s, _ := d.addSecret(a, "db/password")
	ids := []secret.VersionID{
		"EE0D3BE4-5EA4-4D5B-8B1B-2B1A0C6D9E01", "ee0d3be4-5ea4-4d5b-8b1b-2b1a0c6d9e01", "ee0d3be45ea44d5b8b1b2b1a0c6d9e01",
		"ee0d3be4-5ea4-4d5b-8b1b-2b1a0c6d9e0g", "00000000-0000-0000-0000-000000000000", "0123456789abcdef", "1", "NULL",
	}
	for i, id := range ids {
		v := newVersion(secret.Version(i + 2))
		v.ID = id
		d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, v) })
		d.view(func(r store.Reader) error {
			_, got, err := r.Secrets(a.ID).Find(s.Name, store.Selector{ID: id}, "")
			if err == nil && (got.ID != id || got.Number != v.Number) {
				err = fmt.Errorf("id %q came back as version %v with id %q", id, got.Number, got.ID)
			}
			return err
		})
	}
}

func testFind(t *testing.T, d *db) {
	a := d.addTenant("acme")
	s, v1 := d.addSecret(a, "db/password")
	v2, v3 := newVersion(2), newVersion(3)
	for i := range 9 { // other secrets know versions by the same ids
		other, _ := d.addSecret(a, fmt.Sprint("other", i))
		d.update(func(tx store.Tx) error {
			clash := newVersion(5)
			clash.ID = v2.ID
			return tx.EditSecrets(a.ID).AddVersion(other.ID, clash)
		})
	}
	s.Labels = map[secret.Label]secret.Version{secret.Current: 3, secret.Previous: 2, "blue": 1, "gone": 9}
	d.update(func(tx store.Tx) error {
		w := tx.EditSecrets(a.ID)
		return errors.Join(w.AddVersion(s.ID, v2), w.AddVersion(s.ID, v3), w.Update(s))
	})
	for _, c := range []struct {
		sel  store.Selector
		want *store.Version
	}{
		{store.Selector{}, v3},
		{store.Selector{Label: secret.Current}, v3},
		{store.Selector{Label: secret.Previous}, v2},
		{store.Selector{Label: secret.Pending}, nil},
		{store.Selector{Label: "blue"}, v1},
		{store.Selector{Label: "gone"}, nil},
		{store.Selector{Label: "none"}, nil},
		{store.Selector{Number: 1}, v1},
		{store.Selector{Number: 4}, nil},
		{store.Selector{ID: v2.ID}, v2},
		{store.Selector{ID: secret.NewVersionID()}, nil},
		{store.Selector{ID: v2.ID, Number: 2, Label: secret.Previous}, v2},
		{store.Selector{ID: v2.ID, Number: 3}, nil},
		{store.Selector{ID: v2.ID, Label: secret.Current}, nil},
		{store.Selector{Number: 1, Label: secret.Current}, nil},
	} {
		err := d.View(t.Context(), func(r store.Reader) error {
			gotSecret, gotVersion, err := r.Secrets(a.ID).Find(s.Name, c.sel, "alice")
			if diff := diff(gotSecret, s) + diff(gotVersion, c.want); diff != "" {
				t.Errorf("%+v: got (-), want (+):\n%s", c.sel, diff)
			}
			return err
		})
		if want := map[bool]error{true: store.ErrAbsent}[c.want == nil]; !errors.Is(err, want) {
			t.Errorf("%+v: error is %v, want %v", c.sel, err, want)
		}
	}
	d.absent(func(r store.Reader) error {
		gotSecret, gotVersion, err := r.Secrets(a.ID).Find("none", store.Selector{}, "alice")
		if gotSecret != nil || gotVersion != nil {
			return errors.New("something was found for a name that is not there")
		}
		return err
	})
}

func testRewrap(t *testing.T, d *db) {
	a := d.addTenant("acme")
	s, v := d.addSecret(a, "db/password")
	old := v.Envelope
	rewrap := func(number secret.Version, from []byte) func(store.Tx) error {
		return func(tx store.Tx) error {
			return tx.EditSecrets(a.ID).Rewrap(s.ID, &store.Version{
				Number: number, Algorithm: secret.HybridQuantum, Key: 2, Envelope: []byte("a longer new envelope"),
			}, from)
		}
	}
	d.refused(store.ErrStale, rewrap(1, []byte("another")))
	d.refused(store.ErrAbsent, rewrap(2, old))
	d.update(rewrap(1, old))
	d.refused(store.ErrStale, rewrap(1, old))
	v.Algorithm, v.Key, v.Envelope = secret.HybridQuantum, 2, []byte("a longer new envelope")
	same(t, get(d, func(r store.Reader) (*store.Version, error) { return r.Secrets(a.ID).Version(s.ID, 1) }), v)
}

func testNotUnderKey(t *testing.T, d *db) {
	a := d.addTenant("acme")
	var want []store.VersionRef
	for i := range 5 {
		s, _ := d.addSecret(a, fmt.Sprintf("s%d", i))
		under := newVersion(2)
		under.Key = 2
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditSecrets(a.ID).AddVersion(s.ID, under), tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(3)))
		})
		want = append(want, store.VersionRef{Secret: s.ID, Number: 1}, store.VersionRef{Secret: s.ID, Number: 3})
	}
	slices.SortFunc(want, func(x, y store.VersionRef) int {
		if c := compare(x.Secret[:], y.Secret[:]); c != 0 {
			return c
		}
		return int(x.Number) - int(y.Number)
	})
	var got []store.VersionRef
	var after store.VersionRef
	for {
		page := get(d, func(r store.Reader) ([]store.VersionRef, error) { return r.Secrets(a.ID).NotUnderKey(2, after, 3) })
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = got[len(got)-1]
	}
	same(t, got, want)
}

func testTouch(t *testing.T, d *db) {
	a := d.addTenant("acme")
	s, _ := d.addSecret(a, "db/password")
	for _, name := range []string{"aaa", "zzz"} { // whose readers are not this one's
		other, _ := d.addSecret(a, name)
		d.update(func(tx store.Tx) error {
			return tx.EditSecrets(a.ID).Touch(store.VersionRef{Secret: other.ID, Number: 1}, "alice", 77)
		})
	}
	d.update(func(tx store.Tx) error { return tx.EditSecrets(a.ID).AddVersion(s.ID, newVersion(2)) })
	touch := func(n secret.Version, who string, day int32) func(store.Tx) error {
		return func(tx store.Tx) error {
			return tx.EditSecrets(a.ID).Touch(store.VersionRef{Secret: s.ID, Number: n}, who, day)
		}
	}
	days := func(who string) (last, caller int32) {
		d.view(func(r store.Reader) error {
			_, v, err := r.Secrets(a.ID).Find(s.Name, store.Selector{}, who)
			if err == nil {
				last, caller = v.LastRead, v.CallerRead
			}
			return err
		})
		return last, caller
	}
	expect := func(who string, last, caller int32) {
		t.Helper()
		if l, c := days(who); l != last || c != caller {
			t.Fatalf("%q: last read is day %d, caller's day %d; want %d and %d", who, l, c, last, caller)
		}
	}
	expect("alice", 0, 0)
	d.update(touch(1, "alice", 20000))
	expect("alice", 20000, 20000)
	expect("bob", 20000, 0)
	expect("", 20000, 0)
	d.update(touch(1, "bob", 20003))
	expect("alice", 20003, 20000)
	d.update(touch(1, "bob", 20001)) // a late one takes nothing back
	expect("bob", 20003, 20003)
	d.update(touch(2, "alice", 20005))
	expect("alice", 20003, 20000)
	d.refused(store.ErrAbsent, touch(3, "alice", 20000))
	same(t, get(d, func(r store.Reader) ([]store.Consumer, error) { return r.Secrets(a.ID).Consumers(s.ID) }), []store.Consumer{
		{Principal: "alice", Version: 1, Day: 20000}, {Principal: "bob", Version: 1, Day: 20003}, {Principal: "alice", Version: 2, Day: 20005},
	})
}

// testTouchLimit passes the limit of one version. Its neighbours, with reads
// of older days, keep theirs.
func testTouchLimit(t *testing.T, d *db) {
	a, twin, b := newTwins(d)
	before := d.dump(b)
	ref := store.VersionRef{Secret: twin.ID, Number: 1}
	who := func(i int) string { return fmt.Sprintf("p%04d", i) }
	const first, over = 100, 5 // the twins were read on earlier days
	d.update(func(tx store.Tx) error {
		for i := range secret.MaxConsumers + over {
			if err := tx.EditSecrets(a.ID).Touch(ref, who(i), int32(first+i)); err != nil {
				return err
			}
		}
		return nil
	})
	var got []store.Consumer
	for _, c := range get(d, func(r store.Reader) ([]store.Consumer, error) { return r.Secrets(a.ID).Consumers(twin.ID) }) {
		if c.Version == 1 {
			got = append(got, c)
		}
	}
	same(t, len(got), secret.MaxConsumers)
	same(t, got[0], store.Consumer{Principal: who(over), Version: 1, Day: first + over})
	same(t, get(d, func(r store.Reader) (*store.Version, error) { return r.Secrets(a.ID).Version(twin.ID, 1) }).LastRead, first+secret.MaxConsumers+over-1)
	same(t, d.dump(b), before)
	same(t, d.neighbours(a, ref), d.neighbours(b, ref))
}
