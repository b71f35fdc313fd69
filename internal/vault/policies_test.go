package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// neverForbids is a policy that changes nothing.
const neverForbids = `forbid(principal == Person::"nobody", action, resource);`

// enact puts a policy in force.
func enact(tb testing.TB, s *vault.Session, name, text string) vault.Policy {
	tb.Helper()
	return must(s.Policies().Put(ctx, vault.PolicyPut{Name: name, Text: text}))(tb)
}

// TestPolicyInForce: the next request is decided by a policy that was put, and
// the one after it was deleted by those that are left.
func TestPolicyInForce(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "app/db", "v", vault.Put{}))(t)
	s := f.Session(caller(t, f, "acme", policy.Writer, "app/*"), "")
	wantValue(t, s, "app/db", store.Selector{}, "v")
	for range 3 { // kept rows and rules are there the second time
		enact(t, op, "freeze", `forbid(principal, action == Action::"read", resource);`)
		want(t, errOf(get(s, "app/db", store.Selector{})), secret.ErrAccessDenied)
		must(put(t, s, "app/db", "v", vault.Put{}))(t)
		enact(t, op, "freeze", `forbid(principal, action in Action::"writer", resource) unless { action in Action::"reader" };`)
		wantValue(t, s, "app/db", store.Selector{}, "v")
		want(t, errOf(put(t, s, "app/db", "w", vault.Put{})), secret.ErrAccessDenied)
		want(t, errOf(s.MoveLabel(ctx, "app/db", vault.Move{Label: "l", To: 1})), secret.ErrAccessDenied)
		check(t, op.Policies().Delete(ctx, "freeze", nil))
		wantValue(t, s, "app/db", store.Selector{}, "v")
		must(put(t, s, "app/db", "v", vault.Put{}))(t)
	}
	// Another tenant has its own.
	enact(t, op, "freeze", `forbid(principal, action, resource);`)
	other := f.Tenant(t, "beta")
	must(put(t, other, "app/db", "b", vault.Put{}))(t)
	wantValue(t, f.Session(caller(t, f, "beta", policy.Reader), ""), "app/db", store.Selector{}, "b")
	// What is forbidden to everybody is open to operators.
	wantValue(t, op, "app/db", store.Selector{}, "v")
	if page := must(s.List(ctx, vault.ListQuery{}))(t); len(page.Items) != 0 {
		t.Errorf("lists %v", page.Items)
	}
}

// TestPolicyByTag: tags of what is there decide, and cannot be changed to what
// would not be allowed.
func TestPolicyByTag(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	enact(t, op, "teams", `permit(principal is Service, action in Action::"writer", resource is Secret)
		when { principal has service && resource.hasTag("team") && resource.getTag("team") == principal.service };`)
	red := map[string]string{"team": "red"}
	must(put(t, op, "r", "v", vault.Put{Patch: secret.Patch{Tags: red}}))(t)
	must(put(t, op, "b", "v", vault.Put{Patch: secret.Patch{Tags: map[string]string{"team": "blue"}}}))(t)
	must(put(t, op, "none", "v", vault.Put{}))(t)
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "svc", Service: "red", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"x"}}}}))(t)
	s := session(t, f, issued(t, op.Credentials(), vault.TokenSpec{Principal: "svc"}))

	wantValue(t, s, "r", store.Selector{}, "v")
	for _, name := range []secret.Name{"b", "none", "absent"} {
		want(t, errOf(get(s, name, store.Selector{})), secret.ErrNotFound)
		want(t, errOf(s.Update(ctx, name, secret.Patch{Description: ptr("d")})), secret.ErrAccessDenied)
	}
	equal(t, "listed", names(t, s, vault.ListQuery{}), []secret.Name{"r"})
	must(s.Update(ctx, "r", secret.Patch{Description: ptr("d")}))(t)
	for _, tags := range []map[string]string{{"team": "blue"}, {}} {
		want(t, errOf(s.Update(ctx, "r", secret.Patch{Tags: tags})), secret.ErrAccessDenied)
		want(t, errOf(put(t, s, "r", "w", vault.Put{Patch: secret.Patch{Tags: tags}})), secret.ErrAccessDenied)
	}
	must(s.Update(ctx, "r", secret.Patch{Tags: map[string]string{"team": "red", "a": "b"}}))(t)
	must(put(t, s, "new", "v", vault.Put{Patch: secret.Patch{Tags: red}}))(t)
	want(t, errOf(put(t, s, "other", "v", vault.Put{Patch: secret.Patch{Tags: map[string]string{"team": "blue"}}})), secret.ErrAccessDenied)
	want(t, errOf(put(t, s, "other", "v", vault.Put{})), secret.ErrAccessDenied)
}

