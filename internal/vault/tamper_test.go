package vault_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// wantBroken expects that a read is refused as decryption_failed without any
// detail, that its entry says so, and that the operator's log knows more.
func wantBroken(tb testing.TB, f *fastnesstest.Fixture, s *vault.Session, name secret.Name, sel store.Selector, what string) {
	tb.Helper()
	logged := len(f.Log.Bytes())
	_, err := get(s, name, sel)
	if !sameAs(err, secret.ErrDecryption) {
		tb.Errorf("%s: %v, want %v", what, err, secret.ErrDecryption)
		return
	}
	tenant := must(s.Tenant(ctx))(tb).Name
	if e := lastOf(tb, f, tenant, audit.Read); e.Result != audit.DecryptionFailed || e.Error != "decryption_failed" || e.SecretName != string(name) || e.Version == "" {
		tb.Errorf("%s left %+v", what, e)
	}
	if !bytes.Contains(f.Log.Bytes()[logged:], []byte(`"code":"decryption_failed","cause":"`)) {
		tb.Errorf("%s: the log does not tell the cause: %s", what, f.Log.Bytes()[logged:])
	}
}

// lastOf is last among entries of one action.
func lastOf(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, a audit.Action) audit.Entry {
	tb.Helper()
	page := must(f.Audit(local(f), tenant).List(ctx, vault.AuditQuery{Filter: audit.Filter{Action: a}, Limit: 1, Newest: true}))(tb)
	if len(page.Items) == 0 {
		tb.Fatalf("no entry of %s", a)
	}
	return page.Items[0]
}

// tampering is a store of two tenants with the same secrets, at rest.
type tampering struct {
	dir   string
	clock *fastnesstest.Clock
}

const tamperedSecrets = 3

func newTampering(t *testing.T) tampering {
	f := fastnesstest.Open(t, nil)
	for _, tenant := range []secret.TenantName{"acme", "beta"} {
		s := f.Tenant(t, tenant)
		for i := range tamperedSecrets {
			name := secret.Name(fmt.Sprintf("s%d", i))
			p := secret.Patch{}
			if i == 2 {
				p.Algorithm = ptr(secret.HybridQuantum)
			}
			for _, n := range []int{1, 2} {
				must(put(t, s, name, fmt.Sprintf("%s/%s/%d", tenant, name, n), vault.Put{Patch: p}))(t)
			}
		}
	}
	f.Close(t)
	return tampering{f.Dir, f.Clock}
}

// with opens a copy of the store after change has worked on its rows.
func (c tampering) with(t *testing.T, change func(*sql.DB)) *fastnesstest.Fixture {
	t.Helper()
	dir := copyDir(t, c.dir)
	db := database(t, dir)
	change(db)
	check(t, db.Close())
	return fastnesstest.Open(t, &fastnesstest.Options{Dir: dir, Clock: c.clock})
}

// wantIntact reads everything but some versions, given as "tenant/name/number".
func wantIntact(t *testing.T, f *fastnesstest.Fixture, but ...string) {
	t.Helper()
	broken := map[string]bool{}
	for _, b := range but {
		broken[b] = true
	}
	for _, tenant := range []secret.TenantName{"acme", "beta"} {
		for i := range tamperedSecrets {
			for _, n := range []secret.Version{1, 2} {
				what := fmt.Sprintf("%s/s%d/%d", tenant, i, n)
				s, name, sel := f.Tenant(t, tenant), secret.Name(fmt.Sprintf("s%d", i)), store.Selector{Number: n}
				if broken[what] {
					wantBroken(t, f, s, name, sel, what)
				} else {
					wantValue(t, s, name, sel, what)
				}
			}
		}
	}
}

// secretID selects a secret of the first tenant, acme, by its number.
func secretID(i int) string {
	return fmt.Sprintf("(SELECT id FROM secrets WHERE tenant = 1 AND name = 's%d')", i)
}

