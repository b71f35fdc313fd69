package envelope_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

const masterText = "a master key for tests, long enough to pass: 0123456789abcdefghijklmnop"

func newRoot(t testing.TB, master string, deployment [16]byte) *envelope.Root {
	t.Helper()
	m := secretbuf.Take([]byte(master))
	defer m.Release()
	r, err := envelope.NewRoot(m, deployment)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Destroy)
	return r
}

func newKey(t testing.TB, c byte) *secretbuf.Key {
	t.Helper()
	k := secretbuf.NewKey(bytes.Repeat([]byte{c}, 32))
	t.Cleanup(k.Destroy)
	return k
}

func keyBytes(t fataler, k *secretbuf.Key) (b []byte) {
	t.Helper()
	if !k.Use(func(key []byte) { b = bytes.Clone(key) }) {
		t.Fatalf("the key is gone")
	}
	return b
}

func TestRootIsDeterminedByMasterAndDeployment(t *testing.T) {
	a := newRoot(t, masterText, [16]byte{1})
	same := newRoot(t, masterText, [16]byte{1})
	if a.ID() != same.ID() || a.CheckValue() != same.CheckValue() || a.MAC("p", nil) != same.MAC("p", nil) {
		t.Error("the same root key differs from itself")
	}
	for what, other := range map[string]*envelope.Root{
		"deployment": newRoot(t, masterText, [16]byte{2}), "master": newRoot(t, masterText+"x", [16]byte{1}),
	} {
		if a.ID() == other.ID() || a.CheckValue() == other.CheckValue() || a.MAC("p", nil) == other.MAC("p", nil) {
			t.Errorf("another %s gives the same root key", what)
		}
	}
	if id := a.ID().String(); len(id) != 16 {
		t.Errorf("the id prints as %q", id)
	}
}

func TestNewRootRefuses(t *testing.T) {
	released := secretbuf.New(64)
	released.Release()
	for what, m := range map[string]*secretbuf.Buffer{"short": secretbuf.New(31), "released": released, "nil": nil} {
		if _, err := envelope.NewRoot(m, [16]byte{}); err == nil {
			t.Errorf("a %s master key is taken", what)
		}
	}
	kept := secretbuf.New(64)
	if _, err := envelope.NewRoot(kept, [16]byte{}); err != nil || kept.Len() != 64 {
		t.Errorf("the master key was released, or %v", err)
	}
}

// wrapper is one of the three things that a root key wraps.
type wrapper struct {
	wrap   func(*envelope.Root, secret.TenantID, uint32, *secretbuf.Key) ([]byte, error)
	unwrap func(*envelope.Root, secret.TenantID, uint32, []byte) (*secretbuf.Key, error)
}

var wrappers = map[string]wrapper{
	"KEK":      {(*envelope.Root).WrapKEK, (*envelope.Root).UnwrapKEK},
	"KEM seed": {(*envelope.Root).WrapKEMSeed, (*envelope.Root).UnwrapKEMSeed},
	"log seed": {
		func(r *envelope.Root, _ secret.TenantID, _ uint32, k *secretbuf.Key) (blob []byte, err error) {
			if !k.Use(func(seed []byte) { blob, err = r.SealLogSeed("ed25519/1", seed) }) {
				return nil, envelope.ErrKeyGone
			}
			return blob, err
		},
		func(r *envelope.Root, _ secret.TenantID, _ uint32, blob []byte) (*secretbuf.Key, error) {
			return r.OpenLogSeed("ed25519/1", blob)
		},
	},
}

func TestWrappedKeys(t *testing.T) {
	r, other := newRoot(t, masterText, [16]byte{1}), newRoot(t, masterText, [16]byte{2})
	tenant := secret.NewTenantID()
	for name, w := range wrappers {
		blob, err := w.wrap(r, tenant, 3, newKey(t, 0xa5))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k, err := w.unwrap(r, tenant, 3, blob)
		if err != nil || !bytes.Equal(keyBytes(t, k), bytes.Repeat([]byte{0xa5}, 32)) {
			t.Fatalf("%s: %v", name, err)
		}
		if id, err := envelope.RootOf(blob); id != r.ID() || err != nil {
			t.Errorf("%s: RootOf = %v, %v", name, id, err)
		}
		if len(blob) != 70 || cap(blob) != 70 {
			t.Errorf("%s: %d of %d bytes, want 70", name, len(blob), cap(blob))
		}
		for i := range len(blob) * 8 {
			_, err := w.unwrap(r, tenant, 3, flip(blob, i))
			mustRefuse(t, name+": flipped bit", err)
		}
		for n := range blob {
			_, err := w.unwrap(r, tenant, 3, blob[:n])
			mustRefuse(t, name+": cut", err)
			_, err = envelope.RootOf(blob[:n])
			mustRefuse(t, name+": root of cut", err)
		}
		_, err = w.unwrap(r, tenant, 3, append(bytes.Clone(blob), 0))
		mustRefuse(t, name+": longer", err)
		_, err = w.unwrap(other, tenant, 3, blob)
		mustRefuse(t, name+": other root key", err)
		// The other root key's id put in: it must not open either.
		id := other.ID()
		_, err = w.unwrap(other, tenant, 3, append(append(bytes.Clone(blob[:2]), id[:]...), blob[10:]...))
		mustRefuse(t, name+": other root key's id", err)
		for kind, v := range wrappers {
			if kind == name {
				continue
			}
			_, err = v.unwrap(r, tenant, 3, blob)
			mustRefuse(t, name+" as "+kind, err)
			dressed := bytes.Clone(blob)
			sample, _ := v.wrap(r, tenant, 3, newKey(t, 1))
			dressed[0] = sample[0]
			_, err = v.unwrap(r, tenant, 3, dressed)
			mustRefuse(t, name+" dressed as "+kind, err)
		}
	}
}

