package vault_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// TestCreateTenant: a tenant with its administrator, and what tells of it.
func TestCreateTenant(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	made := must(f.Operator().CreateTenant(ctx, "acme", ""))(t)
	defer made.Release()
	if !regexp.MustCompile(`^\d{12}$`).MatchString(string(made.Account)) || made.Region != "us-east-1" || made.Name != "acme" ||
		len(made.AccessKeyID) != 20 || made.SecretAccessKey.Len() != 40 {
		t.Errorf("made %+v", made)
	}
	c := must(f.Authenticate(ctx, vault.Origin{}, made.Token.Bytes()))(t)
	if c.IsOperator() || c.Tenant() != "acme" || c.Principal() != "admin" {
		t.Errorf("administrator %v %s %s", c.IsOperator(), c.Tenant(), c.Principal())
	}
	wantInfo := vault.TenantInfo{Name: "acme", Account: made.Account, Algorithm: secret.AES256GCM, Key: 1, Created: f.Clock.Now()}
	if info := must(f.Operator().Tenant(ctx, "acme"))(t); info != wantInfo {
		t.Errorf("operator is told %+v", info)
	}
	if info := must(f.Session(c, "").Tenant(ctx))(t); info != wantInfo {
		t.Errorf("tenant is told %+v", info)
	}
	want(t, errOf(f.Operator().CreateTenant(ctx, "acme", "")), secret.ErrExists)
	want(t, errOf(f.Operator().Tenant(ctx, "other")), secret.ErrNotFound)
}

// TestSuspend: everything but administration is refused, to everybody, until
// the tenant is resumed.
func TestSuspend(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	versions(t, op, "db", 1)
	admin := caller(t, f, "acme", policy.Admin)
	token := must(f.Tenant(t, "acme").Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Admin}}}))(t)
	defer token.Token.Release()
	if info := must(f.Operator().Suspend(ctx, "acme"))(t); info.State != store.Suspended {
		t.Errorf("suspended: %+v", info)
	}
	for who, c := range map[string]*vault.Caller{"operator": local(f), "admin": admin} {
		for _, m := range methods {
			if m.administration && who == "operator" || m.operator {
				continue
			}
			if err := m.call(t, f, c, "acme", "db"); !sameAs(err, secret.ErrSuspended) {
				t.Errorf("%s as %s: %v", m.name, who, err)
			}
		}
	}
	for _, m := range methods {
		if m.administration {
			if err := m.call(t, f, local(f), "acme", "db"); err != nil {
				t.Errorf("%s as operator: %s", m.name, describe(err))
			}
		}
	}
	if _, err := f.Authenticate(ctx, vault.Origin{}, token.Token.Bytes()); err != nil {
		t.Errorf("a suspended tenant's caller is known: %v", err)
	}
	must(f.Operator().Resume(ctx, "acme"))(t)
	wantValue(t, f.Session(admin, ""), "db", store.Selector{}, "1")
	want(t, errOf(f.Operator().Suspend(ctx, "none")), secret.ErrNotFound)
	want(t, errOf(f.Operator().Resume(ctx, "none")), secret.ErrNotFound)
}

// TestErase: nothing of the tenant opens again, its name and account number
// are never given out again, and its audit entries verify.
func TestErase(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	other := f.Tenant(t, "beta")
	versions(t, s, "db", 2)
	versions(t, other, "db", 1)
	token := must(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Admin}}}))(t)
	defer token.Token.Release()
	c := must(f.Authenticate(ctx, vault.Origin{}, token.Token.Bytes()))(t)
	check(t, f.Operator().Erase(ctx, "acme"))
	for who, c := range map[string]*vault.Caller{"operator": local(f), "admin": c} {
		for _, m := range methods {
			if m.operator || m.log && who == "operator" {
				continue
			}
			if err := m.call(t, f, c, "acme", "db"); !sameAs(err, secret.ErrNotFound) {
				t.Errorf("%s as %s: %v", m.name, who, err)
			}
		}
	}
	want(t, errOf(f.Authenticate(ctx, vault.Origin{}, token.Token.Bytes())), secret.ErrUnauthenticated)
	if info := must(f.Operator().Tenant(ctx, "acme"))(t); info.State != store.Erased {
		t.Errorf("erased: %+v", info)
	}
	want(t, errOf(f.Operator().CreateTenant(ctx, "acme", "")), secret.ErrExists)
	want(t, errOf(f.Operator().Suspend(ctx, "acme")), secret.ErrConflict)
	want(t, errOf(f.Operator().Resume(ctx, "acme")), secret.ErrConflict)
	check(t, f.Operator().Erase(ctx, "acme"))
	want(t, f.Operator().Erase(ctx, "none"), secret.ErrNotFound)
	wantValue(t, other, "db", store.Selector{}, "1")

	report := verify(t, f, export(t, f.Audit(local(f), "acme"), vault.ExportOptions{}), audit.Options{})
	if report.Entries < 10 {
		t.Errorf("%d entries of the erased tenant", report.Entries)
	}
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: f.Dir, Clock: f.Clock})
	want(t, errOf(f.Operator().CreateTenant(ctx, "acme", "")), secret.ErrExists)
}