// TestFlippedBits flips a bit in every byte of every blob of one version, of
// either algorithm: it does not open, and every other does.
func TestFlippedBits(t *testing.T) {
	c := newTampering(t)
	f := c.with(t, func(*sql.DB) {})
	db := database(t, f.Dir)
	for _, i := range []int{0, 2} {
		for _, blob := range []string{"envelope", "ciphertext"} {
			where := fmt.Sprintf(" FROM versions WHERE tenant = 1 AND number = 1 AND secret = %s", secretID(i))
			good := column[[]byte](t, db, "SELECT "+blob+where)[0]
			update := fmt.Sprintf("UPDATE versions SET %s = ?1 WHERE tenant = 1 AND number = 1 AND secret = %s", blob, secretID(i))
			s, name := f.Tenant(t, "acme"), secret.Name(fmt.Sprintf("s%d", i))
			step := 1
			if len(good) > 200 {
				step = 61
			}
			for at := 0; at < len(good); at += step {
				bad := bytes.Clone(good)
				bad[at] ^= 1 << (at % 8)
				execute(t, db, 1, update, bad)
				if at%16 == 0 {
					wantBroken(t, f, s, name, store.Selector{Number: 1}, fmt.Sprintf("%s of s%d, byte %d", blob, i, at))
				} else if _, err := get(s, name, store.Selector{Number: 1}); !sameAs(err, secret.ErrDecryption) {
					t.Errorf("%s of s%d, byte %d: %v", blob, i, at, err)
				}
			}
			for _, bad := range [][]byte{{}, good[:1], good[:len(good)-1], append(bytes.Clone(good), 0), bytes.Repeat([]byte{0}, len(good))} {
				execute(t, db, 1, update, bad)
				wantBroken(t, f, s, name, store.Selector{Number: 1}, fmt.Sprintf("%s of s%d with %d bytes", blob, i, len(bad)))
			}
			wantIntact(t, f, fmt.Sprintf("acme/s%d/1", i))
			execute(t, db, 1, update, good)
		}
	}
	wantIntact(t, f)
}

// TestFlippedKeys: a tenant's key that does not open closes that tenant, and
// no other.
func TestFlippedKeys(t *testing.T) {
	c := newTampering(t)
	all := []string{"acme/s0/1", "acme/s0/2", "acme/s1/1", "acme/s1/2", "acme/s2/1", "acme/s2/2"}
	for _, tt := range []struct {
		column string
		broken []string
	}{{"kek", all}, {"kem_seed", all[4:]}, {"kem_public", nil}} {
		n := 8
		for at := range n {
			f := c.with(t, func(db *sql.DB) {
				blob := column[[]byte](t, db, "SELECT "+tt.column+" FROM tenant_keys WHERE tenant = 1")[0]
				blob[at*(len(blob)-1)/(n-1)] ^= 0x10
				execute(t, db, 1, "UPDATE tenant_keys SET "+tt.column+" = ?1 WHERE tenant = 1", blob)
			})
			wantIntact(t, f, tt.broken...)
			f.Close(t)
		}
	}
}

