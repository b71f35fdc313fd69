package vault

import (
	"net/netip"
	"sync"
	"time"

	"fastness/internal/secret"
)

// patience is how much of bad credentials is borne before one is slowed: some
// failures cost nothing, then the wait is a second, and doubles with each
// further failure up to a bound.
type patience struct {
	free  int
	bound time.Duration
}

// Many people and services may share an address, and none of them gets past
// 256 bits by trying. A password or a code can be guessed, by somebody with
// many addresses: what bounds the guesses at one principal is its own count.
var (
	networkPatience   = patience{free: 20, bound: time.Minute}
	principalPatience = patience{free: 5, bound: 15 * time.Minute}
)

// Bounds of memory: some hundred bytes each. Whoever wants to be forgotten by
// pushing an entry out has to fail as often as there is room, for every entry.
const (
	maxNetworks   = 1 << 16
	maxPrincipals = 1 << 16
	maxFamiliar   = 1 << 14
)

// familiarity is how long a principal that has proven itself from a network is
// not bothered by what others do.
const familiarity = 30 * 24 * time.Hour

// after is how long to wait after so many failures.
func (p patience) after(failures int) time.Duration {
	if failures <= p.free {
		return 0
	}
	return min(time.Second<<min(failures-p.free-1, 30), p.bound)
}

// memory is how long a failure counts. Who waits to be forgotten instead of
// waiting for each try gains nothing.
func (p patience) memory() time.Duration { return time.Duration(p.free) * p.bound }

// failures are those of one network or principal.
type failures struct {
	count int
	last  time.Time // of the last that was counted
}

// wait is how long the next try must wait. A clock that was put back does not
// lengthen it: what remains counts from the new time on.
func (f *failures) wait(p patience, now time.Time) time.Duration {
	if f == nil {
		return 0
	}
	if now.Before(f.last) {
		f.last = now
	}
	return p.after(f.count) - now.Sub(f.last)
}

// tally counts failures.
type tally[K comparable] struct {
	patience patience
	failures *recent[K, failures]
}

func newTally[K comparable](p patience, max int) tally[K] {
	return tally[K]{p, newRecent[K, failures](max)}
}

func (t tally[K]) wait(key K, now time.Time) time.Duration {
	return t.failures.get(key).wait(t.patience, now)
}

// fail counts one more failure. Those that are too old are forgotten first.
func (t tally[K]) fail(key K, now time.Time) {
	f := t.failures.get(key)
	if f == nil || now.Sub(f.last) > t.patience.memory() {
		f = t.failures.put(key, failures{})
	}
	f.count, f.last = f.count+1, now
}

// unfail takes one failure back.
func (t tally[K]) unfail(key K) {
	if f := t.failures.get(key); f != nil && f.count > 0 {
		f.count--
	}
}

// expire forgets what no longer counts.
func (t tally[K]) expire(now time.Time) {
	t.failures.dropWhile(func(f *failures) bool { return now.Sub(f.last) > t.patience.memory() })
}

// claim is who somebody says to be, and how it is to be proven; names that were
// checked, as they stay in memory. Each way is counted by itself, so that a
// password that is right does not wash away guesses at the code that follows.
type claim struct {
	tenant    secret.TenantName
	principal string
	way       string // such as "password" or "totp"
}

// familiar is a claim that was proven from a network.
type familiar struct {
	network netip.Prefix
	claim   claim
}

// sender is a network that tries credentials: those that can be guessed and
// those that cannot are counted apart, so that a service with a token of
// yesterday keeps nobody from logging in.
type sender struct {
	network netip.Prefix
	guesses bool
}

// attempts slows who tries credentials that are not good, by the network they
// come from and by the principal that they are tried on. Nothing of it is
// stored: each node counts for itself, and anew after a restart.
//
// A credential that cannot be guessed (a token, a signature, an assertion) is
// looked at first, so that good ones work from everywhere: failed tells of one
// that was bad. One that can be guessed (a password, a code) is counted before
// it is looked at, so that tries side by side are no way around the wait:
// begin, then, if it was good, passed.
type attempts struct {
	now func() time.Time

	mu         sync.Mutex // guards the rest, briefly
	networks   tally[sender]
	principals tally[claim]
	proven     *recent[familiar, time.Time]
	known      tally[familiar] // failures at claims that were proven from there
}

func (a *attempts) init(now func() time.Time) {
	a.now = now
	a.networks = newTally[sender](networkPatience, maxNetworks)
	a.principals = newTally[claim](principalPatience, maxPrincipals)
	a.proven = newRecent[familiar, time.Time](maxFamiliar)
	a.known = newTally[familiar](principalPatience, maxFamiliar)
}

// failed counts a bad credential from an address and returns the error to
// refuse it with: secret.ErrUnauthenticated, or secret.ErrTooMany while the
// address has to wait. Tries during the wait do not lengthen it.
func (a *attempts) failed(address string) error {
	from, now := sender{network: networkOf(address)}, a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if wait := a.networks.wait(from, now); wait > 0 {
		return secret.TooMany("too many bad credentials from this address; a good one still works", wait)
	}
	a.networks.fail(from, now)
	return secret.ErrUnauthenticated
}

// begin counts a try at a claim whose credential can be guessed, before it is
// looked at; secret.ErrTooMany if it must not be. Who has proven the claim
// from this network before waits for failures at that pair alone: neither its
// neighbours behind one address nor strangers who know its name keep it out.
func (a *attempts) begin(address string, c claim) error {
	from, now := sender{networkOf(address), true}, a.now()
	pair := familiar{from.network, c}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.familiarLocked(pair, now) {
		if wait := a.known.wait(pair, now); wait > 0 {
			return tooManyOf(wait)
		}
		a.known.fail(pair, now)
		return nil
	}
	if wait := a.networks.wait(from, now); wait > 0 {
		return secret.TooMany("too many bad credentials from this address", wait)
	}
	if wait := a.principals.wait(c, now); wait > 0 {
		return tooManyOf(wait)
	}
	a.networks.fail(from, now)
	a.principals.fail(c, now)
	return nil
}

// passed tells that the credential of the last begin was good. What others
// have failed at the network stays counted, so that an account of one's own
// does not buy tries at those of others.
func (a *attempts) passed(address string, c claim) {
	from, now := sender{networkOf(address), true}, a.now()
	pair := familiar{from.network, c}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.familiarLocked(pair, now) {
		a.networks.unfail(from)
		a.principals.failures.drop(c)
	}
	a.known.failures.drop(pair)
	a.proven.put(pair, now)
}

func (a *attempts) familiarLocked(pair familiar, now time.Time) bool {
	proven := a.proven.get(pair)
	return proven != nil && now.Sub(*proven) <= familiarity
}

// expire forgets what no longer counts.
func (a *attempts) expire() {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.networks.expire(now)
	a.principals.expire(now)
	a.known.expire(now)
	a.proven.dropWhile(func(t *time.Time) bool { return now.Sub(*t) > familiarity })
}

func tooManyOf(wait time.Duration) error {
	return secret.TooMany("too many bad credentials for this principal", wait)
}

// networkOf is what counts as one sender: an IPv4 address, or the /64 that one
// IPv6 host can choose addresses in. Senders without a valid address are one.
func networkOf(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
