package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// Lengths of a password, in bytes. Twelve is short for a person's choice and
// long enough beside a limit on guesses; nothing else is asked of it.
const (
	MinPassword = 12
	MaxPassword = 256
)

// The parameters of new hashes: the second choice of RFC 9106 for argon2id, but
// with one lane, as one guess should not take all processors. A guess takes some
// 100 ms and 64 MiB here, so whoever lets strangers guess lets few at once.
const (
	argonMemory  = 64 << 10 // KiB
	argonTime    = 3
	argonLanes   = 1
	argonSalt    = 16
	argonHash    = 32
	argonVersion = argon2.Version
)

// Bounds of the parameters of a stored hash: beyond them it is not ours.
const (
	maxArgonMemory = 256 << 10
	maxArgonTime   = 16
	maxArgonLanes  = 16
)

// CheckPassword checks the length of a new password.
func CheckPassword(password []byte) error {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return secret.Limited("password", fmt.Sprintf("%d to %d bytes", MinPassword, MaxPassword))
	}
	return nil
}

// HashPassword returns the argon2id hash of a password as a PHC string, which is
// what is stored. The password stays the caller's to wipe.
func HashPassword(password []byte) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	h := passwordHash{memory: argonMemory, time: argonTime, lanes: argonLanes, salt: make([]byte, argonSalt)}
	rand.Read(h.salt)
	h.hash = h.of(password, argonHash)
	return h.String(), nil
}

// VerifyPassword reports whether the hash is the password's, in a time that does
// not depend on either. outdated says that a new hash would be made otherwise,
// and should be while the password is at hand. A hash that cannot be read is an
// error: it was not ours, or was changed.
func VerifyPassword(password []byte, phc string) (ok, outdated bool, err error) {
	h, err := parsePassword(phc)
	if err != nil {
		return false, false, err
	}
	if len(password) > MaxPassword { // which nobody could set
		return false, false, nil
	}
	ok = subtle.ConstantTimeCompare(h.of(password, len(h.hash)), h.hash) == 1
	outdated = h.memory != argonMemory || h.time != argonTime || h.lanes != argonLanes ||
		len(h.salt) != argonSalt || len(h.hash) != argonHash
	return ok, outdated, nil
}

// SpendPassword takes as long as VerifyPassword does, for a principal that has
// no password: its answer must not come sooner.
func SpendPassword(password []byte) {
	if len(password) > MaxPassword {
		return
	}
	h := passwordHash{memory: argonMemory, time: argonTime, lanes: argonLanes, salt: make([]byte, argonSalt)}
	h.of(password, argonHash)
}

// passwordHash is a hash with what it was made with.
type passwordHash struct {
	memory, time uint32
	lanes        uint8
	salt, hash   []byte
}

// of hashes inside the cleaning call: what argon2 allocates would let a guess be
// checked without the work. Its lanes are goroutines of their own; they see the
// blocks, and never the password.
func (h passwordHash) of(password []byte, length int) (hash []byte) {
	hash = make([]byte, length)
	secretbuf.Do(func() {
		key := argon2.IDKey(password, h.salt, h.time, h.memory, h.lanes, uint32(length))
		copy(hash, key)
		secretbuf.Wipe(key)
	})
	return hash
}

var phcEncoding = base64.RawStdEncoding.Strict()

// String returns the PHC string: $argon2id$v=19$m=65536,t=3,p=1$salt$hash.
func (h passwordHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argonVersion, h.memory, h.time, h.lanes,
		phcEncoding.EncodeToString(h.salt), phcEncoding.EncodeToString(h.hash))
}

// parsePassword reads what String writes, and nothing else.
func parsePassword(phc string) (h passwordHash, err error) {
	malformed := secret.ErrInternal.With(errors.New("a stored password hash is malformed"))
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argonVersion) {
		return h, malformed
	}
	numbers := strings.Split(parts[3], ",")
	if len(numbers) != 3 {
		return h, malformed
	}
	var n [3]uint32
	for i, bound := range []struct {
		name string
		most uint64
	}{{"m=", maxArgonMemory}, {"t=", maxArgonTime}, {"p=", maxArgonLanes}} {
		digits, ok := strings.CutPrefix(numbers[i], bound.name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || v < 1 || v > bound.most {
			return h, malformed
		}
		n[i] = uint32(v)
	}
	h.memory, h.time, h.lanes = n[0], n[1], uint8(n[2])
	salt, err1 := phcEncoding.DecodeString(parts[4])
	hash, err2 := phcEncoding.DecodeString(parts[5])
	h.salt, h.hash = salt, hash
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(hash) < 16 || len(hash) > 64 || h.String() != phc {
		return h, malformed
	}
	return h, nil
}
