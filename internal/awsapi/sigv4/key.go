package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"

	"fastness/internal/secretbuf"
)

// Payload returns what stands for the body in the request that was signed: its
// hash, or [UnsignedPayload] if the client says so and secure (TLS keeps the
// body whole) is true. Bodies signed in pieces are refused.
func Payload(h http.Header, body *secretbuf.Buffer, secure bool) (string, error) {
	claims := h[headerPayload]
	if len(claims) > 1 {
		return "", invalid("'x-amz-content-sha256' must be given once.")
	}
	if len(claims) == 1 && claims[0] == UnsignedPayload {
		if !secure {
			return "", invalid(UnsignedPayload + " is accepted over TLS only: sign the payload.")
		}
		return UnsignedPayload, nil
	}
	hash := hashOf(body)
	if len(claims) == 1 && claims[0] != hash {
		return "", invalid("The value of 'x-amz-content-sha256' is not the SHA-256 of the payload.")
	}
	return hash, nil
}

// hashOf hashes inside the cleaning call, as the hash's block holds the end of
// the body.
func hashOf(body *secretbuf.Buffer) string {
	var sum [sha256.Size]byte
	secretbuf.Do(func() { sum = sha256.Sum256(body.Bytes()) })
	return hex.EncodeToString(sum[:])
}

// SigningKey derives the key of a day, region and service from the secret half
// of an access key, which it only borrows. The caller releases the result, or
// hands its bytes to secretbuf.NewKey.
func (s Scope) SigningKey(secretHalf *secretbuf.Buffer) *secretbuf.Buffer {
	const prefix = "AWS4"
	first := secretbuf.New(len(prefix) + secretHalf.Len())
	defer first.Release()
	key := secretbuf.New(sha256.Size)
	secretbuf.Do(func() {
		copy(first.Bytes()[copy(first.Bytes(), prefix):], secretHalf.Bytes())
		chain(first.Bytes(), s.Date, key.Bytes())
		for _, part := range []string{s.Region, s.Service, terminator} {
			chain(key.Bytes(), part, key.Bytes())
		}
	})
	return key
}

// chain writes HMAC(key, part) to out, which may be key.
func chain(key []byte, part string, out []byte) {
	m := newMAC(key)
	m.Write([]byte(part))
	m.Sum(out[:0])
}

func newMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }

// Verify reports whether the signature is the one that the signing key makes of
// a string to sign. The time it takes tells nothing.
func (s *Signature) Verify(key, stringToSign []byte) (ok bool) {
	secretbuf.Do(func() {
		m := newMAC(key)
		m.Write(stringToSign)
		var sum [sha256.Size]byte
		ok = hmac.Equal(m.Sum(sum[:0]), s.mac[:])
	})
	return ok
}
