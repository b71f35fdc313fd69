package envelope

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"

	"fastness/internal/secretbuf"
)

// Labels of derivation from the root key.
const (
	labelRootID    = "fastness root id"
	labelRootCheck = "fastness root check value"
	labelRootKEK   = "fastness root tenant key wrap"
	labelRootKEM   = "fastness root kem seed wrap"
	labelRootLog   = "fastness root log seed seal"
	labelRootPage  = "fastness root page token mac"
)

// Labels of derivation from a KEK.
const (
	labelDEK       = "fastness data key wrap"
	labelAccessKey = "fastness access key wrap"
	labelDocument  = "fastness document wrap " // and its kind
)

// extract is HKDF-Extract with SHA-256 (RFC 5869): it makes a uniformly random
// key of a master key that need not be one.
func extract(out *[keySize]byte, salt, master []byte) { hmacSHA256(out, salt, master) }

// expand derives a key from another: the first block of HKDF-Expand with
// SHA-256 (RFC 5869), info being label and item, each behind its length in two
// bytes. Where the other key is a KEK there is no extract step before it, as
// the RFC's section 3.3 allows: a KEK is uniformly random from crypto/rand.
func expand(out *[keySize]byte, key []byte, label, item string) {
	var room [2 * (2 + maxItem)]byte
	info := appendText(appendText(room[:0], label), item)
	hmacSHA256(out, key, info, []byte{1}) // the number of the block
}

// hmacSHA256 computes HMAC with SHA-256 (RFC 2104) of the message's parts, for
// keys of at most 64 bytes.
//
// It is two calls of sha256.Sum256, which keep everything on the stack and in a
// buffer that is wiped. The hash objects of crypto/hmac, and crypto/hkdf on top
// of it, hold the key, XORed with a constant, in memory that only a garbage
// collection after secretbuf.Do cleans, and tracking that memory makes one
// derivation there cost more than a whole [Open]. In FIPS mode the validated
// module's HMAC is used all the same; the result is equal.
func hmacSHA256(out *[sha256.Size]byte, key []byte, message ...[]byte) {
	if len(key) > sha256.BlockSize {
		panic("envelope: HMAC key longer than a block")
	}
	if fips140.Enabled() {
		hmacOfModule(out, key, message...)
		return
	}
	var room [4 * sha256.BlockSize]byte
	buf := room[:]
	if n := sha256.BlockSize + size(message); n > len(buf) {
		buf = make([]byte, n)
	}
	defer secretbuf.Wipe(buf)

	pad := buf[:sha256.BlockSize]
	copy(pad, key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	n := len(pad)
	for _, part := range message {
		n += copy(buf[n:], part)
	}
	*out = sha256.Sum256(buf[:n])

	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	copy(buf[len(pad):], out[:])
	*out = sha256.Sum256(buf[:len(pad)+sha256.Size])
}

// hmacOfModule is hmacSHA256 by crypto/hmac. It copies the parts because what
// goes into a hash.Hash moves to the heap.
func hmacOfModule(out *[sha256.Size]byte, key []byte, message ...[]byte) {
	h := hmac.New(sha256.New, key)
	for _, part := range message {
		c := bytes.Clone(part)
		h.Write(c)
		secretbuf.Wipe(c)
	}
	sum := h.Sum(nil)
	copy(out[:], sum)
	secretbuf.Wipe(sum)
}

func size(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}
