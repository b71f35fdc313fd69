package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// onSecrets are the actions on a secret, in the order of the matrices below.
var onSecrets = []policy.Action{
	policy.Read, policy.List, policy.Describe, policy.Create, policy.Update, policy.Delete, policy.Restore,
	policy.Rotate, policy.Label, policy.Purge, policy.SetAccess,
}

var onTenants = []policy.Action{
	policy.ManageTokens, policy.ManagePrincipals, policy.ManagePolicies, policy.ManageIssuers, policy.ManageKeys,
	policy.ViewAudit, policy.Review, policy.Redact, policy.ManageTenants, policy.ManageQuotas,
}

// One letter an effect keeps a matrix readable.
var letters = map[byte]policy.Effect{'A': policy.Allow, 'H': policy.Hide, 'D': policy.Deny, 'M': policy.NeedMFA}

// subjects are the rows of the matrices. Grants hold for app/*.
func subjects() map[string]policy.Subject {
	all := map[string]policy.Subject{
		"nobody":   {},
		"operator": {Operator: true},
		"system":   {System: true},
		"stranger": {Grants: []policy.Grant{{Role: policy.Admin, Patterns: []string{"other/*"}}}},
		"unknown":  {Grants: []policy.Grant{{Role: "root"}}},
	}
	for _, r := range []policy.Role{policy.Reader, policy.Writer, policy.Admin, policy.Rotator, policy.Auditor} {
		all[string(r)] = policy.Subject{Grants: []policy.Grant{{Role: r, Patterns: []string{"app/*"}}}}
	}
	return all
}

