// Package policy decides who may do what. It is pure: a caller, an action, a
// secret and the circumstances go in, an effect comes out.
//
// A decision has parts that must all allow: grants (roles over name patterns)
// and the tenant's own policies, the lists of the secret's access policy, and
// what secret and tenant demand of second factors. Grants and policies are
// Cedar statements over the schema in fastness.cedarschema: one must permit,
// none may forbid, and a credential's own grants narrow what its principal may.
// What is not allowed is denied, unknown roles and actions included, and the
// zero Effect is Deny. An effect also says how to refuse, so that a refusal
// tells no more than the caller may know: Hide is answered as if the secret
// were not there.
//
// Cedar's time is linear in the statements it is given. A Set therefore reads
// off each statement what its scope and its conditions demand of principal,
// action and name, and gives Cedar only those that may apply; one that demands
// nothing else is decided by that alone. The tests hold both against Cedar with
// all statements.
//
// Start with Set.Decide in decide.go; the roles are the table below.
package policy

import (
	"slices"

	"fastness/internal/secret"
)

// Role is a bundle of actions that a grant gives.
type Role string

// The roles. Writer does all that Reader does and Admin all that Writer does;
// Rotator gives secrets new values without reading any; Auditor sees the audit
// log, who may do what, and what secrets there are, but no value.
const (
	Admin   Role = "admin"
	Writer  Role = "writer"
	Reader  Role = "reader"
	Rotator Role = "rotator"
	Auditor Role = "auditor"
)

// Action is what a caller wants to do.
type Action string

// Actions on a secret.
const (
	Read      Action = "read"     // a value
	List      Action = "list"     // see the name in a listing
	Describe  Action = "describe" // metadata and versions
	Create    Action = "create"
	Update    Action = "update" // a new version, or other metadata
	Delete    Action = "delete"
	Restore   Action = "restore"
	Purge     Action = "purge"
	Rotate    Action = "rotate"
	Label     Action = "label"
	SetAccess Action = "access" // change the access policy
)

// Actions on a whole tenant.
const (
	ManageTokens     Action = "tokens"
	ManagePrincipals Action = "principals" // and their grants, passwords and factors
	ManagePolicies   Action = "policies"   // of the tenant's own, and its settings
	ManageIssuers    Action = "issuers"    // who is trusted to say who somebody is
	ManageKeys       Action = "keys"
	ViewAudit        Action = "audit"
	Review           Action = "review" // see who may do what, and why not
	Redact           Action = "redact"
)

// Actions on a whole tenant that are the operators' alone: no role has them.
const (
	ManageTenants Action = "tenants"
	ManageQuotas  Action = "quotas"
)

var (
	seen     = []Action{List, Describe}
	reading  = append(slices.Clone(seen), Read)
	writing  = append(slices.Clone(reading), Create, Update, Delete, Restore, Rotate, Label)
	managing = append(slices.Clone(writing), Purge, SetAccess)
	rotating = append(slices.Clone(seen), Rotate)

	// onSecrets is what each role may do with the secrets its patterns match.
	onSecrets = map[Role][]Action{
		Reader:  reading,
		Writer:  writing,
		Admin:   managing,
		Rotator: rotating,
		Auditor: seen,
	}
	// onTenants is what each role may do with a tenant, if it holds for all names.
	onTenants = map[Role][]Action{
		Admin:   {ManageTokens, ManagePrincipals, ManagePolicies, ManageIssuers, ManageKeys, ViewAudit, Review, Redact},
		Auditor: {ViewAudit, Review},
	}
	// ofOperators are the actions on a tenant that no role has.
	ofOperators = []Action{ManageTenants, ManageQuotas}
)

// OnSecrets returns the actions on a secret.
func OnSecrets() []Action { return slices.Clone(managing) }

// OnTenants returns the actions on a tenant, but for those that are the
// operators' alone.
func OnTenants() []Action { return slices.Clone(onTenants[Admin]) }

// ParseAction checks that there is such an action.
func ParseAction(s string) (Action, error) {
	if a := Action(s); a.onSecret() || a.onTenant() {
		return a, nil
	}
	return "", secret.Invalid("action", "one of the actions of the policies' schema, such as read, update or tokens")
}

// OnSecret reports whether it is an action on a secret; otherwise it is one on
// a tenant.
func (a Action) OnSecret() bool { return a.onSecret() }

// onSecret reports whether a is an action on a secret.
func (a Action) onSecret() bool { return slices.Contains(managing, a) }

// onTenant reports whether a is an action on a whole tenant.
func (a Action) onTenant() bool {
	return slices.Contains(ofOperators, a) || slices.Contains(onTenants[Admin], a)
}

// looks reports whether a only looks: a refusal of it must not tell whether
// the secret exists.
func (a Action) looks() bool { return slices.Contains(reading, a) }
