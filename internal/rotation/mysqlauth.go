package rotation

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"filippo.io/edwards25519"

	"fastness/internal/secretbuf"
)

// The authentication plugins whose verifiers are computed here.
const (
	nativePassword = "mysql_native_password"
	cachingSHA2    = "caching_sha2_password"
	ed25519Plugin  = "ed25519"
)

// mysqlVerifier returns what a server stores for a password, by the account's
// plugin; false for a plugin that has no such thing. All is ASCII without
// quotes. Who has a native_password verifier and sees a login can pose as the
// user; the others only let guesses be checked.
func mysqlVerifier(plugin string, password *secretbuf.Buffer) (verifier string, ok bool) {
	secretbuf.Do(func() {
		switch plugin {
		case nativePassword:
			verifier = nativeVerifier(password.Bytes())
		case ed25519Plugin:
			verifier = ed25519Verifier(password.Bytes())
		case cachingSHA2:
			verifier = cachingVerifier(password.Bytes(), newCachingSalt())
		}
	})
	return verifier, verifier != ""
}

// nativeVerifier is *HEX(SHA1(SHA1(password))).
func nativeVerifier(password []byte) string {
	once := sha1.Sum(password)
	twice := sha1.Sum(once[:])
	secretbuf.Wipe(once[:])
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}

// ed25519Verifier is MariaDB's: the public key whose private scalar is derived
// from SHA-512(password) as Ed25519 derives it from SHA-512(seed).
func ed25519Verifier(password []byte) string {
	h := sha512.Sum512(password)
	defer secretbuf.Wipe(h[:])
	scalar, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err) // 32 bytes are always taken
	}
	return base64.RawStdEncoding.EncodeToString(new(edwards25519.Point).ScalarBaseMult(scalar).Bytes())
}

const (
	cachingSaltSize = 20
	cachingRounds   = 5000 // $A$005$
	cryptAlphabet   = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// newCachingSalt returns a salt of letters, which no statement has to escape.
func newCachingSalt() []byte {
	salt := make([]byte, cachingSaltSize)
	rand.Read(salt)
	for i := range salt {
		salt[i] = cryptAlphabet[2+int(salt[i])%62]
	}
	return salt
}

// cachingVerifier is $A$005$<salt><digest>: SHA-crypt with SHA-256, 5000
// rounds and a salt of 20 bytes, of which the original takes 16 at most.
func cachingVerifier(password, salt []byte) string {
	return "$A$005$" + string(salt) + cryptSHA256(password, salt, cachingRounds)
}

// cryptSHA256 is Drepper's SHA-crypt ("Unix crypt using SHA-256"), whose steps
// the comments number.
func cryptSHA256(password, salt []byte, rounds int) string {
	b := digest(password, salt, password) // 4 to 8
	defer secretbuf.Wipe(b[:])
	h := sha256.New() // 1
	h.Write(password)
	h.Write(salt)
	h.Write(repeat(b[:], len(password))) // 9, 10
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 { // 11
			h.Write(b[:])
		} else {
			h.Write(password)
		}
	}
	a := [32]byte(h.Sum(nil)) // 12

	all := sha256.New()
	for range password { // 13 to 15
		all.Write(password)
	}
	p := repeat(all.Sum(nil), len(password)) // 16
	defer secretbuf.Wipe(p)
	salts := sha256.New()
	for range 16 + int(a[0]) { // 17 to 19
		salts.Write(salt)
	}
	s := repeat(salts.Sum(nil), len(salt)) // 20

	for i := range rounds { // 21
		h := sha256.New()
		writeIf(h.Write, i%2 != 0, p, a[:])
		writeIf(h.Write, i%3 != 0, s, nil)
		writeIf(h.Write, i%7 != 0, p, nil)
		writeIf(h.Write, i%2 != 0, a[:], p)
		h.Sum(a[:0])
	}
	return cryptText(a)
}

func writeIf(write func([]byte) (int, error), condition bool, yes, no []byte) {
	if condition {
		write(yes) // a hash never fails
	} else {
		write(no)
	}
}

func digest(parts ...[]byte) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// repeat returns n bytes of b over and over.
func repeat(b []byte, n int) []byte {
	out := make([]byte, n)
	for at := 0; at < n; {
		at += copy(out[at:], b)
	}
	return out
}

// cryptText writes a digest in the order and alphabet of SHA-crypt.
func cryptText(a [32]byte) string {
	var out strings.Builder
	put := func(v uint, n int) {
		for range n {
			out.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	for i := range 10 {
		of := [3]int{i, i + 10, i + 20}
		first := (3 - i%3) % 3 // the three take turns
		put(uint(a[of[first]])<<16|uint(a[of[(first+1)%3]])<<8|uint(a[of[(first+2)%3]]), 4)
	}
	put(uint(a[31])<<8|uint(a[30]), 3)
	return out.String()
}
