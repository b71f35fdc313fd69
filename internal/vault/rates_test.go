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
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// token makes a token in a tenant, released with the test.
func token(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, principal string) *secretbuf.Buffer {
	tb.Helper()
	spec := vault.TokenSpec{Principal: principal, Grants: []policy.Grant{{Role: policy.Admin}}}
	made := must(f.Tenant(tb, tenant).Credentials().Create(ctx, spec))(tb)
	tb.Cleanup(made.Token.Release)
	return made.Token
}

// requests sends n requests with a good token, side by side, and tells how
// many were let through. The others must be refused by the rate.
func requests(tb testing.TB, f *fastnesstest.Fixture, token *secretbuf.Buffer, n int) (through int) {
	tb.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			o := vault.Origin{Address: fmt.Sprintf("192.0.2.%d", i%4), UserAgent: "vault_test", CorrelationID: fmt.Sprint(i)}
			_, err := f.Authenticate(ctx, o, token.Bytes())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				through++
			case !errors.Is(err, secret.ErrTooMany) || secret.Of(err).Field != "requestRate":
				tb.Error(describe(err))
			}
		})
	}
	wg.Wait()
	return through
}

func wantRequests(tb testing.TB, f *fastnesstest.Fixture, token *secretbuf.Buffer, n, through int) {
	tb.Helper()
	if got := requests(tb, f, token, n); got != through {
		tb.Errorf("%d of %d requests let through, want %d", got, n, through)
	}
}

// TestRequestRate: all callers of a tenant share its rate, which binds from
// the next request on; others are not concerned, nor are operators.
func TestRequestRate(t *testing.T) {
	f := fastnesstest.Open(t, &fastnesstest.Options{Quotas: secret.Quotas{RequestRate: 100, RequestBurst: 200}})
	a, b, other := token(t, f, "acme", "a"), token(t, f, "acme", "b"), token(t, f, "beta", "a")
	operator := must(f.Operator().Credentials().Create(ctx, vault.TokenSpec{Principal: "op"}))(t).Token
	defer operator.Release()
	wantRequests(t, f, a, 150, 150)
	setQuotas(t, f, "acme", secret.Quotas{RequestRate: 10, RequestBurst: 15})
	wantRequests(t, f, a, 10, 10)
	wantRequests(t, f, b, 10, 5)
	wantRequests(t, f, other, 20, 20)
	wantRequests(t, f, operator, 300, 300)
	f.Clock.Advance(500 * time.Millisecond)
	wantRequests(t, f, b, 10, 5)
	setQuotas(t, f, "acme", secret.Quotas{})
	wantRequests(t, f, a, 50, 0) // the deployment's holds, of which nothing is saved up
	f.Clock.Advance(2 * time.Second)
	wantRequests(t, f, a, 250, 200)
	f.Clock.Advance(-time.Hour)
	wantRequests(t, f, a, 5, 0)
	f.Clock.Advance(time.Second)
	wantRequests(t, f, a, 110, 100)
}

// TestRateIsRecorded: a flood is all there, in the tenant's own log, in few
// entries.
func TestRateIsRecorded(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	a := token(t, f, "acme", "a")
	setQuotas(t, f, "acme", secret.Quotas{RequestRate: 1})
	const flood = 400
	before := len(entries(t, f, "acme", audit.Filter{}))
	wantRequests(t, f, a, flood, 1)
	var total int64
	left := entries(t, f, "acme", audit.Filter{})[before+1:]
	for _, e := range left {
		if e.Action != audit.Throttle || e.Result != audit.AccessDenied || e.Error != "too_many_requests" || e.UserID != "a" ||
			e.Count == 0 && e.CorrelationID == "" {
			t.Errorf("left %+v", e)
		}
		total += max(e.Count, 1)
	}
	if total != flood-1 || len(left) > 40 {
		t.Errorf("%d entries stand for %d refusals, want %d", len(left), total, flood-1)
	}
	for _, e := range entries(t, f, "", audit.Filter{}) {
		if e.TenantID == "" && e.Action == audit.Throttle {
			t.Errorf("in the deployment's log: %+v", e)
		}
	}
}

