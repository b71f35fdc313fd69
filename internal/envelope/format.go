package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fastness/internal/secret"
)

// format is the first byte of a blob: what it is, and which version of its
// form. A new form of the same thing gets a new number; numbers are never used
// again.
//
//	value (0x01)                     0  1         2                         n-16  n
//	                                 ├──┼─────────┼─ 12 ──┼───── any ────────┼─ 16 ┤
//	                                 │01│algorithm│ nonce │ sealed value     │ tag │
//
//	envelope (0x02)                  0  1         2        6
//	                                 ├──┼─────────┼─── 4 ──┼─ 12 ──┼ 32 or 1168 ┼─ 16 ┤
//	                                 │02│algorithm│ number │ nonce │ sealed DEK  │ tag │
//
//	KEK (0x03), KEM seed (0x04),     0  1         2         10
//	log seed (0x05)                  ├──┼─────────┼─── 8 ───┼─ 12 ──┼──── 32 ────┼─ 16 ┤
//	                                 │03│algorithm│ root id │ nonce │ sealed key │ tag │
//
//	access-key secret (0x06),        0  1         2        6                   n-16  n
//	document part (0x07)             ├──┼─────────┼─── 4 ──┼─ 12 ──┼─── any ────┼─ 16 ┤
//	                                 │06│algorithm│ number │ nonce │ sealed     │ tag │
//
// number is the KEK's, big-endian, from 1. The sealed DEK is 32 bytes with
// algorithm 01. With algorithm 02 it is 1168 bytes, what HPKE makes of the DEK:
//
//	├─────────── 1120 ────────────┼──── 32 ────┼─ 16 ┤
//	│ ML-KEM-768 ‖ X25519 encaps. │ sealed DEK │ tag │
type format byte

const (
	formatValue     format = 0x01
	formatEnvelope  format = 0x02
	formatKEK       format = 0x03
	formatKEMSeed   format = 0x04
	formatLogSeed   format = 0x05
	formatAccessKey format = 0x06
	formatDocument  format = 0x07
)

// algorithm is the second byte of a blob: how it is sealed. There is one
// registry for all of Fastness, so that a number means one thing everywhere:
//
//	00        never used
//	01        AES-256-GCM, random 96-bit nonce, 128-bit tag
//	02        HPKE (RFC 9180 base mode) with MLKEM768-X25519 (0x647a), HKDF-SHA-256
//	          (0x0001), AES-256-GCM (0x0002), the result sealed by 01
//	03        reserved: as 02 with ML-KEM-1024 (0x0042)
//	04        reserved: as 02 with MLKEM1024-P384 (0x0051)
//	05–1f     reserved for further key encapsulation and authenticated encryption
//	20        reserved: signatures by Ed25519
//	21 22 23  reserved: signatures by ML-DSA-44, ML-DSA-65, ML-DSA-87
//	24–2f     reserved: signatures by SLH-DSA, in FIPS 205's order of its twelve
//	          parameter sets, SHA2-128s first
//	30–ff     unassigned
type algorithm byte

const (
	algAES256GCM algorithm = 0x01
	algHybrid    algorithm = 0x02
)

// Lengths in bytes.
const (
	nonceSize    = 12
	tagSize      = 16
	sealOverhead = nonceSize + tagSize
	keySize      = 32
	numberSize   = 4
	prefixSize   = 2 // format and algorithm

	// hybridSize is what HPKE makes of a DEK: encapsulated key, DEK, tag.
	hybridSize = 1120 + keySize + tagSize
	// kemPublicSize is the length of a tenant's public key.
	kemPublicSize = 1216
)

// algorithmOf translates the name that people use.
func algorithmOf(a secret.Algorithm) (algorithm, error) {
	switch a {
	case secret.AES256GCM:
		return algAES256GCM, nil
	case secret.HybridQuantum:
		return algHybrid, nil
	}
	return 0, fmt.Errorf("sealing: unknown algorithm %q", string(a))
}

// name is algorithmOf's inverse, for algorithms that parseEnvelope accepts.
func (a algorithm) name() secret.Algorithm {
	if a == algHybrid {
		return secret.HybridQuantum
	}
	return secret.AES256GCM
}

// dekSize is the length of a DEK as it enters the outer seal.
func (a algorithm) dekSize() int {
	if a == algHybrid {
		return hybridSize
	}
	return keySize
}

// Errors of parsing. They describe the bytes that everybody can see.
var (
	errFormat    = errors.New("parsing: not the expected format")
	errAlgorithm = errors.New("parsing: unknown algorithm")
	errLength    = errors.New("parsing: wrong length")
	errNumber    = errors.New("parsing: KEK number 0")
)

// header begins a blob that will hold size bytes more.
func header(f format, a algorithm, size int) []byte {
	return append(make([]byte, 0, prefixSize+size), byte(f), byte(a))
}

// parseBlob checks the first two bytes of a blob sealed by AES-256-GCM alone
// and returns the rest, which is long enough to be a seal.
func parseBlob(b []byte, f format) ([]byte, error) {
	switch {
	case len(b) < prefixSize+sealOverhead:
		return nil, errLength
	case format(b[0]) != f:
		return nil, errFormat
	case algorithm(b[1]) != algAES256GCM:
		return nil, errAlgorithm
	}
	return b[prefixSize:], nil
}

// sealedDEK is a parsed envelope.
type sealedDEK struct {
	alg    algorithm
	number uint32
	body   []byte // nonce, sealed DEK, tag
}

func parseEnvelope(b []byte) (e sealedDEK, err error) {
	if len(b) < prefixSize+numberSize {
		return e, errLength
	}
	if format(b[0]) != formatEnvelope {
		return e, errFormat
	}
	e = sealedDEK{
		alg:    algorithm(b[1]),
		number: binary.BigEndian.Uint32(b[prefixSize:]),
		body:   b[prefixSize+numberSize:],
	}
	switch {
	case e.alg != algAES256GCM && e.alg != algHybrid:
		return e, errAlgorithm
	case len(e.body) != e.alg.dekSize()+sealOverhead:
		return e, errLength
	case e.number == 0:
		return e, errNumber
	}
	return e, nil
}

// envelopeHeader begins an envelope, with room for its body.
func envelopeHeader(a algorithm, number uint32) []byte {
	b := header(formatEnvelope, a, numberSize+a.dekSize()+sealOverhead)
	return binary.BigEndian.AppendUint32(b, number)
}
