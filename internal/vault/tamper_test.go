package vault_test

import (
	"bytes"
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
func (c tampering) with(t *testing.T, change func(store.Tx) error) *fastnesstest.Fixture {
	t.Helper()
	dir := copyDir(t, c.dir)
	editDir(t, dir, change)
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

// at finds a version by its place: "tenant", number of the secret, number.
type at struct {
	tenant secret.TenantName
	i      int
	number secret.Version
}

func (a at) find(r store.Reader) (storedVersion, error) {
	t, err := tenantID(r, a.tenant)
	if err != nil {
		return storedVersion{}, err
	}
	sec, v, err := r.Secrets(t).Find(secret.Name(fmt.Sprintf("s%d", a.i)), store.Selector{Number: a.number}, "")
	if err != nil {
		return storedVersion{}, err
	}
	return storedVersion{t, sec.ID, v}, nil
}

// TestEmbeddedFlippedBits flips a bit in every byte of every blob of one version, of
// either algorithm: it does not open, and every other does.
func TestEmbeddedFlippedBits(t *testing.T) {
	c := newTampering(t)
	m := openMortal(t, c.dir, c.clock, fastnesstest.MasterKey(), nil)
	defer m.end(t)
	for _, i := range []int{0, 2} {
		good := rows(t, m.store, at{"acme", i, 1}.find)
		s, name, sel := m.Tenant(t, "acme"), secret.Name(fmt.Sprintf("s%d", i)), store.Selector{Number: 1}
		for what, blob := range map[string][]byte{"envelope": good.Envelope, "ciphertext": good.Ciphertext} {
			set := func(bad []byte) {
				t.Helper()
				v := *good.Version
				if what == "envelope" {
					v.Envelope = bad
				} else {
					v.Ciphertext = bad
				}
				edit(t, m.store, func(tx store.Tx) error { return replace(tx, good.tenant, good.secret, v) })
			}
			step := 1
			if len(blob) > 200 {
				step = 61
			}
			for at := 0; at < len(blob); at += step {
				bad := bytes.Clone(blob)
				bad[at] ^= 1 << (at % 8)
				set(bad)
				if at%16 == 0 {
					wantBroken(t, m.Fixture, s, name, sel, fmt.Sprintf("%s of s%d, byte %d", what, i, at))
				} else if _, err := get(s, name, sel); !sameAs(err, secret.ErrDecryption) {
					t.Errorf("%s of s%d, byte %d: %v", what, i, at, err)
				}
			}
			for _, bad := range [][]byte{{}, blob[:1], blob[:len(blob)-1], append(bytes.Clone(blob), 0), make([]byte, len(blob))} {
				set(bad)
				wantBroken(t, m.Fixture, s, name, sel, fmt.Sprintf("%s of s%d with %d bytes", what, i, len(bad)))
			}
			wantIntact(t, m.Fixture, fmt.Sprintf("acme/s%d/1", i))
			set(blob)
		}
	}
	wantIntact(t, m.Fixture)
}

var allOfAcme = []string{"acme/s0/1", "acme/s0/2", "acme/s1/1", "acme/s1/2", "acme/s2/1", "acme/s2/2"}

// editKey changes the first key of a tenant.
func editKey(tx store.Tx, tenant secret.TenantName, change func(*store.TenantKey)) error {
	t, err := tenantID(tx, tenant)
	if err != nil {
		return err
	}
	k, err := tx.Tenants().Key(t, 1)
	if err != nil {
		return err
	}
	change(k)
	return tx.EditTenants().PutKey(t, k)
}

// TestEmbeddedFlippedKeys: a tenant's key that does not open closes that tenant, and
// no other. The stored public key is nobody's word, so it can do nothing.
func TestEmbeddedFlippedKeys(t *testing.T) {
	c := newTampering(t)
	for what, tt := range map[string]struct {
		blob   func(*store.TenantKey) []byte
		broken []string
	}{
		"KEK":        {func(k *store.TenantKey) []byte { return k.KEK }, allOfAcme},
		"KEM seed":   {func(k *store.TenantKey) []byte { return k.KEMSeed }, allOfAcme[4:]},
		"KEM public": {func(k *store.TenantKey) []byte { return k.KEMPublic }, nil},
	} {
		const n = 4
		for i := range n {
			f := c.with(t, func(tx store.Tx) error {
				return editKey(tx, "acme", func(k *store.TenantKey) {
					blob := tt.blob(k)
					blob[i*(len(blob)-1)/(n-1)] ^= 0x10
				})
			})
			wantIntact(t, f, tt.broken...)
			if t.Failed() {
				t.Fatalf("%s, part %d", what, i)
			}
			f.Close(t)
		}
	}
}

// TestBrokenVersionElsewhere: what other methods do about a version that does
// not open.
func TestBrokenVersionElsewhere(t *testing.T) {
	f := open(t)
	s := f.Tenant(t, "acme")
	token := secret.NewVersionID()
	must(put(t, s, "broken", "v", vault.Put{Token: token}))(t)
	versions(t, s, "whole", 3)
	broken := versionsOf(t, f.store, "acme")[0]
	broken.Envelope[len(broken.Envelope)-1] ^= 1
	edit(t, f.store, func(tx store.Tx) error { return replace(tx, broken.tenant, broken.secret, *broken.Version) })

	_, err := put(t, s, "broken", "v", vault.Put{Token: token})
	if !sameAs(err, secret.ErrDecryption) {
		t.Errorf("a repeated write: %v", err)
	}
	if e := last(t, f.Fixture, "acme"); e.Result != audit.DecryptionFailed || e.Version != "1" {
		t.Errorf("left %+v", e)
	}
	if err := errOf(s.Update(ctx, "broken", secret.Patch{Algorithm: ptr(secret.HybridQuantum)})); !sameAs(err, secret.ErrDecryption) {
		t.Errorf("another algorithm: %v", err)
	}
	if e := last(t, f.Fixture, "acme"); e.Action != audit.Update || e.Result != audit.DecryptionFailed {
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
	var keys []uint32
	for _, v := range versionsOf(t, f.store, "acme") {
		keys = append(keys, v.Key)
	}
	equal(t, "keys of versions", keys, []uint32{1, 2, 2, 2, 2})
	wantKeys(t, f.store, "acme", 1, 2)
	wantValue(t, s, "whole", store.Selector{Number: 1}, "1")
	check(t, s.Purge(ctx, "broken"))
	if n := must(s.RotateKey(ctx, nil))(t); n != 2 {
		t.Errorf("it went on with key %d", n)
	}
	wantKeys(t, f.store, "acme", 2)
}

// TestEmbeddedBrokenKeyAndRootKey: a tenant's key that does not open holds up a change
// of the root key at its end, not before, until that tenant is erased.
func TestEmbeddedBrokenKeyAndRootKey(t *testing.T) {
	c := newTampering(t)
	editDir(t, c.dir, func(tx store.Tx) error {
		return editKey(tx, "acme", func(k *store.TenantKey) { k.KEK[len(k.KEK)-1] ^= 1 })
	})
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

// TestEmbeddedBrokenDeployment: what Open does about its own rows.
func TestEmbeddedBrokenDeployment(t *testing.T) {
	c := newTampering(t)
	set := func(key string, change func([]byte) []byte) func(store.Tx) error {
		return func(tx store.Tx) error {
			b, err := tx.Meta(key)
			if err != nil {
				return err
			}
			return tx.SetMeta(key, b, change(bytes.Clone(b)))
		}
	}
	remove := func([]byte) []byte { return nil }
	for what, change := range map[string]func(store.Tx) error{
		"check value":      set("roots", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
		"check value cut":  set("roots", func(b []byte) []byte { return b[1:] }),
		"check value gone": set("roots", remove),
		"deployment":       set("deployment", func(b []byte) []byte { b[0] ^= 1; return b }),
		"log seeds":        set("log.keys", func(b []byte) []byte { return bytes.Replace(b, []byte(`"ed25519":"`), []byte(`"ed25519":"AAAA`), 1) }),
		"log keys gone":    set("log.keys", remove),
		"deployment gone":  func(tx store.Tx) error { return errors.Join(set("deployment", remove)(tx), set("roots", remove)(tx)) },
	} {
		dir := copyDir(t, c.dir)
		editDir(t, dir, change)
		before := files(t, dir)
		f, err := fastnesstest.TryOpen(t, &fastnesstest.Options{Dir: dir, Clock: c.clock})
		if err == nil {
			t.Errorf("%s: opened", what)
			f.Close(t)
			continue
		}
		if files(t, dir) != before {
			t.Errorf("%s: refused (%v) and changed", what, err)
		}
	}
}
