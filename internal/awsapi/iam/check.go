package iam

import "strings"

// Finding is what a check has against a policy.
type Finding struct {
	Check   string
	Message string
}

// The checks.
const (
	CheckSyntax  = "SYNTAX"
	CheckPublic  = "PUBLIC_ACCESS"
	CheckLockOut = "CALLER_LOCKED_OUT"
)

// Service begins the names of the actions that a policy can be about.
const Service = "secretsmanager"

// IsPublic reports whether a statement allows everybody: a wildcard for the
// principal, without a condition that narrows down who that is.
func (p *Policy) IsPublic() bool {
	for i := range p.statements {
		if s := &p.statements[i]; !s.deny && s.principals.all && !s.narrowed() {
			return true
		}
	}
	return false
}

// narrowing are the keys that say who or where from.
var narrowing = []string{
	"aws:principalarn", "aws:principalaccount", "aws:principalorgid", "aws:principalorgpaths", "aws:userid", "aws:username",
	"aws:sourceaccount", "aws:sourcearn", "aws:sourceip", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner",
}

// narrowed reports whether a condition lets in only certain callers.
func (s *statement) narrowed() bool {
	for _, c := range s.conditions {
		if !c.isNull && !c.operator.negated && !c.ifExists && c.set != forAll && isOneOf(c.key, narrowing) && !c.anything() {
			return true
		}
	}
	return false
}

// anything reports whether one of the values leaves all in.
func (c condition) anything() bool {
	for _, v := range c.wanted {
		if c.operator.wild && strings.Trim(v, "*:") == "" || strings.HasSuffix(v, "/0") {
			return true
		}
	}
	return false
}

func isOneOf(s string, list []string) bool {
	for _, one := range list {
		if s == one {
			return true
		}
	}
	return false
}

// IsForeign reports whether no statement speaks of an action of the service, so
// that the policy does nothing here.
func (p *Policy) IsForeign() bool {
	for i := range p.statements {
		for _, a := range p.statements[i].actions {
			service, _, _ := strings.Cut(a, ":")
			if p.statements[i].notAction || like(literal(service), Service) {
				return false
			}
		}
	}
	return true
}

// LocksOut reports whether the policy denies the caller to change or remove it.
func (p *Policy) LocksOut(r Request) bool {
	for _, action := range []string{"PutResourcePolicy", "DeleteResourcePolicy"} {
		r.Action = Service + ":" + action
		if p.Evaluate(r) == Deny {
			return true
		}
	}
	return false
}

// Validate checks a text as ValidateResourcePolicy does, for a caller who would
// put it on the resource of r.
func Validate(text string, r Request) []Finding {
	p, err := Parse(text)
	if err != nil {
		return []Finding{{CheckSyntax, "This policy has invalid syntax: " + err.Error() + "."}}
	}
	var findings []Finding
	if p.IsForeign() {
		findings = append(findings, Finding{CheckSyntax, "This policy contains no action of Secrets Manager."})
	}
	if p.IsPublic() {
		findings = append(findings, Finding{CheckPublic, "The resource policy grants a wide range of principals access to the secret."})
	}
	if p.LocksOut(r) {
		findings = append(findings, Finding{CheckLockOut, "The resource policy denies the caller to change or delete it."})
	}
	return findings
}
