package vault_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// asking is a session of a token with a request's origin.
func asking(tb testing.TB, f *fastnesstest.Fixture, made *vault.NewToken, o vault.Origin) *vault.Session {
	tb.Helper()
	return f.Session(must(f.Authenticate(ctx, o, made.Token.Bytes()))(tb), "")
}

// TestDenial: a refused caller's id leads those who may ask to what decided,
// and to what would become of the request now.
func TestDenial(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "app/db", "v", vault.Put{}))(t)
	must(put(t, op, "app/listed", "v", vault.Put{Patch: secret.Patch{AccessPolicy: &secret.AccessPolicy{AllowedServices: []string{"web"}}}}))(t)
	auditor := f.Session(caller(t, f, "acme", policy.Auditor), "")
	made := issued(t, op.Credentials(), vault.TokenSpec{Principal: "ci", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"app/*"}}}})
	enact(t, op, "office", `forbid(principal, action == Action::"read", resource == Secret::"app/db") unless { context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8")) };`)

	for i, tc := range []struct {
		name          string
		try           func(*vault.Session) error
		action        policy.Action
		secret        secret.Name
		answer        *secret.Error
		reason, wants string
	}{
		{"a policy", func(s *vault.Session) error { return errOf(get(s, "app/db", store.Selector{})) }, policy.Read, "app/db", secret.ErrAccessDenied,
			`denied by policy "office"`, `policy "office" must not apply`},
		{"no grant, hidden", func(s *vault.Session) error { return errOf(get(s, "db", store.Selector{})) }, policy.Read, "db", secret.ErrNotFound,
			"no grant of the credential allows read", "a credential whose own grants allow it; policies cannot widen them: a grant over the name as reader, writer or admin"},
		{"no grant", func(s *vault.Session) error { return errOf(put(t, s, "app/db", "w", vault.Put{})) }, policy.Update, "app/db", secret.ErrAccessDenied,
			"no grant of the credential allows update", "a credential whose own grants allow it; policies cannot widen them: a grant over the name as writer or admin"},
		{"the access policy", func(s *vault.Session) error { return errOf(get(s, "app/listed", store.Selector{})) }, policy.Read, "app/listed", secret.ErrAccessDenied,
			"accessPolicy.allowedServices", "a caller whose service is web; this one has none"},
		{"the tenant", func(s *vault.Session) error { return errOf(s.Credentials().List(ctx, vault.CredentialQuery{})) }, policy.ManageTokens, "", secret.ErrAccessDenied,
			"no grant of the credential allows tokens", "a credential whose own grants allow it; policies cannot widen them: a grant over all names as admin"},
	} {
		id := fmt.Sprintf("0a1b-%d", i)
		err := tc.try(asking(t, f, made, vault.Origin{Address: "192.0.2.7", CorrelationID: id}))
		if !sameAs(err, tc.answer) {
			t.Errorf("%s: %v tells of more than %s", tc.name, err, tc.answer.Code)
		}
		d := must(auditor.Access().Denial(ctx, id))(t)
		if d.ID != id || d.Principal != "ci" || d.CredentialID != made.ID || d.Action != tc.action || d.Secret != tc.secret ||
			d.Answer != string(tc.answer.Code) || d.Reason != tc.reason || !d.Time.Equal(f.Clock.Now()) {
			t.Errorf("%s: %+v", tc.name, d)
		}
		if d.Now == nil || d.Now.Effect == policy.Allow || d.Now.Reason != tc.reason || strings.Join(d.Now.Wants, "; ") != tc.wants {
			t.Errorf("%s now: %+v", tc.name, d.Now)
		}
	}
	check(t, op.Policies().Delete(ctx, "office", nil))
	if d := must(auditor.Access().Denial(ctx, "0a1b-0"))(t); d.Now == nil || d.Now.Effect != policy.Allow || d.Reason != `denied by policy "office"` {
		t.Errorf("now that it may: %+v", d)
	}
	check(t, op.Credentials().Revoke(ctx, made.ID))
	if d := must(auditor.Access().Denial(ctx, "0a1b-0"))(t); d.Now != nil || d.Principal != "ci" {
		t.Errorf("of a revoked token: %+v", d)
	}
	must(f.Audit(local(f), "acme").Redact(ctx, vault.RedactQuery{Principal: "ci"}))(t)
	if d := must(auditor.Access().Denial(ctx, "0a1b-0"))(t); d.Principal != "" || d.Secret != "" || d.Reason != `denied by policy "office"` {
		t.Errorf("redacted: %+v", d)
	}
	for _, id := range []string{"0a1b-99", "x\x00y", strings.Repeat("9", 128)} {
		want(t, errOf(auditor.Access().Denial(ctx, id)), secret.ErrNotFound)
	}
	for _, id := range []string{"", strings.Repeat("9", 129)} {
		want(t, errOf(auditor.Access().Denial(ctx, id)), secret.ErrInvalid)
	}
	f.Tenant(t, "beta")
	want(t, errOf(f.Session(caller(t, f, "beta", policy.Admin), "").Access().Denial(ctx, "0a1b-0")), secret.ErrNotFound)
	want(t, errOf(f.Session(caller(t, f, "acme", policy.Writer), "").Access().Denial(ctx, "0a1b-0")), secret.ErrAccessDenied)
}

