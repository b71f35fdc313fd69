package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"pgregory.net/rapid"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

// Random statements over few words, so that they often apply and often meet.
var (
	someNames  = []string{"a", "a/b", "a/b/c", "ab", "b", "b/c", "A", "a-b", strings.Repeat("a", 70) + "/b"}
	somePeople = []string{`Person::"alice"`, `Person::"bob"`, `Service::"web"`, `Service::"alice"`}

	principals = rapid.SampledFrom([]string{
		"principal", "principal", "principal is Person", "principal is Service", `principal == Person::"alice"`, `principal == Service::"web"`,
		`principal in Service::"web"`, `principal is Person in Person::"bob"`,
	})
	actionScopes = rapid.SampledFrom([]string{
		"action", `action == Action::"read"`, `action == Action::"update"`, `action in Action::"reader"`, `action in Action::"writer"`,
		`action in [Action::"list", Action::"rotate"]`, `action in [Action::"auditor", Action::"delete"]`,
	})
	resources = rapid.SampledFrom([]string{
		"resource is Secret", "resource is Secret", `resource == Secret::"a/b"`, `resource is Secret in Tenant::"shop"`, `resource == Secret::"A"`,
	})
	patterns = rapid.SampledFrom([]string{"*", "a*", "a/*", "*b", "a/b", "*/*", "A*", "a*c", "", `\*`, `*\*b`, "*/b/c", "*a*", "*" + strings.Repeat("a", 66) + "/b", strings.Repeat("a", 66) + "*"})
	atoms    = rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 13).Draw(t, "atom") {
		case 0, 1, 2:
			return fmt.Sprintf(`resource.name like "%s"`, patterns.Draw(t, "pattern"))
		case 3:
			return fmt.Sprintf(`resource.name == %q`, rapid.SampledFrom(someNames).Draw(t, "name"))
		case 4:
			return fmt.Sprintf(`["a", %q].contains(resource.name)`, rapid.SampledFrom(someNames).Draw(t, "name"))
		case 5:
			return fmt.Sprintf(`resource == Secret::%q`, rapid.SampledFrom(someNames).Draw(t, "name"))
		case 6:
			return fmt.Sprintf(`principal == %s`, rapid.SampledFrom(somePeople).Draw(t, "principal"))
		case 7:
			return rapid.SampledFrom([]string{"principal is Person", "principal is Service"}).Draw(t, "kind")
		case 8:
			return `principal has service && principal.service == "shop"`
		case 9:
			k, v := rapid.SampledFrom([]string{"team", "tea"}).Draw(t, "tag"), rapid.SampledFrom([]string{"red", "blue", "", "mred"}).Draw(t, "value")
			return fmt.Sprintf([]string{
				`resource.hasTag(%[1]q) && resource.getTag(%[1]q) == %[2]q`, `resource.hasTag(%[1]q) && %[2]q == resource.getTag(%[1]q)`,
			}[rapid.IntRange(0, 1).Draw(t, "order")], k, v)
		case 10:
			return fmt.Sprintf(`context has mfaAge && context.mfaAge < %d`, rapid.SampledFrom([]int{0, 60, 1000}).Draw(t, "age"))
		case 11:
			return `context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8"))`
		case 12: // fails for whom it concerns
			return `context has mfaAge && context.mfaAge + 9223372036854775800 > 0`
		}
		return fmt.Sprintf(`context.time < datetime("2026-03-0%dT12:00:00Z")`, rapid.IntRange(3, 5).Draw(t, "day"))
	})
	statements = rapid.Custom(func(t *rapid.T) string {
		effect := rapid.SampledFrom([]string{"permit", "permit", "forbid"}).Draw(t, "effect")
		text := fmt.Sprintf("%s(%s, %s, %s)", effect, principals.Draw(t, "principal"), actionScopes.Draw(t, "action"), resources.Draw(t, "resource"))
		for range rapid.IntRange(0, 2).Draw(t, "conditions") {
			text += fmt.Sprintf(" %s { %s }", rapid.SampledFrom([]string{"when", "when", "unless"}).Draw(t, "word"), expression(t, 3))
		}
		return text + ";"
	}).Filter(func(text string) bool { // some pairs of types are impossible
		_, err := policy.ParseText("p", text)
		return err == nil
	})
	someGrants = rapid.Custom(func(t *rapid.T) []policy.Grant {
		return rapid.SampledFrom([][]policy.Grant{
			nil, nil, {}, {{Role: policy.Reader}}, {{Role: policy.Writer, Patterns: []string{"a/*", "b"}}}, {{Role: policy.Auditor, Patterns: []string{"*"}}},
			{{Role: policy.Rotator, Patterns: []string{"a*"}}, {Role: policy.Reader, Patterns: []string{"*b", "A"}}}, {{Role: policy.Admin}},
		}).Draw(t, "grants")
	})
	requests = rapid.Custom(func(t *rapid.T) policy.Request {
		s := policy.Subject{
			Kind: rapid.SampledFrom([]policy.Kind{policy.Person, policy.Service}).Draw(t, "kind"),
			Name: rapid.SampledFrom([]string{"alice", "bob", "web"}).Draw(t, "principal"), Grants: someGrants.Draw(t, "principal's"), Bound: someGrants.Draw(t, "credential's"),
		}
		if s.Kind == policy.Service {
			s.Service = rapid.SampledFrom([]string{"", "shop", "other"}).Draw(t, "service")
		}
		if age := rapid.SampledFrom([]time.Duration{-1, 0, time.Minute, time.Hour}).Draw(t, "age"); age >= 0 {
			s.MFA = now.Add(-age)
		}
		return policy.Request{
			Caller: policy.NewCaller(s), Action: rapid.SampledFrom(append(slices.Clone(onSecrets), policy.ViewAudit, policy.ManageKeys)).Draw(t, "action"),
			Time: now, Address: rapid.SampledFrom([]string{"", "10.0.0.1", "::ffff:10.9.9.9", "192.0.2.1"}).Draw(t, "address"),
			Secret: policy.Secret{
				Name: secret.Name(rapid.SampledFrom(someNames).Draw(t, "name")), Look: policy.Present,
				Tags:   rapid.SampledFrom([]map[string]string{nil, {"team": "red"}, {"team": "blue", "a": "b"}, {"tea": "mred", "team": ""}}).Draw(t, "tags"),
				Access: rapid.SampledFrom([]secret.AccessPolicy{{}, {}, {AllowedServices: []string{"shop"}}, {RequiresMFA: true}}).Draw(t, "access"),
			},
		}
	})
)

