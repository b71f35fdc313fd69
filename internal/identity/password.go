package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

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
// what is stored: sealed, as it lets passwords be guessed. The caller releases it;
// the password stays the caller's to wipe.
func HashPassword(password []byte) (*secretbuf.Buffer, error) {
	if err := CheckPassword(password); err != nil {
		return nil, err
	}
	h := passwordHash{memory: argonMemory, time: argonTime, lanes: argonLanes, salt: make([]byte, argonSalt)}
	rand.Read(h.salt)
	h.hash = h.of(password, argonHash)
	defer secretbuf.Wipe(h.hash)
	return h.phc(), nil
}

// VerifyPassword reports whether the hash is the password's, in a time that does
// not depend on either. outdated says that a new hash would be made otherwise,
// and should be while the password is at hand. A hash that cannot be read is an
// error: it was not ours, or was changed.
func VerifyPassword(password, phc []byte) (ok, outdated bool, err error) {
	h, err := parsePassword(phc)
	if err != nil {
		return false, false, err
	}
	defer secretbuf.Wipe(h.hash)
	if len(password) > MaxPassword { // which nobody could set
		return false, false, nil
	}
	got := h.of(password, len(h.hash))
	defer secretbuf.Wipe(got)
	ok = subtle.ConstantTimeCompare(got, h.hash) == 1
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

// phc returns the PHC string: $argon2id$v=19$m=65536,t=3,p=1$salt$hash.
func (h passwordHash) phc() *secretbuf.Buffer {
	var b secretbuf.Builder
	b.AppendString(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$", argonVersion, h.memory, h.time, h.lanes, phcEncoding.EncodeToString(h.salt)))
	text := b.Extend(phcEncoding.EncodedLen(len(h.hash)))
	secretbuf.Do(func() { phcEncoding.Encode(text, h.hash) })
	return b.Buffer()
}

var errPHC = errors.New("a stored password hash is malformed")

// parsePassword reads what phc writes, and nothing else.
func parsePassword(phc []byte) (h passwordHash, err error) {
	var parts [][]byte
	secretbuf.Do(func() { parts = bytes.Split(phc, []byte("$")) })
	if len(parts) != 6 {
		return h, secret.ErrInternal.With(errPHC)
	}
	n, err := fmt.Sscanf(string(bytes.Join(parts[:4], []byte("$"))), "$argon2id$v=19$m=%d,t=%d,p=%d", &h.memory, &h.time, &h.lanes)
	if err != nil || n != 3 || !h.inBounds() {
		return h, secret.ErrInternal.With(errPHC)
	}
	h.salt, h.hash = make([]byte, phcEncoding.DecodedLen(len(parts[4]))), make([]byte, phcEncoding.DecodedLen(len(parts[5])))
	_, err1 := phcEncoding.Decode(h.salt, parts[4])
	var err2 error
	secretbuf.Do(func() { _, err2 = phcEncoding.Decode(h.hash, parts[5]) })
	again := h.phc()
	defer again.Release()
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.hash) < 16 || len(h.hash) > 64 || !bytes.Equal(again.Bytes(), phc) {
		return h, secret.ErrInternal.With(errPHC)
	}
	return h, nil
}

// inBounds reports whether the parameters are ones that we may have used.
func (h passwordHash) inBounds() bool {
	return h.memory >= 1 && h.memory <= maxArgonMemory && h.time >= 1 && h.time <= maxArgonTime && h.lanes >= 1 && h.lanes <= maxArgonLanes
}
