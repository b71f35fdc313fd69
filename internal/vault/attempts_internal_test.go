package vault

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/secret"
)

// guessing is attempts under a clock that the test moves.
type guessing struct {
	attempts
	clock time.Time
}

func newGuessing() *guessing {
	g := &guessing{clock: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	g.init(func() time.Time { return g.clock })
	return g
}

var alice = claim{tenant: "acme", principal: "alice", way: "password"}

// tries begins n attempts and tells how many were let through.
func (g *guessing) tries(address string, c claim, n int) (through int) {
	for range n {
		if g.begin(address, c) == nil {
			through++
		}
	}
	return through
}

func (g *guessing) want(t *testing.T, what, address string, c claim, n, through int) {
	t.Helper()
	if got := g.tries(address, c, n); got != through {
		t.Errorf("%s: %d of %d tries let through, want %d", what, got, n, through)
	}
}

// login is a good attempt.
func (g *guessing) login(t *testing.T, address string, c claim) {
	t.Helper()
	if err := g.begin(address, c); err != nil {
		t.Errorf("%s from %s: %v", c.principal, address, err)
		return
	}
	g.passed(address, c)
}

// TestGuessesAtAPrincipal: from however many addresses, one principal bears
// five failures, then ever fewer in a time.
func TestGuessesAtAPrincipal(t *testing.T) {
	g := newGuessing()
	for i := range 6 {
		g.want(t, "free", fmt.Sprintf("192.0.2.%d", i), alice, 1, 1)
	}
	for i, wait := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
		address := fmt.Sprintf("198.51.100.%d", i)
		err := g.begin(address, alice)
		if e := secret.Of(err); !errors.Is(err, secret.ErrTooMany) || e.RetryAfter != time.Duration(wait)*time.Second {
			t.Errorf("try %d: %v, to wait for %v, want %d s", i, err, e.RetryAfter, wait)
		}
		g.clock = g.clock.Add(time.Duration(wait) * time.Second)
		g.want(t, "after the wait", address, alice, 3, 1)
	}
	g.want(t, "another", "192.0.2.1", claim{"acme", "bob", "password"}, 1, 1)
	g.want(t, "another tenant's", "192.0.2.1", claim{"other", "alice", "password"}, 1, 1)
	g.want(t, "another way", "192.0.2.1", claim{"acme", "alice", "totp"}, 1, 1)
}

// TestGuessesSideBySide: as many tries at once as there are free ones.
func TestGuessesSideBySide(t *testing.T) {
	g := newGuessing()
	var through atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if g.begin("192.0.2.1", alice) == nil {
				through.Add(1)
			}
		})
	}
	wg.Wait()
	if through.Load() != 6 {
		t.Errorf("%d tries let through, want 6", through.Load())
	}
}

// TestSpraying: one password tried on many principals is slowed by the
// network, and an account of one's own does not buy more tries.
func TestSpraying(t *testing.T) {
	g := newGuessing()
	mallory := claim{"acme", "mallory", "password"}
	g.login(t, "192.0.2.1", mallory)
	through := 0
	for i := range 200 {
		through += g.tries("192.0.2.1", claim{"acme", fmt.Sprint(i), "password"}, 1)
		if i%3 == 0 {
			g.login(t, "192.0.2.1", mallory)
		}
	}
	if through != 21 {
		t.Errorf("%d tries let through, want 21", through)
	}
}

// TestLockingOut: neither a stranger who guesses at a name nor a neighbour
// behind the same address keeps out who has proven the name from there.
func TestLockingOut(t *testing.T) {
	g := newGuessing()
	g.login(t, "192.0.2.1", alice)
	g.want(t, "stranger", "203.0.113.1", alice, 50, 6)
	g.login(t, "192.0.2.1", alice)
	for i := range 50 {
		g.tries("192.0.2.1", claim{"acme", fmt.Sprint(i), "password"}, 10)
	}
	g.login(t, "192.0.2.1", alice)
	g.want(t, "guesses of a neighbour", "192.0.2.1", alice, 50, 6)
	g.clock = g.clock.Add(familiarity + 1)
	g.tries("203.0.113.1", alice, 50)
	g.want(t, "no longer familiar", "192.0.2.1", alice, 1, 0)
}

