package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"fastness/internal/secretbuf"
)

// RecoveryCodes is how many codes a set has.
const RecoveryCodes = 10

// A recovery code is four groups of four characters: 80 random bits. Those that
// are easily taken for each other are not in it.
const (
	recoveryLetters = "abcdefghijkmnpqrstuvwxyz23456789"
	recoveryChars   = 16
	recoveryGroup   = 4
	recoverySalt    = 16
)

// NewRecoveryCodes makes a set of recovery codes, one a line, and what is stored
// of each: a salted hash. The caller releases the codes.
func NewRecoveryCodes() (codes *secretbuf.Buffer, hashes []string) {
	var b secretbuf.Builder
	b.Grow(RecoveryCodes * (recoveryChars + recoveryChars/recoveryGroup))
	for range RecoveryCodes {
		code := secretbuf.New(recoveryChars)
		fillRandom(code.Bytes(), recoveryLetters)
		var salt [recoverySalt]byte
		rand.Read(salt[:])
		hashes = append(hashes, hashRecovery(salt[:], code.Bytes()))
		for i := 0; i < recoveryChars; i += recoveryGroup {
			b.Append(code.Bytes()[i : i+recoveryGroup]...)
			if i+recoveryGroup < recoveryChars {
				b.AppendString("-")
			}
		}
		b.AppendString("\n")
		code.Release()
	}
	return b.Buffer(), hashes
}

// hashRecovery returns the salt and the hash of a code in hexadecimal. A code is
// long enough that guessing is hopeless without making each guess slow.
func hashRecovery(salt, code []byte) string {
	var sum [sha256.Size]byte
	secretbuf.Do(func() {
		h := sha256.New()
		h.Write(salt)
		h.Write(code)
		h.Sum(sum[:0])
	})
	return hex.EncodeToString(salt) + hex.EncodeToString(sum[:])
}

// FindRecoveryCode returns which of the hashes is a code's; -1 for none. Hyphens,
// spaces and case make no difference. All hashes are compared.
func FindRecoveryCode(code []byte, hashes []string) (found int) {
	found = -1
	plain := secretbuf.New(len(code))
	defer plain.Release()
	secretbuf.Do(func() {
		letters := bytes.Map(func(r rune) rune {
			if r == '-' || r == ' ' {
				return -1
			}
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, code)
		plain.Truncate(copy(plain.Bytes(), letters))
	})
	if plain.Len() != recoveryChars {
		return -1
	}
	for i, stored := range hashes {
		if len(stored) < 2*recoverySalt {
			continue
		}
		salt, err := hex.DecodeString(stored[:2*recoverySalt])
		if err != nil {
			continue
		}
		if subtle.ConstantTimeCompare([]byte(hashRecovery(salt, plain.Bytes())), []byte(stored)) == 1 {
			found = i
		}
	}
	return found
}