// TestManyFlooders: the refusals of many principals do not need an entry each,
// and do not blur the log of another tenant.
func TestManyFlooders(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	victim := token(t, f, "beta", "v")
	setQuotas(t, f, "beta", secret.Quotas{RequestRate: 1})
	requests(t, f, victim, 12) // the first have entries of their own
	quiet := len(entries(t, f, "beta", audit.Filter{}))
	var tokens []*secretbuf.Buffer
	for i := range 60 {
		tokens = append(tokens, token(t, f, "acme", fmt.Sprint("p", i)))
	}
	setQuotas(t, f, "acme", secret.Quotas{RequestRate: 1})
	before := len(entries(t, f, "acme", audit.Filter{}))
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() { requests(t, f, token, 4) })
	}
	wg.Go(func() { requests(t, f, victim, 12) })
	wg.Wait()
	for _, e := range entries(t, f, "beta", audit.Filter{})[quiet+1:] {
		if e.UserID != "v" || e.IPAddress == "" {
			t.Errorf("blurred: %+v", e)
		}
	}
	var total int64
	left := entries(t, f, "acme", audit.Filter{})[before+1:]
	for _, e := range left {
		total += max(e.Count, 1)
	}
	if total != 60*4-1 || len(left) > 10+3*18 {
		t.Errorf("%d entries stand for %d refusals", len(left), total)
	}
}

// TestLoginsArePaced: what is good to come in with is no way around the rate,
// and is not used up by a refusal.
func TestLoginsArePaced(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	must(f.Tenant(t, "acme").Issuers().Put(ctx, p.issuer(), nil))(t)
	setQuotas(t, f, "acme", secret.Quotas{RequestRate: 3})
	for range 3 {
		must(f.ExchangeToken(ctx, outside, "acme", "", p.token(nil)))(t).Token.Release()
	}
	jwt := p.token(nil)
	_, err := f.ExchangeToken(ctx, outside, "acme", "", jwt)
	want(t, err, secret.ErrTooMany)
	if e := last(t, f, "acme"); e.Action != audit.Throttle || e.Result != audit.AccessDenied || e.IPAddress != outside.Address {
		t.Errorf("left %+v", e)
	}
	f.Clock.Advance(time.Second)
	must(f.ExchangeToken(ctx, outside, "acme", "", jwt))(t).Token.Release()
}

// TestRateWithoutRecord: a refusal that cannot be recorded is not answered.
func TestRateWithoutRecord(t *testing.T) {
	m := open(t)
	a := token(t, m.Fixture, "acme", "a")
	setQuotas(t, m.Fixture, "acme", secret.Quotas{RequestRate: 1})
	wantRequests(t, m.Fixture, a, 1, 1)
	m.store.die(1, false)
	for range 12 { // first in entries of their own, then in a shared one
		_, err := m.Authenticate(ctx, from("192.0.2.1"), a.Bytes())
		want(t, err, secret.ErrUnavailable)
	}
	m.store.die(0, false)
	_, err := m.Authenticate(ctx, from("192.0.2.1"), a.Bytes())
	want(t, err, secret.ErrTooMany)
}

// TestGoodUntilTheNextRequest: a caller that is through goes on with its
// request; the next one is refused once its principal is disabled.
func TestGoodUntilTheNextRequest(t *testing.T) {
	m := open(t)
	a := token(t, m.Fixture, "acme", "a")
	inFlight := must(m.Authenticate(ctx, from("192.0.2.1"), a.Bytes()))(t)
	edit(t, m.store, func(tx store.Tx) error {
		acme, err := tenantID(tx, "acme")
		if err != nil {
			return err
		}
		p, err := tx.Principals().Principal(acme, "a")
		if err != nil {
			return err
		}
		p.Disabled = m.Clock.Now()
		return tx.EditPrincipals().Update(p)
	})
	must(m.Session(inFlight, "").Tenant(ctx))(t)
	_, err := m.Authenticate(ctx, from("192.0.2.1"), a.Bytes())
	want(t, err, secret.ErrUnauthenticated)
}