// TestAuthenticate: every way for a credential not to be good has one answer.
func TestAuthenticate(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	creds := f.Tenant(t, "acme").Credentials()
	spec := vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}, TTL: time.Hour}
	token := func() *vault.NewToken {
		n := must(creds.Create(ctx, spec))(t)
		t.Cleanup(n.Token.Release)
		return n
	}
	good, revoked := token(), token()
	check(t, creds.Revoke(ctx, revoked.ID))
	check(t, creds.Revoke(ctx, revoked.ID)) // does nothing
	if !good.Expires.Equal(f.Clock.Now().Add(time.Hour)) {
		t.Errorf("expires %v", good.Expires)
	}
	c := must(f.Authenticate(ctx, vault.Origin{CorrelationID: "c1"}, good.Token.Bytes()))(t)
	if c.Principal() != "p" || c.CorrelationID() != "c1" || c.Tenant() != "acme" || c.IsOperator() {
		t.Errorf("caller %+v", c)
	}
	wrong := append([]byte(nil), good.Token.Bytes()...)
	wrong[10] ^= 1
	unknown := must(f.Tenant(t, "beta").Credentials().Create(ctx, spec))(t)
	check(t, f.Operator().Erase(ctx, "beta"))
	for what, b := range map[string][]byte{"none": nil, "empty": {}, "garbage": []byte("x"), "revoked": revoked.Token.Bytes(),
		"wrong": wrong, "of an erased tenant": unknown.Token.Bytes(), "long": []byte(strings.Repeat("a", 10_000))} {
		c, err := f.Authenticate(ctx, vault.Origin{}, b)
		if c != nil || !sameAs(err, secret.ErrUnauthenticated) {
			t.Errorf("%s: %v, %v", what, c, err)
		}
	}
	f.Clock.Advance(time.Hour - time.Second)
	must(f.Authenticate(ctx, vault.Origin{}, good.Token.Bytes()))(t)
	f.Clock.Advance(time.Second)
	want(t, errOf(f.Authenticate(ctx, vault.Origin{}, good.Token.Bytes())), secret.ErrUnauthenticated)

	page := must(creds.List(ctx, vault.CredentialQuery{}))(t)
	for _, info := range page.Items {
		used := !info.LastUsed.IsZero()
		if used != (info.ID == good.ID) || info.Revoked.IsZero() != (info.ID != revoked.ID) {
			t.Errorf("%+v", info)
		}
	}
	if len(page.Items) != 4 {
		t.Errorf("%d credentials listed", len(page.Items))
	}
	want(t, creds.Revoke(ctx, "tok_none"), secret.ErrNotFound)
}

// TestRevocationIsSeen: once a revocation, a suspension or an erasure was
// answered, no request that begins later gets through, however many are under
// way and whatever is kept in memory.
func TestRevocationIsSeen(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	for round, end := range []func(s *vault.Session, id string) error{
		func(s *vault.Session, id string) error { return s.Credentials().Revoke(ctx, id) },
		func(*vault.Session, string) error { return errOf(f.Operator().Suspend(ctx, "t1")) },
		func(*vault.Session, string) error { return f.Operator().Erase(ctx, "t2") },
	} {
		s := f.Tenant(t, secret.TenantName(fmt.Sprintf("t%d", round)))
		versions(t, s, "db", 1)
		token := must(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
		var ended, stop atomic.Bool
		var served atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for !stop.Load() {
					after := ended.Load()
					c, err := f.Authenticate(ctx, vault.Origin{}, token.Token.Bytes())
					if err == nil {
						_, err = get(f.Session(c, ""), "db", store.Selector{})
					}
					if err == nil && after {
						t.Errorf("round %d: served after the end", round)
						return
					}
					if err == nil {
						served.Add(1)
					}
					if after {
						return
					}
				}
			})
		}
		for served.Load() < 50 {
			time.Sleep(time.Millisecond)
		}
		check(t, end(s, token.ID))
		ended.Store(true)
		time.Sleep(10 * time.Millisecond)
		stop.Store(true)
		wg.Wait()
		token.Token.Release()
	}
}

