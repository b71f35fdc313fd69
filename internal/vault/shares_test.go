package vault_test

import (
	"testing"
	"time"

	"fastness/internal/secret"
)

// TestRatesOnNodes: nodes that share a store share a tenant's rate, by what each is
// asked; one that is asked alone has all of it.
func TestRatesOnNodes(t *testing.T) {
	a, b := nodes(t)
	token := token(t, a, "acme", "web")
	q := secret.Quotas{RequestRate: 40, RequestBurst: 40}
	must(a.Operator().SetQuotas(ctx, "acme", q, nil))(t)
	second := func() {
		check(t, a.ShareRates(ctx))
		check(t, b.ShareRates(ctx))
		a.Clock.Advance(time.Second)
	}
	between := func(what string, got, least, most int) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s: %d requests let through, want %d to %d", what, got, least, most)
		}
	}
	between("both at once, at first", requests(t, a, token, 60)+requests(t, b, token, 60), 40, 80)
	for i := range 4 {
		second()
		n := requests(t, a, token, 60) + requests(t, b, token, 60)
		if i > 0 { // the one that looked first had heard nothing yet
			between("both, the same", n, 36, 42)
		}
	}
	second()
	for range 3 { // the first round is still by the shares of before
		requests(t, a, token, 90)
		requests(t, b, token, 10)
		second()
	}
	mine, theirs := requests(t, a, token, 90), requests(t, b, token, 10)
	between("both, differently", mine+theirs, 36, 42)
	if a != b {
		between("the one that is asked more", mine, 26, 30)
		between("the other", theirs, 8, 12)
	}
	second()
	for range 5 {
		requests(t, a, token, 60)
		second()
	}
	between("one alone", requests(t, a, token, 60), 40, 40)
	// One that is new to the tenant has what would be its part, until it is heard of.
	between("the other again", requests(t, b, token, 60), 0, 20)
}
