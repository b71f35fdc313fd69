package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Part is the part of a decision that settled it.
type Part string

// The parts of a decision.
const (
	ByGrants       Part = "grants"
	ByCredential   Part = "credential" // its own grants, which narrow its principal's
	ByPolicy       Part = "policy"
	ByServices     Part = "accessPolicy.allowedServices"
	ByEnvironments Part = "accessPolicy.allowedEnvironments"
	ByMFA          Part = "accessPolicy.requiresMFA"
	ByMFAForRead   Part = "settings.mfaForRead"
	ByOperator     Part = "operator" // neither grants nor policies bind one, and some actions are theirs alone
	BySystem       Part = "system"
	ByDisabled     Part = "disabled" // the principal is
	ByAction       Part = "action"   // which nobody knows
)

// Decision is an Effect with its reasons.
type Decision struct {
	Effect Effect
	Part   Part
	// Reason says in a few words why it was refused; empty if it was not. It
	// names no person, so that it may stand in the open part of an audit entry.
	Reason string
	// Statements are those that settled it: what permits it, or what forbids it.
	Statements []StatementInfo
	// Wants says what would have to hold for the request to be allowed.
	Wants []string
}

// Explain decides like Decide, and tells why a request is allowed or refused.
// It is for those who may know what the caller may not, say whether the secret
// is there.
func (s *Set) Explain(r *Request) Decision {
	d := Decision{Effect: s.Decide(r)}
	switch c := r.Caller; {
	case !r.Action.onSecret() && !r.Action.onTenant():
		d.refuse(ByAction, "there is no such action", "one of the actions of the schema")
	case slices.Contains(ofOperators, r.Action) && !c.Operator:
		d.refuse(ByOperator, fmt.Sprintf("%s is the operators' alone", r.Action), "an operator's credential")
	case c.System:
		d.Part = BySystem
	case c.Operator:
		d.Part = ByOperator
		s.explainSecret(&d, r)
	default:
		s.explainRuling(&d, r)
	}
	return d
}

// Equal reports whether two decisions are the same, reasons included.
func (d Decision) Equal(o Decision) bool {
	return d.Effect == o.Effect && d.Part == o.Part && d.Reason == o.Reason &&
		slices.Equal(d.Statements, o.Statements) && slices.Equal(d.Wants, o.Wants)
}

// Disabled is the decision on whatever a disabled principal asks.
func Disabled() Decision {
	d := Decision{Effect: Deny}
	d.refuse(ByDisabled, "the principal is disabled", "a principal that is enabled")
	return d
}

func (d *Decision) refuse(p Part, reason string, wants ...string) {
	d.Part, d.Reason, d.Wants = p, reason, wants
}

// explainRuling explains the word of grants and policies.
func (s *Set) explainRuling(d *Decision, r *Request) {
	var n notes
	switch s.rule(r, &n) {
	case permitted:
		d.Statements = infoOf(n.permits)
		d.Part = ByGrants
		if n.ofPolicies(s) {
			d.Part = ByPolicy
		}
		s.explainSecret(d, r)
	case narrowed:
		d.refuse(ByCredential, fmt.Sprintf("no grant of the credential allows %s", r.Action),
			"a credential whose own grants allow it; policies cannot widen them: "+wantedGrant(r))
	case forbidden:
		d.explainForbidden(n)
	default:
		d.refuse(ByGrants, fmt.Sprintf("no grant allows %s", r.Action), wantedGrant(r), "or a policy that permits it")
	}
}

// ofPolicies reports whether it is policies alone that permit.
func (n *notes) ofPolicies(s *Set) bool {
	return s.policies != nil && !slices.ContainsFunc(n.permits, func(st *statement) bool { return !slices.Contains(s.policies.statements, st) })
}

func (d *Decision) explainForbidden(n notes) {
	d.Part = ByPolicy
	d.Statements = infoOf(n.forbids)
	var ids []string
	for _, s := range n.forbids {
		ids = append(ids, s.id)
		d.Wants = append(d.Wants, fmt.Sprintf("policy %q must not apply", s.id))
	}
	for _, f := range n.failed {
		ids = append(ids, f.statement.id)
		d.Wants = append(d.Wants, fmt.Sprintf("policy %q, which forbids, could not be evaluated: %s", f.statement.id, bounded(f.message)))
	}
	if d.Effect == NeedMFA {
		d.Wants = append(d.Wants, "a second factor given now would do")
	}
	d.Reason = "denied by policy " + quoted(ids)
}

func infoOf(statements []*statement) []StatementInfo {
	var all []StatementInfo
	for _, s := range statements {
		all = append(all, s.info())
	}
	return all
}

// maxNamed bounds how many statements a reason names.
const maxNamed = 3

func quoted(ids []string) string {
	slices.Sort(ids)
	var words []string
	for _, id := range ids[:min(len(ids), maxNamed)] {
		words = append(words, fmt.Sprintf("%q", id))
	}
	if n := len(ids) - maxNamed; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(words, ", ")
}

// wantedGrant says which grant would allow the request.
func wantedGrant(r *Request) string {
	if r.Action.onTenant() {
		return fmt.Sprintf("a grant over all names as %s", alternatives(rolesWith(onTenants, r.Action)))
	}
	return fmt.Sprintf("a grant over the name as %s", alternatives(rolesWith(onSecrets, r.Action)))
}

func rolesWith(table map[Role][]Action, a Action) (roles []string) {
	for _, r := range []Role{Reader, Rotator, Auditor, Writer, Admin} {
		if slices.Contains(table[r], a) {
			roles = append(roles, string(r))
		}
	}
	return roles
}

// alternatives joins words: a, b or c.
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// explainSecret explains what grants and policies have left to the secret's
// access policy and to the second factor.
func (s *Set) explainSecret(d *Decision, r *Request) {
	c, access := r.Caller, r.Secret.Access
	bound := r.Action.onSecret() && r.Action != List && r.Action != SetAccess
	switch {
	case bound && !c.serviceListed(access):
		d.refuse(ByServices, string(ByServices), listWant("service", access.AllowedServices, c.Service))
	case bound && !c.environmentListed(access):
		d.refuse(ByEnvironments, string(ByEnvironments), listWant("environment", access.AllowedEnvironments, c.Environment))
	case s.lacksMFA(r):
		part := ByMFA
		if r.Action == Read {
			part = ByMFAForRead
		}
		d.refuse(part, string(part), fmt.Sprintf("a second factor given within the last %v", s.settings.Window()))
	}
}

// listWant says what a list of an access policy demands.
func listWant[T ~string](what string, list []T, has T) string {
	if len(list) == 0 {
		return fmt.Sprintf("a list with the caller's %s; the empty one allows nobody", what)
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = string(e)
	}
	want := fmt.Sprintf("a caller whose %s is %s", what, bounded(alternatives(names)))
	if has == "" {
		return want + "; this one has none"
	}
	return fmt.Sprintf("%s; this one's is %s", want, has)
}