func TestPolicyVersions(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := f.Tenant(t, "acme").Policies()
	text := func(n int) string { return fmt.Sprintf("// %d\n%s", n, neverForbids) }
	for n := 1; n <= 13; n++ {
		f.Clock.Advance(time.Minute)
		made := must(p.Put(ctx, vault.PolicyPut{Name: "a", Text: text(n), Expected: ptr(int64(n - 1))}))(t)
		if made.Version != int64(n) || made.Text != text(n) || len(made.Versions) != min(n, 10) || made.Versions[0].Version != int64(n) ||
			!made.Created.Equal(f.Clock.Now()) || made.Bytes != len(text(n)) || len(made.SHA256) != 64 {
			t.Errorf("version %d: %+v", n, made)
		}
	}
	for _, expected := range []int64{0, 12, 14} {
		wantText(t, errOf(p.Put(ctx, vault.PolicyPut{Name: "a", Text: text(0), Expected: &expected})), secret.ErrConflict, "version 13 of the policy is in force")
		wantText(t, p.Delete(ctx, "a", &expected), secret.ErrConflict, "version 13 of the policy is in force")
	}
	wantText(t, errOf(p.Put(ctx, vault.PolicyPut{Name: "b", Text: text(0), Expected: ptr(int64(1))})), secret.ErrConflict, "version 0 of the policy is in force")
	for n, found := range map[int64]bool{0: true, 13: true, 4: true, 3: false, 14: false, -1: false} {
		got, err := p.Get(ctx, "a", n)
		if !found {
			want(t, err, secret.ErrNotFound)
		} else if check(t, err); n != 0 && (got.Version != n || got.Text != text(int(n))) || n == 0 && got.Version != 13 || len(got.Statements) != 1 {
			t.Errorf("version %d: %+v", n, got)
		}
	}
	enact(t, f.Tenant(t, "acme"), "a-b", text(1)) // its versions are no versions of a
	check(t, p.Delete(ctx, "a", ptr(int64(13))))
	want(t, errOf(p.Get(ctx, "a", 0)), secret.ErrNotFound)
	want(t, errOf(p.Get(ctx, "a", 13)), secret.ErrNotFound)
	want(t, p.Delete(ctx, "a", nil), secret.ErrNotFound)
	if got := must(p.Get(ctx, "a-b", 1))(t); got.Version != 1 || len(got.Versions) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestPolicyList(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for _, name := range []string{"c", "a", "b"} {
		enact(t, s, name, neverForbids)
	}
	enact(t, f.Tenant(t, "beta"), "z", neverForbids)
	var got []string
	for cursor := ""; ; {
		page := must(s.Policies().List(ctx, 2, cursor))(t)
		for _, info := range page.Items {
			got = append(got, info.Name)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	equal(t, "policies", got, []string{"a", "b", "c"})
	want(t, errOf(s.Policies().List(ctx, 501, "")), secret.ErrLimit)
	want(t, errOf(s.Policies().List(ctx, 1, "x")), secret.ErrInvalid)
}

// TestBadPolicies: what is not valid is not stored, and changes nothing.
func TestBadPolicies(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	admin := f.Session(caller(t, f, "acme", policy.Admin), "")
	enact(t, op, "kept", neverForbids)
	for _, tc := range []struct {
		name, text string
		sentinel   *secret.Error
		want       string
	}{
		{"kept", "forbid(principal, action, resource)", secret.ErrInvalid, "text: line 1, column 36: ; is expected"},
		{"kept", `permit(principal, action == Action::"fly", resource);`, secret.ErrInvalid, "text: line 1, column 1: unrecognized action `Action::\"fly\"`; unable to find an applicable action given the policy scope constraints"},
		{"kept", strings.Repeat(" ", 1<<20), secret.ErrLimit, "text: limit: at most 16384 bytes"},
		{"Kept", neverForbids, secret.ErrInvalid, "name: 1 to 63 characters of a-z, 0-9 and '-', not beginning with '-'"},
		{"", neverForbids, secret.ErrInvalid, "name: 1 to 63 characters of a-z, 0-9 and '-', not beginning with '-'"},
		{"more", strings.Repeat(neverForbids, 200), secret.ErrLimit, "policies: limit: at most 1000 statements in all policies of a tenant"},
		{"locks", `forbid(principal, action, resource);`, secret.ErrConflict, "with this the caller could no longer change policies; leave the action \"policies\" open to it, or ask an operator"},
	} {
		if tc.name == "more" {
			for i := range 5 {
				enact(t, op, fmt.Sprint("many", i), strings.Repeat(neverForbids, 199))
			}
		}
		wantText(t, errOf(admin.Policies().Put(ctx, vault.PolicyPut{Name: tc.name, Text: tc.text})), tc.sentinel, tc.want)
	}
	wantText(t, admin.Policies().Delete(ctx, "a/b", nil), secret.ErrInvalid, "name: 1 to 63 characters of a-z, 0-9 and '-', not beginning with '-'")
	wantText(t, errOf(admin.Policies().Get(ctx, "..", 0)), secret.ErrInvalid, "name: 1 to 63 characters of a-z, 0-9 and '-', not beginning with '-'")
	if got := must(admin.Policies().Get(ctx, "kept", 0))(t); got.Version != 1 || got.Text != neverForbids {
		t.Errorf("%+v", got)
	}
}

// TestPolicyEntries: the log tells what was before and what is now.
func TestPolicyEntries(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	s := f.Session(caller(t, f, "acme", policy.Admin), "")
	detail := func(a audit.Action, want string) {
		t.Helper()
		if e := last(t, f, "acme"); e.Action != a || e.Result != audit.Success || e.UserID != "admin" || e.Detail != want {
			t.Errorf("got %+v, want %s: %s", e, a, want)
		}
	}
	const one, two = neverForbids, neverForbids + `@id("x") permit(principal, action, resource) when { 1 > 2 };`
	first := enact(t, s, "p", one)
	detail(audit.PolicyPut, "policy p\nnow: version 1, sha256 "+first.SHA256+": forbid p")
	second := enact(t, s, "p", two)
	detail(audit.PolicyPut, "policy p\nbefore: version 1, sha256 "+first.SHA256+"\nnow: version 2, sha256 "+second.SHA256+": forbid p/1, permit p/x")
	check(t, s.Policies().Delete(ctx, "p", nil))
	detail(audit.PolicyDelete, "policy p\nbefore: version 2, sha256 "+second.SHA256)
	must(s.Policies().UpdateSettings(ctx, vault.SettingsPatch{MFAWindow: ptr(time.Hour), MFAForLogin: ptr(true)}))(t)
	detail(audit.SettingsUpdate, "mfaWindow: 5m0s -> 1h0m0s\nmfaForLogin: false -> true")
	must(s.Policies().UpdateSettings(ctx, vault.SettingsPatch{}))(t)
	detail(audit.SettingsUpdate, "nothing changed")
	enact(t, op, "long", strings.Repeat(one, 250))
	if e := last(t, f, "acme"); !strings.HasSuffix(e.Detail, "forbid long/50, and 200 more") {
		t.Errorf("%s", e.Detail)
	}
	// A change that failed tells of none.
	want(t, errOf(s.Policies().Put(ctx, vault.PolicyPut{Name: "p", Text: "x"})), secret.ErrInvalid)
	if e := last(t, f, "acme"); e.Action != audit.PolicyPut || e.Result != audit.Failed || e.Detail != "" {
		t.Errorf("%+v", e)
	}
}

func TestSettings(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{}))(t)
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Grants: admins}))(t)
	alice := session(t, f, issued(t, op.Credentials(), vault.TokenSpec{Principal: "alice"}))
	web := f.Session(caller(t, f, "acme", policy.Reader), "")
	if got := must(alice.Policies().Settings(ctx))(t); got != (vault.Settings{}) {
		t.Errorf("%+v", got)
	}
	made := must(alice.Policies().UpdateSettings(ctx, vault.SettingsPatch{MFAForRead: ptr(true), Expected: ptr(int64(0))}))(t)
	if made.Version != 1 || !made.MFAForRead || made.Window() != 5*time.Minute {
		t.Errorf("%+v", made)
	}
	want(t, errOf(get(alice, "db", store.Selector{})), secret.ErrMFARequired)
	wantValue(t, web, "db", store.Selector{}, "v")
	wantText(t, errOf(alice.Policies().UpdateSettings(ctx, vault.SettingsPatch{Expected: ptr(int64(0))})), secret.ErrConflict, "the settings have version 1")
	for _, window := range []time.Duration{time.Second, 2 * time.Hour, -time.Minute} {
		wantText(t, errOf(alice.Policies().UpdateSettings(ctx, vault.SettingsPatch{MFAWindow: &window})), secret.ErrLimit, "mfaWindow: limit: 1 minute to 1 hour")
	}
	must(alice.Policies().UpdateSettings(ctx, vault.SettingsPatch{MFAForRead: ptr(false), MFAWindow: ptr(10 * time.Minute)}))(t)
	wantValue(t, alice, "db", store.Selector{}, "v")
	want(t, errOf(web.Policies().Settings(ctx)), secret.ErrAccessDenied)
	// A policy leaves the settings, and the settings the policies.
	enact(t, op, "p", `forbid(principal, action == Action::"read", resource);`)
	if got := must(op.Policies().Settings(ctx))(t); got.Version != 2 || got.MFAWindow != 10*time.Minute {
		t.Errorf("%+v", got)
	}
	must(op.Policies().UpdateSettings(ctx, vault.SettingsPatch{MFAForLogin: ptr(true)}))(t)
	want(t, errOf(get(web, "db", store.Selector{})), secret.ErrAccessDenied)
}

