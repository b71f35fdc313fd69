package policy

import (
	"slices"
	"time"

	"fastness/internal/secret"
)

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

// Administers reports whether grants alone give an action on the tenant,
// without a look at its policies: for counting those who can.
func (s Subject) Administers(a Action) bool {
	gives := func(g Grant) bool { return g.coversAll() && slices.Contains(onTenants[g.Role], a) }
	switch {
	case s.Operator:
		return true
	case s.Bound == nil:
		return slices.ContainsFunc(s.Grants, gives)
	case s.Grants == nil:
		return slices.ContainsFunc(s.Bound, gives)
	}
	return slices.ContainsFunc(s.Grants, gives) && slices.ContainsFunc(s.Bound, gives)
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
		return "mfa"
	case Allow:
		return "allow"
	}
	return "unknown effect"
}

// ParseEffect reads the name of an effect.
func ParseEffect(s string) (Effect, error) {
	for _, e := range []Effect{Deny, Hide, NeedMFA, Allow} {
		if e.String() == s {
			return e, nil
		}
	}
	return Deny, secret.Invalid("effect", "allow, deny, hide or mfa")
}

// Look says what is known of a secret when a decision is made.
type Look uint8

// What may be known of a secret.
const (
	Unseen Look = iota // nobody has looked yet: Allow means to look, and then to decide
	Absent             // it is not there, or is yet to be made
	Present
)

// Secret is a secret, as far as decisions need to know it.
type Secret struct {
	Name   secret.Name
	Look   Look
	Tags   map[string]string   // that it has, or is to have
	Access secret.AccessPolicy // of a secret that is there
}

// Request is what is decided on. The Secret is that of an action on a secret.
type Request struct {
	Caller  *Caller
	Action  Action
	Secret  Secret
	Time    time.Time
	Address string // IP address of the caller; anything else counts as unknown
}

// Decide decides on a request. Actions that nobody knows are denied.
//
// Whether a secret is there is kept from those whom grants and policies allow
// neither the action nor a listing: they are refused as if it were not.
func (s *Set) Decide(r *Request) Effect {
	switch {
	case r.Action.onTenant():
		return s.decideTenant(r)
	case !r.Action.onSecret():
		return Deny
	case r.Caller.System:
		return Allow
	}
	if !r.Caller.Operator {
		if v := s.rule(r, nil); v != permitted {
			return s.refuse(r, v)
		}
	}
	switch {
	case r.Action != List && r.Action != SetAccess && !r.Caller.listed(r.Secret.Access):
		if !s.mayList(r) {
			return s.asAbsent(r)
		}
		return Deny
	case s.lacksMFA(r):
		return NeedMFA
	}
	return Allow
}

// decideTenant decides on an action with the whole tenant. Roles have those
// only where they hold for all names.
func (s *Set) decideTenant(r *Request) Effect {
	c := r.Caller
	switch {
	case c.Operator, c.System && !slices.Contains(ofOperators, r.Action):
		return Allow
	case slices.Contains(ofOperators, r.Action):
		return Deny
	case s.rule(r, nil) == permitted:
		return Allow
	}
	return s.orMFA(r)
}

// refuse says how to refuse what grants and policies do. A look that nothing
// permits is answered as for a name that is not there. A write is denied
// whether or not the name exists, which hides that just as well, and is clearer.
func (s *Set) refuse(r *Request, v verdict) Effect {
	looks := r.Action.looks()
	switch {
	case looks && v != forbidden:
		return Hide
	case looks && r.Secret.Look == Unseen:
		return Allow // whether it is there decides how to refuse
	case looks && r.Secret.Look == Absent:
		return Hide
	case r.Secret.Look == Present && !s.mayList(r):
		return s.asAbsent(r)
	}
	return s.orMFA(r)
}

// asAbsent returns how the request is refused if the secret is not there.
func (s *Set) asAbsent(r *Request) Effect {
	absent := *r
	absent.Secret = Secret{Name: r.Secret.Name, Look: Absent}
	if e := s.Decide(&absent); e != Allow {
		return e
	}
	return Hide
}

// mayList reports whether a listing shows the secret to the caller.
func (s *Set) mayList(r *Request) bool {
	if r.Caller.Operator || r.Caller.System {
		return true
	}
	list := *r
	list.Action = List
	return s.rule(&list, nil) == permitted
}

// orMFA is Deny, or NeedMFA if a second factor given now would satisfy the
// policies.
func (s *Set) orMFA(r *Request) Effect {
	if !s.looksAtMFA() || !r.Caller.isPerson() {
		return Deny
	}
	caller := *r.Caller
	caller.MFA = r.Time
	again := *r
	again.Caller = &caller
	if s.rule(&again, nil) == permitted {
		return NeedMFA
	}
	return Deny
}

// looksAtMFA reports whether one of the policies looks at the second factor.
func (s *Set) looksAtMFA() bool {
	return s.policies != nil && slices.ContainsFunc(s.policies.statements, func(st *statement) bool { return st.uses&usesMFA != 0 })
}

// listed is the second part of a decision: the lists of the access policy. A
// subject without the attribute is on no list, whatever the list holds.
func (s Subject) listed(p secret.AccessPolicy) bool {
	return s.serviceListed(p) && s.environmentListed(p)
}

func (s Subject) serviceListed(p secret.AccessPolicy) bool {
	return p.AllowedServices == nil || s.Service != "" && slices.Contains(p.AllowedServices, s.Service)
}

func (s Subject) environmentListed(p secret.AccessPolicy) bool {
	return p.AllowedEnvironments == nil || s.Environment != "" && slices.Contains(p.AllowedEnvironments, s.Environment)
}

// lacksMFA is the third part of a decision: a second factor that the secret or
// the tenant demands, and that was not given of late.
func (s *Set) lacksMFA(r *Request) bool {
	return s.demandsMFA(r) && !r.Caller.fresh(r.Time, s.settings.Window())
}

// demandsMFA reports whether the request needs a second factor. A secret's own
// demand leaves reading free, so that services can; so is a listing. An
// operator may change the access policy without one, as the way out for a
// tenant that has lost its factors.
func (s *Set) demandsMFA(r *Request) bool {
	if r.Action == Read {
		return s.settings.MFAForRead && r.Caller.isPerson()
	}
	exempt := r.Action == List || r.Action == SetAccess && r.Caller.Operator
	return r.Secret.Access.RequiresMFA && !exempt
}