// expression draws a condition of atoms.
func expression(t *rapid.T, depth int) string {
	if depth == 0 {
		return atoms.Draw(t, "atom")
	}
	left := func() string { return "(" + expression(t, depth-1) + ")" }
	switch rapid.IntRange(0, 6).Draw(t, "operator") {
	case 0, 1:
		return left() + " && " + left()
	case 2:
		return left() + " || " + left()
	case 3:
		return "!" + left()
	case 4:
		return "if " + left() + " then " + left() + " else " + left()
	}
	return atoms.Draw(t, "atom")
}

// TestCandidates: choosing candidates first changes no decision. The other side
// is Cedar with every statement, and entities made by hand.
func TestCandidates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(statements, 1, 30).Draw(rt, "statements")
		set := newSet(t, policy.Settings{}, strings.Join(texts, "\n"))
		for range 10 {
			r := requests.Draw(rt, "request")
			r.Secret.Access = secret.AccessPolicy{}
			if got, want := set.Decide(&r) == policy.Allow, oracle(t, strings.Join(texts, "\n"), r); got != want {
				rt.Fatalf("%s of %s by %+v: %v, want %v", r.Action, r.Secret.Name, r.Caller.Subject, got, want)
			}
			if e := set.Explain(&r); e.Effect != set.Decide(&r) || (e.Effect == policy.Allow) != (e.Reason == "") {
				rt.Fatalf("explained as %+v", e)
			}
		}
	})
}

