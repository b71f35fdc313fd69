package main_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// This file finds out every key that a server works with: from a copy of its
// store and the master key, by what docs/security.md says of the formats, and
// with none of the code that seals.

// keyring is a store, opened by hand.
type keyring struct {
	r     store.Reader
	prk   []byte // of the root key
	keks  map[kekID][]byte
	seeds map[kekID][]byte // of KEMs
	found []plant
}

type kekID struct {
	tenant secret.TenantID
	number uint32
}

func (id kekID) String() string { return fmt.Sprintf("%x key %d", id.tenant[:4], id.number) }

// storeKeys returns every key of a store: those in it, those derived from
// them, and what algorithms expand them to. The store may be in use.
func storeKeys(t testing.TB, dir, master string) []plant {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: copyStore(t, dir)})
	if err != nil {
		t.Fatalf("finding out the store's keys: %v", err)
	}
	defer db.Close()
	var k *keyring
	err = db.View(t.Context(), func(r store.Reader) (err error) {
		k = &keyring{r: r, keks: map[kekID][]byte{}, seeds: map[kekID][]byte{}}
		for _, read := range []func() error{func() error { return k.readRoot(master) }, k.readKEKs, k.readTenants, k.readLogSeeds} {
			if err := read(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("finding out the store's keys: %v", err)
	}
	return k.found
}

// copyStore copies the files of a store in use. A log of writes that grows
// meanwhile is copied up to some commit, which is as good.
func copyStore(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	files, err := filepath.Glob(filepath.Join(dir, "fastness.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no database in %s: %v", dir, err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".db-shm" {
			continue // says where readers are, of whom the copy has none
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(file)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func (k *keyring) readRoot(master string) error {
	deployment, err := k.r.Meta("deployment")
	if err != nil {
		return err
	}
	if k.prk, err = hkdf.Extract(sha256.New, []byte(master), deployment); err != nil {
		return err
	}
	k.add("root key", "extracted", k.prk)
	for _, subkey := range []string{subkeyKEK, subkeyKEM, subkeyLog, "fastness root page token mac"} {
		k.add("root key", subkey, derived(k.prk, subkey, ""))
	}
	return nil
}

const (
	subkeyKEK = "fastness root tenant key wrap"
	subkeyKEM = "fastness root kem seed wrap"
	subkeyLog = "fastness root log seed seal"
)

func (k *keyring) add(kind, name string, key []byte) {
	k.found = append(k.found, plant{kind: kind, name: name, bytes: slices.Clone(key)})
}

// all is more than any list of these tests has.
const all = 1 << 20

func (k *keyring) readKEKs() error {
	keys, err := k.r.Tenants().AllKeys(secret.TenantID{}, 0, all)
	if err != nil {
		return err
	}
	for _, key := range keys {
		id := kekID{key.Tenant, key.Number}
		place := associated("fastness tenant key", 3, id.tenant[:], nil, "", 1, id.number)
		if k.keks[id], err = opened(derived(k.prk, subkeyKEK, ""), key.KEK[10:], place); err != nil {
			return err
		}
		k.add("KEK", id.String(), k.keks[id])
		if key.KEMSeed == nil {
			continue
		}
		place = associated("fastness tenant kem seed", 4, id.tenant[:], nil, "", 1, id.number)
		if k.seeds[id], err = opened(derived(k.prk, subkeyKEM, ""), key.KEMSeed[10:], place); err != nil {
			return err
		}
		k.addKEM(id.String(), k.seeds[id])
	}
	return nil
}

// addKEM adds the private key of X-Wing in its seed's form and as what it
// expands to: the seeds of ML-KEM, with the one for its noise, and the scalar of
// X25519.
func (k *keyring) addKEM(name string, seed []byte) {
	k.add("hybrid private key", name, seed)
	expanded := sha3.SumSHAKE256(seed, 96)
	k.add("hybrid private key", name+" ML-KEM d", expanded[:32])
	k.add("hybrid private key", name+" ML-KEM z", expanded[32:64])
	k.add("hybrid private key", name+" X25519", expanded[64:])
	g := sha3.Sum512(append(slices.Clone(expanded[:32]), 3))
	k.add("hybrid private key", name+" ML-KEM sigma", g[32:])
}

func (k *keyring) readTenants() error {
	tenants, err := k.r.Tenants().List("", all)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := errors.Join(k.readVersions(t.ID), k.readAccessKeys(t.ID)); err != nil {
			return err
		}
	}
	return nil
}

func (k *keyring) readVersions(tenant secret.TenantID) error {
	reader := k.r.Secrets(tenant)
	secrets, err := reader.List(store.Query{Limit: all})
	if err != nil {
		return err
	}
	for _, s := range secrets {
		versions, err := reader.Versions(s.ID, 0, all)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if err := k.readVersion(tenant, s, v); err != nil {
				return fmt.Errorf("%s version %s: %w", s.Name, v.Number, err)
			}
		}
	}
	return nil
}

func (k *keyring) readVersion(tenant secret.TenantID, s *store.Secret, v *store.Version) error {
	kek := kekID{tenant, v.Key}
	algorithm := v.Envelope[1]
	place := associated("fastness data key", 2, tenant[:], s.ID[:], string(v.ID), algorithm, kek.number)
	wrap := derived(k.keks[kek], "fastness data key wrap", string(v.ID))
	name := fmt.Sprintf("%s version %s", s.Name, v.Number)
	k.add("DEK", name+" wrap key", wrap)
	dek, err := opened(wrap, v.Envelope[6:], place)
	if err == nil && algorithm == 2 {
		dek, err = k.decapsulated(kek, dek, place)
	}
	if err != nil {
		return err
	}
	k.add("DEK", name, dek)
	return nil
}

func (k *keyring) decapsulated(kek kekID, sealed, info []byte) ([]byte, error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(k.seeds[kek])
	if err != nil {
		return nil, err
	}
	return hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
}

func (k *keyring) readAccessKeys(tenant secret.TenantID) error {
	credentials, err := k.r.Credentials().List(tenant, "", all)
	if err != nil {
		return err
	}
	for _, c := range credentials {
		if c.Sealed == nil {
			continue
		}
		kek := kekID{tenant, c.Key}
		wrap := derived(k.keks[kek], "fastness access key wrap", c.ID)
		plain, err := opened(wrap, c.Sealed[6:], associated("fastness access key secret", 6, tenant[:], nil, c.ID, 1, kek.number))
		if err != nil {
			return err
		}
		k.add("KEK", c.ID+" wrap key", wrap)
		k.add("access-key secret", c.ID, plain)
	}
	return nil
}

// readLogSeeds adds the signing seeds and what they expand to before each
// signature.
func (k *keyring) readLogSeeds() error {
	row, err := k.r.Meta("log.keys")
	if err != nil {
		return err
	}
	var stored struct {
		Now struct {
			Generation       int
			Ed25519, MLDSA44 []byte
		}
	}
	if err := json.Unmarshal(row, &stored); err != nil {
		return err
	}
	for algorithm, blob := range map[string][]byte{"ed25519": stored.Now.Ed25519, "mldsa44": stored.Now.MLDSA44} {
		purpose := fmt.Sprintf("fastness log seed %s/%d", algorithm, stored.Now.Generation)
		seed, err := opened(derived(k.prk, subkeyLog, ""), blob[10:], associated(purpose, 5, nil, nil, "", 1, 0))
		if err != nil {
			return err
		}
		k.add("log signing key", algorithm+" seed", seed)
		if algorithm == "ed25519" {
			h := sha512.Sum512(seed)
			k.add("log signing key", "ed25519 scalar before clamping", h[1:31])
			k.add("log signing key", "ed25519 prefix", h[32:])
			continue
		}
		h := sha3.SumSHAKE256(append(slices.Clone(seed), 4, 4), 128)
		k.add("log signing key", "mldsa44 rho'", h[32:96])
		k.add("log signing key", "mldsa44 K", h[96:])
	}
	return nil
}

func derived(key []byte, label, item string) []byte {
	out, err := hkdf.Expand(sha256.New, key, prefixed(label)+prefixed(item), 32)
	if err != nil {
		panic(err) // 32 bytes are not too many
	}
	return out
}

func prefixed(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// associated is the associated data of a seal.
func associated(purpose string, format byte, tenant, secret []byte, item string, algorithm byte, number uint32) []byte {
	b := append([]byte(prefixed(purpose)), format)
	for _, id := range [][]byte{tenant, secret} {
		b = append(b, id...)
		b = append(b, make([]byte, 16-len(id))...)
	}
	b = append(append(b, prefixed(item)...), algorithm)
	return binary.BigEndian.AppendUint32(b, number)
}

// opened opens nonce ‖ ciphertext ‖ tag.
func opened(key, sealed, associated []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, sealed[:12], sealed[12:], associated)
}
