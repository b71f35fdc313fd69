package iam

import "strings"

// Decision is what a policy says to a request.
type Decision int

// The decisions. None is that no statement speaks of the request.
const (
	None Decision = iota
	Allow
	Deny
)

// String names the decision.
func (d Decision) String() string { return [...]string{"none", "allow", "deny"}[d] }

// Request is what a policy decides on.
type Request struct {
	Principal string // the caller's ARN
	Account   string // the caller's account number
	Action    string // as "secretsmanager:GetSecretValue"
	Resource  string // the secret's ARN
	// Keys are the request's condition keys by their names in lower case. A key
	// that is not there, or has no values, is absent.
	Keys map[string][]string
}

// Evaluate decides. The first statement that denies ends it.
func (p *Policy) Evaluate(r Request) Decision {
	d, _ := p.Explain(r)
	return d
}

// Explain is Evaluate that also tells which statement decided, counted from 0;
// -1 if none did.
func (p *Policy) Explain(r Request) (Decision, int) {
	allowed := -1
	for i := range p.statements {
		s := &p.statements[i]
		if !p.applies(s, r) {
			continue
		}
		if s.deny {
			return Deny, i
		}
		if allowed < 0 {
			allowed = i
		}
	}
	if allowed >= 0 {
		return Allow, allowed
	}
	return None, -1
}

func (p *Policy) applies(s *statement, r Request) bool {
	if s.principals.match(r) == s.notPrincipal || matchesAction(s.actions, r.Action) == s.notAction {
		return false
	}
	if p.matchesResource(s, r) == s.notResource {
		return false
	}
	for _, c := range s.conditions {
		if !p.holds(c, r) {
			return false
		}
	}
	return true
}

func matchesAction(patterns []string, action string) bool {
	action = strings.ToLower(action)
	for _, pattern := range patterns {
		if like(literal(pattern), action) {
			return true
		}
	}
	return false
}

func (p *Policy) matchesResource(s *statement, r Request) bool {
	for _, text := range s.resources {
		if pattern, ok := p.expand(text, r, true); ok && likeARN(pattern, r.Resource) {
			return true
		}
	}
	return false
}