// TestConcurrentPolicies: changes of different policies at once are all in
// force in the end, and of one and the same each counts.
func TestConcurrentPolicies(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{}))(t)
	s := f.Session(caller(t, f, "acme", policy.Reader), "")
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			for n := range 3 {
				text := fmt.Sprintf(`forbid(principal, action == Action::"read", resource == Secret::"%d-%d");`, i, n)
				for _, name := range []string{fmt.Sprint("p", i), "shared"} {
					_, err := op.Policies().Put(ctx, vault.PolicyPut{Name: name, Text: text})
					for errors.Is(err, secret.ErrConflict) {
						_, err = op.Policies().Put(ctx, vault.PolicyPut{Name: name, Text: text})
					}
					check(t, err)
				}
				wantValue(t, s, "db", store.Selector{}, "v")
			}
		})
	}
	running.Wait()
	if page := must(op.Policies().List(ctx, 0, ""))(t); len(page.Items) != 5 || page.Items[4].Version != 12 || page.Items[0].Version != 3 {
		t.Errorf("%+v", page.Items)
	}
	for i := range 4 {
		name := secret.Name(fmt.Sprintf("%d-2", i))
		must(put(t, op, name, "v", vault.Put{}))(t)
		want(t, errOf(get(s, name, store.Selector{})), secret.ErrAccessDenied)
	}
}

