package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// sealContext is what a seal is bound to. Its canonical encoding is the associated
// data: fixed fields at fixed lengths, the two texts behind their lengths, all
// numbers big-endian, so that no two contexts encode alike.
//
//	0              p             p+1       p+17      p+33               v
//	├─ 2 ─┼── p-2 ──┼───── 1 ─────┼── 16 ───┼── 16 ───┼─ 2 ─┼──────────┼──── 1 ────┼─── 4 ──┤
//	│ len │ purpose │ format byte │ tenant  │ secret  │ len │ item     │ algorithm │ number │
//
// item is the version id; for an access-key secret it is the access key's id,
// for the part of a document the document's.
// Fields that do not apply are zero or empty. A value's context has algorithm
// 01 and number 0 whatever its envelope has, so that re-wrapping the data key
// leaves the value alone.
type sealContext struct {
	purpose string
	format  format
	tenant  secret.TenantID
	secret  secret.ID
	item    string
	alg     algorithm
	number  uint32
}

// Purposes of seals. That of a log seed has the seed's own purpose behind it,
// that of a document its kind.
const (
	purposeValue     = "fastness value"
	purposeDEK       = "fastness data key"
	purposeKEK       = "fastness tenant key"
	purposeKEMSeed   = "fastness tenant kem seed"
	purposeAccessKey = "fastness access key secret"
	purposeLogSeed   = "fastness log seed "
	purposeDocument  = "fastness document "
)

// maxItem bounds the texts in a context and in derivations: a document's id can
// be a principal's name and more.
const maxItem = 256

var errItem = errors.New("a name to bind to has more than 256 bytes")

func (b Binding) value() sealContext {
	return sealContext{
		purpose: purposeValue, format: formatValue, tenant: b.Tenant, secret: b.Secret,
		item: string(b.Version), alg: algAES256GCM,
	}
}

func (b Binding) dek(a algorithm, number uint32) sealContext {
	return sealContext{
		purpose: purposeDEK, format: formatEnvelope, tenant: b.Tenant, secret: b.Secret,
		item: string(b.Version), alg: a, number: number,
	}
}

// aad returns the canonical encoding.
func (c sealContext) aad() ([]byte, error) {
	if len(c.item) > maxItem || len(c.purpose) > maxItem {
		return nil, errItem
	}
	b := make([]byte, 0, 2+len(c.purpose)+1+16+16+2+len(c.item)+1+4)
	b = appendText(b, c.purpose)
	b = append(b, byte(c.format))
	b = append(b, c.tenant[:]...)
	b = append(b, c.secret[:]...)
	b = appendText(b, c.item)
	b = append(b, byte(c.alg))
	return binary.BigEndian.AppendUint32(b, c.number), nil
}

// appendText appends a text behind its length, two bytes, big-endian.
func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// seal appends nonce, sealed plaintext and tag to dst. It belongs inside
// secretbuf.Do, like open.
func seal(dst []byte, key *[keySize]byte, plaintext, aad []byte) []byte {
	block, aead := newAEAD(key)
	defer secretbuf.WipeCipher(block)
	defer secretbuf.WipeCipher(aead)
	return aead.Seal(dst, nil, plaintext, aad)
}

// open puts the plaintext into dst, which has its exact length.
func open(dst []byte, key *[keySize]byte, sealed, aad []byte) error {
	block, aead := newAEAD(key)
	defer secretbuf.WipeCipher(block)
	defer secretbuf.WipeCipher(aead)
	_, err := aead.Open(dst[:0], nil, sealed, aad)
	return err
}

// newAEAD makes the one cipher that this package uses. A nonce of its own
// choice is what a FIPS 140-only build allows of GCM.
func newAEAD(key *[keySize]byte) (cipher.Block, cipher.AEAD) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only a key of another length can cause it
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only another kind of block can cause it
	}
	return block, aead
}
