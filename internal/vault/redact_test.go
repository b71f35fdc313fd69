package vault_test

import (
	"bytes"
	"fmt"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// reads makes entries of principals who read secrets, in a tenant.
func reads(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, principals ...string) {
	tb.Helper()
	versions(tb, f.Tenant(tb, tenant), "db-of-"+secret.Name(principals[0]), 1)
	for _, p := range principals {
		token := must(f.Tenant(tb, tenant).Credentials().Create(ctx, vault.TokenSpec{Principal: p, Grants: []policy.Grant{{Role: policy.Reader}}}))(tb)
		defer token.Token.Release()
		o := vault.Origin{Address: "198.51.100.7", UserAgent: "agent-of-" + p, CorrelationID: "c"}
		c := must(f.Authenticate(ctx, o, token.Token.Bytes()))(tb)
		for range 3 {
			check(tb, errOf(get(f.Session(c, ""), "db-of-"+secret.Name(principals[0]), store.Selector{})))
		}
		get(f.Session(c, ""), "none", store.Selector{})
	}
}

// TestRedact: the personal part is gone from answers, bundles and files; the
// log still verifies, with all that it said before.
func TestRedact(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	reads(t, f, "acme", "alice", "bob")
	reads(t, f, "beta", "alice")
	before := must(f.Audit(local(f), "").Checkpoint(ctx))(t)
	a := f.Audit(caller(t, f, "acme", policy.Admin), "")
	n := must(a.Redact(ctx, vault.RedactQuery{Principal: "alice"}))(t)
	if n != 5 { // what alice did, and the token that she was given
		t.Errorf("%d entries redacted", n)
	}
	if e := lastOf(t, f, "acme", audit.AuditRedact); e.Detail != "5 entries redacted" || e.UserID != "admin" || e.Result != audit.Success || e.SecretName != "" {
		t.Errorf("left %+v", e)
	}
	redacted := 0
	for _, e := range entries(t, f, "acme", audit.Filter{}) {
		if e.UserID == "alice" || e.Target == "alice" {
			t.Errorf("still named: %+v", e)
		}
		if e.Redacted {
			redacted++
			if e.SecretName+e.UserID+e.Target+e.IPAddress+e.UserAgent+e.Error != "" || e.Action != audit.Read && e.Action != audit.TokenCreate || e.TenantID != "acme" {
				t.Errorf("redacted: %+v", e)
			}
		}
	}
	if redacted != 5 {
		t.Errorf("%d entries are redacted", redacted)
	}
	if got := len(entries(t, f, "beta", audit.Filter{Principal: "alice"})); got != 4 {
		t.Errorf("%d entries of another tenant", got)
	}
	for _, tenant := range []secret.TenantName{"acme", "beta", ""} {
		bundle := export(t, f.Audit(local(f), tenant), vault.ExportOptions{Since: before})
		report := verify(t, f, bundle, audit.Options{Since: before})
		want := map[secret.TenantName]int64{"acme": 5, "": 5}[tenant]
		if report.Redacted != want {
			t.Errorf("%q reports %+v", tenant, report)
		}
		if tenant == "acme" && bytes.Contains(bundle, []byte("agent-of-alice")) {
			t.Error("still in the bundle")
		}
	}
	// By tenant's secret, by index, twice, and nothing at all.
	if n := must(a.Redact(ctx, vault.RedactQuery{Principal: "alice"}))(t); n != 0 {
		t.Errorf("%d entries redacted again", n)
	}
	if n := must(a.Redact(ctx, vault.RedactQuery{Secret: "db-of-alice", Principal: "bob"}))(t); n != 3 {
		t.Errorf("%d of bob's reads redacted", n)
	}
	index := entries(t, f, "acme", audit.Filter{Principal: "bob"})[0].Index
	if n := must(a.Redact(ctx, vault.RedactQuery{Index: &index}))(t); n != 1 {
		t.Errorf("%d entries redacted by index", n)
	}
	foreign := entries(t, f, "beta", audit.Filter{Principal: "alice"})[0].Index
	if n := must(a.Redact(ctx, vault.RedactQuery{Index: &foreign}))(t); n != 0 {
		t.Errorf("%d entries of another tenant redacted", n)
	}
	want(t, errOf(a.Redact(ctx, vault.RedactQuery{})), secret.ErrInvalid)
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
}

// TestEmbeddedRedactedBytesAreGone: from the files, at once, also where an entry had
// no place in the log yet.
func TestEmbeddedRedactedBytesAreGone(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	reads(t, f, "acme", "margarethe")
	check(t, f.Tenant(t, "acme").Purge(ctx, "db-of-margarethe"))
	texts := [][]byte{[]byte("agent-of-margarethe"), []byte("db-of-margarethe"), []byte("198.51.100.7")}
	if len(holding(t, f.Dir, texts...)) < 3 {
		t.Fatal("the search finds nothing")
	}
	a := f.Audit(local(f), "acme")
	must(a.Redact(ctx, vault.RedactQuery{Principal: "margarethe"}))(t)
	must(a.Redact(ctx, vault.RedactQuery{Secret: "db-of-margarethe"}))(t)
	if left := holding(t, f.Dir, texts...); len(left) > 0 {
		t.Errorf("still in the files: %v", left)
	}
	// The credential that she has lives on, and it alone.
	equal(t, "files with her name", holding(t, f.Dir, []byte("margarethe")), []string{"fastness.db: margarethe"})
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
}

// TestRedactMany: more than one transaction takes, each with its entry.
func TestRedactMany(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	const many = 1100
	done := make(chan struct{})
	for i := range 10 {
		go func() {
			defer func() { done <- struct{}{} }()
			for j := range many / 10 {
				get(s, secret.Name(fmt.Sprintf("none-%d-%d", i, j)), store.Selector{})
			}
		}()
	}
	for range 10 {
		<-done
	}
	var details []string
	if n := must(f.Audit(local(f), "acme").Redact(ctx, vault.RedactQuery{Principal: "local"}))(t); n < many {
		t.Errorf("%d entries redacted", n)
	}
	for _, e := range entries(t, f, "acme", audit.Filter{Action: audit.AuditRedact}) {
		details = append(details, e.Detail)
	}
	equal(t, "entries", details, []string{"1000 entries redacted", "101 entries redacted"})
	if r := verify(t, f, export(t, f.Audit(local(f), "acme"), vault.ExportOptions{}), audit.Options{}); r.Redacted != many+1 || r.Redactions != 2 {
		t.Errorf("report %+v", r)
	}
}