// TestConditions holds what is read off conditions against Cedar, name by name.
func TestConditions(t *testing.T) {
	for _, condition := range []string{
		`resource.name like "a*" || resource.name == "b"`,
		`(resource.name like "a*" && context has sourceAddress) || resource.name == "b"`,
		`(context has sourceAddress && resource.name like "a*") || resource.name == "b"`,
		`resource.name == "b" || (resource.name like "a*" && principal is Person)`,
		`resource.name like "a*" && resource.name like "*b"`,
		`resource.name like "a*" && (resource.name == "a" || principal is Person)`,
		`resource.name like "a*" || principal is Person`,
		`principal == Person::"alice" && principal == Service::"alice"`,
		`principal is Person && principal is Service`,
		`principal is Service && principal == Person::"alice"`,
		`principal == Person::"alice" || resource.name == "a"`,
		`Person::"alice" == principal`,
		`"a/b" == resource.name && !(resource.name like "a*")`,
		`!(resource.name like "a*")`,
		`Secret::"a/b" == resource || resource == Secret::"b"`,
		`resource == Tenant::"shop"`,
		`["a", "b"].contains(resource.name) || resource.name like "A"`,
		`["a", "b"].containsAll([resource.name])`,
		`["a", principal is Person].contains(resource.name)`,
		`if resource.name like "a*" then principal is Person else resource.name == "b"`,
		`resource is Secret`,
		`true`, `false || resource.name like "*/*"`,
		`resource.name like "\*" || resource.name like "a\*"`,
	} {
		for _, word := range []string{"when", "unless"} {
			for _, scope := range []string{"principal, action, resource is Secret", `principal == Person::"alice", action, resource is Secret`, `principal is Service, action, resource == Secret::"a/b"`} {
				source := fmt.Sprintf("permit(%s) %s { %s };", scope, word, condition)
				text, err := policy.ParseText("p0", source)
				if err != nil {
					continue // some are impossible, and the validator says so
				}
				set, err := policy.NewSet("shop", policy.Settings{}, text)
				if err != nil {
					t.Fatal(err)
				}
				compareAll(t, set, source)
			}
		}
	}
}

// compareAll decides on every name for each kind of principal.
func compareAll(t *testing.T, set *policy.Set, source string) {
	for _, kind := range []policy.Kind{policy.Person, policy.Service} {
		for _, principal := range []string{"alice", "bob"} {
			for _, name := range someNames {
				r := request(policy.Subject{Kind: kind, Name: principal}, policy.Update, secret.Name(name), nil)
				if got, want := set.Decide(r) == policy.Allow, oracle(t, source, *r); got != want {
					t.Errorf("%s: %s by %v %s: %v, want %v", source, name, kind, principal, got, want)
				}
				if r.Address = ""; (set.Decide(r) == policy.Allow) != oracle(t, source, *r) {
					t.Errorf("%s: %s by %v %s without an address", source, name, kind, principal)
				}
			}
		}
	}
}

// oracle decides with all statements at once.
func oracle(t testing.TB, source string, r policy.Request) bool {
	bound := r.Caller.Bound
	if r.Caller.Grants == nil && bound != nil {
		return authorize(t, source+grantsText(bound), r) && authorize(t, grantsText(bound), r)
	}
	return authorize(t, source+grantsText(r.Caller.Grants), r) && (bound == nil || authorize(t, grantsText(bound), r))
}

// grantsText writes grants as policies.
func grantsText(grants []policy.Grant) string {
	var b strings.Builder
	for _, g := range grants {
		switch {
		case g.Patterns == nil || slices.Contains(g.Patterns, "*"):
			fmt.Fprintf(&b, "permit(principal, action in Action::%q, resource);", g.Role)
		default:
			for _, p := range g.Patterns {
				fmt.Fprintf(&b, "permit(principal, action in Action::%q, resource is Secret) when { resource.name like %q };", g.Role, p)
			}
		}
	}
	return b.String()
}

