package policy_test

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

// newSet makes the set of the tenant shop, with the policies p0, p1, …
func newSet(t testing.TB, s policy.Settings, texts ...string) *policy.Set {
	t.Helper()
	var parsed []*policy.Text
	for i, source := range texts {
		text, err := policy.ParseText("p"+string(rune('0'+i)), source)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, text)
	}
	set, err := policy.NewSet("shop", s, parsed...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// plain is a tenant without policies or settings of its own.
var plain, _ = policy.NewSet("shop", policy.Settings{})

// decide decides in a tenant without policies on a secret that is there.
func decide(s policy.Subject, a policy.Action, name secret.Name, p secret.AccessPolicy, at time.Time) policy.Effect {
	return plain.Decide(&policy.Request{
		Caller: policy.NewCaller(s), Action: a, Time: at,
		Secret: policy.Secret{Name: name, Look: policy.Present, Access: p},
	})
}

func tenantwide(s policy.Subject, a policy.Action) policy.Effect {
	return plain.Decide(&policy.Request{Caller: policy.NewCaller(s), Action: a, Time: now})
}

func canList(s policy.Subject, name secret.Name) bool {
	return decide(s, policy.List, name, secret.AccessPolicy{}, now) == policy.Allow
}

// Policies over people, services, names, tags, addresses and times.
func TestPolicies(t *testing.T) {
	alice := policy.Subject{Kind: policy.Person, Name: "alice", Grants: []policy.Grant{{Role: policy.Writer, Patterns: []string{"app/*"}}}}
	web := policy.Subject{Name: "web", Service: "shop", Environment: secret.Prod}
	fresh := func(s policy.Subject, age time.Duration) policy.Subject { s.MFA = now.Add(-age); return s }
	for _, tc := range []struct {
		name, text string
		request    *policy.Request
		want       policy.Effect
	}{
		{"a permit gives", `permit(principal == Service::"web", action in Action::"reader", resource) when { resource.name like "db/*" };`,
			request(web, policy.Read, "db/x", nil), policy.Allow},
		{"and no more", `permit(principal == Service::"web", action in Action::"reader", resource) when { resource.name like "db/*" };`,
			request(web, policy.Read, "DB/x", nil), policy.Hide},
		{"a person is no service", `permit(principal == Person::"web", action, resource);`, request(web, policy.Read, "a", nil), policy.Hide},
		{"a forbid wins over a grant", `forbid(principal, action, resource == Secret::"app/db");`, request(alice, policy.Update, "app/db", nil), policy.Deny},
		{"and over a permit", `permit(principal, action, resource); forbid(principal == Service::"web", action == Action::"purge", resource);`,
			request(web, policy.Purge, "a", nil), policy.Deny},
		{"other names stay", `forbid(principal, action, resource == Secret::"app/db");`, request(alice, policy.Update, "app/dB", nil), policy.Allow},
		{"a forbidden look at what may be listed", `forbid(principal, action == Action::"read", resource);`, request(alice, policy.Read, "app/db", nil), policy.Deny},
		{"a forbidden look at what may not", `forbid(principal, action, resource);`, request(alice, policy.Read, "app/db", nil), policy.Hide},
		{"by tag", `permit(principal, action, resource is Secret) when { resource.hasTag("team") && principal has service && resource.getTag("team") == principal.service };`,
			request(web, policy.Read, "x", map[string]string{"team": "shop"}), policy.Allow},
		{"by another tag", `permit(principal, action, resource is Secret) when { resource.hasTag("team") && principal has service && resource.getTag("team") == principal.service };`,
			request(web, policy.Read, "x", map[string]string{"team": "Shop"}), policy.Hide},
		{"by no tag", `permit(principal, action, resource is Secret) when { resource.hasTag("team") };`, request(web, policy.Read, "x", nil), policy.Hide},
		{"by environment", `forbid(principal is Service, action, resource) unless { principal has environment && principal.environment == "dev" }; permit(principal, action, resource);`,
			request(web, policy.Read, "x", nil), policy.Hide},
		{"by address", `forbid(principal, action, resource) unless { context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8")) };`,
			request(alice, policy.Read, "app/x", nil), policy.Allow},
		{"by another address", `forbid(principal, action == Action::"read", resource) unless { context has sourceAddress && context.sourceAddress.isInRange(ip("10.2.0.0/16")) };`,
			request(alice, policy.Read, "app/x", nil), policy.Deny},
		{"by time", `forbid(principal, action == Action::"read", resource) when { context.time > datetime("2026-03-04T11:59:59Z") };`,
			request(alice, policy.Read, "app/x", nil), policy.Deny},
		{"by another time", `forbid(principal, action == Action::"read", resource) when { context.time > datetime("2026-03-04T12:00:00Z") };`,
			request(alice, policy.Read, "app/x", nil), policy.Allow},
		{"a factor that a person could give", `forbid(principal, action == Action::"update", resource) unless { context has mfaAge && context.mfaAge < 60 };`,
			request(alice, policy.Update, "app/x", nil), policy.NeedMFA},
		{"and gave long ago", `forbid(principal, action == Action::"update", resource) unless { context has mfaAge && context.mfaAge < 60 };`,
			request(fresh(alice, time.Minute), policy.Update, "app/x", nil), policy.NeedMFA},
		{"and gave just now", `forbid(principal, action == Action::"update", resource) unless { context has mfaAge && context.mfaAge < 60 };`,
			request(fresh(alice, 59*time.Second), policy.Update, "app/x", nil), policy.Allow},
		{"and will give, by a clock that was set back", `forbid(principal, action == Action::"update", resource) unless { context has mfaAge && context.mfaAge < 60 };`,
			request(fresh(alice, -time.Second), policy.Update, "app/x", nil), policy.NeedMFA},
		{"a factor that would not help", `forbid(principal, action == Action::"update", resource) unless { context has mfaAge && context.mfaAge < 60 && resource.name == "b" };`,
			request(alice, policy.Update, "app/x", nil), policy.Deny},
		{"a factor of a service", `permit(principal, action, resource) when { context has mfaAge && context.mfaAge < 60 };`,
			request(web, policy.Update, "app/x", nil), policy.Deny},
		{"a forbid that fails", `forbid(principal, action == Action::"update", resource) when { 9223372036854775807 + 1 < 0 };`,
			request(fresh(alice, time.Hour), policy.Update, "app/x", nil), policy.Deny},
		{"a permit that fails", `permit(principal, action == Action::"purge", resource) when { 9223372036854775807 + 1 != 0 };`,
			request(fresh(alice, time.Hour), policy.Purge, "app/x", nil), policy.Deny},
		{"a tenant's action", `permit(principal == Person::"alice", action == Action::"audit", resource);`, request(alice, policy.ViewAudit, "", nil), policy.Allow},
		{"another one", `permit(principal == Person::"alice", action == Action::"audit", resource);`, request(alice, policy.Redact, "", nil), policy.Deny},
		{"in the tenant", `permit(principal, action, resource in Tenant::"shop");`, request(web, policy.Read, "x", nil), policy.Allow},
		{"in another tenant", `permit(principal, action, resource in Tenant::"other");`, request(web, policy.Read, "x", nil), policy.Hide},
		{"operators' own", `permit(principal, action, resource);`, request(web, policy.ManageQuotas, "", nil), policy.Deny},
		{"operators", `forbid(principal, action, resource);`, request(policy.Subject{Operator: true}, policy.Read, "x", nil), policy.Allow},
		{"our own work", `forbid(principal, action, resource);`, request(policy.Subject{System: true}, policy.Rotate, "x", nil), policy.Allow},
		{"a group of actions", `permit(principal, action in [Action::"rotator", Action::"auditor"], resource);`, request(web, policy.Rotate, "x", nil), policy.Allow},
		{"a credential is not widened", `permit(principal, action, resource);`,
			request(policy.Subject{Name: "ci", Bound: []policy.Grant{{Role: policy.Reader, Patterns: []string{"ci/*"}}}}, policy.Read, "x", nil), policy.Hide},
		{"a principal is", `permit(principal, action, resource);`,
			request(policy.Subject{Name: "ci", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"ci/*"}}}}, policy.Read, "x", nil), policy.Allow},
		{"within its credential", `permit(principal, action, resource);`,
			request(policy.Subject{Name: "ci", Grants: []policy.Grant{}, Bound: []policy.Grant{{Role: policy.Reader}}}, policy.Read, "x", nil), policy.Allow},
	} {
		if got := newSet(t, policy.Settings{}, tc.text).Decide(tc.request); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Addresses are what they are, however they are written.
func TestAddresses(t *testing.T) {
	set := newSet(t, policy.Settings{}, `permit(principal, action, resource) when { context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8")) };`)
	known := newSet(t, policy.Settings{}, `permit(principal, action, resource) when { context has sourceAddress };`)
	for address, want := range map[string][2]policy.Effect{
		"10.1.2.3":           {policy.Allow, policy.Allow},
		"::ffff:10.1.2.3":    {policy.Allow, policy.Allow},
		"::ffff:a01:203":     {policy.Allow, policy.Allow},
		"11.0.0.0":           {policy.Hide, policy.Allow},
		"::ffff:11.0.0.0":    {policy.Hide, policy.Allow},
		"::10.1.2.3":         {policy.Hide, policy.Allow},
		"fe80::1%eth0":       {policy.Hide, policy.Allow},
		"010.1.2.3":          {policy.Hide, policy.Hide},
		"10.1.2.3/8":         {policy.Hide, policy.Hide},
		"10.1.2.3:80":        {policy.Hide, policy.Hide},
		"10.1.2.3, 11.0.0.1": {policy.Hide, policy.Hide},
		"":                   {policy.Hide, policy.Hide},
		"@":                  {policy.Hide, policy.Hide},
	} {
		r := request(policy.Subject{Name: "web"}, policy.Read, "x", nil)
		r.Address = address
		if got := [2]policy.Effect{set.Decide(r), known.Decide(r)}; got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
}

func TestMFASettings(t *testing.T) {
	grants := []policy.Grant{{Role: policy.Writer}}
	strict := policy.Settings{MFAWindow: time.Minute, MFAForRead: true}
	for _, tc := range []struct {
		name     string
		settings policy.Settings
		subject  policy.Subject
		action   policy.Action
		look     policy.Look
		want     policy.Effect
	}{
		{"a person reads", strict, policy.Subject{Kind: policy.Person, Grants: grants}, policy.Read, policy.Present, policy.NeedMFA},
		{"what is not there", strict, policy.Subject{Kind: policy.Person, Grants: grants}, policy.Read, policy.Absent, policy.NeedMFA},
		{"and what it may not", strict, policy.Subject{Kind: policy.Person}, policy.Read, policy.Present, policy.Hide},
		{"in time", strict, policy.Subject{Kind: policy.Person, Grants: grants, MFA: now.Add(-time.Minute)}, policy.Read, policy.Present, policy.Allow},
		{"late", strict, policy.Subject{Kind: policy.Person, Grants: grants, MFA: now.Add(-time.Minute - 1)}, policy.Read, policy.Present, policy.NeedMFA},
		{"a service reads", strict, policy.Subject{Grants: grants}, policy.Read, policy.Present, policy.Allow},
		{"an operator reads", strict, policy.Subject{Operator: true, Kind: policy.Person}, policy.Read, policy.Present, policy.Allow},
		{"a person lists", strict, policy.Subject{Kind: policy.Person, Grants: grants}, policy.List, policy.Present, policy.Allow},
		{"a person writes", strict, policy.Subject{Kind: policy.Person, Grants: grants}, policy.Update, policy.Present, policy.Allow},
		{"no demand", policy.Settings{}, policy.Subject{Kind: policy.Person, Grants: grants}, policy.Read, policy.Present, policy.Allow},
	} {
		r := request(tc.subject, tc.action, "x", nil)
		r.Secret.Look = tc.look
		if got := newSet(t, tc.settings).Decide(r); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	for window, want := range map[time.Duration]bool{0: true, time.Minute: true, time.Hour: true, time.Minute - 1: false, time.Hour + 1: false, -1: false} {
		if err := (policy.Settings{MFAWindow: window}).Validate(); (err == nil) != want {
			t.Errorf("%v: %v", window, err)
		}
	}
	r := request(policy.Subject{Kind: policy.Person, Grants: grants, MFA: now.Add(-30 * time.Minute)}, policy.Update, "x", nil)
	r.Secret.Access.RequiresMFA = true
	for window, want := range map[time.Duration]policy.Effect{0: policy.NeedMFA, time.Hour: policy.Allow, 10 * time.Minute: policy.NeedMFA} {
		if got := newSet(t, policy.Settings{MFAWindow: window}).Decide(r); got != want {
			t.Errorf("window of %v: %v, want %v", window, got, want)
		}
	}
}

// full is how a request ends for its caller: decided before the look, and again
// with what was found.
func full(set *policy.Set, r policy.Request, there bool) policy.Effect {
	found := r.Secret
	r.Secret = policy.Secret{Name: found.Name}
	if e := set.Decide(&r); e != policy.Allow {
		return e
	}
	r.Secret.Look = policy.Absent
	if there {
		r.Secret = found
	}
	if e := set.Decide(&r); e != policy.Allow || there {
		return e
	}
	return policy.Hide // there is no such secret
}

// How a request ends if the secret is there, and if it is not.
func TestRefusals(t *testing.T) {
	web := policy.Subject{Name: "web", Service: "shop"}
	lists := secret.AccessPolicy{AllowedServices: []string{"other"}}
	red := map[string]string{"team": "red"}
	const hasRed = `{ resource.hasTag("team") && resource.getTag("team") == "red" }`
	for _, tc := range []struct {
		name, text  string
		action      policy.Action
		tags        map[string]string
		access      secret.AccessPolicy
		there, gone policy.Effect
	}{
		{"nothing permits a look", "", policy.Read, nil, secret.AccessPolicy{}, policy.Hide, policy.Hide},
		{"nothing permits a write", "", policy.Update, nil, secret.AccessPolicy{}, policy.Deny, policy.Deny},
		{"a look is forbidden where the name may be listed", `permit(principal, action, resource); forbid(principal, action == Action::"read", resource);`,
			policy.Read, nil, secret.AccessPolicy{}, policy.Deny, policy.Hide},
		{"and where not", `permit(principal, action, resource); forbid(principal, action in Action::"reader", resource);`,
			policy.Read, nil, secret.AccessPolicy{}, policy.Hide, policy.Hide},
		{"a write is forbidden", `permit(principal, action, resource); forbid(principal, action in Action::"writer", resource);`,
			policy.Update, nil, secret.AccessPolicy{}, policy.Deny, policy.Deny},
		{"permitted by tag", `permit(principal, action, resource is Secret) when ` + hasRed + `;`, policy.Read, red, secret.AccessPolicy{}, policy.Allow, policy.Hide},
		{"and without it", `permit(principal, action, resource is Secret) when ` + hasRed + `;`, policy.Read, nil, secret.AccessPolicy{}, policy.Hide, policy.Hide},
		{"a write permitted by tag", `permit(principal, action, resource is Secret) when ` + hasRed + `;`, policy.Update, red, secret.AccessPolicy{}, policy.Allow, policy.Deny},
		{"and without it", `permit(principal, action, resource is Secret) when ` + hasRed + `;`, policy.Update, nil, secret.AccessPolicy{}, policy.Deny, policy.Deny},
		{"forbidden but by tag", `permit(principal, action, resource); forbid(principal, action, resource is Secret) unless ` + hasRed + `;`,
			policy.Update, red, secret.AccessPolicy{}, policy.Allow, policy.Deny},
		{"a write forbidden by tag, as for an absent name", `permit(principal, action == Action::"update", resource); forbid(principal, action, resource is Secret) when ` + hasRed + `;`,
			policy.Update, red, secret.AccessPolicy{}, policy.Hide, policy.Hide},
		{"and openly where it may be listed", `permit(principal, action, resource); forbid(principal, action == Action::"update", resource is Secret) when ` + hasRed + `;`,
			policy.Update, red, secret.AccessPolicy{}, policy.Deny, policy.Hide},
		{"not on the list, may list", `permit(principal, action, resource);`, policy.Update, nil, lists, policy.Deny, policy.Hide},
		{"not on the list, may not list", `permit(principal, action == Action::"update", resource);`, policy.Update, nil, lists, policy.Hide, policy.Hide},
		{"not on the list, may not list, looks", `permit(principal, action == Action::"read", resource);`, policy.Read, nil, lists, policy.Hide, policy.Hide},
	} {
		r := request(web, tc.action, "x", tc.tags)
		r.Secret.Access = tc.access
		set := newSet(t, policy.Settings{}, cmp.Or(tc.text, neverApplies))
		if there, gone := full(set, *r, true), full(set, *r, false); there != tc.there || gone != tc.gone {
			t.Errorf("%s: %v if it is there and %v if not, want %v and %v", tc.name, there, gone, tc.there, tc.gone)
		}
	}
}

const neverApplies = `permit(principal == Person::"nobody", action, resource);`

// Cedar gets to see few of many statements.
func TestFewCandidates(t *testing.T) {
	numbered := func(format string) (text string) {
		for i := range 100 {
			text += strings.ReplaceAll(format, "N", strconv.Itoa(i))
		}
		return text
	}
	for _, tc := range []struct {
		text string
		want int
	}{
		{numbered(`permit(principal == Service::"sN", action, resource);`), 1},
		{numbered(`permit(principal, action, resource == Secret::"aN");`), 1},
		{numbered(`permit(principal, action, resource is Secret) when { resource.name like "aN/*" };`), 0},
		{numbered(`permit(principal, action, resource is Secret) when { resource.name like "aN*" };`), 2},
		{numbered(`permit(principal, action, resource is Secret) when { resource.name like "*aN" };`), 1},
		{numbered(`permit(principal, action, resource is Secret) when { context.time > datetime("2026-01-01") && resource.name == "aN" };`), 1},
		{numbered(`permit(principal, action, resource is Secret) when { resource.name == "aN" || resource.name like "bN*" || resource.name like "a7*" };`), 100},
		{numbered(`permit(principal == Service::"s7", action, resource is Secret) when { resource.name like "aN/*" || resource.name == "aN" };`), 1},
		{numbered(`permit(principal == Service::"sN", action, resource is Secret) when { resource.name like "a*" };`), 1},
		{numbered(`permit(principal, action == Action::"purge", resource is Secret) when { context.time > datetime("2026-01-01") };`), 0},
		{numbered(`permit(principal is Person, action, resource);`), 0},
		{numbered(`permit(principal, action, resource is Tenant);`), 0},
		{numbered(`permit(principal, action, resource is Secret) when { ["x", "aN"].contains(resource.name) };`), 1},
		{numbered(`permit(principal, action, resource) when { context.time > datetime("2026-01-01") };`), 100},
	} {
		set := newSet(t, policy.Settings{}, tc.text)
		if got := set.Candidates(request(policy.Subject{Name: "s7"}, policy.Read, "a77", nil)); got != tc.want {
			t.Errorf("%.100s… has %d candidates, want %d", tc.text, got, tc.want)
		}
	}
}

// Whoever may neither list a secret nor do what was asked cannot tell whether
// it is there; and what is decided before the look agrees with what is decided
// after.
func TestExistenceStaysHidden(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source := strings.Join(rapid.SliceOfN(statements, 1, 4).Draw(rt, "statements"), "\n")
		set := newSet(t, policy.Settings{MFAForRead: rapid.Bool().Draw(rt, "mfaForRead")}, source)
		r := requests.Draw(rt, "request")
		if r.Action == policy.Create || !slices.Contains(onSecrets, r.Action) {
			return
		}
		there, gone := full(set, r, true), full(set, r, false)
		if after := set.Decide(&r); there != after && (after == policy.Allow || there == policy.Allow) {
			rt.Fatalf("%v before and after the look, %v after it", there, after)
		}
		// What grants and policies say, without the secret's own demands.
		list, action := r, r
		list.Action, action.Secret.Access = policy.List, secret.AccessPolicy{}
		lax := newSet(t, policy.Settings{}, source)
		if lax.Decide(&list) != policy.Allow && lax.Decide(&action) != policy.Allow && there != gone {
			rt.Fatalf("%v if it is there, %v if it is not", there, gone)
		}
	})
}
