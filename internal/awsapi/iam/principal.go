package iam

import (
	"encoding/json"
	"strings"
)

// principals are who a statement is about.
type principals struct {
	all    bool     // "*", or {"AWS": "*"}
	aws    []string // ARNs, and 12-digit account numbers
	others bool     // services, federated and canonical users: never a caller here
}

// principalTypes are the keys of a Principal.
var principalTypes = []string{"AWS", "Service", "Federated", "CanonicalUser"}

func (s *statement) readPrincipals(m map[string]json.RawMessage) (err error) {
	raw, negated, err := either(m, "Principal", "NotPrincipal")
	switch {
	case err != nil:
		return err
	case raw == nil:
		return malformed("Principal or NotPrincipal is required")
	}
	s.notPrincipal = negated
	if s.principals, err = readPrincipals(raw); err != nil {
		return err
	}
	if negated && (s.principals.all || !s.deny) {
		return malformed("NotPrincipal is for Deny, and names whom it spares")
	}
	return nil
}

func readPrincipals(raw json.RawMessage) (p principals, err error) {
	if one, err := oneString(raw, "Principal"); err == nil {
		if one != "*" {
			return p, malformed("Principal must be \"*\" or an object")
		}
		return principals{all: true}, nil
	}
	types, err := members(raw, "Principal", principalTypes...)
	if err != nil {
		return p, err
	}
	if len(types) == 0 {
		return p, malformed("Principal must name somebody")
	}
	for name, raw := range types {
		list, err := stringList(raw, "Principal."+name)
		if err != nil {
			return p, err
		}
		if name != "AWS" {
			p.others = true
			continue
		}
		for _, one := range list {
			switch {
			case one == "*":
				p.all = true
			case isAccount(one), isPrincipalARN(one):
				p.aws = append(p.aws, one)
			default:
				return p, malformed("Principal.AWS must be \"*\", an account number, or the ARN of a principal")
			}
		}
	}
	return p, nil
}

func isAccount(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) == 12
}

// isPrincipalARN reports whether s is arn:PARTITION:iam|sts::ACCOUNT:WHO. The
// language has no wildcards here.
func isPrincipalARN(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && parts[1] != "" && (parts[2] == "iam" || parts[2] == "sts") &&
		parts[3] == "" && isAccount(parts[4]) && parts[5] != "" && !strings.ContainsAny(s, "*?")
}

// match reports whether they include the caller: by its own ARN, or by its
// account's, which stands for everybody in it.
func (p principals) match(r Request) bool {
	if p.all {
		return true
	}
	for _, one := range p.aws {
		if one == r.Principal || one == r.Account || r.Account != "" && strings.HasSuffix(one, ":iam::"+r.Account+":root") {
			return true
		}
	}
	return false
}
