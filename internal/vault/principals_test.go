package vault_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

var (
	reader = []policy.Grant{{Role: policy.Reader}}
	admins = []policy.Grant{{Role: policy.Admin}}
)

// issued makes a token that lives as long as the test.
func issued(tb testing.TB, c *vault.Credentials, spec vault.TokenSpec) *vault.NewToken {
	tb.Helper()
	made := must(c.Create(ctx, spec))(tb)
	tb.Cleanup(made.Token.Release)
	return made
}

// networks counts those that elsewhere has told.
var networks atomic.Int64

// elsewhere is a request from a network that nobody came from before, so that
// what a test refuses does not slow it.
func elsewhere() vault.Origin {
	return vault.Origin{Address: fmt.Sprintf("2001:db8:%x::1", networks.Add(1)), CorrelationID: "c1"}
}

// enters reports whether a token is let in, and expects the one refusal if not.
func enters(tb testing.TB, f *fastnesstest.Fixture, made *vault.NewToken) bool {
	tb.Helper()
	_, err := f.Authenticate(ctx, elsewhere(), made.Token.Bytes())
	if err != nil && !sameAs(err, secret.ErrUnauthenticated) {
		tb.Errorf("refused with %v", err)
	}
	return err == nil
}

// session authenticates a token.
func session(tb testing.TB, f *fastnesstest.Fixture, made *vault.NewToken) *vault.Session {
	tb.Helper()
	return f.Session(must(f.Authenticate(ctx, vault.Origin{}, made.Token.Bytes()))(tb), "")
}

