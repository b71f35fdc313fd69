package envelope

import (
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"

	"fastness/internal/secretbuf"
)

// KEK is a tenant's key number N: the key under which the tenant's data keys
// are sealed and, once hybrid-quantum was first used, a key pair of ML-KEM-768
// and X25519 (X-Wing). The exported fields are for the one who stores and loads
// it; a KEK in use is read only and safe for concurrent use.
type KEK struct {
	Number uint32
	Key    *secretbuf.Key
	// KEMPublic is the public key to which hybrid-quantum seals, 1216 bytes;
	// nil before the first hybrid use. A copy from storage is not to be
	// trusted: AttachKEM computes it.
	KEMPublic []byte
	// KEMSeed is the private key, as its 32-byte seed. Sealing does without.
	KEMSeed *secretbuf.Key
}

var (
	errKEKNumber = errors.New("KEK numbers begin at 1")
	errHasKEM    = errors.New("the KEK has a KEM key pair already")
	errNoKEM     = errors.New("the KEK has no KEM key")
)

// NewKEK makes a fresh random KEK without a KEM key pair.
func NewKEK(number uint32) (*KEK, error) {
	if number == 0 {
		return nil, errKEKNumber
	}
	return &KEK{Number: number, Key: randomKey()}, nil
}

// AddKEM gives k a fresh KEM key pair. It fails when k has one, which would be
// lost. It must not run while k is in use.
func (k *KEK) AddKEM() error {
	if k.KEMSeed != nil || k.KEMPublic != nil {
		return errHasKEM
	}
	seed := randomKey()
	if err := k.AttachKEM(seed); err != nil {
		seed.Destroy()
		return err
	}
	return nil
}

// AttachKEM sets the KEM key pair of a KEK that was loaded: the seed becomes
// k's, the public key is computed from it, at the cost of a key generation. It
// must not run while k is in use.
func (k *KEK) AttachKEM(seed *secretbuf.Key) error {
	public := make([]byte, kemPublicSize)
	var err error
	secretbuf.Do(func() {
		ok := seed.Use(func(b []byte) {
			var private hpke.PrivateKey
			if private, err = hpke.MLKEM768X25519().NewPrivateKey(b); err == nil {
				copy(public, private.PublicKey().Bytes())
			}
		})
		if !ok {
			err = ErrKeyGone
		}
	})
	if err != nil {
		return fmt.Errorf("making KEM key: %w", err)
	}
	k.KEMSeed, k.KEMPublic = seed, public
	return nil
}

// Destroy wipes the keys of k. Calls that use them now still finish.
func (k *KEK) Destroy() {
	if k != nil {
		k.Key.Destroy()
		k.KEMSeed.Destroy()
	}
}

// randomKey draws 32 random bytes.
func randomKey() *secretbuf.Key {
	s := newScratch()
	rand.Read(s.b[:])
	return secretbuf.NewKey(s.b[:])
}

// derive computes the key under which k seals one item. One key for each keeps
// random nonces far from colliding, however many items a KEK seals.
func (k *KEK) derive(out *scratch, label, item string) error {
	if len(item) > maxItem {
		return errItem
	}
	if !k.Key.Use(func(key []byte) { expand(&out.b, key, label, item) }) {
		return ErrKeyGone
	}
	return nil
}

// wrap seals a data key: by AES-256-GCM or, for hybrid, by HPKE to the tenant's
// public key and what that makes by AES-256-GCM, so that both must be broken.
// It runs inside secretbuf.Do, like unwrap.
func (k *KEK) wrap(b Binding, a algorithm, dek *[keySize]byte) ([]byte, error) {
	if k.Number == 0 {
		return nil, errKEKNumber
	}
	aad, err := b.dek(a, k.Number).aad()
	if err != nil {
		return nil, err
	}
	wrapKey := newScratch()
	defer wrapKey.wipe()
	if err := k.derive(wrapKey, labelDEK, string(b.Version)); err != nil {
		return nil, err
	}
	inner := dek[:]
	if a == algHybrid {
		if inner, err = k.encapsulate(dek, aad); err != nil {
			return nil, err
		}
	}
	return seal(envelopeHeader(a, k.Number), &wrapKey.b, inner, aad), nil
}

// unwrap opens a data key into dek.
func (k *KEK) unwrap(b Binding, e sealedDEK, dek *[keySize]byte) error {
	if e.number != k.Number {
		return fmt.Errorf("sealed under KEK %d, not %d", e.number, k.Number)
	}
	aad, err := b.dek(e.alg, e.number).aad()
	if err != nil {
		return err
	}
	wrapKey := newScratch()
	defer wrapKey.wipe()
	if err := k.derive(wrapKey, labelDEK, string(b.Version)); err != nil {
		return err
	}
	if e.alg == algAES256GCM {
		return open(dek[:], &wrapKey.b, e.body, aad)
	}
	inner := make([]byte, hybridSize)
	if err := open(inner, &wrapKey.b, e.body, aad); err != nil {
		return err
	}
	return k.decapsulate(dek, inner, aad)
}

// encapsulate seals the data key to the tenant's public key.
func (k *KEK) encapsulate(dek *[keySize]byte, aad []byte) ([]byte, error) {
	if k.KEMPublic == nil {
		return nil, errNoKEM
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(k.KEMPublic)
	if err != nil {
		return nil, fmt.Errorf("reading KEM public key: %w", err)
	}
	return hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), aad, dek[:])
}

// decapsulate opens what encapsulate sealed. The private key is made from its
// seed each time: nothing of package hpke can be wiped, so nothing is kept.
func (k *KEK) decapsulate(dek *[keySize]byte, sealed, aad []byte) (err error) {
	if k.KEMSeed == nil {
		return errNoKEM
	}
	var private hpke.PrivateKey
	if !k.KEMSeed.Use(func(seed []byte) { private, err = hpke.MLKEM768X25519().NewPrivateKey(seed) }) {
		return ErrKeyGone
	}
	if err != nil {
		return fmt.Errorf("making KEM key: %w", err)
	}
	plain, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), aad, sealed)
	if err != nil {
		return err
	}
	defer secretbuf.Wipe(plain)
	if copy(dek[:], plain) != keySize || len(plain) != keySize {
		return errLength
	}
	return nil
}
