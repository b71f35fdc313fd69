// Package envelope seals values and keys: what DESIGN calls the way from the
// root key down to a value. It is pure: bytes in, bytes out.
//
//	master key ─HKDF→ root subkeys ─wrap→ KEK of a tenant ─wrap→ DEK of a version ─seal→ value
//
// A [Root] holds the subkeys of one root key and wraps keys of tenants. A [KEK]
// is one of those keys; [Seal] makes a fresh data key (DEK), seals the value
// with it and the DEK under the KEK, and [Open] goes the other way. [Rewrap]
// moves a DEK to another KEK or algorithm without touching the value.
//
// Every seal is AES-256-GCM with a random nonce whose associated data names
// what it is for and where it belongs, see sealContext in seal.go, so that a blob moved to
// another tenant, secret or version does not open. Every blob begins with a
// byte that tells its format and a byte that tells its algorithm; format.go has
// both registries and pictures of the bytes. Parsing is strict: what parses
// encodes to the same bytes again.
//
// Keys live in [secretbuf.Key], plaintext in [secretbuf.Buffer]; ciphers are
// made for one call and overwritten after it.
package envelope

import (
	"crypto/rand"
	"errors"
	"fmt"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// Binding says where a value belongs. All of it is bound into the seal.
type Binding struct {
	Tenant  secret.TenantID
	Secret  secret.ID
	Version secret.VersionID
}

// Sealed is a value at rest: the sealed data key and, apart from it, the value
// sealed with that data key. Rewrap replaces the first and leaves the second.
type Sealed struct {
	Envelope, Ciphertext []byte
}

// ErrKeyGone is returned, wrapped, when a key was destroyed before it could be
// used. It says nothing of the data: load the key again and retry.
var ErrKeyGone = errors.New("the key was destroyed")

// Seal seals value under a fresh data key, and that one under k by alg. The
// value stays the caller's.
func Seal(k *KEK, b Binding, alg secret.Algorithm, value []byte) (Sealed, error) {
	a, err := algorithmOf(alg)
	if err != nil {
		return Sealed{}, err
	}
	aad, err := b.value().aad()
	if err != nil {
		return Sealed{}, err
	}
	ciphertext := header(formatValue, algAES256GCM, len(value)+sealOverhead)
	dek := newScratch()
	defer dek.wipe()
	var envelope []byte
	secretbuf.Do(func() {
		rand.Read(dek.b[:])
		ciphertext = seal(ciphertext, &dek.b, value, aad)
		envelope, err = k.wrap(b, a, &dek.b)
	})
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing: %w", err)
	}
	return Sealed{Envelope: envelope, Ciphertext: ciphertext}, nil
}

// Open opens what Seal sealed under k for the same binding. Unless the key is
// gone ([ErrKeyGone]), the error is a [secret.ErrDecryption], which does not
// tell its reader which step failed; its cause does, for the operator.
func Open(k *KEK, b Binding, s Sealed) (*secretbuf.Buffer, error) {
	e, err := parseEnvelope(s.Envelope)
	if err != nil {
		return nil, refuse(err)
	}
	sealed, err := parseBlob(s.Ciphertext, formatValue)
	if err != nil {
		return nil, refuse(err)
	}
	aad, err := b.value().aad()
	if err != nil {
		return nil, refuse(err)
	}
	value := secretbuf.New(len(sealed) - sealOverhead)
	dek := newScratch()
	defer dek.wipe()
	secretbuf.Do(func() {
		if err = k.unwrap(b, e, &dek.b); err == nil {
			err = open(value.Bytes(), &dek.b, sealed, aad)
		}
	})
	if err != nil {
		value.Release()
		return nil, refuse(fmt.Errorf("opening value: %w", err))
	}
	return value, nil
}

// Rewrap returns a new envelope for the data key in envelope: under the KEK to,
// by alg. The two KEKs may be the same one. The ciphertext stays as it is and
// opens with either envelope. Errors are those of Open and Seal.
func Rewrap(from, to *KEK, b Binding, alg secret.Algorithm, envelope []byte) ([]byte, error) {
	a, err := algorithmOf(alg)
	if err != nil {
		return nil, err
	}
	e, err := parseEnvelope(envelope)
	if err != nil {
		return nil, refuse(err)
	}
	dek := newScratch()
	defer dek.wipe()
	var out []byte
	secretbuf.Do(func() {
		if err = from.unwrap(b, e, &dek.b); err != nil {
			err = refuse(fmt.Errorf("opening envelope: %w", err))
			return
		}
		out, err = to.wrap(b, a, &dek.b)
	})
	if err != nil {
		return nil, fmt.Errorf("re-wrapping: %w", err)
	}
	return out, nil
}

// EnvelopeKEK tells, from an envelope alone, which KEK it is sealed under and
// how. Nothing is proven by it: only opening does that.
func EnvelopeKEK(envelope []byte) (number uint32, alg secret.Algorithm, err error) {
	e, err := parseEnvelope(envelope)
	if err != nil {
		return 0, "", refuse(err)
	}
	return e.number, e.alg.name(), nil
}

// refuse makes an error of opening: ErrDecryption to the caller, the cause to
// the operator. A key that is gone is our affair, not the data's.
func refuse(cause error) error {
	if errors.Is(cause, ErrKeyGone) {
		return cause
	}
	return secret.ErrDecryption.With(cause)
}

// scratch is room for one key on its way: on the heap, because ciphers take
// their arguments through interfaces, and wiped by whoever made it.
type scratch struct{ b [secretbuf.KeySize]byte }

func newScratch() *scratch { return new(scratch) }

func (s *scratch) wipe() { secretbuf.Wipe(s.b[:]) }
