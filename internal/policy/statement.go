package policy

import (
	"iter"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// statement is one compiled Cedar policy with what is known of it without
// evaluating it.
type statement struct {
	id     string
	policy *cedar.Policy
	forbid bool
	scope  scope
	exact  bool // the scope is all that the statement says
	uses   uses
}

// uses says which parts of a request a statement looks at that are costly to
// make, or not known at once.
type uses uint8

const (
	usesContext uses = 1 << iota
	usesTags
	usesParents // whether one entity is in another
	usesMFA
)

// scope is what must hold for a statement to apply, as far as it can be told
// by comparing words: a request outside of it does not satisfy the statement,
// and evaluating it would not fail. The zero value of a part holds always.
type scope struct {
	actions   actions // any of these; zero for all
	principal types.EntityUID
	kind      types.EntityType // of the principal
	resource  types.EntityType
	names     []nameTest // each of these must accept the secret's name
	tags      []tagTest  // and each of these one of its tags
}

// keys walks the keys of the conditions that have some: of each condition, a
// request that it holds for has at least one.
func (s *scope) keys() iter.Seq[[]key] {
	return func(yield func([]key) bool) {
		for i := range s.names {
			if keys := s.names[i].keys(); keys != nil && !yield(keys) {
				return
			}
		}
		for _, t := range s.tags {
			if !yield([]key{tagKey(string(t.tag), string(t.is))}) {
				return
			}
		}
	}
}

// newStatement reads off a policy what the index needs.
func newStatement(id string, p *cedar.Policy) *statement {
	tree := (*ast.Policy)(p.AST())
	s := &statement{id: id, policy: p, forbid: p.Effect() == cedar.Forbid, exact: true}
	s.scope.actions = actionsIn(tree.Action)
	s.readPrincipal(tree.Principal)
	s.readResource(tree.Resource)
	s.readConditions(tree.Conditions)
	return s
}

// readConditions reads what must hold for all conditions to hold. Where one
// may fail, it reads nothing: to leave the statement out could hide that it does.
func (s *statement) readConditions(conditions []ast.ConditionType) {
	failing := false
	for _, c := range conditions {
		u, f := survey(c.Body)
		s.uses |= u
		failing = failing || f
	}
	for _, c := range conditions {
		if failing || c.Condition == ast.ConditionUnless || !s.readCondition(c.Body) {
			s.exact = false
		}
	}
}

func actionsIn(in ast.IsActionScopeNode) actions {
	sets := words().sets
	switch in := in.(type) {
	case ast.ScopeTypeEq:
		return sets[in.Entity]
	case ast.ScopeTypeIn:
		return sets[in.Entity]
	case ast.ScopeTypeInSet:
		var all actions
		for _, e := range in.Entities {
			all |= sets[e]
		}
		return all
	}
	return 0
}

func (s *statement) readPrincipal(in ast.IsPrincipalScopeNode) {
	switch in := in.(type) {
	case ast.ScopeTypeEq:
		s.scope.principal = in.Entity
	case ast.ScopeTypeIn: // nobody is in a person or a service
		s.scope.principal = in.Entity
	case ast.ScopeTypeIs:
		s.scope.kind = in.Type
	case ast.ScopeTypeIsIn:
		s.scope.kind, s.scope.principal = in.Type, in.Entity
	}
}

func (s *statement) readResource(in ast.IsResourceScopeNode) {
	switch in := in.(type) {
	case ast.ScopeTypeEq:
		s.scope.resource = in.Entity.Type
		if in.Entity.Type != secretType {
			s.exact = false
			return
		}
		s.scope.names = append(s.scope.names, nameTest{exact: []string{string(in.Entity.ID)}})
	case ast.ScopeTypeIn:
		s.uses |= usesParents
		s.exact = false
	case ast.ScopeTypeIs:
		s.scope.resource = in.Type
	case ast.ScopeTypeIsIn:
		s.scope.resource = in.Type
		s.uses |= usesParents
		s.exact = false
	}
}

// readCondition reads what must hold for a condition to hold, and reports
// whether that is all it says.
func (s *statement) readCondition(n ast.IsNode) (all bool) {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		left := s.readCondition(n.Left)
		return s.readCondition(n.Right) && left
	case ast.NodeTypeIs:
		switch variableOf(n.Left) {
		case "principal":
			return demand(&s.scope.kind, n.EntityType)
		case "resource":
			return demand(&s.scope.resource, n.EntityType)
		}
		return false
	case ast.NodeTypeEquals:
		if uid, ok := valueOf(n.Right).(types.EntityUID); ok && variableOf(n.Left) == "principal" {
			return demand(&s.scope.principal, uid)
		}
	}
	if test, ok := tagTestOf(n); ok {
		s.scope.tags = append(s.scope.tags, test)
		return false
	}
	test, ok, all := nameTestOf(n)
	if !ok {
		return false
	}
	s.scope.names = append(s.scope.names, test)
	return demand(&s.scope.resource, secretType) && all
}

