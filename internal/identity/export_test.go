package identity

import (
	"net/netip"
	"time"

	"fastness/internal/secretbuf"
)

// Names for the external tests.
var (
	Glob        = glob
	ParseClaims = parseClaims
)

const (
	MaxRemoteKeys = maxRemoteKeys
	FetchBurst    = fetchBurst
	FetchEvery    = fetchEvery
)

// Texts is what bindings see at a path.
func (c Claims) Texts(path string) []string { return c.texts(path) }

// SetFetchTime shortens the patience with issuers.
func (v *TokenVerifier) SetFetchTime(d time.Duration) { v.keys.fetch.time = d }

// CachedIssuers counts the issuers whose keys are kept.
func (v *TokenVerifier) CachedIssuers() int { return len(v.keys.entries) }

// IsForbidden tells whether an address may not be asked for keys.
func IsForbidden(addr string, loopback bool) bool {
	return isForbidden(netip.MustParseAddr(addr), loopback)
}

// HashWeakly hashes a password as an older release might have.
func HashWeakly(password []byte) *secretbuf.Buffer {
	h := passwordHash{memory: 8 << 10, time: 1, lanes: 1, salt: make([]byte, argonSalt)}
	h.hash = h.of(password, argonHash)
	return h.phc()
}