func TestPrincipals(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	ps := s.Principals()
	spec := vault.PrincipalSpec{Name: "spiffe://acme/web", Grants: reader, Service: "web", Environment: secret.Prod}
	made := must(ps.Create(ctx, spec))(t)
	info := vault.PrincipalInfo{Name: spec.Name, Grants: reader, Service: "web", Environment: secret.Prod, Created: f.Clock.Now()}
	if diff := cmp.Diff(made, info); diff != "" {
		t.Errorf("made (-), want (+):\n%s", diff)
	}
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Subject: "idp 00u1"}))(t)
	want(t, errOf(ps.Create(ctx, spec)), secret.ErrExists)
	want(t, errOf(ps.Create(ctx, vault.PrincipalSpec{Name: "bob", Kind: store.Person, Subject: "idp 00u1"})), secret.ErrExists)
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "bob", Kind: store.Person}))(t)
	wantText(t, errOf(ps.Update(ctx, "bob", vault.PrincipalPatch{Subject: ptr("idp 00u1")})), secret.ErrExists, "subject: it is another's already")

	// Its credentials count while they live, and tell when it was there last.
	must(put(t, s, "db", "v", vault.Put{}))(t)
	one := issued(t, s.Credentials(), vault.TokenSpec{Principal: spec.Name})
	two := issued(t, s.Credentials(), vault.TokenSpec{Principal: spec.Name, Grants: reader})
	check(t, s.Credentials().Revoke(ctx, two.ID))
	session(t, f, one)
	today := f.Clock.Now().Truncate(24 * time.Hour)
	info.Credentials, info.LastUsed = 1, today
	wantPrincipal(t, ps, info)
	f.Clock.Advance(aDay)
	wantValue(t, session(t, f, one), "db", store.Selector{}, "v")
	info.LastUsed, info.LastRead = today.Add(aDay), today.Add(aDay)
	wantPrincipal(t, ps, info)
	f.Clock.Advance(aDay)
	session(t, f, one)
	info.LastUsed = today.Add(2 * aDay)
	wantPrincipal(t, ps, info)

	var listed []string
	for cursor := ""; ; {
		page := must(ps.List(ctx, 2, cursor))(t)
		for _, p := range page.Items {
			listed = append(listed, p.Name+" "+p.Kind.String())
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	equal(t, "principals", listed, []string{"admin service", "alice person", "bob person", "spiffe://acme/web service"})

	check(t, ps.Delete(ctx, spec.Name))
	if enters(t, f, one) {
		t.Error("a deleted principal's token is let in")
	}
	for _, err := range []error{
		errOf(ps.Get(ctx, spec.Name)), ps.Delete(ctx, spec.Name), errOf(ps.Disable(ctx, spec.Name)),
		errOf(ps.Update(ctx, spec.Name, vault.PrincipalPatch{})), errOf(ps.Get(ctx, "nobody")),
	} {
		if !sameAs(err, secret.ErrNotFound) {
			t.Errorf("of a principal that is gone: %v", err)
		}
	}
	if got := must(s.Credentials().List(ctx, vault.CredentialQuery{Principal: spec.Name}))(t).Items; len(got) > 0 {
		t.Errorf("credentials are left: %+v", got)
	}
}

func wantPrincipal(tb testing.TB, ps *vault.Principals, want vault.PrincipalInfo) {
	tb.Helper()
	if diff := cmp.Diff(must(ps.Get(ctx, want.Name))(tb), want); diff != "" {
		tb.Errorf("principal (-), want (+):\n%s", diff)
	}
}

func TestPrincipalLimits(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	ps, ops := f.Tenant(t, "acme").Principals(), f.Operator().Principals()
	for _, tt := range []struct {
		spec  vault.PrincipalSpec
		code  *secret.Error
		field string
	}{
		{vault.PrincipalSpec{}, secret.ErrLimit, "principal"},
		{vault.PrincipalSpec{Name: strings.Repeat("x", 129)}, secret.ErrLimit, "principal"},
		{vault.PrincipalSpec{Name: "system"}, secret.ErrInvalid, "principal"},
		{vault.PrincipalSpec{Name: ".."}, secret.ErrInvalid, "principal"},
		{vault.PrincipalSpec{Name: "a b"}, secret.ErrInvalid, "principal"},
		{vault.PrincipalSpec{Name: "x", Kind: store.OperatorKind}, secret.ErrInvalid, "kind"},
		{vault.PrincipalSpec{Name: "x", Kind: 9}, secret.ErrInvalid, "kind"},
		{vault.PrincipalSpec{Name: "x", Grants: []policy.Grant{{Role: "root"}}}, secret.ErrInvalid, "grants.role"},
		{vault.PrincipalSpec{Name: "x", Grants: make([]policy.Grant, secret.MaxGrants+1)}, secret.ErrLimit, "grants"},
		{vault.PrincipalSpec{Name: "x", Service: strings.Repeat("x", 1000)}, secret.ErrLimit, "service"},
		{vault.PrincipalSpec{Name: "x", Environment: "moon"}, secret.ErrInvalid, "environment"},
		{vault.PrincipalSpec{Name: "x", Kind: store.Person, Service: "web"}, secret.ErrInvalid, "service"},
		{vault.PrincipalSpec{Name: "x", Kind: store.Person, Environment: secret.Dev}, secret.ErrInvalid, "environment"},
		{vault.PrincipalSpec{Name: "x", Subject: "s"}, secret.ErrInvalid, "subject"},
		{vault.PrincipalSpec{Name: "x", Kind: store.Person, Subject: strings.Repeat("s", 513)}, secret.ErrLimit, "subject"},
		{vault.PrincipalSpec{Name: "x", Kind: store.Person, Subject: "a\x00b"}, secret.ErrInvalid, "subject"},
	} {
		_, err := ps.Create(ctx, tt.spec)
		want(t, err, tt.code)
		if e := secret.Of(err); e.Field != tt.field {
			t.Errorf("%+v: field %q, want %q", tt.spec, e.Field, tt.field)
		}
	}
	want(t, errOf(ops.Create(ctx, vault.PrincipalSpec{Name: "o", Grants: reader})), secret.ErrInvalid)
	want(t, errOf(ops.Create(ctx, vault.PrincipalSpec{Name: "o", Service: "web"})), secret.ErrInvalid)
	if made := must(ops.Create(ctx, vault.PrincipalSpec{Name: "o"}))(t); made.Kind != store.OperatorKind {
		t.Errorf("an operator of kind %s", made.Kind)
	}
	for _, bad := range []vault.PrincipalPatch{
		{Grants: []policy.Grant{{Role: "root"}}}, {Service: ptr("")}, {Subject: ptr("s")}, {Environment: ptr(secret.Environment("moon"))},
	} {
		_, err := ps.Update(ctx, "admin", bad)
		if bad.Service != nil {
			check(t, err) // it had none
			continue
		}
		want(t, err, secret.ErrInvalid)
	}
	want(t, errOf(ops.Update(ctx, "o", vault.PrincipalPatch{Grants: reader})), secret.ErrInvalid)
}

// TestDisable: nothing of a disabled principal gets through, whatever is kept
// in memory and however many of its requests are under way.
func TestDisable(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	made := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web", Grants: reader})
	key := must(s.Credentials().CreateAccessKey(ctx, vault.TokenSpec{Principal: "web", Grants: reader}))(t)
	defer key.Secret.Release()
	var stop atomic.Bool
	var turn atomic.Int64 // odd while it is disabled
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				before := turn.Load()
				c, err := f.Authenticate(ctx, elsewhere(), made.Token.Bytes())
				if err == nil {
					_, err = get(f.Session(c, ""), "db", store.Selector{})
				}
				if err == nil && before%2 == 1 && turn.Load() == before {
					t.Error("served after it was disabled")
					return
				}
			}
		})
	}
	for range 8 {
		must(s.Principals().Disable(ctx, "web"))(t)
		turn.Add(1)
		if enters(t, f, made) {
			t.Error("its token is let in")
		}
		want(t, errOf(signIn(f, key.ID, key)), secret.ErrUnauthenticated)
		turn.Add(1)
		must(s.Principals().Enable(ctx, "web"))(t)
		if !enters(t, f, made) {
			t.Error("its token is not let in again")
		}
		check(t, errOf(signIn(f, key.ID, key)))
	}
	stop.Store(true)
	wg.Wait()
	at := must(s.Principals().Disable(ctx, "web"))(t).Disabled
	f.Clock.Advance(time.Minute)
	if again := must(s.Principals().Disable(ctx, "web"))(t).Disabled; !again.Equal(at) || at.IsZero() {
		t.Errorf("disabled at %v, then at %v", at, again)
	}
	wantText(t, errOf(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "web", Grants: reader})), secret.ErrConflict, "the principal is disabled")
	want(t, errOf(s.Credentials().Rotate(ctx, made.ID, 0)), secret.ErrConflict)
	must(s.Principals().Enable(ctx, "web"))(t)
	if !enters(t, f, made) {
		t.Error("the refused rotation has ended its token")
	}
}

