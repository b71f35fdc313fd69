package policy_test

import (
	"strings"
	"testing"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

func TestExplain(t *testing.T) {
	writer := policy.Subject{Kind: policy.Person, Name: "alice", Grants: []policy.Grant{{Role: policy.Auditor}, {Role: policy.Writer, Patterns: []string{"app/*", "lib/*"}}}}
	narrow := writer
	narrow.Bound = []policy.Grant{{Role: policy.Reader}}
	web := policy.Subject{Name: "web", Service: "web"}
	for _, tc := range []struct {
		name, text string
		request    *policy.Request
		access     secret.AccessPolicy
		part       policy.Part
		reason     string
		statements string
		wants      string
	}{
		{"granted", neverApplies, request(writer, policy.Update, "app/x", nil), secret.AccessPolicy{}, policy.ByGrants, "",
			`grant 2: permit ( principal == Person::"alice", action in Action::"writer", resource is Secret ) when { resource.name like "app/*" || resource.name like "lib/*" };`, ""},
		{"permitted", `permit(principal, action, resource);`, request(web, policy.Update, "app/x", nil), secret.AccessPolicy{}, policy.ByPolicy, "",
			`p0: permit ( principal, action, resource );`, ""},
		{"not granted", neverApplies, request(writer, policy.Update, "db", nil), secret.AccessPolicy{}, policy.ByGrants, "no grant allows update",
			"", "a grant over the name as writer or admin; or a policy that permits it"},
		{"not granted on the tenant", neverApplies, request(web, policy.Review, "", nil), secret.AccessPolicy{}, policy.ByGrants, "no grant allows review",
			"", "a grant over all names as auditor or admin; or a policy that permits it"},
		{"not by the credential", neverApplies, request(narrow, policy.Update, "app/x", nil), secret.AccessPolicy{}, policy.ByCredential, "no grant of the credential allows update",
			"", "a credential whose own grants allow it; policies cannot widen them: a grant over the name as writer or admin"},
		{"forbidden", `@id("freeze") forbid(principal, action, resource) when { context.time > datetime("2026-01-01") };`, request(writer, policy.Update, "app/x", nil),
			secret.AccessPolicy{}, policy.ByPolicy, `denied by policy "p0/freeze"`,
			`p0/freeze: @id("freeze") forbid ( principal, action, resource ) when { context.time > datetime("2026-01-01") };`, `policy "p0/freeze" must not apply`},
		{"forbidden often", strings.Repeat(`forbid(principal, action, resource);`, 5), request(writer, policy.Update, "app/x", nil),
			secret.AccessPolicy{}, policy.ByPolicy, `denied by policy "p0/1", "p0/2", "p0/3", and 2 more`, strings.Repeat("*", 5), "*"},
		{"forbidden but for a factor", `forbid(principal, action == Action::"update", resource) unless { context has mfaAge };`, request(writer, policy.Update, "app/x", nil),
			secret.AccessPolicy{}, policy.ByPolicy, `denied by policy "p0"`, "*", `policy "p0" must not apply; a second factor given now would do`},
		{"a forbid that fails", `forbid(principal, action, resource) when { 9223372036854775807 + 1 > 0 };`, request(writer, policy.Update, "app/x", nil),
			secret.AccessPolicy{}, policy.ByPolicy, `denied by policy "p0"`, "", `policy "p0", which forbids, could not be evaluated: *`},
		{"not on the list", neverApplies, request(writer, policy.Update, "app/x", nil), secret.AccessPolicy{AllowedServices: []string{"web", "api"}},
			policy.ByServices, "accessPolicy.allowedServices", "*", "a caller whose service is web or api; this one has none"},
		{"another environment", neverApplies, request(policy.Subject{Operator: true, Environment: secret.Dev}, policy.Update, "app/x", nil),
			secret.AccessPolicy{AllowedEnvironments: []secret.Environment{secret.Prod}},
			policy.ByEnvironments, "accessPolicy.allowedEnvironments", "", "a caller whose environment is prod; this one's is dev"},
		{"an empty list", neverApplies, request(policy.Subject{Operator: true}, policy.Update, "app/x", nil), secret.AccessPolicy{AllowedServices: []string{}},
			policy.ByServices, "accessPolicy.allowedServices", "", "a list with the caller's service; the empty one allows nobody"},
		{"no factor", neverApplies, request(writer, policy.Update, "app/x", nil), secret.AccessPolicy{RequiresMFA: true},
			policy.ByMFA, "accessPolicy.requiresMFA", "*", "a second factor given within the last 10m0s"},
		{"no factor to read", neverApplies, request(writer, policy.Read, "app/x", nil), secret.AccessPolicy{},
			policy.ByMFAForRead, "settings.mfaForRead", "*", "a second factor given within the last 10m0s"},
		{"operators'", neverApplies, request(writer, policy.ManageQuotas, "", nil), secret.AccessPolicy{}, policy.ByOperator, "quotas is the operators' alone", "", "an operator's credential"},
		{"no action", neverApplies, request(writer, "fly", "", nil), secret.AccessPolicy{}, policy.ByAction, "there is no such action", "", "one of the actions of the schema"},
		{"an operator", neverApplies, request(policy.Subject{Operator: true}, policy.Update, "app/x", nil), secret.AccessPolicy{}, policy.ByOperator, "", "", ""},
		{"our own work", neverApplies, request(policy.Subject{System: true}, policy.Update, "app/x", nil), secret.AccessPolicy{}, policy.BySystem, "", "", ""},
	} {
		r := tc.request
		r.Secret.Access = tc.access
		set := newSet(t, policy.Settings{MFAForRead: true, MFAWindow: 10 * time.Minute}, tc.text)
		d := set.Explain(r)
		if d.Effect != set.Decide(r) || (d.Effect == policy.Allow) != (tc.reason == "") {
			t.Errorf("%s: %v", tc.name, d.Effect)
		}
		var found []string
		for _, s := range d.Statements {
			found = append(found, s.ID+": "+strings.Join(strings.Fields(s.Text), " "))
		}
		if d.Part != tc.part || d.Reason != tc.reason || !alike(strings.Join(found, "; "), tc.statements) || !alike(strings.Join(d.Wants, "; "), tc.wants) {
			t.Errorf("%s:\ngot  %s, %s, %s, %s\nwant %s, %s, %s, %s", tc.name, d.Part, d.Reason, strings.Join(found, "; "), strings.Join(d.Wants, "; "),
				tc.part, tc.reason, tc.statements, tc.wants)
		}
	}
}

// alike compares with a text that may end in a '*'.
func alike(got, want string) bool {
	before, _, open := strings.Cut(want, "*")
	return got == want || open && want[len(want)-1] == '*' && strings.HasPrefix(got, before)
}

// A reason goes to the open part of an entry: it names no person, whatever the
// statement does.
func TestReasonNamesNobody(t *testing.T) {
	alice := policy.Subject{Kind: policy.Person, Name: "alice", Grants: []policy.Grant{{Role: policy.Reader}}}
	set := newSet(t, policy.Settings{}, `forbid(principal == Person::"alice", action, resource) when { Person::"alice" in Person::"alice" };`)
	if d := set.Explain(request(alice, policy.Read, "app/x", nil)); d.Reason != `denied by policy "p0"` {
		t.Errorf("%q", d.Reason)
	}
}
