package policy

import (
	"slices"
	"time"

	"fastness/internal/secret"
)

// MFAWindow is how long a second factor counts as fresh.
const MFAWindow = 5 * time.Minute

// Kind tells people from services.
type Kind uint8

// The kinds of a tenant's principals.
const (
	Service Kind = iota
	Person
)

// Subject is a caller, as far as decisions need to know it. The zero value may
// do nothing.
type Subject struct {
	Operator    bool // of the deployment: grants do not bind it
	System      bool // our own work: no part of a decision binds it
	Kind        Kind
	Name        string             // of the principal
	Grants      []Grant            // of the principal; nil sets no bound, and gives nothing
	Bound       []Grant            // of the credential itself; nil for all that the principal may
	Service     string             // "" if the caller is no service
	Environment secret.Environment // "" if it has none
	MFA         time.Time          // when the last second factor was given; zero if never
}

// grants returns the lists of grants that must all allow an action: the
// principal's, and the credential's own, which can narrow them and never
// widens them. A principal without any leaves it to its credentials.
func (s Subject) grants() [][]Grant {
	switch {
	case s.Bound == nil:
		return [][]Grant{s.Grants}
	case s.Grants == nil:
		return [][]Grant{s.Bound}
	}
	return [][]Grant{s.Grants, s.Bound}
}

// every reports whether each list of grants has one for which f holds.
func (s Subject) every(f func(Grant) bool) bool {
	for _, list := range s.grants() {
		if !slices.ContainsFunc(list, f) {
			return false
		}
	}
	return true
}

// Effect is a decision: whether, and if not, how to refuse.
type Effect int

// The effects.
const (
	Deny    Effect = iota // refuse openly
	Hide                  // answer as if the secret were not there
	NeedMFA               // refuse, and ask for a fresh second factor
	Allow
)

// String names the effect.
func (e Effect) String() string {
	switch e {
	case Deny:
		return "deny"
	case Hide:
		return "hide"
	case NeedMFA:
		return "need MFA"
	case Allow:
		return "allow"
	}
	return "unknown effect"
}

// Decide decides on an action with one secret. For a secret that is not there
// p is the zero policy, so that what remains is the word of the grants.
// Actions on a tenant are not decided here and denied.
func Decide(s Subject, a Action, name secret.Name, p secret.AccessPolicy, now time.Time) Effect {
	switch {
	case !a.onSecret():
		return Deny
	case s.System:
		return Allow
	case !s.granted(a, name):
		return a.refusal()
	case a != List && a != SetAccess && !s.listed(p):
		// Somebody who may list the name knows that it exists.
		if s.CanList(name) {
			return Deny
		}
		return Hide
	case p.RequiresMFA && !s.satisfiesMFA(a, now):
		return NeedMFA
	}
	return Allow
}

// Tenantwide decides on an action with a whole tenant. Roles have those only
// if they hold for all names; some are the operators' alone. Actions on a
// secret are not decided here and denied.
func (s Subject) Tenantwide(a Action) Effect {
	if !a.onTenant() {
		return Deny
	}
	if s.Operator || s.System && !slices.Contains(ofOperators, a) {
		return Allow
	}
	if s.every(func(g Grant) bool { return g.coversAll() && slices.Contains(onTenants[g.Role], a) }) {
		return Allow
	}
	return Deny
}

// CanList reports whether a listing shows the name to the subject.
func (s Subject) CanList(name secret.Name) bool { return s.granted(List, name) }

// granted is the first part of a decision: the grants.
func (s Subject) granted(a Action, name secret.Name) bool {
	if s.Operator || s.System {
		return true
	}
	return s.every(func(g Grant) bool { return slices.Contains(onSecrets[g.Role], a) && g.covers(name) })
}

// refusal is how grants refuse. A look is answered as for a name that is not
// there. A write is denied whether or not the name exists, which hides that
// just as well, and is clearer.
func (a Action) refusal() Effect {
	if a.looks() {
		return Hide
	}
	return Deny
}

// listed is the second part of a decision: the lists of the access policy. A
// subject without the attribute is on no list, whatever the list holds.
func (s Subject) listed(p secret.AccessPolicy) bool {
	service := p.AllowedServices == nil ||
		s.Service != "" && slices.Contains(p.AllowedServices, s.Service)
	environment := p.AllowedEnvironments == nil ||
		s.Environment != "" && slices.Contains(p.AllowedEnvironments, s.Environment)
	return service && environment
}

// satisfiesMFA is the third part of a decision, under a policy that wants a
// second factor. Reading is free of it, so that services can; so is a listing.
// An operator may change the access policy without one, as the way out for a
// tenant that has lost its factors.
func (s Subject) satisfiesMFA(a Action, now time.Time) bool {
	if a == Read || a == List || a == SetAccess && s.Operator {
		return true
	}
	age := now.Sub(s.MFA)
	return !s.MFA.IsZero() && age >= 0 && age <= MFAWindow
}