func authorize(t testing.TB, source string, r policy.Request) bool {
	all, err := cedar.NewPolicySetFromBytes("", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	request, entities := byHand(t, r)
	decision, d := cedar.Authorize(all, entities, request)
	for _, e := range d.Errors {
		if all.Get(e.PolicyID).Effect() == cedar.Forbid {
			return false // what cannot be evaluated forbids
		}
	}
	return decision == cedar.Allow
}

// byHand makes what Cedar needs, all of it.
func byHand(t testing.TB, r policy.Request) (cedar.Request, types.EntityMap) {
	entities := actionEntities(t)
	tenant, name := types.NewEntityUID("Tenant", "shop"), types.String(r.Secret.Name)
	resource := types.NewEntityUID("Secret", name)
	tags := types.RecordMap{}
	for k, v := range r.Secret.Tags {
		tags[types.String(k)] = types.String(v)
	}
	entities[tenant] = types.Entity{UID: tenant}
	entities[resource] = types.Entity{UID: resource, Parents: types.NewEntityUIDSet(tenant),
		Attributes: types.NewRecord(types.RecordMap{"name": name}), Tags: types.NewRecord(tags)}
	principal := types.NewEntityUID("Service", types.String(r.Caller.Name))
	attributes := types.RecordMap{}
	if r.Caller.Kind == policy.Person {
		principal.Type = "Person"
	} else if r.Caller.Service != "" {
		attributes["service"] = types.String(r.Caller.Service)
	}
	entities[principal] = types.Entity{UID: principal, Attributes: types.NewRecord(attributes)}
	circumstances := types.RecordMap{"time": types.NewDatetime(r.Time)}
	if a, err := netip.ParseAddr(r.Address); err == nil {
		circumstances["sourceAddress"] = types.IPAddr(netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	}
	if !r.Caller.MFA.IsZero() {
		circumstances["mfaAge"] = types.Long(r.Time.Sub(r.Caller.MFA) / time.Second)
	}
	if !slices.Contains(onSecrets, r.Action) {
		resource = tenant
	}
	return cedar.Request{Principal: principal, Action: types.NewEntityUID("Action", types.String(r.Action)), Resource: resource,
		Context: types.NewRecord(circumstances)}, entities
}

// actionEntities are the actions of the published schema with their groups.
func actionEntities(t testing.TB) types.EntityMap {
	var parsed schema.Schema
	if err := parsed.UnmarshalCedar([]byte(policy.Schema())); err != nil {
		t.Fatal(err)
	}
	rules, err := parsed.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	entities := types.EntityMap{}
	for uid, a := range rules.Actions {
		entities[uid] = a.Entity
	}
	return entities
}

// TestRolesAreGroups: the schema's groups of actions are the roles.
func TestRolesAreGroups(t *testing.T) {
	entities := actionEntities(t)
	for _, role := range []policy.Role{policy.Admin, policy.Writer, policy.Reader, policy.Rotator, policy.Auditor} {
		s := policy.Subject{Name: "x", Grants: []policy.Grant{{Role: role}}}
		group := newSet(t, policy.Settings{}, fmt.Sprintf("permit(principal, action in Action::%q, resource);", role))
		for _, a := range append(slices.Clone(onSecrets), onTenants...) {
			byRole, byGroup := plain.Decide(request(s, a, "n", nil)), group.Decide(request(policy.Subject{Name: "x"}, a, "n", nil))
			if byRole != byGroup {
				t.Errorf("%s, %s: %v by role, %v by group", role, a, byRole, byGroup)
			}
			_, known := entities[types.NewEntityUID("Action", types.String(a))]
			if operators := a == policy.ManageTenants || a == policy.ManageQuotas; known == operators {
				t.Errorf("%s is in the schema: %v", a, known)
			}
		}
	}
}