func TestWrappedKeysAreBound(t *testing.T) {
	r, tenant := newRoot(t, masterText, [16]byte{1}), secret.NewTenantID()
	for _, name := range []string{"KEK", "KEM seed"} {
		w := wrappers[name]
		blob, err := w.wrap(r, tenant, 3, newKey(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.unwrap(r, secret.NewTenantID(), 3, blob)
		mustRefuse(t, name+": other tenant", err)
		for _, n := range []uint32{0, 2, 4, 3 << 8} {
			_, err = w.unwrap(r, tenant, n, blob)
			mustRefuse(t, name+": other number", err)
		}
		if _, err := w.wrap(r, tenant, 0, newKey(t, 1)); err == nil {
			t.Errorf("%s: number 0 is wrapped", name)
		}
	}
	blob, err := r.SealLogSeed("ed25519/1", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, purpose := range []string{"ed25519/2", "ed25519/11", "", "mldsa44/1", strings.Repeat("x", 200)} {
		_, err = r.OpenLogSeed(purpose, blob)
		mustRefuse(t, "log seed as "+purpose, err)
	}
}

func TestSealLogSeedRefuses(t *testing.T) {
	r := newRoot(t, masterText, [16]byte{1})
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := r.SealLogSeed("ed25519/1", make([]byte, n)); err == nil {
			t.Errorf("a seed of %d bytes is sealed", n)
		}
	}
	if _, err := r.SealLogSeed(strings.Repeat("x", 300), make([]byte, 32)); err == nil {
		t.Error("a purpose of 300 bytes is sealed")
	}
}

func TestRootOfRefusesOtherBlobs(t *testing.T) {
	k, b := newKEK(t, 1), newBinding()
	s := mustSeal(t, k, b, secret.AES256GCM, "correct horse, battery staple, and more of it to be long enough")
	for what, blob := range map[string][]byte{"nothing": nil, "envelope": s.Envelope, "value": s.Ciphertext} {
		_, err := envelope.RootOf(blob)
		mustRefuse(t, what, err)
	}
}

func TestMACSeparatesPurposeFromData(t *testing.T) {
	r := newRoot(t, masterText, [16]byte{1})
	seen := map[[32]byte]string{}
	for _, c := range [][2]string{{"", ""}, {"a", ""}, {"", "a"}, {"ab", "c"}, {"a", "bc"}, {"page", strings.Repeat("x", 5000)}} {
		mac := r.MAC(c[0], []byte(c[1]))
		if before, ok := seen[mac]; ok {
			t.Errorf("%q has the MAC of %q", c, before)
		}
		seen[mac] = c[0] + "|" + c[1]
	}
}

func TestDestroyedRoot(t *testing.T) {
	r, tenant := newRoot(t, masterText, [16]byte{1}), secret.NewTenantID()
	blobs := map[string][]byte{}
	for name, w := range wrappers {
		blobs[name], _ = w.wrap(r, tenant, 1, newKey(t, 1))
	}
	gone := newKey(t, 1)
	gone.Destroy()
	if _, err := r.WrapKEK(tenant, 1, gone); !errors.Is(err, envelope.ErrKeyGone) {
		t.Errorf("wrapping a destroyed key: %v", err)
	}
	r.Destroy()
	(*envelope.Root)(nil).Destroy()
	for name, w := range wrappers {
		if _, err := w.wrap(r, tenant, 1, newKey(t, 1)); !errors.Is(err, envelope.ErrKeyGone) {
			t.Errorf("%s: wrapping: %v", name, err)
		}
		if _, err := w.unwrap(r, tenant, 1, blobs[name]); !errors.Is(err, envelope.ErrKeyGone) || errors.Is(err, secret.ErrDecryption) {
			t.Errorf("%s: unwrapping: %v", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MAC under a destroyed root key returns")
		}
	}()
	r.MAC("p", nil)
}