// TestGrantsOfBoth: a credential narrows what its principal may do, and never
// widens it; a change counts from the next request on.
func TestGrantsOfBoth(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for _, name := range []secret.Name{"app/a", "app/b", "other"} {
		versions(t, s, name, 1)
	}
	on := func(role policy.Role, patterns ...string) []policy.Grant {
		return []policy.Grant{{Role: role, Patterns: patterns}}
	}
	must(s.Principals().Create(ctx, vault.PrincipalSpec{Name: "web", Grants: on(policy.Writer, "app/*")}))(t)
	all := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web"})
	wide := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web", Grants: admins})
	narrow := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web", Grants: on(policy.Reader, "*a", "other")})
	names := func(made *vault.NewToken) string {
		var out []string
		for _, i := range must(session(t, f, made).List(ctx, vault.ListQuery{}))(t).Items {
			out = append(out, string(i.Name))
		}
		return strings.Join(out, " ")
	}
	for made, listed := range map[*vault.NewToken]string{all: "app/a app/b", wide: "app/a app/b", narrow: "app/a"} {
		if got := names(made); got != listed {
			t.Errorf("%+v lists %q, want %q", made.Grants, got, listed)
		}
	}
	want(t, errOf(put(t, session(t, f, narrow), "app/a", "x", vault.Put{})), secret.ErrAccessDenied)
	must(put(t, session(t, f, wide), "app/a", "x", vault.Put{}))(t)
	want(t, errOf(session(t, f, wide).Principals().List(ctx, 0, "")), secret.ErrAccessDenied)

	// The principal's grants are given up: what has none of its own has none.
	must(s.Principals().Update(ctx, "web", vault.PrincipalPatch{Grants: []policy.Grant{}}))(t)
	for made, listed := range map[*vault.NewToken]string{all: "", wide: "app/a app/b other", narrow: "app/a other"} {
		if got := names(made); got != listed {
			t.Errorf("without a bound %+v lists %q, want %q", made.Grants, got, listed)
		}
	}
	wantText(t, errOf(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "web"})), secret.ErrInvalid,
		"grants: at least one grant, since the principal has none")
	want(t, errOf(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "new"})), secret.ErrInvalid)
	want(t, errOf(s.Principals().Get(ctx, "new")), secret.ErrNotFound)
	must(s.Principals().Update(ctx, "web", vault.PrincipalPatch{Grants: on(policy.Auditor)}))(t)
	want(t, errOf(get(session(t, f, wide), "app/a", store.Selector{})), secret.ErrNotFound)
}

