package main_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite"
)

// This file finds out every key that a server works with: from a copy of its
// store and the master key, by what docs/security.md says of the formats, and
// with none of the product's code.

// keyring is a store, opened by hand.
type keyring struct {
	db    *sql.DB
	prk   []byte            // of the root key
	keks  map[kekID][]byte  // by the tenant's row and key number
	seeds map[kekID][]byte  // of KEMs
	ids   map[int64][]byte  // tenants' ids by row
	found map[string][]byte // every key, by kind and name
}

type kekID struct{ tenant, number int64 }

// storeKeys returns every key of a store: those in it, those derived from
// them, and what algorithms expand them to. The store may be in use.
func storeKeys(t testing.TB, dir, master string) []plant {
	t.Helper()
	k, err := openKeyring(copyStore(t, dir), master)
	if err != nil {
		t.Fatalf("finding out the store's keys: %v", err)
	}
	defer k.db.Close()
	for _, read := range []func() error{k.readKEKs, k.readVersions, k.readAccessKeys, k.readLogSeeds} {
		if err := read(); err != nil {
			t.Fatalf("finding out the store's keys: %v", err)
		}
	}
	var plants []plant
	for name, key := range k.found {
		var p plant
		if err := json.Unmarshal([]byte(name), &[]any{&p.kind, &p.name}); err != nil {
			t.Fatal(err)
		}
		p.bytes = key
		plants = append(plants, p)
	}
	return plants
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
	return filepath.Join(to, "fastness.db")
}

func openKeyring(file, master string) (*keyring, error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	k := &keyring{db: db, keks: map[kekID][]byte{}, seeds: map[kekID][]byte{}, ids: map[int64][]byte{}, found: map[string][]byte{}}
	var deployment []byte
	if err := db.QueryRow(`SELECT value FROM meta WHERE key = 'deployment'`).Scan(&deployment); err != nil {
		return nil, err
	}
	if k.prk, err = hkdf.Extract(sha256.New, []byte(master), deployment); err != nil {
		return nil, err
	}
	k.add("root key", "extracted", k.prk)
	for _, subkey := range []string{subkeyKEK, subkeyKEM, subkeyLog, "fastness root page token mac"} {
		k.add("root key", subkey, derived(k.prk, subkey, ""))
	}
	return k, nil
}

const (
	subkeyKEK = "fastness root tenant key wrap"
	subkeyKEM = "fastness root kem seed wrap"
	subkeyLog = "fastness root log seed seal"
)

func (k *keyring) add(kind, name string, key []byte) {
	id, err := json.Marshal([]string{kind, name})
	if err != nil {
		panic(err)
	}
	k.found[string(id)] = slices.Clone(key)
}

// each runs f over the rows of a query.
func (k *keyring) each(query string, f func(scan func(...any) error) error) error {
	rows, err := k.db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return rows.Err()
}

func (k *keyring) readKEKs() error {
	err := k.each(`SELECT n, id FROM tenants`, func(scan func(...any) error) error {
		var n int64
		var id []byte
		err := scan(&n, &id)
		k.ids[n] = id
		return err
	})
	if err != nil {
		return err
	}
	return k.each(`SELECT tenant, number, kek, kem_seed FROM tenant_keys`, func(scan func(...any) error) error {
		var id kekID
		var kek, seed []byte
		if err := scan(&id.tenant, &id.number, &kek, &seed); err != nil {
			return err
		}
		place := associated("fastness tenant key", 3, k.ids[id.tenant], nil, "", 1, id.number)
		var err error
		if k.keks[id], err = opened(derived(k.prk, subkeyKEK, ""), kek[10:], place); err != nil {
			return err
		}
		k.add("KEK", fmt.Sprint(id), k.keks[id])
		if seed == nil {
			return nil
		}
		place = associated("fastness tenant kem seed", 4, k.ids[id.tenant], nil, "", 1, id.number)
		if k.seeds[id], err = opened(derived(k.prk, subkeyKEM, ""), seed[10:], place); err != nil {
			return err
		}
		k.addKEM(fmt.Sprint(id), k.seeds[id])
		return nil
	})
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

func (k *keyring) readVersions() error {
	return k.each(`SELECT v.tenant, v.secret, v.number, v.id, v.algorithm, v.key, v.envelope FROM versions v`, func(scan func(...any) error) error {
		var kek kekID
		var number int64
		var algorithm byte
		var secret, envelope []byte
		var version any
		if err := scan(&kek.tenant, &secret, &number, &version, &algorithm, &kek.number, &envelope); err != nil {
			return err
		}
		item, err := versionText(version)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%x version %d", secret, number)
		place := associated("fastness data key", 2, k.ids[kek.tenant], secret, item, algorithm, kek.number)
		wrap := derived(k.keks[kek], "fastness data key wrap", item)
		k.add("DEK", name+" wrap key", wrap)
		dek, err := opened(wrap, envelope[6:], place)
		if err == nil && algorithm == 2 {
			dek, err = k.decapsulated(kek, dek, place)
		}
		if err != nil {
			return err
		}
		k.add("DEK", name, dek)
		return nil
	})
}

func (k *keyring) decapsulated(kek kekID, sealed, info []byte) ([]byte, error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(k.seeds[kek])
	if err != nil {
		return nil, err
	}
	return hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
}

// versionText is a version's id as the world knows it.
func versionText(id any) (string, error) {
	switch id := id.(type) {
	case string:
		return id, nil
	case []byte:
		if len(id) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), nil
		}
	}
	return "", fmt.Errorf("version id %v", id)
}

func (k *keyring) readAccessKeys() error {
	return k.each(`SELECT tenant, id, key, sealed FROM credentials WHERE sealed IS NOT NULL`, func(scan func(...any) error) error {
		var kek kekID
		var id string
		var sealed []byte
		if err := scan(&kek.tenant, &id, &kek.number, &sealed); err != nil {
			return err
		}
		wrap := derived(k.keks[kek], "fastness access key wrap", id)
		secret, err := opened(wrap, sealed[6:], associated("fastness access key secret", 6, k.ids[kek.tenant], nil, id, 1, kek.number))
		if err != nil {
			return err
		}
		k.add("KEK", id+" wrap key", wrap)
		k.add("access-key secret", id, secret)
		return nil
	})
}

// readLogSeeds adds the signing seeds and what they expand to before each
// signature.
func (k *keyring) readLogSeeds() error {
	var row []byte
	if err := k.db.QueryRow(`SELECT value FROM meta WHERE key = 'log.keys'`).Scan(&row); err != nil {
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
func associated(purpose string, format byte, tenant, secret []byte, item string, algorithm byte, number int64) []byte {
	b := append([]byte(prefixed(purpose)), format)
	for _, id := range [][]byte{tenant, secret} {
		b = append(b, id...)
		b = append(b, make([]byte, 16-len(id))...)
	}
	b = append(append(b, prefixed(item)...), algorithm)
	return binary.BigEndian.AppendUint32(b, uint32(number))
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