// TestSwappedRows moves rows, whole or in part, between versions, secrets and
// tenants: none opens where it does not belong.
func TestSwappedRows(t *testing.T) {
	c := newTampering(t)
	swap := func(what, table, a, b string) func(*sql.DB) {
		return func(db *sql.DB) {
			x := column[[]byte](t, db, "SELECT "+what+" FROM "+table+" WHERE "+a)[0]
			y := column[[]byte](t, db, "SELECT "+what+" FROM "+table+" WHERE "+b)[0]
			execute(t, db, 1, "UPDATE "+table+" SET "+what+" = ?1 WHERE "+a, y)
			execute(t, db, 1, "UPDATE "+table+" SET "+what+" = ?1 WHERE "+b, x)
		}
	}
	both := func(a, b string) func(*sql.DB) {
		return func(db *sql.DB) { swap("envelope", "versions", a, b)(db); swap("ciphertext", "versions", a, b)(db) }
	}
	at := func(tenant, i, n int) string {
		return fmt.Sprintf("tenant = %d AND number = %d AND secret = (SELECT id FROM secrets WHERE tenant = %d AND name = 's%d')", tenant, n, tenant, i)
	}
	for _, tt := range []struct {
		name   string
		change func(*sql.DB)
		broken []string
	}{
		{"versions", both(at(1, 0, 1), at(1, 0, 2)), []string{"acme/s0/1", "acme/s0/2"}},
		{"versions' envelopes", swap("envelope", "versions", at(1, 0, 1), at(1, 0, 2)), []string{"acme/s0/1", "acme/s0/2"}},
		{"versions' values", swap("ciphertext", "versions", at(1, 0, 1), at(1, 0, 2)), []string{"acme/s0/1", "acme/s0/2"}},
		{"hybrid versions", both(at(1, 2, 1), at(1, 2, 2)), []string{"acme/s2/1", "acme/s2/2"}},
		{"secrets", both(at(1, 0, 1), at(1, 1, 1)), []string{"acme/s0/1", "acme/s1/1"}},
		{"secrets of two algorithms", both(at(1, 0, 1), at(1, 2, 1)), []string{"acme/s0/1", "acme/s2/1"}},
		{"tenants", both(at(1, 0, 1), at(2, 0, 1)), []string{"acme/s0/1", "beta/s0/1"}},
		{"tenants, hybrid", both(at(1, 2, 1), at(2, 2, 1)), []string{"acme/s2/1", "beta/s2/1"}},
		{"tenants' KEM keys", func(db *sql.DB) {
			swap("kem_seed", "tenant_keys", "tenant = 1", "tenant = 2")(db)
			swap("kem_public", "tenant_keys", "tenant = 1", "tenant = 2")(db)
		}, []string{"acme/s2/1", "acme/s2/2", "beta/s2/1", "beta/s2/2"}},
		{"a whole row to another secret", func(db *sql.DB) {
			execute(t, db, 1, "DELETE FROM versions WHERE "+at(1, 1, 1))
			execute(t, db, 1, "UPDATE versions SET secret = "+secretID(1)+" WHERE "+at(1, 0, 1))
			execute(t, db, 1, "INSERT INTO versions SELECT tenant, "+secretID(0)+", number, id, kind, algorithm, key, created, envelope, ciphertext FROM versions WHERE "+at(1, 1, 1))
		}, []string{"acme/s1/1"}},
		{"a whole row to another tenant", func(db *sql.DB) {
			execute(t, db, 1, "DELETE FROM versions WHERE "+at(2, 0, 1))
			execute(t, db, 1, "INSERT INTO versions SELECT 2, (SELECT id FROM secrets WHERE tenant = 2 AND name = 's0'), number, id, kind, algorithm, key, created, envelope, ciphertext FROM versions WHERE "+at(1, 0, 1))
		}, []string{"beta/s0/1"}},
		{"all of a tenant to another, keys too", func(db *sql.DB) {
			execute(t, db, 1, "DELETE FROM tenant_keys WHERE tenant = 2")
			execute(t, db, 1, "INSERT INTO tenant_keys SELECT 2, number, created, kek, kem_public, kem_seed FROM tenant_keys WHERE tenant = 1")
		}, []string{"beta/s0/1", "beta/s0/2", "beta/s1/1", "beta/s1/2", "beta/s2/1", "beta/s2/2"}},
		{"another key number", func(db *sql.DB) {
			execute(t, db, 1, "UPDATE tenant_keys SET number = 2 WHERE tenant = 1")
			execute(t, db, 1, "UPDATE tenants SET key = 2 WHERE n = 1")
			execute(t, db, 6, "UPDATE versions SET key = 2 WHERE tenant = 1")
		}, []string{"acme/s0/1", "acme/s0/2", "acme/s1/1", "acme/s1/2", "acme/s2/1", "acme/s2/2"}},
		{"another algorithm in the row", func(db *sql.DB) {
			execute(t, db, 1, "UPDATE versions SET algorithm = 1 WHERE "+at(1, 2, 1))
		}, []string{"acme/s2/1"}},
		{"another version id", func(db *sql.DB) {
			execute(t, db, 1, "UPDATE versions SET id = x'00000000000000000000000000000000' WHERE "+at(1, 0, 1))
		}, []string{"acme/s0/1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := c.with(t, tt.change)
			wantIntact(t, f, tt.broken...)
		})
	}
}

// TestBrokenVersionElsewhere: what other methods do about a version that does
// not open.
func TestBrokenVersionElsewhere(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	token := secret.NewVersionID()
	must(put(t, s, "broken", "v", vault.Put{Token: token}))(t)
	versions(t, s, "whole", 3)
	db := database(t, f.Dir)
	blob := column[[]byte](t, db, "SELECT envelope FROM versions WHERE secret = (SELECT id FROM secrets WHERE name = 'broken')")[0]
	blob[len(blob)-1] ^= 1
	execute(t, db, 1, "UPDATE versions SET envelope = ?1 WHERE secret = (SELECT id FROM secrets WHERE name = 'broken')", blob)

	_, err := put(t, s, "broken", "v", vault.Put{Token: token})
	if !sameAs(err, secret.ErrDecryption) {
		t.Errorf("a repeated write: %v", err)
	}
	if e := last(t, f, "acme"); e.Result != audit.DecryptionFailed || e.Version != "1" {
		t.Errorf("left %+v", e)
	}
	if err := errOf(s.Update(ctx, "broken", secret.Patch{Algorithm: ptr(secret.HybridQuantum)})); !sameAs(err, secret.ErrDecryption) {
		t.Errorf("another algorithm: %v", err)
	}
	if e := last(t, f, "acme"); e.Action != audit.Update || e.Result != audit.DecryptionFailed {
		t.Errorf("left %+v", e)
	}
	if m := must(s.Describe(ctx, "broken"))(t).Metadata; m.Algorithm != secret.AES256GCM {
		t.Errorf("changed to %s", m.Algorithm)
	}
	// A new version is as good as any.
	must(put(t, s, "broken", "v2", vault.Put{}))(t)
	wantValue(t, s, "broken", store.Selector{}, "v2")

	// A rotation of the key re-wraps all others, and keeps the old key for this one.
	if _, err := s.RotateKey(ctx, nil); !sameAs(err, secret.ErrDecryption) {
		t.Errorf("rotating the key: %v", err)
	}
	equal(t, "versions by key", column[int](t, db, "SELECT count(*) FROM versions GROUP BY key ORDER BY key"), []int{1, 4})
	if len(column[int](t, db, "SELECT number FROM tenant_keys")) != 2 {
		t.Error("the old key is gone")
	}
	wantValue(t, s, "whole", store.Selector{Number: 1}, "1")
	check(t, s.Purge(ctx, "broken"))
	if n := must(s.RotateKey(ctx, nil))(t); n != 2 {
		t.Errorf("it went on with key %d", n)
	}
	equal(t, "keys", column[int](t, db, "SELECT number FROM tenant_keys"), []int{2})
}