// TestPolicyTest: drafts and made-up requests are decided on, and nothing changes.
func TestPolicyTest(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{Patch: secret.Patch{Tags: map[string]string{"team": "red"}}}))(t)
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Grants: reader}))(t)
	must(op.Principals().Create(ctx, vault.PrincipalSpec{Name: "gone", Kind: store.Person, Grants: reader}))(t)
	must(op.Principals().Disable(ctx, "gone"))(t)
	enact(t, op, "stored", `forbid(principal, action == Action::"read", resource == Secret::"x");`)
	draft := []vault.PolicyDraft{{Name: "night", Text: `forbid(principal, action, resource is Secret) when { resource.hasTag("team") && context.time > datetime("2030-01-01") }
		unless { context has mfaAge && context.mfaAge < 60 && context has sourceAddress && context.sourceAddress.isLoopback() };`}}
	later := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	person := ptr(store.Person)
	for _, tc := range []struct {
		name   string
		drafts []vault.PolicyDraft
		c      vault.PolicyCase
		want   policy.Effect
		part   policy.Part
	}{
		{"as it is", nil, vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "db"}, policy.Allow, policy.ByGrants},
		{"a stored policy", nil, vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "x", Tags: map[string]string{}}, policy.Deny, policy.ByPolicy},
		{"without it", []vault.PolicyDraft{{Name: "stored"}}, vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "x", Tags: map[string]string{}}, policy.Allow, policy.ByGrants},
		{"a draft, before", draft, vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "db"}, policy.Allow, policy.ByGrants},
		{"a draft, after", draft, vault.PolicyCase{Principal: "alice", Action: policy.List, Secret: "db", Time: later}, policy.Hide, policy.ByPolicy},
		{"with a factor", draft, vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "db", Time: later, MFAAge: ptr(time.Second), Address: "127.0.0.1"}, policy.Allow, policy.ByGrants},
		{"another secret", draft, vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "none", Time: later}, policy.Allow, policy.ByGrants},
		{"made-up tags", draft, vault.PolicyCase{Principal: "alice", Action: policy.List, Secret: "none", Time: later, Tags: map[string]string{"team": "a"}}, policy.Hide, policy.ByPolicy},
		{"made up", nil, vault.PolicyCase{Principal: "bob", Kind: person, Action: policy.Read, Secret: "db"}, policy.Hide, policy.ByGrants},
		{"made up with grants", nil, vault.PolicyCase{Principal: "bob", Kind: person, Grants: reader, Action: policy.Read, Secret: "db"}, policy.Allow, policy.ByGrants},
		{"other grants", nil, vault.PolicyCase{Principal: "alice", Grants: admins, Action: policy.Redact}, policy.Allow, policy.ByGrants},
		{"disabled", nil, vault.PolicyCase{Principal: "gone", Action: policy.Read, Secret: "db"}, policy.Deny, policy.ByDisabled},
	} {
		got, err := op.Policies().Test(ctx, vault.PolicyTest{Drafts: tc.drafts, Cases: []vault.PolicyCase{tc.c}})
		if check(t, err); len(got) != 1 || got[0].Effect != tc.want || got[0].Part != tc.part {
			t.Errorf("%s: %+v, want %v by %s", tc.name, got, tc.want, tc.part)
		}
	}
	ok := vault.PolicyCase{Principal: "alice", Action: policy.Read, Secret: "db"}
	for _, tc := range []struct {
		test vault.PolicyTest
		want string
	}{
		{vault.PolicyTest{}, "cases: limit: 1 to 200 cases"},
		{vault.PolicyTest{Cases: slices.Repeat([]vault.PolicyCase{ok}, 201)}, "cases: limit: 1 to 200 cases"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{ok}, Drafts: slices.Repeat(draft, 21)}, "drafts: limit: at most 20 drafts"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{ok, {Principal: "nobody", Action: policy.Read, Secret: "db"}}}, "cases[1].principal: there is none of this name; say of which kind it is to make one up"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "alice", Action: "fly"}}}, "cases[0].action: one of the actions of the policies' schema, such as read, update or tokens"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "alice", Action: policy.Read, Secret: "a b"}}}, "cases[0].name: "},
		{vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "alice", Action: policy.Redact, Secret: "a"}}}, "cases[0].secret: none for an action on the tenant"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "alice", Action: policy.Redact, Address: "here"}}}, "cases[0].address: an IPv4 or IPv6 address"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "alice", Action: policy.Redact, MFAAge: ptr(-time.Second)}}}, "cases[0].mfaAge: limit: 0 to 31536000 seconds"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "alice", Action: policy.Redact, Service: strings.Repeat("s", 129)}}}, "cases[0].service: limit: 1 to 128 characters"},
		{vault.PolicyTest{Cases: []vault.PolicyCase{ok}, Drafts: []vault.PolicyDraft{{Name: "d", Text: "x"}}}, "text: line 1, column 2"},
	} {
		if _, err := op.Policies().Test(ctx, tc.test); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
	if page := must(op.Policies().List(ctx, 0, ""))(t); len(page.Items) != 1 {
		t.Errorf("stored are %+v", page.Items)
	}
}