// TestAttributes: a credential has its principal's service and environment, and
// can be of no other.
func TestAttributes(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	must(put(t, s, "db", "v", vault.Put{Patch: secret.Patch{AccessPolicy: &secret.AccessPolicy{
		AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}}}}))(t)
	// The first token makes the principal, with the attributes.
	first := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web", Grants: reader, Service: "web"})
	if p := must(s.Principals().Get(ctx, "web"))(t); p.Service != "web" || p.Environment != "" || p.Grants != nil || p.Kind != store.Service {
		t.Errorf("made %+v", p)
	}
	prod := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web", Grants: reader, Environment: secret.Prod})
	if prod.Service != "web" || prod.Environment != secret.Prod {
		t.Errorf("token %+v", prod.TokenInfo)
	}
	wantValue(t, session(t, f, prod), "db", store.Selector{}, "v")
	want(t, errOf(get(session(t, f, first), "db", store.Selector{})), secret.ErrAccessDenied)
	wantText(t, errOf(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "web", Grants: reader, Service: "job"})),
		secret.ErrInvalid, "service: principal and credential differ: web and job")
	// A live token has an environment of its own; the principal's must be that.
	want(t, errOf(s.Principals().Update(ctx, "web", vault.PrincipalPatch{Environment: ptr(secret.Dev)})), secret.ErrInvalid)
	must(s.Principals().Update(ctx, "web", vault.PrincipalPatch{Environment: ptr(secret.Prod)}))(t)
	wantValue(t, session(t, f, first), "db", store.Selector{}, "v")
	must(s.Principals().Update(ctx, "web", vault.PrincipalPatch{Service: ptr("job")}))(t)
	for _, made := range []*vault.NewToken{first, prod} {
		want(t, errOf(get(session(t, f, made), "db", store.Selector{})), secret.ErrAccessDenied)
	}
	must(s.Principals().Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person}))(t)
	want(t, errOf(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "alice", Grants: reader, Service: "web"})), secret.ErrInvalid)
}