// TestMatrix is the whole of Decide: role × action × access policy.
func TestMatrix(t *testing.T) {
	web := func(s policy.Subject) policy.Subject { s.Service, s.Environment = "web", secret.Prod; return s }
	fresh := func(s policy.Subject) policy.Subject { s.MFA = now.Add(-time.Minute); return s }
	lists := secret.AccessPolicy{AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}}
	mfa := secret.AccessPolicy{RequiresMFA: true}
	both := secret.AccessPolicy{AllowedServices: []string{"web"}, RequiresMFA: true}

	for _, m := range []struct {
		name   string
		policy secret.AccessPolicy
		with   func(policy.Subject) policy.Subject
		rows   string
	}{
		{"no access policy", secret.AccessPolicy{}, nil, `
			           Re Li De Cr Up De Re Ro La Pu Se
			nobody     H  H  H  D  D  D  D  D  D  D  D
			stranger   H  H  H  D  D  D  D  D  D  D  D
			unknown    H  H  H  D  D  D  D  D  D  D  D
			auditor    H  A  A  D  D  D  D  D  D  D  D
			rotator    H  A  A  D  D  D  D  A  D  D  D
			reader     A  A  A  D  D  D  D  D  D  D  D
			writer     A  A  A  A  A  A  A  A  A  D  D
			admin      A  A  A  A  A  A  A  A  A  A  A
			operator   A  A  A  A  A  A  A  A  A  A  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"lists, without the attributes", lists, nil, `
			           Re Li De Cr Up De Re Ro La Pu Se
			nobody     H  H  H  D  D  D  D  D  D  D  D
			stranger   H  H  H  D  D  D  D  D  D  D  D
			unknown    H  H  H  D  D  D  D  D  D  D  D
			auditor    H  A  D  D  D  D  D  D  D  D  D
			rotator    H  A  D  D  D  D  D  D  D  D  D
			reader     D  A  D  D  D  D  D  D  D  D  D
			writer     D  A  D  D  D  D  D  D  D  D  D
			admin      D  A  D  D  D  D  D  D  D  D  A
			operator   D  A  D  D  D  D  D  D  D  D  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"lists, with the attributes", lists, web, `
			           Re Li De Cr Up De Re Ro La Pu Se
			nobody     H  H  H  D  D  D  D  D  D  D  D
			stranger   H  H  H  D  D  D  D  D  D  D  D
			auditor    H  A  A  D  D  D  D  D  D  D  D
			rotator    H  A  A  D  D  D  D  A  D  D  D
			reader     A  A  A  D  D  D  D  D  D  D  D
			writer     A  A  A  A  A  A  A  A  A  D  D
			admin      A  A  A  A  A  A  A  A  A  A  A
			operator   A  A  A  A  A  A  A  A  A  A  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"second factor, without", mfa, nil, `
			           Re Li De Cr Up De Re Ro La Pu Se
			nobody     H  H  H  D  D  D  D  D  D  D  D
			stranger   H  H  H  D  D  D  D  D  D  D  D
			auditor    H  A  M  D  D  D  D  D  D  D  D
			rotator    H  A  M  D  D  D  D  M  D  D  D
			reader     A  A  M  D  D  D  D  D  D  D  D
			writer     A  A  M  M  M  M  M  M  M  D  D
			admin      A  A  M  M  M  M  M  M  M  M  M
			operator   A  A  M  M  M  M  M  M  M  M  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"second factor, with", mfa, fresh, `
			           Re Li De Cr Up De Re Ro La Pu Se
			nobody     H  H  H  D  D  D  D  D  D  D  D
			stranger   H  H  H  D  D  D  D  D  D  D  D
			auditor    H  A  A  D  D  D  D  D  D  D  D
			rotator    H  A  A  D  D  D  D  A  D  D  D
			reader     A  A  A  D  D  D  D  D  D  D  D
			writer     A  A  A  A  A  A  A  A  A  D  D
			admin      A  A  A  A  A  A  A  A  A  A  A
			operator   A  A  A  A  A  A  A  A  A  A  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"both, with neither", both, nil, `
			           Re Li De Cr Up De Re Ro La Pu Se
			reader     D  A  D  D  D  D  D  D  D  D  D
			writer     D  A  D  D  D  D  D  D  D  D  D
			admin      D  A  D  D  D  D  D  D  D  D  M
			operator   D  A  D  D  D  D  D  D  D  D  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"both, with the attribute alone", both, web, `
			           Re Li De Cr Up De Re Ro La Pu Se
			reader     A  A  M  D  D  D  D  D  D  D  D
			writer     A  A  M  M  M  M  M  M  M  D  D
			admin      A  A  M  M  M  M  M  M  M  M  M
			operator   A  A  M  M  M  M  M  M  M  M  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
		{"both, with the factor alone", both, fresh, `
			           Re Li De Cr Up De Re Ro La Pu Se
			reader     D  A  D  D  D  D  D  D  D  D  D
			writer     D  A  D  D  D  D  D  D  D  D  D
			admin      D  A  D  D  D  D  D  D  D  D  A
			operator   D  A  D  D  D  D  D  D  D  D  A
			system     A  A  A  A  A  A  A  A  A  A  A`},
	} {
		t.Run(m.name, func(t *testing.T) {
			for _, row := range strings.Split(strings.TrimSpace(m.rows), "\n")[1:] {
				cells := strings.Fields(row)
				s, ok := subjects()[cells[0]]
				if !ok || len(cells) != len(onSecrets)+1 {
					t.Fatalf("bad row %q", row)
				}
				if m.with != nil {
					s = m.with(s)
				}
				for i, a := range onSecrets {
					want := letters[cells[i+1][0]]
					if got := decide(s, a, "app/db", m.policy, now); got != want {
						t.Errorf("%s, %s: %v, want %v", cells[0], a, got, want)
					}
				}
			}
		})
	}
}

func TestTenantwide(t *testing.T) {
	grant := func(r policy.Role, patterns ...string) policy.Subject {
		return policy.Subject{Grants: []policy.Grant{{Role: r, Patterns: patterns}}}
	}
	for _, tc := range []struct {
		name string
		s    policy.Subject
		want string // tokens principals policies issuers keys audit review redact tenants quotas
	}{
		{"nobody", policy.Subject{}, "DDDDDDDDDD"},
		{"operator", policy.Subject{Operator: true}, "AAAAAAAAAA"},
		{"system", policy.Subject{System: true}, "AAAAAAAADD"},
		{"system operator", policy.Subject{System: true, Operator: true}, "AAAAAAAAAA"},
		{"admin", grant(policy.Admin), "AAAAAAAADD"},
		{"admin of *", grant(policy.Admin, "*"), "AAAAAAAADD"},
		{"admin of **", grant(policy.Admin, "a", "**"), "AAAAAAAADD"},
		{"admin of some", grant(policy.Admin, "a*", "*b", "app/*"), "DDDDDDDDDD"},
		{"admin of none", policy.Subject{Grants: []policy.Grant{{Role: policy.Admin, Patterns: []string{}}}}, "DDDDDDDDDD"},
		{"admin of an empty pattern", grant(policy.Admin, ""), "DDDDDDDDDD"},
		{"writer", grant(policy.Writer), "DDDDDDDDDD"},
		{"reader", grant(policy.Reader), "DDDDDDDDDD"},
		{"rotator", grant(policy.Rotator), "DDDDDDDDDD"},
		{"auditor", grant(policy.Auditor), "DDDDDAADDD"},
		{"auditor of some", grant(policy.Auditor, "a*"), "DDDDDDDDDD"},
		{"unknown role", grant("root"), "DDDDDDDDDD"},
		{"auditor, and admin of some", policy.Subject{Grants: []policy.Grant{{Role: policy.Auditor}, {Role: policy.Admin, Patterns: []string{"a"}}}}, "DDDDDAADDD"},
	} {
		for i, a := range onTenants {
			got, want := tenantwide(tc.s, a), letters[tc.want[i]]
			if got != want {
				t.Errorf("%s, %s: %v, want %v", tc.name, a, got, want)
			}
			if !tc.s.System && tc.s.Administers(a) != (want == policy.Allow) {
				t.Errorf("%s, %s: %v by grants alone", tc.name, a, !(want == policy.Allow))
			}
		}
	}
}

// Actions that nobody knows are denied.
func TestForeignActions(t *testing.T) {
	for _, s := range []policy.Subject{{Operator: true}, {Operator: true, System: true}, {Grants: []policy.Grant{{Role: policy.Admin}}}} {
		for _, a := range []policy.Action{"", "root", "Read", "Tokens", "reader", "admin"} {
			if got := decide(s, a, "n", secret.AccessPolicy{}, now); got != policy.Deny {
				t.Errorf("%q: %v, want deny", a, got)
			}
		}
	}
}

func TestAccessLists(t *testing.T) {
	services := func(s ...string) secret.AccessPolicy { return secret.AccessPolicy{AllowedServices: s} }
	environments := func(e ...secret.Environment) secret.AccessPolicy {
		return secret.AccessPolicy{AllowedEnvironments: e}
	}
	for _, tc := range []struct {
		name, service string
		env           secret.Environment
		p             secret.AccessPolicy
		want          policy.Effect
	}{
		{"absent allows all", "", "", secret.AccessPolicy{}, policy.Allow},
		{"empty services allow none", "web", secret.Prod, secret.AccessPolicy{AllowedServices: []string{}}, policy.Deny},
		{"empty environments allow none", "web", secret.Prod, secret.AccessPolicy{AllowedEnvironments: []secret.Environment{}}, policy.Deny},
		{"listed service", "web", "", services("api", "web"), policy.Allow},
		{"other service", "web2", "", services("api", "web"), policy.Deny},
		{"service in capitals", "Web", "", services("web"), policy.Deny},
		{"no service", "", "", services("web"), policy.Deny},
		{"no service, and an empty name listed", "", "", services(""), policy.Deny},
		{"listed environment", "", secret.Prod, environments(secret.Dev, secret.Prod), policy.Allow},
		{"other environment", "", secret.Staging, environments(secret.Dev, secret.Prod), policy.Deny},
		{"no environment, and an empty one listed", "", "", environments(""), policy.Deny},
		{"one of two", "web", secret.Dev, secret.AccessPolicy{AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}}, policy.Deny},
		{"the other of two", "api", secret.Prod, secret.AccessPolicy{AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}}, policy.Deny},
	} {
		s := policy.Subject{Grants: []policy.Grant{{Role: policy.Reader}}, Service: tc.service, Environment: tc.env}
		if got := decide(s, policy.Read, "n", tc.p, now); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestMFAWindow(t *testing.T) {
	p := secret.AccessPolicy{RequiresMFA: true}
	for _, tc := range []struct {
		name string
		mfa  time.Time
		want policy.Effect
	}{
		{"never", time.Time{}, policy.NeedMFA},
		{"now", now, policy.Allow},
		{"at the end of the window", now.Add(-policy.DefaultMFAWindow), policy.Allow},
		{"just after", now.Add(-policy.DefaultMFAWindow - 1), policy.NeedMFA},
		{"in the future", now.Add(1), policy.NeedMFA},
		{"far in the past", time.Unix(0, 0), policy.NeedMFA},
		{"far in the future", now.AddDate(500, 0, 0), policy.NeedMFA},
	} {
		s := policy.Subject{Grants: []policy.Grant{{Role: policy.Admin}}, MFA: tc.mfa}
		for _, a := range []policy.Action{policy.Update, policy.SetAccess, policy.Describe} {
			if got := decide(s, a, "n", p, now); got != tc.want {
				t.Errorf("%s, %s: %v, want %v", tc.name, a, got, tc.want)
			}
		}
	}
	// The zero time is never, also for a clock that stands there.
	if got := decide(policy.Subject{Operator: true}, policy.Update, "n", p, time.Time{}); got != policy.NeedMFA {
		t.Errorf("zero clock: %v, want mfa", got)
	}
}

func TestEffect(t *testing.T) {
	var zero policy.Effect
	if zero != policy.Deny {
		t.Errorf("the zero effect is %v, want deny", zero)
	}
	for e, want := range map[policy.Effect]string{policy.Deny: "deny", policy.Hide: "hide", policy.NeedMFA: "mfa", policy.Allow: "allow", 9: "unknown effect"} {
		if e.String() != want {
			t.Errorf("got %q, want %q", e, want)
		}
		if got, err := policy.ParseEffect(want); got != e && err == nil || (err != nil) != (e == 9) {
			t.Errorf("%q is read as %v, %v", want, got, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern     string
		match, miss []string
	}{
		{"*", []string{"a", "a/b", "*"}, nil},
		{"**", []string{"a", "a/b"}, nil},
		{"a", []string{"a"}, []string{"A", "aa", "ab", "ba"}},
		{"app/*", []string{"app/", "app/db", "app/db/x"}, []string{"app", "App/db", "xapp/db"}},
		{"*/db", []string{"/db", "app/db", "a/b/db"}, []string{"db", "app/db2", "app/dB"}},
		{"a*b", []string{"ab", "axb", "a/b", "abab"}, []string{"a", "b", "aba", "xab"}},
		{"a*a", []string{"aa", "aba"}, []string{"a", "ab"}},
		{"*ab*", []string{"ab", "xaby", "aab"}, []string{"a", "ba", "axb"}},
		{"a*b*c", []string{"abc", "axbxc", "abbc", "abcbc"}, []string{"ac", "acb", "ab"}},
		{"*aab", []string{"aab", "aaab", "aaaab"}, []string{"aaba"}},
		{"a.b", []string{"a.b"}, []string{"axb"}},
		{"a+", []string{"a+"}, []string{"aa"}},
		{"", nil, []string{"a"}},
	} {
		s := policy.Subject{Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{tc.pattern}}}}
		for _, n := range tc.match {
			if !canList(s, secret.Name(n)) {
				t.Errorf("%q does not match %q", tc.pattern, n)
			}
		}
		for _, n := range tc.miss {
			if canList(s, secret.Name(n)) {
				t.Errorf("%q matches %q", tc.pattern, n)
			}
		}
	}
}

// matches is the pattern language by its definition, as slow as it comes.
func matches(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] == '*' {
		return matches(pattern[1:], name) || name != "" && matches(pattern, name[1:])
	}
	return name != "" && pattern[0] == name[0] && matches(pattern[1:], name[1:])
}

func TestPatternsByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		s := policy.Subject{Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{pattern}}}}
		if got, want := canList(s, secret.Name(name)), matches(pattern, name); got != want {
			t.Fatalf("%q on %q: %v, want %v", pattern, name, got, want)
		}
	})
}

func FuzzPatterns(f *testing.F) {
	for _, s := range []string{"*", "a*b", "**a**", "app/*", ""} {
		f.Add(s, "app/db")
		f.Add(s, "ab")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 24 {
			return // the definition takes exponential time
		}
		s := policy.Subject{Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{pattern}}}}
		if got, want := canList(s, secret.Name(name)), matches(pattern, name); got != want {
			t.Errorf("%q on %q: %v, want %v", pattern, name, got, want)
		}
		if err := policy.ValidateGrants(s.Grants); err == nil && strings.Trim(pattern, "*") == "" {
			if s.Grants[0].Role = policy.Admin; tenantwide(s, policy.Redact) != policy.Allow {
				t.Errorf("%q does not stand for all names", pattern)
			}
		}
	})
}

// A pattern made to be slow is not.
func TestPatternCost(t *testing.T) {
	s := policy.Subject{}
	for range secret.MaxGrants {
		g := policy.Grant{Role: policy.Reader}
		for i := range secret.MaxPatterns {
			g.Patterns = append(g.Patterns, strings.Repeat("*a", 250)+fmt.Sprint("b", i))
		}
		s.Grants = append(s.Grants, g)
	}
	start := time.Now()
	if canList(s, secret.Name(strings.Repeat("a", secret.MaxName))) {
		t.Error("matched")
	}
	// With backtracking this is beyond the age of the universe.
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// More rights never mean less: adding a grant, and climbing the ladder of
// roles, keeps whatever was allowed.
func TestGrantsAddUp(t *testing.T) {
	role := rapid.SampledFrom([]policy.Role{policy.Reader, policy.Writer, policy.Admin, policy.Rotator, policy.Auditor})
	grant := rapid.Custom(func(t *rapid.T) policy.Grant {
		return policy.Grant{Role: role.Draw(t, "role"), Patterns: rapid.SliceOfN(rapid.StringMatching(`[ab*]{1,3}`), 1, 3).Draw(t, "patterns")}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := policy.Subject{Grants: rapid.SliceOfN(grant, 0, 3).Draw(t, "grants"), Service: rapid.SampledFrom([]string{"", "web"}).Draw(t, "service")}
		if rapid.Bool().Draw(t, "factor") {
			s.MFA = now
		}
		p := secret.AccessPolicy{RequiresMFA: rapid.Bool().Draw(t, "mfa")}
		if rapid.Bool().Draw(t, "list") {
			p.AllowedServices = rapid.SliceOfN(rapid.SampledFrom([]string{"web", "api"}), 0, 2).Draw(t, "services")
		}
		name := secret.Name(rapid.StringMatching(`[ab]{1,3}`).Draw(t, "name"))
		action := rapid.SampledFrom(onSecrets).Draw(t, "action")

		before := decide(s, action, name, p, now)
		more := s
		more.Grants = append([]policy.Grant{grant.Draw(t, "another")}, s.Grants...)
		if after := decide(more, action, name, p, now); before == policy.Allow && after != policy.Allow {
			t.Fatalf("with another grant: %v", after)
		}
		if before == policy.Hide && canList(s, name) && action != policy.Read {
			t.Fatalf("hidden, although listed")
		}
		if before != policy.Hide && (action == policy.Read || action == policy.Describe) && !canList(s, name) {
			t.Fatalf("%v tells of a name that may not be listed", before)
		}
	})
}

// A credential's own grants narrow those of its principal, and never widen them.
func TestBound(t *testing.T) {
	on := func(r policy.Role, patterns ...string) []policy.Grant {
		return []policy.Grant{{Role: r, Patterns: patterns}}
	}
	for _, tc := range []struct {
		name          string
		grants, bound []policy.Grant
		want          string // read app/db, read app/x, update app/db; the audit log
	}{
		{"neither", nil, nil, "HHDD"},
		{"the principal's alone", on(policy.Writer, "app/*"), nil, "AAAD"},
		{"the credential's alone", nil, on(policy.Reader, "app/db"), "AHDD"},
		{"a narrower role", on(policy.Writer, "app/*"), on(policy.Reader, "*"), "AADD"},
		{"a narrower pattern", on(policy.Writer, "app/*"), on(policy.Admin, "app/db"), "AHAD"},
		{"a wider credential", on(policy.Reader, "app/db"), on(policy.Admin), "AHDD"},
		{"nothing in common", on(policy.Admin, "other/*"), on(policy.Admin, "app/*"), "HHDD"},
		{"a principal that has lost all", []policy.Grant{}, on(policy.Admin), "HHDD"},
		{"a credential for nothing", on(policy.Admin), []policy.Grant{}, "HHDD"},
		{"both for the tenant", on(policy.Admin), on(policy.Auditor), "HHDA"},
		{"the principal alone for the tenant", on(policy.Admin), on(policy.Auditor, "a*"), "HHDD"},
	} {
		s := policy.Subject{Grants: tc.grants, Bound: tc.bound}
		got := []policy.Effect{
			decide(s, policy.Read, "app/db", secret.AccessPolicy{}, now), decide(s, policy.Read, "app/x", secret.AccessPolicy{}, now),
			decide(s, policy.Update, "app/db", secret.AccessPolicy{}, now), tenantwide(s, policy.ViewAudit),
		}
		for i, e := range got {
			if want := letters[tc.want[i]]; e != want {
				t.Errorf("%s, %d: %v, want %v", tc.name, i, e, want)
			}
		}
	}
}

func TestValidateGrants(t *testing.T) {
	pattern := func(p ...string) []policy.Grant { return []policy.Grant{{Role: policy.Reader, Patterns: p}} }
	for _, tc := range []struct {
		name   string
		grants []policy.Grant
		want   string // the error; empty if none
	}{
		{"one", []policy.Grant{{Role: policy.Admin}}, ""},
		{"most", slices.Repeat([]policy.Grant{{Role: policy.Reader}}, secret.MaxGrants), ""},
		{"pattern", pattern("app/*", "*", "a.b-c_d+e=f@g!*"), ""},
		{"longest pattern", pattern(strings.Repeat("a", secret.MaxName)), ""},
		{"longest run of stars", pattern(strings.Repeat("*", secret.MaxName)), ""},
		{"most patterns", pattern(strings.Split(strings.Repeat("a ", secret.MaxPatterns-1)+"a", " ")...), ""},
		{"none", nil, "grants: limit: 1 to 20 grants"},
		{"too many", slices.Repeat([]policy.Grant{{Role: policy.Reader}}, secret.MaxGrants+1), "grants: limit: 1 to 20 grants"},
		{"no role", []policy.Grant{{}}, "grants.role: admin, writer, reader, rotator or auditor"},
		{"unknown role", []policy.Grant{{Role: "Admin"}}, "grants.role: admin, writer, reader, rotator or auditor"},
		{"empty list", []policy.Grant{{Role: policy.Reader, Patterns: []string{}}}, "grants.patterns: at least one pattern; leave it out for all names"},
		{"empty pattern", pattern(""), "grants.patterns: limit: 1 to 512 characters"},
		{"long pattern", pattern(strings.Repeat("a", secret.MaxName+1)), "grants.patterns: limit: 1 to 512 characters"},
		{"too many patterns", pattern(strings.Split(strings.Repeat("a ", secret.MaxPatterns)+"a", " ")...), "grants.patterns: limit: at most 50 patterns"},
		{"space", pattern("a b"), "grants.patterns: only '*' and the characters of names are allowed"},
		{"regular expression", pattern("a[bc]"), "grants.patterns: only '*' and the characters of names are allowed"},
		{"not ASCII", pattern("é*"), "grants.patterns: only '*' and the characters of names are allowed"},
	} {
		err := policy.ValidateGrants(tc.grants)
		if got := fmt.Sprint(err); tc.want == "" && err != nil || tc.want != "" && got != tc.want {
			t.Errorf("%s: got %v, want %s", tc.name, got, tc.want)
		}
		if err != nil && !errors.Is(err, secret.ErrInvalid) && !errors.Is(err, secret.ErrLimit) {
			t.Errorf("%s: %v is neither sentinel", tc.name, err)
		}
	}
}
