package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"net/url"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// The parameters of one-time codes (RFC 6238): the only ones that all
// authenticators know.
const (
	totpSeed   = 20 // bytes, as RFC 4226 recommends
	totpDigits = 6
	totpPeriod = 30 * time.Second
	totpDrift  = 1 // steps that a clock may be off, to either side
)

// NewTOTP returns a random seed for one-time codes. The caller releases it.
func NewTOTP() *secretbuf.Buffer {
	seed := secretbuf.New(totpSeed)
	secretbuf.Do(func() { rand.Read(seed.Bytes()) })
	return seed
}

// VerifyTOTP reports whether a code is one of the seed's at this time, give or
// take a step, and which step. A code works once: the caller remembers the step,
// gives it as last, and codes of that step and before are refused. Whoever never
// gave one has the last step 0.
//
// The code is worked out here rather than by github.com/pquerna/otp, which takes
// the seed as a string in base32 that nobody can wipe; the tests compare both.
func VerifyTOTP(seed, code []byte, now time.Time, last int64) (step int64, ok bool) {
	secretbuf.Do(func() {
		current := now.Unix() / int64(totpPeriod/time.Second)
		for s := current - totpDrift; s <= current+totpDrift; s++ {
			want := totpCode(seed, s)
			// All three are compared, whichever fits.
			if subtle.ConstantTimeCompare(want[:], code) == 1 && s > last && !ok {
				step, ok = s, true
			}
		}
	})
	return step, ok
}

// totpCode is HOTP (RFC 4226) of the step, with SHA-1 as authenticators have it:
// what is weak in it does not matter to an HMAC.
func totpCode(seed []byte, step int64) (code [totpDigits]byte) {
	mac := hmac.New(sha1.New, seed)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	for i := totpDigits - 1; i >= 0; i-- {
		code[i] = byte('0' + n%10)
		n /= 10
	}
	return code
}

// CheckTOTP checks the form of a code: six digits.
func CheckTOTP(code []byte) error {
	ok := len(code) == totpDigits
	secretbuf.Do(func() {
		for _, c := range code {
			ok = ok && '0' <= c && c <= '9'
		}
	})
	if !ok {
		return secret.Invalid("code", "six digits")
	}
	return nil
}

// TOTPURI returns the otpauth URI of a seed, which authenticators read from a QR
// code. account is whose it is and issuer at whom, as the authenticator shows
// them. The caller releases it.
func TOTPURI(seed []byte, issuer, account string) *secretbuf.Buffer {
	var b secretbuf.Builder
	b.AppendString("otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?secret=")
	enc := base32.StdEncoding.WithPadding(base32.NoPadding)
	text := b.Extend(enc.EncodedLen(len(seed)))
	secretbuf.Do(func() { enc.Encode(text, seed) })
	b.AppendString("&issuer=" + url.QueryEscape(issuer) + "&algorithm=SHA1&digits=6&period=30")
	return b.Buffer()
}
