package policy

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// compileGrants makes a Cedar policy of each grant, with the id "label N".
// Without grants (nil) it returns nil, which is no bound; a list that is there
// but empty allows nothing.
func compileGrants(label string, principal types.EntityUID, grants []Grant) *index {
	if grants == nil {
		return nil
	}
	var all []*statement
	for i, g := range grants {
		if p := g.compile(principal); p != nil {
			all = append(all, newStatement(fmt.Sprintf("%s %d", label, i+1), p))
		}
	}
	return newIndex(all)
}

// compile returns the grant as a policy; nil if it grants nothing. Its role is
// the group of actions of that name, in which a grant over all names has those
// on the tenant too.
func (g Grant) compile(principal types.EntityUID) *cedar.Policy {
	role := actionUID(string(g.Role))
	if _, known := onSecrets[g.Role]; !known || g.Patterns != nil && len(g.Patterns) == 0 {
		return nil
	}
	p := ast.Permit().PrincipalEq(principal).ActionIn(role)
	if !g.coversAll() {
		p.ResourceIs(secretType).When(anyName(g.Patterns))
	}
	return cedar.NewPolicyFromAST((*cedarast.Policy)(p))
}

// anyName is a condition that one of the patterns matches the secret's name.
// It is a balanced tree, so that evaluating it takes little stack.
func anyName(patterns []string) ast.Node {
	if len(patterns) == 1 {
		return ast.Resource().Access(nameAttribute).Like(likePattern(patterns[0]))
	}
	half := len(patterns) / 2
	return anyName(patterns[:half]).Or(anyName(patterns[half:]))
}

// likePattern is a grant's pattern in Cedar's form.
func likePattern(pattern string) types.Pattern {
	var parts []any
	for i, literal := range strings.Split(pattern, "*") {
		if i > 0 {
			parts = append(parts, types.Wildcard{})
		}
		parts = append(parts, literal)
	}
	return types.NewPattern(parts...)
}