// TestOperators: tokens of operators, the first of which is made once.
func TestOperators(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	f.Tenant(t, "acme")
	first := must(f.Operator().InitToken(ctx))(t)
	defer first.Token.Release()
	want(t, errOf(f.Operator().InitToken(ctx)), secret.ErrExists)
	c := must(f.Authenticate(ctx, vault.Origin{}, first.Token.Bytes()))(t)
	if !c.IsOperator() || c.Tenant() != "" {
		t.Errorf("operator %+v", c)
	}
	second := must(f.Vault.Operator(c).Credentials().Create(ctx, vault.TokenSpec{Principal: "second", TTL: time.Hour}))(t)
	second.Token.Release()
	check(t, f.Operator().Credentials().Revoke(ctx, first.ID))
	want(t, errOf(f.Operator().InitToken(ctx)), secret.ErrExists)
	f.Clock.Advance(time.Hour)
	again := must(f.Operator().InitToken(ctx))(t)
	again.Token.Release()
	// A tenant's administrator is none, and its credentials are not theirs.
	admin := f.Vault.Operator(caller(t, f, "acme", policy.Admin))
	for what, err := range map[string]error{
		"init": errOf(admin.InitToken(ctx)), "create": errOf(admin.Credentials().Create(ctx, vault.TokenSpec{Principal: "x"})),
		"list": errOf(admin.Credentials().List(ctx, vault.CredentialQuery{})), "revoke": admin.Credentials().Revoke(ctx, again.ID),
		"tenants": errOf(admin.Tenants(ctx, 0, "")), "tenant": errOf(admin.Tenant(ctx, "acme")), "make": errOf(admin.CreateTenant(ctx, "x", "")),
		"suspend": errOf(admin.Suspend(ctx, "acme")), "resume": errOf(admin.Resume(ctx, "acme")), "erase": admin.Erase(ctx, "acme"),
		"root": errOf(admin.RotateRoot(ctx, nil)), "dev": errOf(admin.DevTenant(ctx, "acme")),
	} {
		if !sameAs(err, secret.ErrAccessDenied) {
			t.Errorf("%s as a tenant's administrator: %v", what, err)
		}
	}
	want(t, f.Tenant(t, "acme").Credentials().Revoke(ctx, again.ID), secret.ErrNotFound)
}

// TestDevTenant: a development server keeps its access key and renews its token.
func TestDevTenant(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	first := must(f.Operator().DevTenant(ctx, "default"))(t)
	defer first.Release()
	must(f.Authenticate(ctx, vault.Origin{}, first.Token.Bytes()))(t)
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: f.Dir, Clock: f.Clock})
	second := must(f.Operator().DevTenant(ctx, "default"))(t)
	defer second.Release()
	if second.AccessKeyID != first.AccessKeyID || second.Account != first.Account || second.Region != first.Region ||
		string(second.SecretAccessKey.Bytes()) != string(first.SecretAccessKey.Bytes()) {
		t.Error("the access key was not kept")
	}
	want(t, errOf(f.Authenticate(ctx, vault.Origin{}, first.Token.Bytes())), secret.ErrUnauthenticated)
	if c := must(f.Authenticate(ctx, vault.Origin{}, second.Token.Bytes()))(t); !c.IsOperator() {
		t.Error("the token is not an operator's")
	}
	must(f.Tenant(t, "default").RotateKey(ctx, nil))(t)
	third := must(f.Operator().DevTenant(ctx, "default"))(t)
	defer third.Release()
	if string(third.SecretAccessKey.Bytes()) != string(first.SecretAccessKey.Bytes()) {
		t.Error("the access key was lost with the tenant's key")
	}
}