// TestLastAdministrator: whoever is the last to manage a tenant, or the
// deployment, cannot take that from itself by mistake.
func TestLastAdministrator(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	made := issued(t, s.Credentials(), vault.TokenSpec{Principal: "boss", Grants: admins, TTL: 2 * aDay})
	must(s.Principals().Disable(ctx, "admin"))(t) // an operator may, of anybody
	boss := session(t, f, made).Principals()
	attempts := map[string]func() error{
		"disable": func() error { return errOf(boss.Disable(ctx, "boss")) },
		"delete":  func() error { return boss.Delete(ctx, "boss") },
		"lower":   func() error { return errOf(boss.Update(ctx, "boss", vault.PrincipalPatch{Grants: reader})) },
	}
	for what, try := range attempts {
		wantText(t, try(), secret.ErrConflict, "you are the tenant's last administrator; make another one first")
		if !enters(t, f, made) {
			t.Fatalf("%s has been done", what)
		}
	}
	must(boss.Update(ctx, "boss", vault.PrincipalPatch{Service: ptr("web")}))(t) // harms nobody
	// Another one who cannot come in does not count.
	other := issued(t, s.Credentials(), vault.TokenSpec{Principal: "other", Grants: admins, TTL: time.Minute})
	f.Clock.Advance(time.Hour)
	want(t, attempts["disable"](), secret.ErrConflict)
	must(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "other", Grants: []policy.Grant{{Role: policy.Admin, Patterns: []string{"x/*"}}}}))(t)
	want(t, attempts["disable"](), secret.ErrConflict)
	must(s.Credentials().CreateAccessKey(ctx, vault.TokenSpec{Principal: "other", Grants: admins}))(t)
	check(t, attempts["disable"]())
	_ = other

	// Operators: the last one stays, whoever asks.
	ops := f.Operator()
	first := issued(t, ops.Credentials(), vault.TokenSpec{Principal: "one"})
	must(ops.Principals().Create(ctx, vault.PrincipalSpec{Name: "without"}))(t)
	for _, o := range []*vault.Operator{ops, f.Vault.Operator(must(f.Authenticate(ctx, vault.Origin{}, first.Token.Bytes()))(t))} {
		want(t, errOf(o.Principals().Disable(ctx, "one")), secret.ErrConflict)
		wantText(t, o.Principals().Delete(ctx, "one"), secret.ErrConflict, "this is the last operator with a live credential; give another one first")
	}
	must(ops.Principals().Disable(ctx, "without"))(t)
	two := issued(t, ops.Credentials(), vault.TokenSpec{Principal: "two"})
	must(ops.Principals().Disable(ctx, "one"))(t)
	want(t, ops.Principals().Delete(ctx, "two"), secret.ErrConflict)
	must(ops.Principals().Enable(ctx, "one"))(t)
	check(t, ops.Principals().Delete(ctx, "two"))
	if enters(t, f, two) || !enters(t, f, first) {
		t.Error("the wrong operator is gone")
	}
	// Without a live credential there is nothing to lose; init then makes a token
	// that works, of an operator who was disabled.
	check(t, ops.Credentials().Revoke(ctx, first.ID))
	must(ops.Principals().Create(ctx, vault.PrincipalSpec{Name: "operator"}))(t)
	must(ops.Principals().Disable(ctx, "operator"))(t)
	init := must(ops.InitToken(ctx))(t)
	defer init.Token.Release()
	if !enters(t, f, init) {
		t.Error("the first operator's token is not let in")
	}
}