func TestExplain(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{Patch: secret.Patch{AccessPolicy: &secret.AccessPolicy{RequiresMFA: true}}}))(t)
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Grants: []policy.Grant{{Role: policy.Writer}}}))(t)
	wide := issued(t, op.Credentials(), vault.TokenSpec{Principal: "alice"})
	narrow := issued(t, op.Credentials(), vault.TokenSpec{Principal: "alice", Grants: reader})
	a := f.Session(caller(t, f, "acme", policy.Auditor), "").Access()

	got := must(a.Explain(ctx, vault.ExplainQuery{Principal: "alice", Action: policy.Update, Secret: "db"}))(t)
	if len(got) != 2 || !slices.Equal(got[0].CredentialIDs, []string{"", wide.ID}) || got[0].Decision.Effect != policy.NeedMFA || got[0].Decision.Part != policy.ByMFA ||
		!slices.Equal(got[1].CredentialIDs, []string{narrow.ID}) || got[1].Decision.Part != policy.ByCredential {
		t.Errorf("%+v", got)
	}
	if e := last(t, f, "acme"); e.Action != audit.AccessExplain || e.SecretName != "db" || e.Target != "alice" || e.UserID != "auditor" {
		t.Errorf("%+v", e)
	}
	got = must(a.Explain(ctx, vault.ExplainQuery{Principal: "alice", Action: policy.Read, Secret: "none", CredentialID: narrow.ID}))(t)
	if len(got) != 1 || got[0].Decision.Effect != policy.Allow || len(got[0].Decision.Statements) != 2 {
		t.Errorf("%+v", got)
	}
	must(op.Principals().Disable(ctx, "alice"))(t)
	got = must(a.Explain(ctx, vault.ExplainQuery{Principal: "alice", Action: policy.Read, Secret: "db"}))(t)
	if len(got) != 1 || got[0].Decision.Part != policy.ByDisabled || len(got[0].CredentialIDs) != 3 {
		t.Errorf("%+v", got)
	}
	for _, tc := range []struct {
		q        vault.ExplainQuery
		sentinel *secret.Error
	}{
		{vault.ExplainQuery{Principal: "nobody", Action: policy.Read, Secret: "db"}, secret.ErrNotFound},
		{vault.ExplainQuery{Principal: "alice", Action: policy.Read, Secret: "db", CredentialID: "tok_x"}, secret.ErrNotFound},
		{vault.ExplainQuery{Principal: "alice", Action: "fly", Secret: "db"}, secret.ErrInvalid},
		{vault.ExplainQuery{Principal: "alice", Action: policy.Read}, secret.ErrLimit},
		{vault.ExplainQuery{Principal: "alice", Action: policy.Redact, Secret: "db"}, secret.ErrInvalid},
	} {
		want(t, errOf(a.Explain(ctx, tc.q)), tc.sentinel)
	}
}