// TestGoodOnesForgive: a good credential ends the count of its principal.
func TestGoodOnesForgive(t *testing.T) {
	g := newGuessing()
	g.want(t, "mistyped", "192.0.2.1", alice, 5, 5)
	g.login(t, "192.0.2.1", alice)
	g.want(t, "mistyped again", "192.0.2.1", alice, 5, 5)
	g.login(t, "192.0.2.1", alice)
	for range 100 {
		g.login(t, "192.0.2.1", alice)
	}
}

// TestGuessesAndTokensApart: bad tokens do not keep people from logging in, nor
// the other way round.
func TestGuessesAndTokensApart(t *testing.T) {
	g := newGuessing()
	for range 30 {
		g.failed("192.0.2.1")
	}
	g.want(t, "a person behind the address", "192.0.2.1", alice, 1, 1)
	h := newGuessing()
	for i := range 30 {
		h.tries("192.0.2.1", claim{"acme", fmt.Sprint(i), "password"}, 1)
	}
	if err := h.failed("192.0.2.1"); !errors.Is(err, secret.ErrUnauthenticated) {
		t.Errorf("a token behind the address: %v", err)
	}
}

// TestForgettingGainsNothing: over a day, no rhythm of tries gets more of them
// through than the waits allow.
func TestForgettingGainsNothing(t *testing.T) {
	for _, rhythm := range []time.Duration{time.Second, time.Minute, 10 * time.Minute, principalPatience.memory() + 1} {
		g := newGuessing()
		start, through := g.clock, 0
		for g.clock.Sub(start) < 24*time.Hour {
			through += g.tries("192.0.2.1", alice, 6)
			g.clock = g.clock.Add(rhythm)
		}
		if through > 130 {
			t.Errorf("every %v: %d tries let through in a day", rhythm, through)
		}
	}
}

// TestAttemptsAreBounded: no table grows past its bound, and the janitor
// empties what no longer counts.
func TestAttemptsAreBounded(t *testing.T) {
	g := newGuessing()
	g.networks.failures.max, g.principals.failures.max, g.proven.max, g.known.failures.max = 100, 100, 100, 100
	address := func(i int) string {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()
	}
	for i := range 1000 {
		c := claim{"acme", fmt.Sprint(i), "password"}
		g.failed(address(i))
		g.login(t, address(i), c)
		g.tries(address(i), c, 1)
	}
	g.size(t, "full", 100)
	g.expire()
	g.size(t, "nothing has expired", 100)
	g.clock = g.clock.Add(familiarity + 1)
	g.expire()
	g.size(t, "all has expired", 0)
}

func (g *guessing) size(t *testing.T, what string, want int) {
	t.Helper()
	got := []int{len(g.networks.failures.entries), len(g.proven.entries), len(g.known.failures.entries), g.proven.order.Len()}
	for _, n := range got {
		if n != want {
			t.Errorf("%s: tables hold %v entries, want %d each", what, got, want)
			return
		}
	}
}

func TestRecent(t *testing.T) {
	r := newRecent[int, string](3)
	for i := range 3 {
		r.put(i, fmt.Sprint(i))
	}
	if r.get(0) == nil || r.get(7) != nil {
		t.Error("0 is not there, or 7 is")
	}
	r.put(3, "3") // in the place of 1, unused for longest
	r.put(2, "two")
	if r.get(1) != nil || *r.get(0) != "0" || *r.get(2) != "two" || *r.get(3) != "3" {
		t.Error("the wrong one went")
	}
	r.drop(2)
	r.drop(9)
	r.dropWhile(func(v *string) bool { return *v == "0" })
	if r.get(0) != nil || r.get(2) != nil || r.get(3) == nil || r.order.Len() != 1 {
		t.Error("dropped the wrong ones")
	}
	r.dropWhile(func(*string) bool { return true })
	if len(r.entries) != 0 {
		t.Error("something is left")
	}
}