// TestBrokenKeyAndRootKey: a tenant's key that does not open holds up a change
// of the root key at its end, not before, until that tenant is erased.
func TestBrokenKeyAndRootKey(t *testing.T) {
	c := newTampering(t)
	db := database(t, c.dir)
	blob := column[[]byte](t, db, "SELECT kek FROM tenant_keys WHERE tenant = 1")[0]
	blob[len(blob)-1] ^= 1
	execute(t, db, 1, "UPDATE tenant_keys SET kek = ?1 WHERE tenant = 1", blob)
	check(t, db.Close())
	f := wantOpen(t, c.dir, c.clock, newMaster(), fastnesstest.MasterKey(), nil)
	if _, err := f.Operator().RotateRoot(ctx, nil); !sameAs(err, secret.ErrDecryption) {
		t.Errorf("rotating the root key: %v", err)
	}
	if !bytes.Contains(f.Log.Bytes(), []byte(`"tenant":"acme","key":1`)) {
		t.Error("the log does not name the key")
	}
	wantValue(t, f.Tenant(t, "beta"), "s0", store.Selector{}, "beta/s0/2")
	check(t, f.Operator().Erase(ctx, "acme"))
	must(f.Operator().RotateRoot(ctx, nil))(t)
	f.Close(t)
	f = wantOpen(t, c.dir, c.clock, newMaster(), nil, nil)
	wantValue(t, f.Tenant(t, "beta"), "s2", store.Selector{}, "beta/s2/2")
}

// TestBrokenDeployment: what Open does about its own rows.
func TestBrokenDeployment(t *testing.T) {
	c := newTampering(t)
	edit := func(key string, change func([]byte) []byte) func(*sql.DB) {
		return func(db *sql.DB) {
			b := column[[]byte](t, db, "SELECT value FROM meta WHERE key = ?1", key)[0]
			execute(t, db, 1, "UPDATE meta SET value = ?2 WHERE key = ?1", key, change(b))
		}
	}
	remove := func(key string) func(*sql.DB) {
		return func(db *sql.DB) { execute(t, db, 1, "DELETE FROM meta WHERE key = ?1", key) }
	}
	for what, change := range map[string]func(*sql.DB){
		"check value":      edit("roots", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
		"check value cut":  edit("roots", func(b []byte) []byte { return b[1:] }),
		"check value gone": remove("roots"),
		"deployment":       edit("deployment", func(b []byte) []byte { b[0] ^= 1; return b }),
		"log seeds":        edit("log.keys", func(b []byte) []byte { return bytes.Replace(b, []byte(`"ed25519":"`), []byte(`"ed25519":"AAAA`), 1) }),
		"log keys gone":    remove("log.keys"),
		"deployment gone":  func(db *sql.DB) { remove("deployment")(db); remove("roots")(db) },
	} {
		dir := copyDir(t, c.dir)
		db := database(t, dir)
		change(db)
		check(t, db.Close())
		before := files(t, dir)
		f, err := fastnesstest.TryOpen(t, &fastnesstest.Options{Dir: dir, Clock: c.clock})
		if err == nil {
			t.Errorf("%s: opened", what)
			f.Close(t)
			continue
		}
		if errors.Is(err, store.ErrTaken) {
			t.Errorf("%s: %v", what, err)
		}
		if files(t, dir) != before {
			t.Errorf("%s: refused (%v) and changed", what, err)
		}
	}
}
