package vault_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

func from(address string) vault.Origin {
	return vault.Origin{Address: address, UserAgent: "vault_test", CorrelationID: "test"}
}

// tryBad brings n bad tokens from an address, side by side, and counts the
// answers.
func tryBad(tb testing.TB, f *fastnesstest.Fixture, address string, n int) (refused, slowed int) {
	tb.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range n {
		wg.Go(func() {
			_, err := f.Authenticate(ctx, from(address), []byte("fst_wrong"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, secret.ErrUnauthenticated):
				refused++
			case errors.Is(err, secret.ErrTooMany):
				slowed++
			default:
				tb.Errorf("a bad token: %v", err)
			}
		})
	}
	wg.Wait()
	return refused, slowed
}

// wantTries expects that of n bad tokens so many are looked at.
func wantTries(tb testing.TB, f *fastnesstest.Fixture, address string, n, looked int) {
	tb.Helper()
	if refused, slowed := tryBad(tb, f, address, n); refused != looked || slowed != n-looked {
		tb.Errorf("%s: %d of %d bad tokens were looked at, %d slowed; want %d looked at", address, refused, n, slowed, looked)
	}
}

// freeTries is how many bad tokens of one network are answered 401 at once.
const freeTries = 21

// TestBadTokensAreSlowed: an address that brings many bad tokens has to wait,
// ever longer up to a minute; a good token works from there meanwhile, and
// other addresses are not concerned.
func TestBadTokensAreSlowed(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	token := must(f.Tenant(t, "acme").Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}}))(t).Token
	defer token.Release()
	wantTries(t, f, "192.0.2.1", freeTries+5, freeTries)
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		_, err := f.Authenticate(ctx, from("192.0.2.1"), []byte("fst_wrong"))
		want(t, err, secret.ErrTooMany)
		if e := secret.Of(err); e.RetryAfter != wait*time.Second {
			t.Errorf("to wait for %v, want %d s", e.RetryAfter, wait)
		}
		must(f.Authenticate(ctx, from("192.0.2.1"), token.Bytes()))(t)
		wantTries(t, f, "192.0.2.2", 1, 1)
		f.Clock.Advance(wait*time.Second - time.Millisecond)
		wantTries(t, f, "192.0.2.1", 1, 0)
		f.Clock.Advance(time.Millisecond)
		wantTries(t, f, "192.0.2.1", 3, 1)
	}
	f.Clock.Advance(20*time.Minute + time.Millisecond)
	wantTries(t, f, "192.0.2.1", freeTries+1, freeTries)
}

// TestSlowedAttemptsAreRecorded: none is lost, they share counted entries, and
// these name the address, which is the same for all.
func TestSlowedAttemptsAreRecorded(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	f.Tenant(t, "acme")
	const flood = 300
	before := len(entries(t, f, "", audit.Filter{}))
	tryBad(t, f, "192.0.2.1", flood)
	kinds, shared := map[string]int64{}, 0
	for _, e := range entries(t, f, "", audit.Filter{})[before+1:] {
		if e.Action != audit.Login || e.Result != audit.AccessDenied || e.TenantID != "" || e.IPAddress != "192.0.2.1" {
			t.Errorf("left %+v", e)
		}
		kinds[e.Error] += max(e.Count, 1)
		if e.Error == "too_many_requests" {
			shared++
		}
	}
	if kinds["unauthenticated"] != freeTries || kinds["too_many_requests"] != flood-freeTries || shared > 20 {
		t.Errorf("entries stand for %v, %d of them shared", kinds, shared)
	}
}

// TestNetworks: what is one sender. Tokens that are not even there, and what
// has no address, are not a way around.
func TestNetworks(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	for _, same := range [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"},
		{"fe80::1%eth0", "fe80::2%eth1"},
		{"", "not an address"},
	} {
		wantTries(t, f, same[0], freeTries, freeTries)
		wantTries(t, f, same[1], 2, 0)
	}
	for _, other := range []string{"192.0.2.2", "2001:db8:1:3::1", "2001:db8:1:1:ffff::", "::192.0.2.1"} {
		wantTries(t, f, other, 1, 1)
	}
	for range 2 * freeTries { // nothing was tried
		_, err := f.Authenticate(ctx, from("192.0.2.9"), nil)
		want(t, err, secret.ErrUnauthenticated)
	}
	wantTries(t, f, "192.0.2.9", 1, 1)
}

// TestEndedTokensCount: a token that was good counts like one that never was,
// and the next request after its end is refused although it was in use.
func TestEndedTokensCount(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	spec := vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}}
	made := must(s.Credentials().Create(ctx, spec))(t)
	defer made.Token.Release()
	inFlight := must(f.Authenticate(ctx, from("192.0.2.1"), made.Token.Bytes()))(t)
	must(f.Session(inFlight, "").Tenant(ctx))(t)
	check(t, s.Credentials().Revoke(ctx, made.ID))
	for i := range freeTries + 1 {
		wanted := secret.ErrUnauthenticated
		if i == freeTries {
			wanted = secret.ErrTooMany
		}
		_, err := f.Authenticate(ctx, from("192.0.2.1"), made.Token.Bytes())
		want(t, err, wanted)
	}
}

// TestClockJumps: a clock that is put back locks nobody out for longer than a
// wait, one that is put forward frees nobody for longer than a try.
func TestClockJumps(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	wantTries(t, f, "192.0.2.1", freeTries, freeTries)
	f.Clock.Advance(-365 * aDay)
	wantTries(t, f, "192.0.2.1", 1, 0)
	f.Clock.Advance(time.Second)
	wantTries(t, f, "192.0.2.1", 2, 1)
	f.Clock.Advance(-time.Hour)
	wantTries(t, f, "192.0.2.1", 1, 0)
	f.Clock.Advance(time.Minute)
	wantTries(t, f, "192.0.2.1", 2, 1)
}

// TestManyNetworks: memory is bounded, and who is slowed stays so while others
// fail elsewhere.
func TestManyNetworks(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	wantTries(t, f, "192.0.2.1", freeTries, freeTries)
	for i := range 50 {
		wantTries(t, f, fmt.Sprintf("2001:db8:0:%x::1", i), 1, 1)
	}
	wantTries(t, f, "192.0.2.1", 1, 0)
}
