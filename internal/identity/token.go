package identity

import (
	"bytes"
	"crypto/sha256"
	"hash/crc32"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// A token has one form:
//
//	fst_ <43 random characters of base62> <6 characters: CRC-32 in base62>
//
// 43 characters hold 256.03 bits. The checksum covers all before it; it lets
// scanners of logs and repositories tell a leaked token from a look-alike, and
// us turn down a mistyped one without asking the store. It protects nothing.
const (
	tokenPrefix    = "fst_"
	tokenRandom    = 43
	tokenChecksum  = 6
	tokenLength    = len(tokenPrefix) + tokenRandom + tokenChecksum
	base62Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewToken returns a fresh bearer token and its hash, which is what is stored.
// The caller releases the token.
func NewToken() (token *secretbuf.Buffer, hash [32]byte) {
	token = secretbuf.New(tokenLength)
	b := token.Bytes()
	copy(b, tokenPrefix)
	body := b[:len(b)-tokenChecksum]
	fillRandom(body[len(tokenPrefix):], base62Alphabet)
	sum := checksum(body)
	copy(b[len(body):], sum[:])
	return token, hashToken(b)
}

// HashToken returns the hash under which a token is stored. Whatever does not
// have the one form of a token is ErrUnauthenticated. It keeps nothing of the
// token; wiping it is the caller's.
func HashToken(token []byte) (hash [32]byte, err error) {
	secretbuf.Do(func() {
		if !wellFormed(token) {
			err = secret.ErrUnauthenticated
			return
		}
		hash = sha256.Sum256(token)
	})
	return hash, err
}

func wellFormed(token []byte) bool {
	random, ok := bytes.CutPrefix(token, []byte(tokenPrefix))
	if !ok || len(token) != tokenLength {
		return false
	}
	for _, c := range random {
		if strings.IndexByte(base62Alphabet, c) < 0 {
			return false
		}
	}
	body := token[:tokenLength-tokenChecksum]
	sum := checksum(body)
	return bytes.Equal(sum[:], token[len(body):])
}

// hashToken hashes inside the cleaning call, as the hash's block buffer holds
// the token's end.
func hashToken(token []byte) (hash [32]byte) {
	secretbuf.Do(func() { hash = sha256.Sum256(token) })
	return hash
}

// checksum returns the CRC-32 (IEEE) of body in base62, the high digit first.
func checksum(body []byte) (out [tokenChecksum]byte) {
	n := crc32.ChecksumIEEE(body)
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = base62Alphabet[n%62]
		n /= 62
	}
	return out
}
