package envelope

import (
	"encoding/hex"
	"errors"
	"fmt"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// RootID names a root key: derived from it, stored with everything it wraps,
// not secret.
type RootID [8]byte

// String returns the id in hexadecimal.
func (id RootID) String() string { return hex.EncodeToString(id[:]) }

// Root is a root key in use: one subkey for each purpose, in guarded memory.
// The key they come from is not kept. Safe for concurrent use.
type Root struct {
	id    RootID
	check [32]byte

	kek, kem, log, page *secretbuf.Key
}

// minMaster is the least a master key must have; package rootkey asks more of
// one that people choose.
const minMaster = 32

var errMaster = errors.New("the master key has less than 32 bytes")

// NewRoot derives a root key: HKDF-Extract with SHA-256 from the master key,
// which need not be uniformly random, with the deployment's random id as salt,
// then HKDF-Expand once a subkey. The master key stays the caller's to release.
func NewRoot(master *secretbuf.Buffer, deployment [16]byte) (*Root, error) {
	if master.Len() < minMaster {
		return nil, errMaster
	}
	r := &Root{}
	prk, sub := newScratch(), newScratch()
	defer prk.wipe()
	defer sub.wipe()
	secretbuf.Do(func() {
		extract(&prk.b, deployment[:], master.Bytes())
		subkey := func(label string) *secretbuf.Key {
			expand(&sub.b, prk.b[:], label, "")
			return secretbuf.NewKey(sub.b[:])
		}
		r.kek, r.kem = subkey(labelRootKEK), subkey(labelRootKEM)
		r.log, r.page = subkey(labelRootLog), subkey(labelRootPage)
		expand(&r.check, prk.b[:], labelRootCheck, "")
		expand(&sub.b, prk.b[:], labelRootID, "")
		copy(r.id[:], sub.b[:])
	})
	return r, nil
}

// ID returns the root key's name.
func (r *Root) ID() RootID { return r.id }

// CheckValue returns a value that only this root key of this deployment gives.
// Stored, it proves a root key right before anything is opened with it, and
// says nothing else about it.
func (r *Root) CheckValue() [32]byte { return r.check }

// Destroy wipes the subkeys. Calls that use them now still finish.
func (r *Root) Destroy() {
	if r == nil {
		return
	}
	for _, k := range []*secretbuf.Key{r.kek, r.kem, r.log, r.page} {
		k.Destroy()
	}
}

// WrapKEK seals a tenant's KEK for storage.
func (r *Root) WrapKEK(t secret.TenantID, number uint32, k *secretbuf.Key) ([]byte, error) {
	return r.wrap(r.kek, tenantKey(formatKEK, purposeKEK, t, number), k)
}

// UnwrapKEK opens what WrapKEK sealed. Errors are as those of Open.
func (r *Root) UnwrapKEK(t secret.TenantID, number uint32, blob []byte) (*secretbuf.Key, error) {
	return r.unwrap(r.kek, tenantKey(formatKEK, purposeKEK, t, number), blob)
}

// WrapKEMSeed seals the private half of a tenant's KEM key pair for storage.
func (r *Root) WrapKEMSeed(t secret.TenantID, number uint32, k *secretbuf.Key) ([]byte, error) {
	return r.wrap(r.kem, tenantKey(formatKEMSeed, purposeKEMSeed, t, number), k)
}

// UnwrapKEMSeed opens what WrapKEMSeed sealed. Errors are as those of Open.
func (r *Root) UnwrapKEMSeed(t secret.TenantID, number uint32, blob []byte) (*secretbuf.Key, error) {
	return r.unwrap(r.kem, tenantKey(formatKEMSeed, purposeKEMSeed, t, number), blob)
}

// SealLogSeed seals the 32-byte seed of a key that signs the audit log, bound
// to what purpose says of it. The seed stays the caller's to wipe.
func (r *Root) SealLogSeed(purpose string, seed []byte) ([]byte, error) {
	if len(seed) != keySize {
		return nil, fmt.Errorf("wrapping key: %w", errLength)
	}
	return r.sealKey(r.log, logSeed(purpose), (*[keySize]byte)(seed))
}

// OpenLogSeed opens what SealLogSeed sealed. Errors are as those of Open.
func (r *Root) OpenLogSeed(purpose string, blob []byte) (*secretbuf.Key, error) {
	return r.unwrap(r.log, logSeed(purpose), blob)
}

// MAC returns HMAC-SHA-256 under the subkey for page tokens of purpose, behind
// its length in two bytes, and data. Different purposes give unrelated results.
// A destroyed Root panics: no value it could return is one that nobody guesses.
func (r *Root) MAC(purpose string, data []byte) (mac [32]byte) {
	prefix := appendText(nil, purpose)
	ok := false
	secretbuf.Do(func() {
		ok = r.page.Use(func(key []byte) { hmacSHA256(&mac, key, prefix, data) })
	})
	if !ok {
		panic("envelope: MAC under a destroyed root key")
	}
	return mac
}

// RootOf tells which root key wraps a KEK, a KEM seed or a log seed. Nothing is
// proven by it: only opening does that.
func RootOf(blob []byte) (RootID, error) {
	if len(blob) == 0 {
		return RootID{}, refuse(errLength)
	}
	switch f := format(blob[0]); f {
	case formatKEK, formatKEMSeed, formatLogSeed:
		id, _, err := parseWrapped(blob, f)
		if err != nil {
			return RootID{}, refuse(err)
		}
		return id, nil
	}
	return RootID{}, refuse(errFormat)
}

// parseWrapped splits a wrapped key into the root key's id and the seal.
func parseWrapped(blob []byte, f format) (id RootID, sealed []byte, err error) {
	rest, err := parseBlob(blob, f)
	if err != nil {
		return id, nil, err
	}
	if len(rest) != len(id)+keySize+sealOverhead {
		return id, nil, errLength
	}
	copy(id[:], rest)
	return id, rest[len(id):], nil
}

func tenantKey(f format, purpose string, t secret.TenantID, number uint32) sealContext {
	return sealContext{purpose: purpose, format: f, tenant: t, alg: algAES256GCM, number: number}
}

func logSeed(purpose string) sealContext {
	return sealContext{purpose: purposeLogSeed + purpose, format: formatLogSeed, alg: algAES256GCM}
}

// wrap seals k under a subkey.
func (r *Root) wrap(subkey *secretbuf.Key, c sealContext, k *secretbuf.Key) ([]byte, error) {
	if c.number == 0 {
		return nil, errKEKNumber
	}
	var blob []byte
	var err error
	if !k.Use(func(b []byte) { blob, err = r.sealKey(subkey, c, (*[keySize]byte)(b)) }) {
		return nil, fmt.Errorf("wrapping key: %w", ErrKeyGone)
	}
	return blob, err
}

// sealKey seals a key under a subkey: directly, since one root key wraps far
// fewer than the 2^32 keys that random nonces allow.
func (r *Root) sealKey(subkey *secretbuf.Key, c sealContext, key *[keySize]byte) ([]byte, error) {
	aad, err := c.aad()
	if err != nil {
		return nil, fmt.Errorf("wrapping key: %w", err)
	}
	blob := append(header(c.format, c.alg, len(r.id)+keySize+sealOverhead), r.id[:]...)
	ok := false
	secretbuf.Do(func() {
		ok = subkey.Use(func(s []byte) { blob = seal(blob, (*[keySize]byte)(s), key[:], aad) })
	})
	if !ok {
		return nil, fmt.Errorf("wrapping key: %w", ErrKeyGone)
	}
	return blob, nil
}

// unwrap opens a key that a subkey seals.
func (r *Root) unwrap(subkey *secretbuf.Key, c sealContext, blob []byte) (*secretbuf.Key, error) {
	id, sealed, err := parseWrapped(blob, c.format)
	if err != nil {
		return nil, refuse(err)
	}
	if id != r.id {
		return nil, refuse(fmt.Errorf("wrapped by root key %v, not %v", id, r.id))
	}
	aad, err := c.aad()
	if err != nil {
		return nil, refuse(err)
	}
	plain := newScratch()
	defer plain.wipe()
	secretbuf.Do(func() {
		if !subkey.Use(func(s []byte) { err = open(plain.b[:], (*[keySize]byte)(s), sealed, aad) }) {
			err = ErrKeyGone
		}
	})
	if err != nil {
		return nil, refuse(fmt.Errorf("unwrapping key: %w", err))
	}
	return secretbuf.NewKey(plain.b[:]), nil
}
