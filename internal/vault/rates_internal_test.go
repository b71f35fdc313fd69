package vault

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"fastness/internal/secret"
)

// pacing is rates under a clock that the test moves.
type pacing struct {
	rates
	clock time.Time
}

func newPacing() *pacing {
	p := &pacing{clock: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	p.init(func() time.Time { return p.clock })
	return p
}

func tenantNumber(n int) (t secret.TenantID) {
	binary.BigEndian.PutUint64(t[:], uint64(n)+1)
	return t
}

// send sends n requests and tells how many were let through.
func (p *pacing) send(t secret.TenantID, q secret.Quotas, n int) (through int) {
	for range n {
		if _, err := p.take(t, q); err == nil {
			through++
		}
	}
	return through
}

func (p *pacing) want(tb testing.TB, what string, t secret.TenantID, q secret.Quotas, n, through int) {
	tb.Helper()
	if got := p.send(t, q, n); got != through {
		tb.Errorf("%s: %d of %d requests let through, want %d", what, got, n, through)
	}
}

func TestRate(t *testing.T) {
	p, a, b := newPacing(), tenantNumber(1), tenantNumber(2)
	q := secret.Quotas{RequestRate: 10, RequestBurst: 30}
	p.want(t, "burst", a, q, 100, 30)
	p.want(t, "another tenant", b, q, 30, 30)
	for range 20 {
		p.clock = p.clock.Add(100 * time.Millisecond)
		p.want(t, "steady", a, q, 3, 1)
	}
	p.clock = p.clock.Add(time.Hour)
	p.want(t, "after a pause", a, q, 100, 30)
	p.want(t, "no quota", a, secret.Quotas{}, 1000, 1000)
	p.clock = p.clock.Add(time.Second)
	p.want(t, "burst of a second", b, secret.Quotas{RequestRate: 5}, 100, 5)
}

// TestRateRefusal: the error names limit, use and wait.
func TestRateRefusal(t *testing.T) {
	p, a := newPacing(), tenantNumber(1)
	q := secret.Quotas{RequestRate: 10}
	p.send(a, q, 14)
	alone, err := p.take(a, q)
	e := secret.Of(err)
	if !errors.Is(err, secret.ErrTooMany) || e.Field != "requestRate" || e.RetryAfter != time.Second || !alone ||
		e.Usage == nil || *e.Usage != (secret.Usage{Limit: 10, Used: 15}) {
		t.Errorf("refused with %+v, usage %+v, alone %v", e, e.Usage, alone)
	}
	if got := e.Error(); got != "requestRate: the tenant sends too many requests; try again in 1 s" {
		t.Errorf("text %q", got)
	}
}

// TestRateEntries: of the refusals of a tenant some get an entry of their own.
func TestRateEntries(t *testing.T) {
	p, a := newPacing(), tenantNumber(1)
	q, own := secret.Quotas{RequestRate: 10}, 0
	for range 20_000 { // 2,000 a second, for ten seconds
		if alone, _ := p.take(a, q); alone {
			own++
		}
		p.clock = p.clock.Add(time.Millisecond / 2)
	}
	if own < 10 || own > 21 {
		t.Errorf("%d entries of their own", own)
	}
}

// TestRateChanges: a quota that is changed binds the next request.
func TestRateChanges(t *testing.T) {
	p, a := newPacing(), tenantNumber(1)
	p.want(t, "wide", a, secret.Quotas{RequestRate: 1000}, 500, 500)
	p.want(t, "narrower", a, secret.Quotas{RequestRate: 10}, 100, 10)
	p.clock = p.clock.Add(time.Second)
	p.want(t, "steady", a, secret.Quotas{RequestRate: 10}, 100, 10)
	p.want(t, "lifted", a, secret.Quotas{}, 100, 100)
	p.want(t, "wide again, from what is left", a, secret.Quotas{RequestRate: 1000}, 2000, 0)
	p.clock = p.clock.Add(time.Second)
	p.want(t, "wide again", a, secret.Quotas{RequestRate: 1000}, 2000, 1000)
}

// TestRateClockJumps: no jump of the clock gives more than a burst.
func TestRateClockJumps(t *testing.T) {
	p, a := newPacing(), tenantNumber(1)
	q := secret.Quotas{RequestRate: 10}
	p.want(t, "burst", a, q, 100, 10)
	p.clock = p.clock.Add(-365 * 24 * time.Hour)
	p.want(t, "put back", a, q, 100, 0)
	p.clock = p.clock.Add(time.Second)
	p.want(t, "a second later", a, q, 100, 10)
	p.clock = p.clock.Add(1000 * 24 * time.Hour)
	p.want(t, "put forward", a, q, 100, 10)
}

// TestRateSideBySide: requests at once get no more than the burst.
func TestRateSideBySide(t *testing.T) {
	p, a := newPacing(), tenantNumber(1)
	var through atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { through.Add(int32(p.send(a, secret.Quotas{RequestRate: 50}, 100))) })
	}
	wg.Wait()
	if through.Load() != 50 {
		t.Errorf("%d let through, want 50", through.Load())
	}
}

// TestRateShare: a node gives out no more than its share of a tenant's rate.
func TestRateShare(t *testing.T) {
	p, a := newPacing(), tenantNumber(1)
	part := rate.Limit(3)
	p.share = func(_ secret.TenantID, q secret.Quotas) (rate.Limit, int) { return part, int(part) }
	q := secret.Quotas{RequestRate: 12}
	p.want(t, "share", a, q, 100, 3)
	p.clock = p.clock.Add(time.Second)
	part = 6
	p.clock = p.clock.Add(time.Second)
	p.want(t, "greater share", a, q, 100, 3)
	p.clock = p.clock.Add(time.Second)
	p.want(t, "steady", a, q, 100, 6)
}

// TestRatesAreBounded: a million tenants leave no more than the bound, and
// those that are quiet are forgotten, which gives them nothing.
func TestRatesAreBounded(t *testing.T) {
	p := newPacing()
	q := secret.Quotas{RequestRate: 10}
	for i := range 1_000_000 {
		p.take(tenantNumber(i), secret.Quotas{})
	}
	if n := len(p.buckets.entries); n != 0 {
		t.Errorf("%d tenants without a quota are kept", n)
	}
	for i := range 2 * maxBuckets {
		p.take(tenantNumber(i), q)
	}
	if n := len(p.buckets.entries); n != maxBuckets {
		t.Errorf("%d tenants are kept, want %d", n, maxBuckets)
	}
	p.expire()
	if n := len(p.buckets.entries); n != maxBuckets {
		t.Errorf("%d tenants are kept that have used some of their burst, want %d", n, maxBuckets)
	}
	busy := tenantNumber(0)
	p.clock = p.clock.Add(time.Second)
	p.send(busy, q, 10)
	p.expire()
	if n := len(p.buckets.entries); n != 1 {
		t.Errorf("%d tenants are kept, want the busy one", n)
	}
	p.want(t, "busy", busy, q, 5, 0)
}

func TestLastSecond(t *testing.T) {
	var l lastSecond
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for i := range 100 { // ten a second
		got := l.add(at)
		if want := int64(10); i >= 10 && (got < want || got > want+1) {
			t.Errorf("event %d: %d in the last second, want %d", i, got, want)
		}
		at = at.Add(100 * time.Millisecond)
	}
	if got := l.add(at.Add(time.Minute)); got != 1 {
		t.Errorf("after a pause: %d", got)
	}
	if got := l.add(at.Add(-time.Minute)); got != 1 {
		t.Errorf("with the clock put back: %d", got)
	}
}