// TestPrincipalEntries: what was, what is, and whom it was about, which is the
// one thing that a redaction takes away.
func TestPrincipalEntries(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	ps := s.Principals()
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "web", Grants: reader, Service: "web"}))(t)
	many := policy.Grant{Role: policy.Writer}
	for i := range secret.MaxPatterns {
		many.Patterns = append(many.Patterns, fmt.Sprintf("%0500d", i))
	}
	made := issued(t, s.Credentials(), vault.TokenSpec{Principal: "web", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"a/*", "b"}}}})
	must(ps.Update(ctx, "web", vault.PrincipalPatch{Grants: []policy.Grant{{Role: policy.Writer, Patterns: []string{"db/*"}}, {Role: policy.Auditor}},
		Service: ptr(""), Environment: ptr(secret.Prod)}))(t)
	must(ps.Update(ctx, "web", vault.PrincipalPatch{}))(t)
	must(ps.Update(ctx, "web", vault.PrincipalPatch{Grants: []policy.Grant{many}}))(t)
	must(ps.Disable(ctx, "web"))(t)
	must(ps.Enable(ctx, "web"))(t)
	check(t, s.Credentials().Revoke(ctx, made.ID))
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Subject: "idp alice@example.com"}))(t)
	must(ps.Update(ctx, "alice", vault.PrincipalPatch{Subject: ptr("idp alice@example.org")}))(t)
	check(t, ps.Delete(ctx, "alice"))
	var got []string
	for _, e := range entries(t, f, "acme", audit.Filter{}) {
		if e.Target == "" {
			continue
		}
		got = append(got, fmt.Sprintf("%s %s: %.200s", e.Action, e.Target, e.Detail))
		if len(e.Detail) > audit.MaxDetail {
			t.Errorf("%d bytes of detail", len(e.Detail))
		}
	}
	long := fmt.Sprintf("writer=%0500d", 0)
	equal(t, "entries", got, []string{
		"principal.create web: new service, grants reader, service web",
		"token.create web: token " + made.ID + ", grants reader=a/*,b",
		"principal.update web: grants: reader -> writer=db/* auditor\nservice: web -> none\nenvironment: none -> prod",
		"principal.update web: no change",
		"principal.update web: " + ("grants: writer=db/* auditor -> " + long)[:200],
		"principal.disable web: disabled: none -> yes",
		"principal.enable web: disabled: yes -> none",
		"token.revoke web: credential " + made.ID,
		"principal.create alice: new person, subject (one that is not told)",
		"principal.update alice: subject: (one that is not told) -> (one that is not told)",
		"principal.delete alice: was person, subject (one that is not told), with 0 credentials",
	})
	if cut := lastOf(t, f, "acme", audit.PrincipalUpdate); strings.Contains(cut.Detail, "alice") {
		t.Errorf("a person is named: %s", cut.Detail)
	}
	verify(t, f, export(t, f.Audit(local(f), "acme"), vault.ExportOptions{}), audit.Options{})
}

// TestPrincipalsAreNobodyElses: names are each tenant's own.
func TestPrincipalsAreNobodyElses(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	a, b := f.Tenant(t, "acme"), f.Tenant(t, "beta")
	inA := issued(t, a.Credentials(), vault.TokenSpec{Principal: "web", Grants: admins})
	inB := issued(t, b.Credentials(), vault.TokenSpec{Principal: "web", Grants: reader})
	op := issued(t, f.Operator().Credentials(), vault.TokenSpec{Principal: "web"})
	must(session(t, f, inA).Principals().Create(ctx, vault.PrincipalSpec{Name: "new"}))(t)
	must(b.Principals().Disable(ctx, "web"))(t)
	if !enters(t, f, inA) || enters(t, f, inB) || !enters(t, f, op) {
		t.Error("disabling a principal has touched another of its name")
	}
	check(t, b.Principals().Delete(ctx, "web"))
	if !enters(t, f, inA) || !enters(t, f, op) {
		t.Error("deleting a principal has touched another of its name")
	}
	c := must(f.Authenticate(ctx, vault.Origin{}, inA.Token.Bytes()))(t)
	for _, p := range []*vault.Principals{f.Session(c, "beta").Principals(), f.Session(c, "none").Principals()} {
		for _, err := range []error{
			errOf(p.Get(ctx, "admin")), errOf(p.List(ctx, 0, "")), errOf(p.Create(ctx, vault.PrincipalSpec{Name: "x"})),
			errOf(p.Disable(ctx, "admin")), p.Delete(ctx, "admin"), errOf(p.Update(ctx, "admin", vault.PrincipalPatch{Grants: reader})),
		} {
			if !sameAs(err, secret.ErrNotFound) {
				t.Errorf("another tenant's principal: %v", err)
			}
		}
	}
	o := f.Vault.Operator(c).Principals()
	for _, err := range []error{errOf(o.List(ctx, 0, "")), errOf(o.Disable(ctx, "web")), o.Delete(ctx, "web"), errOf(o.Create(ctx, vault.PrincipalSpec{Name: "x"}))} {
		want(t, err, secret.ErrAccessDenied)
	}
}
