// Package identity makes and checks all by which somebody proves who they are,
// and says who that is: bearer tokens and access keys of our own, the tokens and
// certificates of others, passwords, and second factors. It keeps nothing but the
// public keys of issuers, for which alone it goes out; whether a credential is
// known, live and allowed to do something is decided elsewhere.
//
//   - A token of our own carries more than 256 random bits, so a plain SHA-256 of
//     it is all that needs to be stored: see NewToken and HashToken.
//   - Whom others vouch for shows a token of an Issuer (jwt.go) or a certificate of
//     an Authority (cert.go, forwarded.go). What either claims becomes a principal
//     by a Binding.
//   - A person alone has a password (password.go), and besides it one-time codes,
//     recovery codes or a security key (totp.go, recovery.go, webauthn.go).
//
// Secrets never are Go strings, but where a library takes nothing else: then it
// works where memory is erased. Whatever an outsider shows is refused with
// secret.ErrUnauthenticated, whose cause has the reason in our own words, for the
// log; the caller is told none.
package identity

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strconv"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// Limits of an expiry.
const (
	MinExpiry = time.Minute
	MaxExpiry = 3650 * 24 * time.Hour
)

// MaxPrincipal is the length of a principal's name, in characters.
const MaxPrincipal = 128

// Principals of the deployment in the logs of tenants. Nobody else may be
// called so.
const (
	System = "system" // our own work
	Local  = "local"  // whoever uses the store from within the process
)

const (
	accessKeyPrefix       = "FSKA"
	accessKeySecretLength = 40
	base64Alphabet        = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// NewAccessKeyID returns a random access key id: "FSKA" and 16 of A-Z and 2-7.
func NewAccessKeyID() string { return accessKeyPrefix + randomBase32(base32.StdEncoding) }

// NewAccessKeySecret returns a random access key secret: 40 of A-Z a-z 0-9 +
// and /, which is 240 bits.
func NewAccessKeySecret() *secretbuf.Buffer {
	b := secretbuf.New(accessKeySecretLength)
	fillRandom(b.Bytes(), base64Alphabet)
	return b
}

// NewTokenID returns a random public id of a token: "tok_" and 16 of a-z and
// 2-7.
func NewTokenID() string {
	return "tok_" + randomBase32(base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567"))
}

// NewFactorID returns a random public id of a second factor: "fct_" and 16 of a-z
// and 2-7.
func NewFactorID() string {
	return "fct_" + randomBase32(base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567"))
}

// NewWebhookID returns a random public id of a webhook: "whk_" and 16 of a-z and
// 2-7.
func NewWebhookID() string {
	return "whk_" + randomBase32(base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567"))
}

// randomBase32 returns 80 random bits in 16 characters.
func randomBase32(enc *base32.Encoding) string {
	var b [10]byte
	rand.Read(b[:])
	return enc.EncodeToString(b[:])
}

// fillRandom fills dst with characters of the alphabet, which has at most 64,
// each drawn alike: a draw beyond the alphabet is drawn again.
func fillRandom(dst []byte, alphabet string) {
	secretbuf.Do(func() {
		var draw [64]byte
		defer secretbuf.Wipe(draw[:])
		for len(dst) > 0 {
			rand.Read(draw[:])
			for _, d := range draw {
				if i := int(d & 63); i < len(alphabet) && len(dst) > 0 {
					dst[0], dst = alphabet[i], dst[1:]
				}
			}
		}
	})
}

// ParseDuration reads how long a credential is to live: a whole number of
// days, hours or minutes, as "30d", "12h" or "15m", from MinExpiry to MaxExpiry.
func ParseDuration(s string) (time.Duration, error) {
	const field = "expiresIn"
	if len(s) < 2 {
		return 0, secret.Invalid(field, "a number and a unit: 30d, 12h or 15m")
	}
	digits, letter := s[:len(s)-1], s[len(s)-1]
	unit, ok := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute}[letter]
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || digits[0] == '0' || err != nil && !isDigits(digits) {
		return 0, secret.Invalid(field, "a number and a unit: 30d, 12h or 15m")
	}
	if err != nil || n > uint64(MaxExpiry/unit) {
		return 0, secret.Limited(field, fmt.Sprintf("from 1m to %dd", MaxExpiry/(24*time.Hour)))
	}
	return time.Duration(n) * unit, nil
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// CheckPrincipal checks the name of a person or a service: 1 to MaxPrincipal
// of A-Z a-z 0-9 . _ @ : / -, and neither System nor Local, nor one that the
// path of a URL cannot carry.
func CheckPrincipal(s string) error {
	const field = "principal"
	if len(s) < 1 || len(s) > MaxPrincipal {
		return secret.Limited(field, fmt.Sprintf("1 to %d characters", MaxPrincipal))
	}
	for _, c := range []byte(s) {
		if !isPrincipalByte(c) {
			return secret.Invalid(field, "only A-Z, a-z, 0-9 and . _ @ : / - are allowed")
		}
	}
	switch s {
	case System, Local:
		return secret.Invalid(field, "\"system\" and \"local\" are reserved")
	case ".", "..", "/":
		return secret.Invalid(field, `".", ".." and "/" are not allowed`)
	}
	return nil
}

func isPrincipalByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '.', '_', '@', ':', '/', '-':
		return true
	}
	return false
}