// demand sets a part of a scope, unless it demands something already; it
// reports whether the part is now the one given.
func demand[T comparable](part *T, value T) bool {
	var none T
	if *part == none {
		*part = value
	}
	return *part == value
}

// covers reports whether a request is within the statement's scope.
func (s *scope) covers(p *place) bool {
	switch {
	case s.actions != 0 && s.actions&p.action.bit == 0,
		s.principal != types.EntityUID{} && s.principal != p.principal,
		s.kind != "" && s.kind != p.principal.Type,
		s.resource != "" && s.resource != p.resource.Type:
		return false
	}
	for i := range s.names {
		if !s.names[i].accepts(p.resource.ID) {
			return false
		}
	}
	return p.unseen || s.acceptsTags(p.tags)
}

func (s *scope) acceptsTags(tags map[string]string) bool {
	for _, t := range s.tags {
		if v, ok := tags[string(t.tag)]; !ok || v != string(t.is) {
			return false
		}
	}
	return true
}

// survey tells what an expression looks at, and whether evaluating it can
// fail. Of what the schema lets pass, only arithmetic can, and a look at an
// entity that the request is not about.
func survey(n ast.IsNode) (u uses, failing bool) {
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeVariable:
			if n.Name == "context" {
				u |= usesContext
			}
		case ast.NodeTypeHasTag:
			u |= usesTags
		case ast.NodeTypeGetTag:
			u |= usesTags
			failing = failing || variableOf(n.Left) == ""
		case ast.NodeTypeIn, ast.NodeTypeIsIn:
			u |= usesParents
		case ast.NodeTypeHas:
			if variableOf(n.Arg) == "context" && n.Value == mfaAge {
				u |= usesMFA
			}
		case ast.NodeTypeAccess:
			failing = failing || variableOf(n.Arg) == ""
		case ast.NodeTypeExtensionCall:
			failing = failing || mayFail(n)
		case ast.NodeTypeAdd, ast.NodeTypeSub, ast.NodeTypeMult, ast.NodeTypeNegate:
			failing = true
		}
		if left, right, ok := compared(n); ok {
			failing = failing || left == "" || left != right
		}
		return true
	})
	return u, failing
}

// mayFail reports whether a call of an extension's function can fail: those on
// times can pass the ends of time. What makes a value of a constant was tried
// when the policy was validated.
func mayFail(n ast.NodeTypeExtensionCall) bool {
	switch n.Name {
	case "offset", "durationSince", "toDate", "toTime":
		return true
	case "ip", "decimal", "datetime", "duration":
		return len(n.Args) != 1 || valueOf(n.Args[0]) == nil
	}
	return false
}

// variableOf returns the name of a variable; empty if the node is none.
func variableOf(n ast.IsNode) types.String {
	v, _ := n.(ast.NodeTypeVariable)
	return v.Name
}

// valueOf returns the value of a constant; nil if the node is none.
func valueOf(n ast.IsNode) types.Value {
	v, _ := n.(ast.NodeValue)
	return v.Value
}