func TestWho(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme") // has a principal admin
	must(put(t, op, "app/db", "v", vault.Put{Patch: secret.Patch{AccessPolicy: &secret.AccessPolicy{RequiresMFA: true}}}))(t)
	ps := op.Principals()
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Grants: []policy.Grant{{Role: policy.Rotator, Patterns: []string{"app/*"}}}}))(t)
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "bob", Kind: store.Person, Grants: []policy.Grant{{Role: policy.Admin, Patterns: []string{"other/*"}}}}))(t)
	must(ps.Create(ctx, vault.PrincipalSpec{Name: "gone", Kind: store.Person, Grants: admins}))(t)
	must(ps.Disable(ctx, "gone"))(t)
	issued(t, op.Credentials(), vault.TokenSpec{Principal: "web", Grants: reader})
	issued(t, op.Credentials(), vault.TokenSpec{Principal: "web", Grants: []policy.Grant{{Role: policy.Auditor}}})
	enact(t, op, "office", `permit(principal == Person::"bob", action == Action::"read", resource == Secret::"app/db") when { context has sourceAddress && context.sourceAddress.isLoopback() };`)
	enact(t, op, "no-admin", `forbid(principal == Service::"admin", action, resource is Secret);`)

	a := op.Access()
	list := func(q vault.WhoQuery) (got []string) {
		for {
			page := must(a.Who(ctx, q))(t)
			for _, i := range page.Items {
				got = append(got, fmt.Sprintf("%s %v: %v %v", i.Kind, i.Principal, i.Actions, i.WithMFA))
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return got
			}
		}
	}
	for _, limit := range []int{0, 1, 2} {
		equal(t, "of the secret", list(vault.WhoQuery{Secret: "app/db", Limit: limit}), []string{"person alice: [list] [describe rotate]", "service web: [list read] []"})
		equal(t, "from the office", list(vault.WhoQuery{Secret: "app/db", Limit: limit, Address: "127.0.0.1"}),
			[]string{"person alice: [list] [describe rotate]", "person bob: [read] []", "service web: [list read] []"})
		equal(t, "of the tenant", list(vault.WhoQuery{Limit: limit}),
			[]string{"service admin: [tokens principals policies issuers keys audit review redact] []", "service web: [audit review] []"})
	}
	want(t, errOf(a.Who(ctx, vault.WhoQuery{Secret: "a b"})), secret.ErrInvalid)
	want(t, errOf(a.Who(ctx, vault.WhoQuery{Limit: 501})), secret.ErrLimit)
	want(t, errOf(a.Who(ctx, vault.WhoQuery{Cursor: "x"})), secret.ErrInvalid)
}

// TestWhoWalk: a page that finds nobody among many has a cursor to go on.
func TestWhoWalk(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	for i := range 25 {
		must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: fmt.Sprintf("p%02d", i), Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"x"}}}}))(t)
	}
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "z", Grants: reader}))(t)
	pages, found := 0, []string{}
	for q := (vault.WhoQuery{Secret: "y", Limit: 1}); ; pages++ {
		page := must(op.Access().Who(ctx, q))(t)
		for _, i := range page.Items {
			found = append(found, i.Principal)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	equal(t, "found", found, []string{"admin", "z"})
	if pages != 3 {
		t.Errorf("%d pages with a next one", pages)
	}
}

func TestReview(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{}))(t)
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "web", Grants: reader, Service: "shop", Environment: secret.Prod}))(t)
	made := issued(t, op.Credentials(), vault.TokenSpec{Principal: "web", TTL: time.Hour})
	ended := issued(t, op.Credentials(), vault.TokenSpec{Principal: "web"})
	check(t, op.Credentials().Revoke(ctx, ended.ID))
	wantValue(t, session(t, f, made), "db", store.Selector{}, "v")
	f.Tenant(t, "beta")

	var all []vault.ReviewInfo
	for q := (vault.ReviewQuery{Limit: 1}); ; {
		page := must(op.Access().Review(ctx, q))(t)
		all = append(all, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if len(all) != 2 || all[0].Principal != "admin" || len(all[0].Credentials) != 2 {
		t.Fatalf("%+v", all)
	}
	web, today := all[1], f.Clock.Now().Truncate(24*time.Hour)
	if web.Principal != "web" || web.Kind != store.Service || web.Service != "shop" || web.Environment != secret.Prod || len(web.Grants) != 1 ||
		!web.Created.Equal(f.Clock.Now()) || !web.LastUsed.Equal(today) || !web.LastRead.Equal(today) || len(web.Factors) != 0 || len(web.Credentials) != 2 {
		t.Errorf("%+v", web)
	}
	for _, c := range web.Credentials {
		if used := c.ID == made.ID; c.Kind != store.Token || c.LastUsed.Equal(today) != used || c.Revoked.IsZero() != used || c.Expires.IsZero() == used || c.Grants != nil {
			t.Errorf("%+v", c)
		}
	}
	want(t, errOf(op.Access().Review(ctx, vault.ReviewQuery{Cursor: "x"})), secret.ErrInvalid)
}
